"""An asyncio engine of SQLAlchemy, on asyncpg, whose connections follow a secret or a lease."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.asyncio import create_async_engine as _create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from greenlang_secrets.background import reported
from greenlang_secrets.credentials import DatabaseCredentials
from greenlang_secrets.held import Held
from greenlang_secrets.integrations import postgresql
from greenlang_secrets.integrations.logins import Logins
from greenlang_secrets.view import SecretsView

__all__ = ["FollowingEngine", "create_async_engine"]


class FollowingEngine(AsyncEngine):
    """An `AsyncEngine` that gives up what it holds of the service when it is disposed of."""

    __slots__ = ("_entries", "_logins", "_made_with")

    def __init__(
        self,
        engine: AsyncEngine,
        logins: Logins[DatabaseCredentials],
        made_with: Mapping[Any, DatabaseCredentials],
    ) -> None:
        """`made_with` says which login each connection of the driver has."""
        super().__init__(engine.sync_engine)
        self._logins = logins
        self._made_with = made_with
        self._entries: WeakSet[ConnectionPoolEntry] = WeakSet()
        event.listen(engine.sync_engine, "connect", self._connected)
        event.listen(engine.sync_engine, "checkin", self._given_back)

    def _connected(self, _: Any, entry: ConnectionPoolEntry) -> None:
        self._entries.add(entry)

    def _given_back(self, _: Any, entry: ConnectionPoolEntry) -> None:
        if self._outdated(entry):
            entry.invalidate()

    def _outdated(self, entry: ConnectionPoolEntry) -> bool:
        connection = entry.driver_connection
        if connection is None:  # it is closed, by a cancelled query for one
            return False
        made_with = self._made_with.get(connection)
        return made_with is not None and self._logins.outdated(made_with)

    async def replace_connections(self) -> None:
        """Have every connection replaced: idle ones now, the others when they are given back.

        A connection that cannot be opened is logged by its error's class, and the old one is
        gone all the same.
        """
        for entry in filter(self._outdated, list(self._entries)):
            entry.invalidate(soft=True)
        pool = self.sync_engine.pool
        # An invalidated connection is replaced when somebody wants it; nobody may, for hours.
        idle = pool.checkedin() if isinstance(pool, QueuePool) else 0
        await asyncio.gather(*(reported(self._use_one(), name="pool.replace") for _ in range(idle)))

    async def _use_one(self) -> None:
        async with self.connect():
            pass

    async def dispose(self, close: bool = True) -> None:  # noqa: FBT001, FBT002  # the driver's own signature
        """Dispose of it as `AsyncEngine.dispose`, and follow the secret no more."""
        try:
            await super().dispose(close=close)
        finally:
            await self._logins.close()


async def create_async_engine(
    secrets: SecretsView, source: str | Held[DatabaseCredentials], **options: Any
) -> FollowingEngine:
    """Return an engine for PostgreSQL whose new connections log in with what `source` holds.

    `source` is the path of a secret of the type `database`, or a handle as
    `SecretsService.database_credentials` gives it, which stays the caller's to release. After a
    change idle connections are replaced at once, and those in use when they are given back, as
    with `integrations.asyncpg.create_pool`; a refused login is tried once more, too.

    `options` are those of SQLAlchemy's function. Its ``connect_args`` are `asyncpg.connect`'s
    here: a host, port and database given there count instead of the secret's, and an
    ``ssl.SSLContext`` belongs there as ``ssl``.

    No connection is opened yet. Dispose of the engine before the service closes; it cannot be
    used after that, as it follows no more.

    Raises:
        TypeError: an option is given that the secret decides.
        SecretTypeMismatch, SecretIncomplete: the secret does not say how to log in.
        SecretsError: what `SecretsView.get` raises.
    """
    arguments = dict(options.pop("connect_args", {}))
    postgresql.check_options({**arguments, **options})
    for name in ("async_creator", "creator"):
        if name in options:
            raise TypeError(f"{name} comes from the secret: leave it out")
    logins = await Logins.open(secrets, source, DatabaseCredentials, name="sqlalchemy")

    made_with: WeakKeyDictionary[Any, DatabaseCredentials] = WeakKeyDictionary()

    async def create() -> Any:
        connection, made_with[connection] = await postgresql.connect(logins, **arguments)
        return connection

    try:
        engine = _create_async_engine("postgresql+asyncpg://", async_creator=create, **options)
        following = FollowingEngine(engine, logins, made_with)
    except BaseException:
        await logins.close()
        raise
    logins.on_change(following.replace_connections)
    return following
