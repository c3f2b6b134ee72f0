from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from support.catalogues import Place, in_postgres, of_file


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Any:
    """PostgreSQL, or None for SQLite: once each."""
    return request.getfixturevalue("postgres_server") if request.param == "postgresql" else None


@pytest.fixture
async def empty_place(server: Any, tmp_path: Path) -> AsyncIterator[Place]:
    """A database of this test's own, without tables."""
    if server is None:
        yield of_file(tmp_path)
        return
    async with in_postgres(server) as place:
        yield place


@pytest.fixture
async def place(empty_place: Place) -> Place:
    """A database with the tables."""
    await empty_place.migrate()
    return empty_place


@pytest.fixture
async def postgres_place(postgres_server) -> AsyncIterator[Place]:
    """A database of this test's own in PostgreSQL, with the tables."""
    async with in_postgres(postgres_server) as place:
        await place.migrate()
        yield place


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    """Owns what a test's catalogues run."""
    async with Supervisor() as supervisor:
        yield supervisor


@pytest.fixture
async def catalogue(place: Place, supervisor: Supervisor) -> AsyncIterator[Catalogue]:
    """An open catalogue: once of each kind."""
    async with Catalogue.open(place.config, supervisor) as catalogue:
        yield catalogue
