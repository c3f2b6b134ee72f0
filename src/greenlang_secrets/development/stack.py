"""The whole stack, as one thing that starts, waits and ends: `develop`.

OpenBao, PostgreSQL and Valkey start together; then Vault is provisioned and seeded, and
the API starts with an AppRole of its own, never with the root token. A signal at any
moment, or the death of a child, ends everything in the order API, PostgreSQL, Valkey,
OpenBao; nothing is left running. If this process is killed, the kernel ends the others.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue, CatalogueConfig
from greenlang_secrets.catalogue_scan import rebuild
from greenlang_secrets.config import AuthConfig, SecretsServiceConfig
from greenlang_secrets.development.api_process import ApiProcess
from greenlang_secrets.development.catalogue_database import prepare_catalogue
from greenlang_secrets.development.issuer import AUDIENCE, ISSUER, DevelopmentIssuer
from greenlang_secrets.development.private_files import private_folder, write_private
from greenlang_secrets.development.ready import Running, greeting, issue_tokens
from greenlang_secrets.development.rotatable import let_in, set_policies
from greenlang_secrets.development.seed import TENANTS, Beside, seed
from greenlang_secrets.errors import (
    ConfigurationError,
    OutcomeUnknown,
    SecretsError,
    VaultUnavailable,
)
from greenlang_secrets.paths import PLATFORM, ApiPath, Scope, Tenant, TenantId
from greenlang_secrets.provision import Desired, provision
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.service import SecretsService
from greenlang_secrets.testing import OpenBaoServer, PostgresServer, ServerError, ValkeyServer
from greenlang_secrets.vault import VaultClient

__all__ = ["DEFAULT_PORT", "Options", "develop"]

DEFAULT_PORT: Final = 8750

_HOST: Final = "127.0.0.1"
_LOOK: Final = 0.2  # seconds between two looks whether all children live
_ATTEMPTS: Final = 3  # of provisioning, which goes on where it was
_ROLE: Final = ("auth", "approle", "role", "greenlang-secrets")

Server = OpenBaoServer | PostgresServer | ValkeyServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to start.

    Attributes:
        port: the API's; 0 takes a free one.
        ready_file: written when everything answers, removed at the end.
        data_dir: keeps everything across restarts; None uses a folder that goes at the end.
    """

    port: int = DEFAULT_PORT
    ready_file: Path | None = None
    data_dir: Path | None = None
    postgres: bool = True
    valkey: bool = True


