"""Services and seeds for one test: a mount of its own, services on it, and secrets in it.

Owns what stands between a running server and `SecretsService`: the mount and the configuration.
Whose event loop a service lives in is decided in `runners`; servers are left to their modules.
"""

import secrets as randomness
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeAlias

import anyio

from greenlang_secrets.config import AuthConfig, CacheConfig, SecretsServiceConfig
from greenlang_secrets.model import TYPE_KEY, SecretType
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath, Tenant, TenantId
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.service import SecretsService
from greenlang_secrets.testing.fault_proxy import FaultProxy
from greenlang_secrets.testing.openbao import ExternalVault, OpenBaoServer
from greenlang_secrets.testing.process import ServerError
from greenlang_secrets.testing.raft import RaftCluster
from greenlang_secrets.testing.witness import VaultWitness

__all__ = ["NewSecretsService", "SeedSecrets"]

Server: TypeAlias = OpenBaoServer | ExternalVault | RaftCluster

_POLL_SECONDS = 0.01  # a new mount is upgraded to version 2 within some milliseconds
_MOUNT_SECONDS = 30.0  # standbys of a busy machine may be behind by seconds


class NewSecretsService:
    """Opens services for one test, which are closed when it ends.

    Args:
        config: what `vault_server` is asked with, and what else services of the test have.
        shared: the server that `config` is about.
        opened: closes the services.
    """

    def __init__(
        self, config: SecretsServiceConfig, shared: Server, opened: AsyncExitStack
    ) -> None:
        self._config = config
        self._shared = shared
        self._opened = opened

    async def __call__(
        self, server: Server | None = None, *, through: FaultProxy | None = None, **changes: Any
    ) -> SecretsService:
        """Return a new service, open until the test ends.

        Args:
            server: the server to ask, which gets a mount for this service; None asks
                `vault_server`, on the mount of the test.
            through: a proxy before that server, to ask instead.
            changes: other fields of `SecretsServiceConfig`, such as ``cache``.

        Raises:
            ServerError: the server is not ready.
        """
        config = self._config
        if server is not None and server is not self._shared:
            config = reaching(server, await new_mount(server), like=config)
        if through is not None:
            config = replace(config, addresses=(through.addr,))
        opening = SecretsService.open(replace(config, **changes))
        return await self._opened.enter_async_context(opening)


class SeedSecrets:
    """Writes secrets as another program would: to the server, behind the back of every service.

    Args:
        server: where.
        mount: the KV v2 mount there.
    """

    def __init__(self, server: VaultWitness, mount: str) -> None:
        self._server = server
        self._mount = mount

    async def __call__(
        self,
        secrets: Mapping[str, Mapping[str, str]],
        *,
        tenant: str | None = None,
        type: SecretType | None = None,  # noqa: A002  what `SecretsService.put` calls it
    ) -> None:
        """Write a version of each secret: the first, or the next one where there is one already.

        No cache is told, so a service goes on with a version that is fresh: ``fresh=True`` reads
        the new one.

        Args:
            secrets: data by path, as in ``{"database/postgresql": {"password": "p"}}``.
            tenant: whose they are; None for the platform's.
            type: what kind they are; None leaves that as it is.

        Raises:
            InvalidPath, InvalidTenant: a path or the tenant's id is outside the grammar.
            ServerError: the server did not take them.
        """
        scope = PLATFORM if tenant is None else Tenant(TenantId(tenant))
        for raw_path, data in secrets.items():
            path = KvPath.of(self._mount, scope, SecretPath.parse(raw_path))
            await _done(self._server, f"{path.api('data')}", {"data": dict(data)})
            if type is not None:
                described = {"custom_metadata": {TYPE_KEY: type.value}}
                await _done(self._server, f"{path.api('metadata')}", described)


def reaching(
    server: Server, mount: str, *, like: SecretsServiceConfig | None = None
) -> SecretsServiceConfig:
    """Return a configuration that reaches a mount of a server with its root token.

    Args:
        server: the server.
        mount: the KV v2 mount there.
        like: what it has for the rest; None for the defaults, except that what is missing or
            denied is asked for each time, since tests write soon after they looked.
    """
    if like is None:
        like = SecretsServiceConfig(
            cache=CacheConfig(missing_for=0, denied_for=0), tenant_token_role=None
        )
    nodes = _nodes(server)
    return replace(
        like,
        addresses=tuple(node.addr for node in nodes),
        ca_cert=nodes[0].ca_file,
        auth=AuthConfig(token=SecretValue(server.root_token)),
        kv_mount=mount,
    )


async def new_mount(server: Server) -> str:
    """Return the name of a new KV v2 mount that takes requests, at every node of a cluster."""
    mount = f"test-{randomness.token_hex(8)}"  # workers may share a server at VAULT_ADDR
    writer: VaultWitness = await server.leader() if isinstance(server, RaftCluster) else server
    await _done(writer, f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
    with anyio.move_on_after(_MOUNT_SECONDS):
        for node in _nodes(server):
            while (await node.request("GET", f"{mount}/config"))[0] != 200:  # noqa: ASYNC110  a server sets no event
                await anyio.sleep(_POLL_SECONDS)
        return mount
    raise ServerError(f"{server!r} made the mount {mount}, which is still not ready")


async def remove_mount(server: VaultWitness, mount: str) -> None:
    """Remove a mount and what is in it."""
    await server.request("DELETE", f"sys/mounts/{mount}")


def _nodes(server: Server) -> Sequence[VaultWitness]:
    return server.nodes if isinstance(server, RaftCluster) else [server]


async def _done(server: VaultWitness, path: str, body: object) -> None:
    status, _ = await server.request("POST", path, body)
    if status not in {200, 204}:
        raise ServerError(
            f"{server!r} answered POST {path} with {status}: it must be unsealed, and its token "
            "must be allowed to make mounts and to write to them"
        )
