"""A pool of asyncpg whose connections follow a secret or a lease."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from greenlang_secrets.background import reported
from greenlang_secrets.credentials import DatabaseCredentials
from greenlang_secrets.held import Held
from greenlang_secrets.integrations import postgresql
from greenlang_secrets.integrations.logins import Logins
from greenlang_secrets.view import SecretsView

__all__ = ["FollowingPool", "create_pool"]


class FollowingPool(asyncpg.Pool):  # type: ignore[misc]  # asyncpg ships no types
    """An `asyncpg.Pool` that gives up what it holds of the service when it closes."""

    __slots__ = ("_logins",)

    def __init__(self, logins: Logins[DatabaseCredentials], **options: Any) -> None:
        # What `asyncpg.create_pool` has for these.
        defaults: dict[str, Any] = {
            "min_size": 10,
            "max_size": 10,
            "max_queries": 50_000,
            "max_inactive_connection_lifetime": 300.0,
            "loop": None,
            "connection_class": asyncpg.Connection,
            "record_class": asyncpg.Record,
        }

        async def connect(**arguments: Any) -> Any:
            connection, _ = await postgresql.connect(logins, **arguments)
            return connection

        super().__init__(connect=connect, **{**defaults, **options})
        self._logins = logins

    async def replace_connections(self) -> None:
        """Have every connection replaced: idle ones now, the others when they are given back.

        A connection that cannot be opened is logged by its error's class, and the old one is
        gone all the same.
        """
        await self.expire_connections()
        # asyncpg replaces an expired connection when somebody wants it; nobody may, for hours.
        idle = range(self.get_idle_size())
        await asyncio.gather(*(reported(self._use_one(), name="pool.replace") for _ in idle))

    async def _use_one(self) -> None:
        if not self.is_closing():
            async with self.acquire():
                pass

    async def close(self) -> None:
        """Close it as `asyncpg.Pool.close`, once all connections are given back."""
        try:
            await super().close()
        finally:
            await self._logins.close()

    def terminate(self) -> None:
        """End it at once, as `asyncpg.Pool.terminate`."""
        self._logins.stop()
        super().terminate()


async def create_pool(
    secrets: SecretsView, source: str | Held[DatabaseCredentials], **options: Any
) -> FollowingPool:
    """Return a pool whose new connections log in with what `source` holds at that moment.

    `source` is the path of a secret of the type `database`, or a handle as
    `SecretsService.database_credentials` gives it, which stays the caller's to release. Of
    both, the user may change as well as the password. After a change idle connections are
    replaced at once, and those in use when they are given back, so no query fails as long as
    the server takes the old login for as long as the queries under way last.

    A login that the server refuses is tried once more, with what Vault holds now; so a change
    by others, which is heard of within `CacheConfig.fresh_for`, need not fail either. `options`
    are those of `asyncpg.create_pool`, except for the user, the password, ``dsn`` and
    ``connect``; a host, port and database given here count instead of the secret's. Give an
    ``ssl.SSLContext`` as ``ssl``: without one asyncpg does not verify the server, and looks for
    files in the home folder each time.

    Close it before the service, by ``async with`` or `close`. When this call is cancelled,
    nothing is left open.

    Raises:
        TypeError: an option is given that the secret decides.
        SecretTypeMismatch, SecretIncomplete: the secret does not say how to log in, or where.
        SecretsError: what `SecretsView.get` raises.
        OSError, TimeoutError, asyncpg.PostgresError: as `asyncpg.create_pool`.
    """
    postgresql.check_options(options)
    logins = await Logins.open(secrets, source, DatabaseCredentials, name="asyncpg")
    try:
        pool = FollowingPool(logins, **options)
        await pool
        logins.on_change(pool.replace_connections)
        if logins.behind:  # changed while they were opened, one after another
            await pool.replace_connections()
    except BaseException:
        await logins.close()
        raise
    return pool
