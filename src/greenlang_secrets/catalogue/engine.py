"""Connections: how the two kinds of database are opened, and what each is told first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from greenlang_secrets.catalogue.config import CatalogueConfig
from greenlang_secrets.catalogue.tls import tls_context
from greenlang_secrets.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection

__all__ = ["WRITES", "connector", "make_engine"]

WRITES: Final = "greenlang_writes"
"""The execution option of a transaction that will write: SQLite takes its lock at the
beginning, because one that reads first and writes then fails at once when another was faster.
"""

_PORT: Final = 5432


def make_engine(config: CatalogueConfig, *, pooled: bool = True) -> AsyncEngine:
    """Return an engine, without connecting; `pooled` False opens a connection for each use.

    Raises:
        ConfigurationError: PostgreSQL's driver is not installed.
    """
    sizes: dict[str, Any] = (
        {
            "pool_size": config.pool_size,
            "max_overflow": 0,
            "pool_timeout": config.timeout,
            "pool_use_lifo": True,  # those that nobody needs grow old and are replaced
            "pool_recycle": 1800,
        }
        if pooled
        else {"pool_size": 1, "max_overflow": 0}
    )
    match config.kind:
        case "sqlite":
            return _sqlite(config, sizes)
        case "postgresql":
            return _postgresql(config, sizes)


def _sqlite(config: CatalogueConfig, sizes: dict[str, Any]) -> AsyncEngine:
    engine = create_async_engine(config.url.set(drivername="sqlite+aiosqlite"), **sizes)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: DBAPIConnection, _: object) -> None:
        # We say BEGIN ourselves: the driver would say it only before the first change.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(config.timeout * 1000)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        # In the order they were made, and not lost with the process; a power failure may take
        # the last ones, which the index's rebuild and the audit log bring back.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def connector(config: CatalogueConfig) -> Callable[[], Awaitable[Any]] | None:
    """Return a function that makes an asyncpg connection outside of any pool, with the password as
    it is then: for who listens all the time. None for SQLite, which one process has alone.

    Raises:
        ConfigurationError: PostgreSQL's driver is not installed.
    """
    return None if config.kind == "sqlite" else _connecting(config)


def _postgresql(config: CatalogueConfig, sizes: dict[str, Any]) -> AsyncEngine:
    return create_async_engine(
        "postgresql+asyncpg://", async_creator=_connecting(config), pool_pre_ping=True, **sizes
    )


def _connecting(config: CatalogueConfig) -> Callable[[], Awaitable[Any]]:
    try:
        import asyncpg  # noqa: PLC0415  only where PostgreSQL is
    except ModuleNotFoundError:
        raise ConfigurationError(
            "The package asyncpg is not installed; pip install 'greenlang-secrets[postgres]'"
        ) from None
    url = config.url

    async def connect() -> Any:
        return await asyncpg.connect(
            host=url.host,
            port=url.port or _PORT,
            user=url.username,
            database=url.database,
            password=await anyio.to_thread.run_sync(config.read_password) or "",
            ssl=await anyio.to_thread.run_sync(tls_context, url),
            timeout=config.timeout,
            server_settings={"application_name": "greenlang-secrets"},
        )

    return connect
