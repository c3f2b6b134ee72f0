"""Catalogues for tests: a SQLite file, or a database with its roles in a real PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg

from greenlang_secrets.catalogue import CatalogueConfig
from greenlang_secrets.catalogue.schema import migrate
from greenlang_secrets.catalogue.tables import VERSION_TABLE, metadata

OWNER, APP = "owner", "app"

PATIENT = 15.0
"""Seconds for one transaction: the usual two are for a machine that is not running tests."""


@dataclass(frozen=True)
class Place:
    """Where a catalogue is, and the way to it past the library.

    Attributes:
        config: what the service has.
        owner: what migrations have; the same for SQLite.
        admin_url: a superuser's, of the same database; empty for SQLite.
    """

    config: CatalogueConfig
    owner: CatalogueConfig
    admin_url: str = ""
    app_role: str | None = None
    owner_role: str | None = None

    @property
    def is_postgresql(self) -> bool:
        """Whether it has roles."""
        return self.config.kind == "postgresql"

    async def migrate(self, **options: Any) -> Any:
        """Migrate as the owner; the service's role gets its rights."""
        return await asyncio.to_thread(
            lambda: migrate(self.owner, **{"app_role": self.app_role, **options})
        )

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as an administrator, whom nothing is hidden from."""
        if self.is_postgresql:
            connection = await asyncpg.connect(self.admin_url)
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()
        async with aiosqlite.connect(self.config.file, isolation_level=None) as file:
            return [tuple(row) for row in await file.execute_fetchall(statement)]

    async def dump(self) -> str:
        """Return everything that every table holds, as text: for canaries."""
        found = []
        for table in (*metadata.tables, VERSION_TABLE):
            for row in await self.rows(f"SELECT * FROM {table}"):
                found += [
                    cell.decode("latin-1") if isinstance(cell, bytes) else str(cell) for cell in row
                ]
        return "\n".join(found)

    def login(self, role: str) -> str:
        """Return the URL of a role, by the password all of them have."""
        url = self.config.url.set(username=role, password=_PASSWORD)
        return url.render_as_string(hide_password=False)


_PASSWORD = secrets.token_hex(8)


def of_file(folder: Path) -> Place:
    """Return a place for a SQLite catalogue that is not there yet."""
    config = CatalogueConfig.of(f"sqlite:///{folder / 'catalogue.sqlite3'}", timeout=PATIENT)
    return Place(config=config, owner=config)


@asynccontextmanager
async def in_postgres(server: Any) -> AsyncIterator[Place]:
    """Yield an empty database, its owner and the service's role, and drop them at the end."""
    mark = secrets.token_hex(4)
    database, owner, app = (f"{kind}_{mark}" for kind in ("catalogue", OWNER, APP))
    await _administer(
        server,
        *(f"CREATE ROLE {role} LOGIN PASSWORD '{_PASSWORD}'" for role in (owner, app)),
        f"CREATE DATABASE {database} OWNER {owner}",
    )
    try:
        where = f"{server.host}:{server.port}/{database}"
        yield Place(
            config=CatalogueConfig.of(f"postgresql://{app}:{_PASSWORD}@{where}", timeout=PATIENT),
            owner=CatalogueConfig.of(f"postgresql://{owner}:{_PASSWORD}@{where}"),
            admin_url=f"postgresql://{server.user}:{server.password}@{where}",
            app_role=app,
            owner_role=owner,
        )
    finally:
        # With a connection of its own: the server may have died and come back meanwhile.
        await _administer(
            server,
            f"DROP DATABASE {database} WITH (FORCE)",
            *(f"DROP ROLE {role}" for role in (owner, app)),
        )


async def _administer(server: Any, *statements: str) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
