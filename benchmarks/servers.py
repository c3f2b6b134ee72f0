"""What is measured, or stands behind it: OpenBao, our service as it is shipped, and servers of
peers, each a process on the core it is given, ended with the block.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

import greenlang_secrets as gs
from benchmarks.machine import SERVER, place
from greenlang_secrets.access import Permission
from greenlang_secrets.background import Supervisor
from greenlang_secrets.development.api_process import ApiProcess
from greenlang_secrets.development.catalogue_database import prepare_catalogue
from greenlang_secrets.development.issuer import AUDIENCE, ISSUER, DevelopmentIssuer
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.provision import Desired, provision
from greenlang_secrets.testing import OpenBaoServer, PostgresServer, ValkeyServer
from greenlang_secrets.testing.family import dying_with_owner
from greenlang_secrets.vault import VaultClient

__all__ = ["HELD", "Child", "Service", "child", "library_config", "service", "vault"]

HELD: Final = 3600.0
"""Seconds a value is fresh where hits are measured: none of them is a refresh."""

NO_LIMIT: Final = "1000000/1s"
"""A limit that counts and is not reached: it is measured, and is not what ends the measuring."""

_ROLE: Final = ("auth", "approle", "role", "greenlang-secrets")
_GRACE: Final = 10.0  # seconds a peer's server has to end


@asynccontextmanager
async def vault(core: int | None = SERVER, *, audit: bool = False) -> AsyncIterator[OpenBaoServer]:
    """Run an OpenBao with the engines, policies and roles that our service wants."""
    async with OpenBaoServer(audit=audit) as server:
        place(core, [server.pid])
        config = gs.SecretsServiceConfig(
            addresses=(server.addr,), auth=gs.AuthConfig(token=gs.SecretValue(server.root_token))
        )
        async with Supervisor() as supervisor, VaultClient.open(config, supervisor) as client:
            await provision(client, Desired())
        yield server


def library_config(server: OpenBaoServer, *, fresh_for: float = HELD) -> gs.SecretsServiceConfig:
    """Return settings of the library at this server."""
    return gs.SecretsServiceConfig(
        addresses=(server.addr,),
        auth=gs.AuthConfig(token=gs.SecretValue(server.root_token)),
        cache=gs.CacheConfig(fresh_for=fresh_for, stale_for=max(fresh_for, 300.0)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Our service, running.

    Attributes:
        bearers: by tenant; each may do everything with its tenant's secrets.
    """

    url: str
    pid: int
    bearers: Mapping[str, str]
    platform: str

    def secret(self, path: str) -> str:
        """Return the URL of a secret."""
        return f"{self.url}/api/v1/secrets/{path}"


@asynccontextmanager
async def service(
    server: OpenBaoServer,
    folder: Path,
    *,
    core: int | None = SERVER,
    settings: Mapping[str, str] | None = None,
    postgres: PostgresServer | None = None,
    valkey: ValkeyServer | None = None,
    tenants: tuple[str, ...] = ("acme",),
) -> AsyncIterator[Service]:
    """Run the service as ``greenlang-secrets serve`` runs it, with an AppRole of its own.

    Bearers, permissions, rate limits that are counted, an audit log that is waited for, metrics,
    an access log and a catalogue are on, as they are by default.
    """
    issuer = await anyio.to_thread.run_sync(DevelopmentIssuer.make, folder)
    environment = {
        "VAULT_ADDR": server.addr,
        "GREENLANG_SECRETS_JWT_ISSUER": ISSUER,
        "GREENLANG_SECRETS_JWT_AUDIENCE": AUDIENCE,
        "GREENLANG_SECRETS_JWT_JWKS_FILE": str(issuer.jwks_file),
        "GREENLANG_SECRETS_CACHE_FRESH_SECONDS": f"{HELD:g}",
        "GREENLANG_SECRETS_CACHE_STALE_SECONDS": f"{HELD:g}",
        "GREENLANG_SECRETS_AUDIT_LOG": str(folder / "audit.jsonl"),
        "GREENLANG_SECRETS_STATE_DIR": str(folder),
        **dict.fromkeys(
            (f"GREENLANG_SECRETS_RATE_LIMIT_{kind}" for kind in ("READ", "WRITE", "LIST")), NO_LIMIT
        ),
        **await _approle(server, folder),
        **await prepare_catalogue(
            folder, None if postgres is None else gs.SecretValue(postgres.url)
        ),
        **(settings or {}),
    }
    if valkey is not None:
        environment["GREENLANG_SECRETS_RATE_LIMIT_URL"] = valkey.url
    process = ApiProcess(environment, folder=folder, port=0)
    await process.start()
    try:
        place(core, [process.pid])
        everything = list(Permission)
        bearers = {
            tenant: issuer.issue("bench", tenant=tenant, permissions=everything).reveal()
            for tenant in tenants
        }
        platform = issuer.issue("bench", platform=True, permissions=everything).reveal()
        yield Service(url=process.url, pid=process.pid, bearers=bearers, platform=platform)
    finally:
        await process.stop()


async def _approle(server: OpenBaoServer, folder: Path) -> dict[str, str]:
    """The settings of a login with the AppRole that provisioning has made."""
    config = library_config(server)
    async with Supervisor() as supervisor, VaultClient.open(config, supervisor) as client:
        role = await client.read(ApiPath.of(*_ROLE, "role-id")) or {}
        made = await client.write(ApiPath.of(*_ROLE, "secret-id"))
    file = folder / "approle.secret-id"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as secret_id:
        secret_id.write(made["secret_id"])
    return {
        "GREENLANG_SECRETS_AUTH_METHOD": "approle",
        "GREENLANG_SECRETS_AUTH_ROLE": role["role_id"],
        "GREENLANG_SECRETS_AUTH_SECRET_ID_FILE": str(file),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A peer's server, running."""

    url: str
    pid: int


@asynccontextmanager
async def child(
    *command: str | Path,
    core: int | None = SERVER,
    environment: Mapping[str, str] | None = None,
    url: str = "",
) -> AsyncIterator[Child]:
    """Run a peer's server, which prints its URL when it answers, or is waited for at `url`.

    Raises:
        RuntimeError: it ended instead.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL if url else asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        preexec_fn=dying_with_owner(),
    )
    try:
        if url:
            await _until_it_listens(url, process)
        elif process.stdout is not None:
            url = (await process.stdout.readline()).decode().strip()
        if not url or process.returncode is not None:
            raise RuntimeError(f"{Path(command[0]).name} did not start")
        place(core, [process.pid])
        yield Child(url=url, pid=process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_GRACE):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _until_it_listens(url: str, process: asyncio.subprocess.Process) -> None:
    host, _, port = url.rpartition("://")[2].partition(":")
    while process.returncode is None:
        async with AsyncExitStack() as opened:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                await asyncio.sleep(0.02)
                continue
            opened.callback(writer.close)
            return


def python() -> Path:
    """Return the interpreter that servers of peers run in."""
    return Path(sys.executable)