async def develop(options: Options, *, say: Callable[[str], None]) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; `say` gets text for the terminal.

    Raises:
        ConfigurationError: the API's port is taken.
        ServerError: a server did not start, or died.
        SecretsError: Vault could not be provisioned.
    """
    failure: SecretsError | ServerError | None = None
    until_signal = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        # Outside of what it cancels: it also takes the signals that come while we stop.
        await tasks.start(_cancel_at_signal, until_signal, say)
        with until_signal:
            try:
                await _run(options, say)
            except (SecretsError, ServerError) as error:
                failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _cancel_at_signal(
    scope: anyio.CancelScope, say: Callable[[str], None], *, task_status: TaskStatus[None]
) -> None:
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means it
        numbers.append(signal.SIGHUP)
    with anyio.open_signal_receiver(*numbers) as signals:
        task_status.started()
        async for number in signals:
            if not scope.cancel_called:
                say(f"{number.name}: stopping ...")
            scope.cancel()


async def _run(options: Options, say: Callable[[str], None]) -> None:
    ready_file = None if options.ready_file is None else options.ready_file.absolute()
    await anyio.to_thread.run_sync(_check, options.port, ready_file)
    written = [] if ready_file is None else [ready_file]
    async with _folder(options.data_dir) as folder:
        written.append(folder / "env")
        await anyio.to_thread.run_sync(_remove, written)
        try:
            await _serve(options, folder, ready_file, say)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_remove, written)


async def _serve(
    options: Options, folder: Path, ready_file: Path | None, say: Callable[[str], None]
) -> None:
    kept = options.data_dir is not None
    openbao = OpenBaoServer(data_dir=folder / "openbao" if kept else None)
    postgres = PostgresServer(data_dir=folder / "postgres" if kept else None)
    valkey = ValkeyServer(data_dir=folder / "valkey" if kept else None)
    servers: dict[str, Server] = {"openbao": openbao}
    servers |= {"postgres": postgres} if options.postgres else {}
    servers |= {"valkey": valkey} if options.valkey else {}
    say(f"Starting {', '.join(server.name for server in servers.values())} ...")
    async with _started(servers.values()):
        beside = Beside(
            postgres_url=SecretValue(postgres.url) if options.postgres else None,
            valkey_url=SecretValue(valkey.url) if options.valkey else None,
        )
        say("Provisioning Vault, starting the API ...")
        auth = await _provisioned(openbao, beside, folder)
        issuer = await anyio.to_thread.run_sync(DevelopmentIssuer.make, folder)
        environment = _environment(openbao.addr, auth, issuer)
        beside_vault = await prepare_catalogue(folder, beside.postgres_url)
        beside_vault |= {"GREENLANG_SECRETS_AUDIT_LOG": str(folder / "audit.jsonl")}
        environment |= beside_vault | await _rate_limits(folder, beside.valkey_url)
        api = ApiProcess(environment, folder=folder, port=options.port)
        try:
            # The seeding takes less time than the API's imports.
            seeding = partial(_seed, openbao.addr, auth, beside, beside_vault)
            await _together(api.start, seeding)
            running = Running(
                folder=folder,
                api_url=api.url,
                vault_addr=openbao.addr,
                vault_token=SecretValue(openbao.root_token),
                postgres_url=beside.postgres_url,
                valkey_url=beside.valkey_url,
                audit_log=folder / "audit.jsonl",
                openbao_audit_log=openbao.audit_file,
                beside_vault=beside_vault,
                pids={"api": api.pid, **{name: server.pid for name, server in servers.items()}},
                tokens=await anyio.to_thread.run_sync(issue_tokens, issuer),
            )
            await anyio.to_thread.run_sync(write_private, folder / "env", running.env_file())
            if ready_file is not None:
                await anyio.to_thread.run_sync(write_private, ready_file, running.ready_file())
            say(greeting(running))
            await _until_one_dies(servers.values(), api)
        finally:
            await api.stop()


def _environment(addr: str, auth: AuthConfig, issuer: DevelopmentIssuer) -> dict[str, str]:
    """The API's settings: where things are, and no secret."""
    return {
        "VAULT_ADDR": addr,
        "GREENLANG_SECRETS_ENVIRONMENT": "development",
        "GREENLANG_SECRETS_AUTH_METHOD": auth.method,
        "GREENLANG_SECRETS_AUTH_ROLE": auth.role or "",
        "GREENLANG_SECRETS_AUTH_SECRET_ID_FILE": str(auth.secret_id_file),
        "GREENLANG_SECRETS_JWT_ISSUER": ISSUER,
        "GREENLANG_SECRETS_JWT_AUDIENCE": AUDIENCE,
        "GREENLANG_SECRETS_JWT_JWKS_FILE": str(issuer.jwks_file),
    }


async def _rate_limits(folder: Path, valkey_url: SecretValue | None) -> dict[str, str]:
    """Where requests are counted; its URL holds a password, so it is in a file."""
    if valkey_url is None:
        return {}
    file = folder / "rate-limits.url"
    await anyio.to_thread.run_sync(write_private, file, valkey_url.reveal())
    return {"GREENLANG_SECRETS_RATE_LIMIT_URL_FILE": str(file)}


