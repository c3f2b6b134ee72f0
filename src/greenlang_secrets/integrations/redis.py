"""A client of redis.asyncio, for Redis and Valkey, whose connections follow a secret.

The driver's own way, a `StreamingCredentialProvider`, sends AUTH on a connection that it has
given back already, so another task's command may be between (redis-py 8.1). Here a connection
with an older login is closed and opened anew, by whoever has it alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from redis.asyncio import Redis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
)
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError

from greenlang_secrets.credentials import RedisCredentials
from greenlang_secrets.held import Held
from greenlang_secrets.integrations.logins import Logins
from greenlang_secrets.view import SecretsView

__all__ = ["FollowingConnectionPool", "FollowingProvider", "create_client"]

_OURS = ("connection_pool", "credential_provider", "password", "username")


class FollowingProvider(CredentialProvider):
    """Gives one connection the newest login each time it connects.

    Attributes:
        given: what it gave last; None before the first time.
    """

    def __init__(self, logins: Logins[RedisCredentials]) -> None:
        self.given: RedisCredentials | None = None
        self._logins = logins

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return the password, after the user if there is one.

        Raises:
            SecretsError, RuntimeError: there are no credentials.
        """
        self.given = credentials = self._logins.current
        password = credentials.password.reveal()
        return (password,) if credentials.username is None else (credentials.username, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return what `get_credentials` does."""
        return self.get_credentials()


class FollowingConnectionPool(ConnectionPool):
    """A pool of redis.asyncio that hands out no connection with an older login."""

    def __init__(self, logins: Logins[RedisCredentials], **options: Any) -> None:
        super().__init__(**options)
        self._logins = logins
        self._providers: WeakKeyDictionary[AbstractConnection, FollowingProvider] = (
            WeakKeyDictionary()
        )
        self._taken: WeakSet[AbstractConnection] = WeakSet()
        logins.in_use = self._in_use

    def _in_use(self) -> Iterable[RedisCredentials]:
        return [
            provider.given
            for connection, provider in list(self._providers.items())
            if connection.is_connected and provider.given is not None
        ]

    def make_connection(self) -> Any:
        """Return a new connection, not connected yet, with a provider of its own."""
        provider = FollowingProvider(self._logins)
        connection = self.connection_class(
            **{**self.connection_kwargs, "credential_provider": provider}
        )
        self._providers[connection] = provider
        return connection

    def get_available_connection(self) -> Any:
        """Return an idle connection, or a new one, which is in use until `release`."""
        connection = super().get_available_connection()  # type: ignore[no-untyped-call]
        self._taken.add(connection)
        return connection

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Connect it, or connect it anew if it has an older login.

        A refused login is tried once more, with newer credentials if Vault has them.
        """
        if self._outdated(connection):
            await connection.disconnect()
        try:
            await super().ensure_connection(connection)
        except AuthenticationError:
            refused = self._providers[connection].given
            if refused is None or await self._logins.newer(refused) is None:
                raise
            await super().ensure_connection(connection)

    async def release(self, connection: AbstractConnection) -> None:
        """Take it back; one with an older login is closed."""
        if self._outdated(connection):
            connection.mark_for_reconnect()  # type: ignore[no-untyped-call]
        self._taken.discard(connection)
        await super().release(connection)

    def _outdated(self, connection: AbstractConnection) -> bool:
        given = self._providers[connection].given
        return connection.is_connected and given is not None and self._logins.outdated(given)

    async def replace_connections(self) -> None:
        """Have every connection replaced: idle ones are closed now, and those in use when they are
        given back; each is opened anew for the next command that gets it.
        """
        # None is taken from the pool for this: a command could find it empty, which is an error.
        for connection in list(self._providers):
            if connection not in self._taken and self._outdated(connection):
                # Does not give way before it is closed, so that nobody takes it meanwhile.
                await connection.disconnect(nowait=True)

    async def aclose(self) -> None:
        """Close every connection, and give up what is held of the service."""
        try:
            await super().aclose()
        finally:
            await self._logins.close()


async def create_client(
    secrets: SecretsView, source: str | Held[RedisCredentials], **options: Any
) -> Redis:
    """Return a client whose connections log in with what `source` holds at that moment.

    `source` is the path of a secret of the type `cache`, or a handle of such credentials, which
    stays the caller's to release. The host, port, number of the database and whether to speak
    TLS are what it says now, unless `options` say something else; the user and the password
    are what it says at each connecting. After a change idle connections are closed at once, and
    those in use when they are given back; one that listens (pub/sub) is given back at its
    end.

    A login that the server refuses is tried once more, with what Vault holds now. `options` are
    those of `redis.asyncio.ConnectionPool`, except for the user, the password and
    ``credential_provider``.

    No connection is opened yet. Close the client before the service, by ``async with`` or
    `aclose`.

    Raises:
        TypeError: an option is given that the secret decides.
        SecretTypeMismatch, SecretIncomplete: the secret does not say how to log in.
        SecretsError: what `SecretsView.get` raises.
    """
    for name in _OURS:
        if name in options:
            raise TypeError(f"{name} comes from the secret: leave it out")
    logins = await Logins.open(secrets, source, RedisCredentials, name="redis")
    now = logins.current
    place: dict[str, Any] = {
        "host": now.host,
        "port": now.port,
        "db": now.db,
        "driver_info": None,  # telling it reads the package's metadata, from disk, each time
        "connection_class": SSLConnection if now.tls else Connection,
    }
    pool = FollowingConnectionPool(logins, **{**place, **options})
    logins.on_change(pool.replace_connections)
    return Redis.from_pool(pool)
