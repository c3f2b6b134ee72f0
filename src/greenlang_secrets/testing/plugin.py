"""The pytest plugin: real servers as fixtures, started when first asked for.

Loading it imports no server, for pytest loads it in every run where this package is installed.
Servers are ordinary fixtures, so they serve every async plugin, and tests without one. Services
live in the loop of the test: `runners` opens them by pytest-asyncio or by AnyIO's plugin.
"""

# ruff: noqa: PLC0415  the imports stand inside so that loading the plugin costs nothing

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from greenlang_secrets.testing import runners

if TYPE_CHECKING:
    from greenlang_secrets.config import SecretsServiceConfig
    from greenlang_secrets.service import SecretsService
    from greenlang_secrets.testing.fault_proxy import FaultProxy
    from greenlang_secrets.testing.openbao import ExternalVault, OpenBaoServer
    from greenlang_secrets.testing.postgres import ExternalPostgres, PostgresServer
    from greenlang_secrets.testing.raft import RaftCluster
    from greenlang_secrets.testing.services import NewSecretsService, SeedSecrets
    from greenlang_secrets.testing.valkey import ValkeyServer

__all__ = [
    "new_secrets_service",
    "new_vault_server",
    "postgres_server",
    "raft_cluster",
    "secrets_config",
    "secrets_service",
    "seed_secrets",
    "valkey_server",
    "vault_fault_proxy",
    "vault_mount",
    "vault_server",
]

_POSTGRES_URL = "GREENLANG_SECRETS_TEST_POSTGRES_URL"
_S = TypeVar("_S", bound=AbstractAsyncContextManager[Any])


def pytest_configure(config: pytest.Config) -> None:
    """Add the fixtures that depend on the async plugins of this run; by now all are loaded."""
    config.pluginmanager.register(runners.fixtures(config), "greenlang-secrets-services")


@pytest.fixture(scope="session")
def vault_server() -> "Iterator[OpenBaoServer | ExternalVault]":
    """One OpenBao in memory for the whole run, unsealed.

    The server at ``VAULT_ADDR`` instead, when that and ``VAULT_TOKEN`` are set (``VAULT_CACERT``
    is honoured). Tests share it: one that seals, kills or pauses takes `new_vault_server`.
    """
    from greenlang_secrets.testing.openbao import ExternalVault, OpenBaoServer

    addr, token = os.environ.get("VAULT_ADDR"), os.environ.get("VAULT_TOKEN")
    server: OpenBaoServer | ExternalVault
    if addr and token:
        ca_file = os.environ.get("VAULT_CACERT")
        server = ExternalVault(addr, token, ca_file=Path(ca_file) if ca_file else None)
    else:
        server = OpenBaoServer()
    with _running(server):
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> "Iterator[PostgresServer | ExternalPostgres]":
    """One PostgreSQL for the whole run; the one at GREENLANG_SECRETS_TEST_POSTGRES_URL when set."""
    from greenlang_secrets.testing.postgres import ExternalPostgres, PostgresServer

    url = os.environ.get(_POSTGRES_URL)
    if url:
        yield ExternalPostgres(url)
        return
    with _running(PostgresServer()) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> "Iterator[ValkeyServer]":
    """One Valkey for the whole run."""
    from greenlang_secrets.testing.valkey import ValkeyServer

    with _running(ValkeyServer()) as server:
        yield server


@pytest.fixture
def new_vault_server() -> "Iterator[Callable[..., Awaitable[OpenBaoServer]]]":
    """A function to await for an OpenBao server that is this test's alone.

    It takes what `OpenBaoServer` takes and returns it started. However the test ends, and whatever it did to them, all of
    its servers are gone afterwards.
    """
    from greenlang_secrets.testing.openbao import OpenBaoServer

    servers: list[OpenBaoServer] = []

    async def new(**options: Any) -> OpenBaoServer:
        server = OpenBaoServer(**options)
        servers.append(server)
        await server.start()
        return server

    yield new

    async def stop_all() -> None:
        # At once and without grace: a clean shutdown takes half a second each, for nothing.
        await asyncio.gather(*(server.stop(grace=0) for server in servers))

    with _runner() as runner:
        runner.run(stop_all())


@pytest.fixture
def raft_cluster() -> "Iterator[RaftCluster]":
    """A raft cluster of three OpenBao nodes that is this test's alone, healthy."""
    from greenlang_secrets.testing.raft import RaftCluster

    cluster = RaftCluster()
    with _runner() as runner:
        runner.run(cluster.start())
    yield cluster
    # Without grace: a node that stepped down takes ten seconds to end in order.
    with _runner() as runner:
        runner.run(cluster.stop(grace=0))


@pytest.fixture
def vault_fault_proxy(vault_server: "OpenBaoServer | ExternalVault") -> "Iterator[FaultProxy]":
    """A proxy in front of `vault_server` that lets everything pass until told otherwise."""
    from greenlang_secrets.testing.fault_proxy import FaultProxy

    with _running(FaultProxy(vault_server.addr)) as proxy:
        yield proxy


@pytest.fixture
def vault_mount(vault_server: "OpenBaoServer | ExternalVault") -> Iterator[str]:
    """A KV v2 mount of `vault_server` that is this test's alone, by its name."""
    from greenlang_secrets.testing.services import new_mount, remove_mount

    with _runner() as runner:
        name = runner.run(new_mount(vault_server))
    yield name
    with _runner() as runner:
        runner.run(remove_mount(vault_server, name))


@pytest.fixture
def secrets_config(
    vault_server: "OpenBaoServer | ExternalVault", vault_mount: str
) -> "SecretsServiceConfig":
    """What services of this test are opened with: `vault_server`, `vault_mount` and a root token.

    A fixture of the same name in a test's own module or conftest, which takes this one and
    returns a changed copy, changes it for all of them.
    """
    from greenlang_secrets.testing.services import reaching

    return reaching(vault_server, vault_mount)


@pytest.fixture
def seed_secrets(vault_server: "OpenBaoServer | ExternalVault", vault_mount: str) -> "SeedSecrets":
    """A function to await that writes secrets to this test's mount, as another program would."""
    from greenlang_secrets.testing.services import SeedSecrets

    return SeedSecrets(vault_server, vault_mount)


@pytest.fixture
def new_secrets_service(request: pytest.FixtureRequest) -> "NewSecretsService":
    """A function to await for a `SecretsService` on a server of one's choice, until the test ends.

    Without arguments it is a further one on `vault_server`, on the mount of the test.
    """
    return runners.services_of(request)


@pytest.fixture
def secrets_service(request: pytest.FixtureRequest) -> "SecretsService":
    """A `SecretsService` on this test's mount of `vault_server`, open until the test ends."""
    return runners.service_of(request)


@contextmanager
def _running(server: _S) -> Iterator[_S]:
    with _runner() as runner:
        runner.run(_enter(server))
    try:
        yield server
    finally:
        with _runner() as runner:
            runner.run(_leave(server))


async def _enter(server: AbstractAsyncContextManager[Any]) -> None:
    await server.__aenter__()


async def _leave(server: AbstractAsyncContextManager[Any]) -> None:
    await server.__aexit__(None, None, None)


def _runner() -> asyncio.Runner:
    """Like asyncio.run, but leaves the thread's current loop alone: it is the async plugin's."""
    return asyncio.Runner(loop_factory=asyncio.new_event_loop)
