from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import greenlang_secrets as gs
from support.alternating import Alternating, alternating


@pytest.fixture
async def app(secrets: gs.SecretsService, postgres_server) -> AsyncIterator[Alternating]:
    """A secret with one of two users of a real PostgreSQL."""
    async with alternating(secrets, postgres_server) as app:
        yield app
