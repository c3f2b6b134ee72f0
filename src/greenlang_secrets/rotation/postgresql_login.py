"""Connections to a PostgreSQL that is not ours: one for each step, with a deadline.

Whatever goes wrong becomes a `RotationFailed` that keeps nothing of the driver's: its texts name
users, hosts and statements.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import anyio
import anyio.to_thread

from greenlang_secrets.errors import (
    ConfigurationError,
    NotRotatable,
    RotationFailed,
    RotationFailure,
)
from greenlang_secrets.paths import SecretPath
from greenlang_secrets.rotation.targets import TlsMode, authority_of, tls_context, tls_mode
from greenlang_secrets.sensitive import SecretMap, SecretValue

__all__ = ["PostgresqlLogin", "log_in", "on_postgresql"]

T = TypeVar("T")

_WITHIN: Final = 12.0  # seconds; a step has 20, and Vault is asked in it too
_CONNECT_WITHIN: Final = 5.0
_CLOSE_WITHIN: Final = 1.0
_PORT: Final = 5432
_MAX_PORT: Final = 65535
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,4}")

# By the class of SQLSTATE, or the whole of it (PostgreSQL, "Error Codes").
_UNAVAILABLE: Final = ("08", "53", "57", "58", "55P03", "40")
_DENIED: Final = ("28", "42501")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PostgresqlLogin:
    """Who logs in, and where.

    Attributes:
        tls: how the connection is encrypted.
        authority: the PEM of who signed the server's certificate; None for the system's.
        path: the rotated secret's, for errors.
    """

    username: str
    password: SecretValue
    host: str
    port: int
    database: str
    tls: TlsMode
    authority: str | None
    path: object

    @classmethod
    def of(
        cls,
        data: SecretMap,
        settings: Mapping[str, str],
        *,
        path: SecretPath,
        at: PostgresqlLogin | None = None,
    ) -> Self:
        """Return the login in the data of a secret of the type `database`.

        What it does not say of the place is as in `at`. Without a database it is ``postgres``:
        the name of one of two users is none.

        Raises:
            NotRotatable: a field is missing or malformed, or the setting ``tls`` or ``ca``.
        """
        username, password = data.get("username"), data.get("password")
        if not username or not password:
            raise NotRotatable("A secret lacks the field 'username' or 'password'.", path=path)
        host = _text(data, "host") or (at and at.host)
        if not host:
            raise NotRotatable("The secret lacks the field 'host'.", path=path)
        port = _text(data, "port") or str(at.port if at else _PORT)
        if _NUMBER.fullmatch(port) is None or not 1 <= int(port) <= _MAX_PORT:
            raise NotRotatable("The field 'port' is no port.", path=path)
        return cls(
            username=username.reveal(),
            password=password,
            host=host,
            port=int(port),
            database=_text(data, "database") or (at.database if at else "postgres"),
            tls=tls_mode(settings, host, path=path),
            authority=authority_of(settings, path=path),
            path=path,
        )


async def log_in(connection: Any) -> str:
    """Return as which role a new session acts; for `on_postgresql`."""
    return str(await connection.fetchval("SELECT current_user"))


async def on_postgresql(
    login: PostgresqlLogin, work: Callable[[Any], Awaitable[T]], *, denied: RotationFailure
) -> T:
    """Return what `work` gives, done with a new connection that is closed afterwards.

    A cancelled one is closed too, and a transaction that was not committed never was.

    Raises:
        RotationFailed: `denied`, if the login or the statement is not allowed;
            `target_unavailable`, if the server is away, busy or slow; else `target_refused`.
        ConfigurationError: PostgreSQL's driver is not installed.
    """
    try:
        import asyncpg  # noqa: PLC0415  only where PostgreSQL is
    except ModuleNotFoundError:
        raise ConfigurationError(
            "The package asyncpg is not installed; pip install 'greenlang-secrets[postgres]'"
        ) from None
    context = await anyio.to_thread.run_sync(tls_context, login.tls, login.authority)
    try:
        with anyio.fail_after(_WITHIN):
            connection = await asyncpg.connect(
                host=login.host,
                port=login.port,
                user=login.username,
                password=login.password.reveal(),
                database=login.database,
                ssl=context,
                timeout=_CONNECT_WITHIN,
                statement_cache_size=0,  # a pooler between may give each statement another session
                server_settings={"application_name": "greenlang-secrets rotation"},
            )
            try:
                return await work(connection)
            finally:
                await _close(connection)
    except asyncpg.PostgresError as error:
        reason = _reason(error.sqlstate or "", denied)
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, UnicodeError):
        reason = "target_unavailable"  # TimeoutError is an OSError; a host may be no name at all
    # Here and not above, so that the driver's error is not kept as the cause of ours.
    raise RotationFailed(reason, path=login.path)


def _text(data: SecretMap, name: str) -> str | None:
    value = data.get(name)
    return value.reveal() if value else None


async def _close(connection: Any) -> None:
    with anyio.move_on_after(_CLOSE_WITHIN, shield=True):
        await connection.close()  # one that is cut short here ends the connection all the same


def _reason(state: str, denied: RotationFailure) -> RotationFailure:
    if state.startswith(_DENIED):
        return denied
    return "target_unavailable" if state.startswith(_UNAVAILABLE) else "target_refused"