def _check(port: int, ready_file: Path | None) -> None:
    """Say now, before any server starts, what could not be done at the end."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else "cannot be listened on"
            raise ConfigurationError(
                f"Port {port} on {_HOST} {why}; stop what listens there, or choose another "
                "with --port (0 takes a free one)."
            ) from None
    if ready_file is not None and not os.access(ready_file.parent, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"The ready file {str(ready_file)!r} cannot be written; name one in a folder "
            "that is there."
        )


@asynccontextmanager
async def _folder(data_dir: Path | None) -> AsyncIterator[Path]:
    if data_dir is not None:
        folder, lock = await anyio.to_thread.run_sync(_locked, data_dir)
        with lock:
            yield folder
        return
    # In the loop, for a cancellation would lose what a thread has just made.
    temporary = tempfile.TemporaryDirectory(prefix="greenlang-secrets-dev-")
    try:
        yield Path(temporary.name)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(temporary.cleanup)


def _locked(data_dir: Path) -> tuple[Path, IO[str]]:
    """The data folder, made if it is missing, and the lock that makes it ours until closed."""
    try:
        folder = private_folder(data_dir)
        # It may lie in somebody's checkout, and holds keys: nothing in it is for git.
        (folder / ".gitignore").write_text("*\n")
        lock = (folder / ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            lock.close()
            raise
    except BlockingIOError:
        raise ConfigurationError(
            f"The data folder {str(data_dir)!r} is in use by another greenlang-secrets dev; "
            "stop that one, or name another with --data-dir."
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {str(data_dir)!r} cannot be used: {error.strerror}."
        ) from None
    return folder, lock


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


@asynccontextmanager
async def _started(servers: Collection[Server]) -> AsyncIterator[None]:
    """Start all together, stop them in reverse order; each stop is shielded by itself."""
    try:
        await _together(*(server.start for server in servers))
        yield
    finally:
        for server in reversed(list(servers)):
            await server.stop()


async def _together(*works: Callable[[], Awaitable[None]]) -> None:
    """Do all at once; the first error cancels the others and is raised, by itself and not in
    a group: it is written for a reader.
    """
    errors: list[SecretsError | ServerError] = []
    async with anyio.create_task_group() as tasks:

        async def run(work: Callable[[], Awaitable[None]]) -> None:
            try:
                await work()
            except (SecretsError, ServerError) as error:
                errors.append(error)
                tasks.cancel_scope.cancel()

        for work in works:
            tasks.start_soon(run, work)
    if errors:
        raise errors[0]


async def _provisioned(openbao: OpenBaoServer, beside: Beside, folder: Path) -> AuthConfig:
    """Provision Vault with the root token, and return the login of the API's AppRole."""
    config = SecretsServiceConfig(
        addresses=(openbao.addr,), auth=AuthConfig(token=SecretValue(openbao.root_token))
    )
    async with Supervisor() as supervisor, VaultClient.open(config, supervisor) as client:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await provision(client, Desired(postgres_url=beside.postgres_url))
                break
            except (OutcomeUnknown, VaultUnavailable):
                if attempt == _ATTEMPTS:
                    raise
        role = await client.read(ApiPath.of(*_ROLE, "role-id")) or {}
        file = folder / "approle.secret-id"
        if not await _is_known(client, file):
            made = await client.write(ApiPath.of(*_ROLE, "secret-id"))
            await anyio.to_thread.run_sync(write_private, file, made["secret_id"])
    return AuthConfig(method="approle", role=role["role_id"], secret_id_file=file)


async def _is_known(client: VaultClient, file: Path) -> bool:
    """Whether Vault knows the secret id kept from the last run."""
    try:
        secret_id = await anyio.Path(file).read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return False
    # Answers 204 without a body for one it does not know (OpenBao 2.7.2, test_dev.py).
    lookup = ApiPath.of(*_ROLE, "secret-id", "lookup")
    return bool(await client.write(lookup, {"secret_id": secret_id}))


async def _seed(
    addr: str, auth: AuthConfig, beside: Beside, beside_vault: Mapping[str, str]
) -> None:
    """Seed as the API's own AppRole, which so is tried before anybody needs it, and have the
    catalogue's index follow.
    """
    config = SecretsServiceConfig(addresses=(addr,), auth=auth)
    catalogue_config = CatalogueConfig.from_env("development", environ=beside_vault)
    async with (
        Supervisor() as supervisor,
        Catalogue.open(catalogue_config, supervisor) as catalogue,
        SecretsService.open(config) as service,
    ):
        made = await seed(service, beside)
        await let_in(service, beside)
        await set_policies(service, catalogue, supervisor, made)
        scopes: list[Scope] = [PLATFORM, *(Tenant(TenantId(tenant)) for tenant in TENANTS)]
        for scope in scopes:
            await rebuild(service, catalogue.index, scope)


async def _until_one_dies(servers: Collection[Server], api: ApiProcess) -> None:
    while True:
        dead = [server.name for server in servers if not server.running]
        dead += [] if api.running else ["The API"]
        if dead:
            raise ServerError(f"{' and '.join(dead)} died; stopping the others.")
        await anyio.sleep(_LOOK)
