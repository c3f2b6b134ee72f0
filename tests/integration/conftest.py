from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from greenlang_secrets.background import Supervisor

_numbers = itertools.count(1)


@pytest.fixture
async def mount(vault_server) -> AsyncIterator[str]:
    """A KV v2 mount that is this test's alone."""
    name = f"kv-{next(_numbers)}"
    status, _ = await vault_server.request(
        "POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": "2"}}
    )
    assert status in {200, 204}
    # The mount answers at once, but is still being upgraded to version 2 for a moment.
    while (await vault_server.request("GET", f"{name}/config"))[0] != 200:
        await asyncio.sleep(0.01)
    yield name
    await vault_server.request("DELETE", f"sys/mounts/{name}")


@pytest.fixture
def config(vault_server, mount: str) -> gs.SecretsServiceConfig:
    """The shared server, the test's own mount, and the root token for every scope."""
    return gs.SecretsServiceConfig(
        addresses=(vault_server.addr,),
        auth=gs.AuthConfig(token=gs.SecretValue(vault_server.root_token)),
        cache=gs.CacheConfig(missing_for=0, denied_for=0),
        kv_mount=mount,
        tenant_token_role=None,
    )


@pytest.fixture
async def secrets(config: gs.SecretsServiceConfig) -> AsyncIterator[gs.SecretsService]:
    """A service on the test's own mount."""
    async with gs.SecretsService.open(config) as service:
        yield service


@pytest.fixture
async def client(config: gs.SecretsServiceConfig) -> AsyncIterator[gs.VaultClient]:
    """A client on the shared server."""
    async with Supervisor() as supervisor, gs.VaultClient.open(config, supervisor) as client:
        yield client


@pytest.fixture
async def denied(vault_server, config: gs.SecretsServiceConfig) -> AsyncIterator[gs.SecretsService]:
    """A service whose token has no policy for the mount."""
    status, body = await vault_server.request(
        "POST", "auth/token/create", {"policies": ["default"]}
    )
    assert status == 200
    auth = gs.AuthConfig(token=gs.SecretValue(body["auth"]["client_token"]))
    async with gs.SecretsService.open(replace(config, auth=auth)) as service:
        yield service
