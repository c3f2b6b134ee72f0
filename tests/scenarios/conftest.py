from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

import greenlang_secrets as gs
from greenlang_secrets.background import Supervisor
from greenlang_secrets.testing import RaftCluster
from support.mounts import own_name
from support.rotated import Stage
from support.rotators import Rotators

Open = Callable[..., AbstractAsyncContextManager[gs.SecretsService]]


@pytest.fixture
async def vault(new_vault_server):
    """A server of this test's own, with a KV v2 mount, to be mistreated."""
    server = await new_vault_server()
    status, _ = await server.request(
        "POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}
    )
    assert status in {200, 204}
    return server


@pytest.fixture
def opened(vault) -> Open:
    """Open a service on the test's own server; cache settings by keyword."""

    def opened(**cache: float) -> AbstractAsyncContextManager[gs.SecretsService]:
        return gs.SecretsService.open(
            gs.SecretsServiceConfig(
                addresses=(vault.addr,),
                auth=gs.AuthConfig(token=gs.SecretValue(vault.root_token)),
                cache=gs.CacheConfig(**{"missing_for": 0, **cache}),
                tenant_token_role=None,
            )
        )

    return opened


@pytest.fixture
def seed(vault) -> Callable[..., Awaitable[None]]:
    """Write secrets by the witness: each holds its own name under `k`."""

    async def seed(*names: str) -> None:
        for name in names:
            status, _ = await vault.request(
                "POST", f"secret/data/greenlang/{name}", {"data": {"k": name}}
            )
            assert status == 200

    return seed


@pytest.fixture
async def cluster() -> AsyncIterator[RaftCluster]:
    """Three nodes of this test's own, with a KV v2 mount that each of them serves."""
    cluster = RaftCluster(3)
    await cluster.start()
    try:
        leader = await cluster.leader()
        await leader.request(
            "POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}
        )
        for node in cluster.nodes:
            while (await node.request("GET", "secret/config"))[0] != 200:
                await asyncio.sleep(0.05)
        yield cluster
    finally:
        # Without grace: a node that stepped down takes ten seconds to end in order.
        await cluster.stop(grace=0)


@pytest.fixture
def config_of() -> Callable[..., gs.SecretsServiceConfig]:
    """Return the configuration of a service that caches nothing, for a root token and addresses;
    other settings by keyword.
    """

    def config_of(token: str, *addresses: str, **settings: float) -> gs.SecretsServiceConfig:
        return gs.SecretsServiceConfig(
            addresses=addresses,
            auth=gs.AuthConfig(token=gs.SecretValue(token)),
            cache=gs.CacheConfig(fresh_for=0, stale_for=0, missing_for=0, denied_for=0),
            tenant_token_role=None,
            **settings,
        )

    return config_of


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    """Owns what a test's catalogues run."""
    async with Supervisor() as supervisor:
        yield supervisor


@pytest.fixture
async def stage(vault_server, tmp_path: Path) -> AsyncIterator[Stage]:
    """A mount of this test's own, and a service on it, for secrets that are rotated."""
    mount = own_name("rotated")
    body = {"type": "kv", "options": {"version": "2"}}
    status, _ = await vault_server.request("POST", f"sys/mounts/{mount}", body)
    assert status == 204
    while (await vault_server.request("GET", f"{mount}/config"))[0] != 200:
        await asyncio.sleep(0.01)
    async with Stage.open(vault_server, mount, tmp_path) as stage:
        yield stage
    await vault_server.request("DELETE", f"sys/mounts/{mount}")


@pytest.fixture
async def rotators(tmp_path: Path) -> AsyncIterator[Rotators]:
    """Starts processes that rotate; none of them outlives the test."""
    async with Rotators.open(tmp_path) as rotators:
        yield rotators
