from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.service_accounts import ServiceAccounts
from support.shipped import Shipped, shipped


@pytest.fixture(scope="session")
def accounts() -> ServiceAccounts:
    return ServiceAccounts()


@pytest.fixture
async def vault(new_vault_server, accounts, tmp_path) -> AsyncIterator[Shipped]:
    """A server provisioned from k8s/vault, without a database."""
    with accounts.reviewed(tmp_path):
        yield await shipped(await new_vault_server(), accounts, None)


@pytest.fixture
async def vault_and_postgres(
    new_vault_server, accounts, tmp_path, postgres_server
) -> AsyncIterator[Shipped]:
    """The same, connected to PostgreSQL."""
    with accounts.reviewed(tmp_path):
        yield await shipped(await new_vault_server(), accounts, postgres_server.url)
