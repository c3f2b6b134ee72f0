"""Connections to PostgreSQL by asyncpg, opened with the newest credentials."""

from __future__ import annotations

from typing import Any, Final

import asyncpg

from greenlang_secrets.credentials import DatabaseCredentials
from greenlang_secrets.errors import SecretIncomplete
from greenlang_secrets.integrations.logins import Logins

__all__ = ["check_options", "connect"]

_REFUSED: Final = asyncpg.InvalidAuthorizationSpecificationError  # InvalidPasswordError is one

_OURS: Final = ("connect", "dsn", "password", "user")


def check_options(options: dict[str, Any]) -> None:
    """Refuse the options that the credentials decide.

    Raises:
        TypeError: one of them is given.
    """
    for name in _OURS:
        if name in options:
            raise TypeError(f"{name} comes from the secret: leave it out")


async def connect(
    logins: Logins[DatabaseCredentials], **options: Any
) -> tuple[Any, DatabaseCredentials]:
    """Open a connection, with the newest login when it is returned; return it and that login.

    A refused login is tried once more, with newer credentials if Vault has them. What is given
    in `options` of host, port and database counts instead of what the credentials say.

    Raises:
        SecretIncomplete: neither says where the database is.
        SecretsError, RuntimeError: there are no credentials.
        OSError, TimeoutError, asyncpg.PostgresError: as `asyncpg.connect`.
    """
    while True:
        credentials = logins.current
        try:
            connection = await _dial(credentials, options)
        except _REFUSED:
            newer = await logins.newer(credentials)
            if newer is None:
                raise
            credentials = newer
            connection = await _dial(credentials, options)
        if not logins.outdated(credentials):
            break
        await connection.close()  # nobody else would close one that is not used
    closed = logins.opened(credentials)
    connection.add_termination_listener(lambda _: closed())
    return connection, credentials


async def _dial(credentials: DatabaseCredentials, options: dict[str, Any]) -> Any:
    place: dict[str, Any] = {}
    if credentials.host is not None:
        place = {"host": credentials.host, "port": credentials.port}
    if credentials.database is not None:
        place["database"] = credentials.database
    place |= options
    if "host" not in place:
        raise SecretIncomplete("host", path=credentials.path)
    return await asyncpg.connect(
        user=credentials.username, password=credentials.password.reveal(), **place
    )
