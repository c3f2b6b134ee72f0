from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import greenlang_secrets as gs
from support.alternating import Alternating, alternating
from support.database import DatabaseEngine, database_engine


@pytest.fixture
async def app(secrets: gs.SecretsService, postgres_server) -> AsyncIterator[Alternating]:
    """A secret with one of two users of a real PostgreSQL."""
    async with alternating(secrets, postgres_server) as app:
        yield app


@pytest.fixture
async def engine_role(vault_server, postgres_server) -> AsyncIterator[DatabaseEngine]:
    """A database engine with the role ``app``."""
    async with database_engine(vault_server, postgres_server) as engine:
        await engine.role(ttl="1h", max_ttl="2h")
        yield engine
