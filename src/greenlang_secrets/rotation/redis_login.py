"""Connections to a Redis or Valkey that is not ours: one for each step, with a deadline.

Whatever goes wrong becomes a `RotationFailed` that keeps nothing of the driver's: its texts name
users, hosts and commands.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, Self, TypeVar

import anyio

from greenlang_secrets.errors import (
    ConfigurationError,
    NotRotatable,
    RotationFailed,
    RotationFailure,
)
from greenlang_secrets.paths import SecretPath
from greenlang_secrets.rotation.targets import authority_of
from greenlang_secrets.sensitive import SecretMap, SecretValue

__all__ = ["RedisLogin", "driver_errors", "on_redis"]

T = TypeVar("T")

_WITHIN: Final = 12.0  # seconds; a step has 20, and Vault is asked in it too
_ANSWER_WITHIN: Final = 5.0
_CLOSE_WITHIN: Final = 1.0
_PORT: Final = 6379
_MAX_PORT: Final = 65535
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RedisLogin:
    """Who logs in, and where.

    Attributes:
        username: ``default`` where the secret names none.
        tls: whether to speak TLS; the server's certificate is verified then.
        authority: the PEM of who signed it; None for the system's.
        path: the rotated secret's, for errors.
    """

    username: str
    password: SecretValue
    host: str
    port: int
    db: int
    tls: bool
    authority: str | None
    path: object

    @classmethod
    def of(
        cls,
        data: SecretMap,
        settings: Mapping[str, str],
        *,
        path: SecretPath,
        at: RedisLogin | None = None,
    ) -> Self:
        """Return the login in the data of a secret of the type `cache`.

        What it does not say of the place is as in `at`.

        Raises:
            NotRotatable: a field is missing or malformed, or the setting ``ca`` is.
        """
        password = data.get("password")
        if not password:
            raise NotRotatable("A secret lacks the field 'password'.", path=path)
        host = _text(data, "host") or (at and at.host)
        if not host:
            raise NotRotatable("The secret lacks the field 'host'.", path=path)
        tls = _text(data, "tls") or ("true" if at and at.tls else "false")
        if tls not in {"true", "false"}:
            raise NotRotatable("The field 'tls' is true or false.", path=path)
        return cls(
            username=_text(data, "username") or "default",
            password=password,
            host=host,
            port=_number(data, "port", at.port if at else _PORT, path),
            db=_number(data, "db", 0, path),
            tls=tls == "true",
            authority=authority_of(settings, path=path),
            path=path,
        )


async def on_redis(
    login: RedisLogin, work: Callable[[Any], Awaitable[T]], *, denied: RotationFailure
) -> T:
    """Return what `work` gives, done with a new connection that is closed afterwards, also when
    this is cancelled.

    Raises:
        RotationFailed: `denied`, if the login or the command is not allowed;
            `target_unavailable`, if the server is away, loading or slow; else `target_refused`.
        ConfigurationError: the driver is not installed.
    """
    try:
        from redis import asyncio as driver  # noqa: PLC0415  only where a Redis is
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigurationError(
            "The package redis is not installed; pip install 'greenlang-secrets[redis]'"
        ) from None
    errors = driver_errors()
    reason: RotationFailure
    try:
        with anyio.fail_after(_WITHIN):
            server = driver.Redis(
                host=login.host,
                port=login.port,
                db=login.db,
                username=login.username,
                password=login.password.reveal(),
                ssl=login.tls,
                ssl_ca_data=login.authority,
                socket_timeout=_ANSWER_WITHIN,
                socket_connect_timeout=_ANSWER_WITHIN,
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
                protocol=2,
                driver_info=None,  # no CLIENT SETINFO, which a user may not be allowed
            )
            try:
                return await work(server)
            finally:
                with anyio.move_on_after(_CLOSE_WITHIN, shield=True):
                    await server.aclose()
    except (errors.AuthenticationError, errors.AuthorizationError, errors.NoPermissionError):
        reason = denied
    except errors.ResponseError:
        reason = "target_refused"
    except (errors.RedisError, OSError, UnicodeError):
        reason = "target_unavailable"  # TimeoutError is an OSError; a host may be no name at all
    # Here and not above, so that the driver's error is not kept as the cause of ours.
    raise RotationFailed(reason, path=login.path)


def driver_errors() -> ModuleType:
    """Return the driver's module of errors; only where it is installed."""
    from redis import exceptions  # noqa: PLC0415  only where a Redis is

    return exceptions


def _text(data: SecretMap, name: str) -> str | None:
    value = data.get(name)
    return value.reveal() if value else None


def _number(data: SecretMap, name: str, absent: int, path: SecretPath) -> int:
    text = _text(data, name) or str(absent)
    if _NUMBER.fullmatch(text) is None or not int(text) <= _MAX_PORT:
        raise NotRotatable(f"The field {name!r} is no number that fits.", path=path)
    return int(text)
