from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

import greenlang_secrets as gs

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
