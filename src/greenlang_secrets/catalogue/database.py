"""The catalogue's database: transactions with a deadline, and failures as our error.

A transaction runs as a task of the supervisor. A caller waits for it as long as the deadline
says and no longer: a driver may take its time to find out that a server is mute.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue.config import CatalogueConfig
from greenlang_secrets.catalogue.engine import WRITES, make_engine
from greenlang_secrets.catalogue.gate import Gate, Obstacle
from greenlang_secrets.catalogue.inspection import inspect, revision_of
from greenlang_secrets.catalogue.schema import migrate_own_file
from greenlang_secrets.catalogue.transaction import Transaction
from greenlang_secrets.errors import CatalogueUnavailable, ConfigurationError
from greenlang_secrets.paths import Scope
from greenlang_secrets.tracing import client_span

__all__ = ["Database"]

T = TypeVar("T")
Work = Callable[[Transaction], Awaitable[T]]

_TRANSIENT: Final = frozenset({"57014", "40001", "40P01", "55P03"})
"""SQLSTATEs of a statement that ended while the database is well: cancelled by its deadline, in
a conflict with another, in a deadlock, without a lock (PostgreSQL, "Error Codes")."""
_LOGIN: Final = frozenset({"28000", "28P01", "3D000"})
_SCHEMA: Final = frozenset({"42501", "42P01", "42703", "42883"})
"""No right, no table, no column, no function: somebody migrates, or has not."""

_log: Final = logging.getLogger("greenlang_secrets")


class Database:
    """Runs transactions; use `open`.

    Attributes:
        gate: whether it can be used.
        revision: the schema's, as last seen; None before the first look, and without one.
    """

    def __init__(
        self, config: CatalogueConfig, engine: AsyncEngine, supervisor: Supervisor
    ) -> None:
        self.config = config
        self.gate = Gate(self._look)
        self.revision: str | None = None
        self._engine = engine
        self._supervisor = supervisor
        self._under_way: set[asyncio.Task[Any]] = set()
        host = config.url.host
        self._attributes = {} if host is None else {"server.address": host}
        self._migrated = config.kind != "sqlite"
        self._failures = _failures(config)
        # A SQLite file has one writer. Those of this process take turns here, in order: at the
        # file each would sleep and try again, and the unlucky ones until their deadline.
        self._turn = asyncio.Semaphore(1 if config.kind == "sqlite" else config.pool_size)

    @classmethod
    @asynccontextmanager
    async def open(cls, config: CatalogueConfig, supervisor: Supervisor) -> AsyncIterator[Database]:
        """Yield a database that was looked at once, or not yet answering after `timeout`.

        A SQLite file is made, private, and migrated. At the end connections are closed.

        Raises:
            ConfigurationError: the driver is not installed.
        """
        # In a thread: the first one imports the driver.
        engine = await anyio.to_thread.run_sync(make_engine, config)
        database = cls(config, engine, supervisor)
        keeper = supervisor.spawn(database.gate.keep(), name="catalogue gate")
        try:
            with anyio.move_on_after(config.timeout):
                await database.gate.looked()
            yield database
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            with anyio.move_on_after(2 * config.timeout, shield=True):
                if database._under_way:
                    await asyncio.wait(database._under_way)
                await engine.dispose()

    async def run(self, work: Work[T], *, scope: Scope | None = None, writes: bool = False) -> T:
        """Return what `work` gives, done in one transaction in `scope`, or done not at all.

        Whether it was done, a caller that is cancelled does not know.

        Raises:
            CatalogueUnavailable: at once while the database is known to be away, else within
                the deadline. A transaction under way then may still have been committed.
        """
        with client_span("catalogue.transaction", self._attributes, roots=False):
            return await self._run(work, scope, writes=writes)

    async def _run(self, work: Work[T], scope: Scope | None, *, writes: bool) -> T:
        self.gate.pass_through()
        try:
            return await self._in_time(
                self._transact(work, scope, writes=writes), self.config.timeout
            )
        except TimeoutError:
            self.gate.close("unreachable")
            raise CatalogueUnavailable from None
        except self._failures as error:
            self._judge(error)
            raise CatalogueUnavailable from None

    async def _in_time(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Do something at the database as a task of its own, and wait so long for it.

        A server that is mute is left; what a file's driver does in its thread ends by itself,
        within the same time, and must not be disturbed (aiosqlite 0.22 then never closes).
        """
        task = self._supervisor.spawn(work, name="catalogue transaction")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(task)
        finally:
            if self.config.kind != "sqlite":
                task.cancel()  # does nothing to one that has ended

    async def _transact(self, work: Work[T], scope: Scope | None, *, writes: bool) -> T:
        if writes:
            async with self._turn:
                return await self._connected(work, scope, writes=True)
        return await self._connected(work, scope, writes=False)

    async def _connected(self, work: Work[T], scope: Scope | None, *, writes: bool) -> T:
        async with self._engine.connect() as connection:
            await connection.execution_options(**{WRITES: writes})
            async with connection.begin():
                transaction = Transaction(
                    connection, kind=self.config.kind, timeout=self.config.timeout
                )
                if scope is None:
                    await transaction.settings({})
                else:
                    await transaction.enter(scope)
                return await work(transaction)

    def _judge(self, error: BaseException) -> None:
        """Tell a statement that failed from a database that is away."""
        state = _sqlstate(error)
        busy = isinstance(error, PoolTimeout) or _is_busy(error) or state in _TRANSIENT
        _report(error)
        if not busy:
            self.gate.close(_obstacle(state))

    async def _look(self) -> Obstacle | None:
        try:
            return await self._in_time(self._inspect(), max(self.config.timeout, 2.0))
        except (TimeoutError, CatalogueUnavailable):
            return "unreachable"
        except self._failures as error:
            _report(error)
            return _obstacle(_sqlstate(error))

    async def _inspect(self) -> Obstacle | None:
        if not self._migrated:
            await anyio.to_thread.run_sync(migrate_own_file, self.config)
            self._migrated = True
        async with self._engine.connect() as connection:
            self.revision = await revision_of(connection, self.config.kind)
            return await inspect(connection, self.config.kind, self.revision)


def _failures(config: CatalogueConfig) -> tuple[type[Exception], ...]:
    """What a database that is away makes its driver raise."""
    ours = (DBAPIError, PoolTimeout, OSError, TimeoutError, ConfigurationError)
    if config.kind == "sqlite":
        return (*ours, sqlite3.Error)
    import asyncpg  # noqa: PLC0415  `make_engine` has said how to install it

    return (*ours, asyncpg.PostgresError, asyncpg.InterfaceError)


def _report(error: BaseException) -> None:
    """Log a failure without its text, which quotes statements, users and hosts."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    _log.warning(
        "catalogue.failed",
        extra={"error": type(origin).__name__, "sqlstate": _sqlstate(error) or ""},
    )


def _obstacle(state: str | None) -> Obstacle:
    if state in _LOGIN:
        return "login_refused"
    return "schema_missing" if state in _SCHEMA else "unreachable"


def _sqlstate(error: BaseException) -> str | None:
    origin = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(origin, "sqlstate", None)
    return state if isinstance(state, str) else None


def _is_busy(error: BaseException) -> bool:
    origin = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(origin, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
