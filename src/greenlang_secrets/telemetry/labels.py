"""The values that labels may have: closed sets, so that the number of series is bounded."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from greenlang_secrets.errors import (
    AccessDenied,
    AuthenticationLost,
    CiphertextRefused,
    Conflict,
    InvalidRequest,
    ObjectNotFound,
    PreconditionRequired,
    SecretsError,
    SecretUnavailable,
    VaultUnavailable,
    WrappingTokenForeign,
    WrappingTokenUsed,
)
from greenlang_secrets.model import SecretType

__all__ = ["TYPES", "Result", "result_of", "type_label"]


class Result(StrEnum):
    """How an operation ended; a closed set, the `result` label.

    Ours are unavailable, timeout and error; the caller's are not_found, denied, conflict,
    invalid and rate_limited.
    """

    OK = "ok"
    STALE = "stale"
    NOT_FOUND = "not_found"
    DENIED = "denied"
    CONFLICT = "conflict"
    INVALID = "invalid"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    ERROR = "error"


def result_of(error: SecretsError) -> Result:
    """Return the label of a failure."""
    match error:
        case SecretUnavailable() | ObjectNotFound():
            return Result.NOT_FOUND
        case AccessDenied() | WrappingTokenUsed() | WrappingTokenForeign():
            return Result.DENIED
        case Conflict() | PreconditionRequired():
            return Result.CONFLICT
        case InvalidRequest() | CiphertextRefused():
            return Result.INVALID
        case VaultUnavailable(reason="timeout"):
            return Result.TIMEOUT
        case VaultUnavailable() | AuthenticationLost():
            return Result.UNAVAILABLE
        case _:
            return Result.ERROR


TYPES: Final = frozenset(
    {
        SecretType.DATABASE,
        SecretType.CACHE,
        SecretType.API_KEY,
        SecretType.CERTIFICATE,
        SecretType.ENCRYPTION_KEY,
        SecretType.SERVICE_TOKEN,
        SecretType.GENERIC,
    }
)


def type_label(type_: SecretType) -> str:
    """Return the `secret_type` label: seven values, the rarer types count as generic."""
    return type_.value if type_ in TYPES else SecretType.GENERIC.value
