"""A pool of psycopg 3 whose connections follow a secret or a lease."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

import anyio
import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed

from greenlang_secrets.credentials import DatabaseCredentials
from greenlang_secrets.errors import SecretIncomplete
from greenlang_secrets.held import Held
from greenlang_secrets.integrations.logins import Logins
from greenlang_secrets.view import SecretsView

__all__ = ["FollowingPool", "create_pool"]

_Connection = psycopg.AsyncConnection[Any]
_Dial = Callable[..., Awaitable[Any]]

_OURS: Final = ("conninfo", "passfile", "password", "service", "user")


class FollowingPool(AsyncConnectionPool[_Connection]):
    """An `AsyncConnectionPool` that gives up what it holds of the service when it closes."""

    def __init__(
        self,
        logins: Logins[DatabaseCredentials],
        *,
        connection_class: type[_Connection] = psycopg.AsyncConnection,
        **options: Any,
    ) -> None:
        made_with: WeakKeyDictionary[_Connection, DatabaseCredentials] = WeakKeyDictionary()
        dialling: set[anyio.CancelScope] = set()

        class Following(connection_class):  # type: ignore[misc,valid-type]  # the caller's own
            @classmethod
            async def connect(cls, _: str = "", **options: Any) -> Self:
                with anyio.CancelScope() as scope:
                    dialling.add(scope)
                    try:
                        connection, login = await _connect(logins, super().connect, options)
                    finally:
                        dialling.discard(scope)
                    made_with[connection] = login
                    return connection  # type: ignore[no-any-return]
                raise PoolClosed("the pool was closed meanwhile")

        super().__init__(connection_class=Following, open=False, **options)
        self._logins = logins
        self._dialling = dialling

        def in_use() -> Iterable[DatabaseCredentials]:
            return [login for each, login in list(made_with.items()) if not each.closed]

        logins.in_use = in_use

    async def replace_connections(self) -> None:
        """Have every connection replaced: idle ones now, the others when they are given back.

        One that cannot be opened is tried again for the pool's ``reconnect_timeout``, and the
        old one is gone all the same.
        """
        if not self.closed:
            await self.drain()

    async def close(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109  # the driver's own signature
        """Close it as `AsyncConnectionPool.close`; a connection in use, when it is given back."""
        for scope in self._dialling:  # the driver lets them go on, for minutes
            scope.cancel()
        try:
            await super().close(timeout)
        finally:
            await self._logins.close()


async def _connect(
    logins: Logins[DatabaseCredentials], dial: _Dial, options: Mapping[str, Any]
) -> tuple[Any, DatabaseCredentials]:
    """Open a connection, with the newest login when it is returned; return it and that login."""
    while True:
        credentials = logins.current
        connection = await _dial(dial, credentials, options)
        if isinstance(connection, psycopg.OperationalError):
            newer = await logins.newer(credentials) if _refused(connection) else None
            if newer is not None:
                credentials = newer
                connection = await _dial(dial, credentials, options)
        if isinstance(connection, psycopg.OperationalError):
            # Without its `pgconn`, which shows the password to whoever prints it.
            raise type(connection)(str(connection))
        if not logins.outdated(credentials):
            return connection, credentials
        await connection.close()  # nobody else would close one that is not used


async def _dial(dial: _Dial, credentials: DatabaseCredentials, options: Mapping[str, Any]) -> Any:
    """Return a connection, or why there is none."""
    place: dict[str, Any] = {}
    if credentials.host is not None:
        place = {"host": credentials.host, "port": credentials.port}
    if credentials.database is not None:
        place["dbname"] = credentials.database
    place |= options
    if "host" not in place:
        raise SecretIncomplete("host", path=credentials.path)
    login = {"user": credentials.username, "password": credentials.password.reveal()}
    try:
        return await dial("", **{**place, **login})
    except psycopg.OperationalError as error:
        return error


def _refused(error: psycopg.OperationalError) -> bool:
    """Whether the server has asked for the password, and not let in then: libpq tells no code."""
    return error.pgconn is not None and error.pgconn.used_password


async def create_pool(
    secrets: SecretsView,
    source: str | Held[DatabaseCredentials],
    *,
    wait_for: float = 30.0,
    **options: Any,
) -> FollowingPool:
    """Return an open pool whose new connections log in with what `source` holds at that moment.

    `source` is the path of a secret of the type `database`, or a handle as
    `SecretsService.database_credentials` gives it, which stays the caller's to release. After a
    change idle connections are replaced at once, and those in use when they are given back, as
    with `integrations.asyncpg.create_pool`; a refused login is tried once more, too.

    It is returned once its least number of connections is there, within `wait_for` seconds.
    `options` are those of `psycopg_pool.AsyncConnectionPool`, except for ``conninfo`` and
    ``open``. Its ``kwargs`` are `psycopg.AsyncConnection.connect`'s: a ``host``, ``port`` and
    ``dbname`` given there count instead of the secret's. Give ``sslmode`` and ``sslrootcert``
    there: without them libpq does not verify the server.

    Why a connection could not be opened, an error of the secret's included, is in the log of
    psycopg's pool; whoever waits for one gets its `PoolTimeout`.

    Close it before the service, by ``async with`` or `close`. When this call is cancelled,
    nothing is left open.

    Raises:
        TypeError: an option is given that the secret decides.
        SecretTypeMismatch, SecretIncomplete: the secret does not say how to log in.
        SecretsError: what `SecretsView.get` raises.
        psycopg_pool.PoolTimeout: the connections were not there in time.
    """
    arguments = options.get("kwargs") or {}
    for name in _OURS:
        if name in options or (not callable(arguments) and name in arguments):
            raise TypeError(f"{name} comes from the secret: leave it out")
    logins = await Logins.open(secrets, source, DatabaseCredentials, name="psycopg")
    pool = None
    try:
        pool = FollowingPool(logins, **options)
        await pool.open(wait=True, timeout=wait_for)
        logins.on_change(pool.replace_connections)
        if logins.behind:  # changed while they were opened, one after another
            await pool.replace_connections()
    except BaseException:
        await (logins if pool is None else pool).close()
        raise
    return pool
