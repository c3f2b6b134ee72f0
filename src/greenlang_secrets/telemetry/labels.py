"""The values that labels may have: closed sets, so that the number of series is bounded."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, get_args

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
    UnavailableReason,
    VaultUnavailable,
    WrappingTokenForeign,
    WrappingTokenUsed,
)
from greenlang_secrets.model import SecretType

__all__ = [
    "RETRY_REASONS",
    "SERVING",
    "TYPES",
    "CircuitState",
    "NodeState",
    "Operation",
    "Renewal",
    "Result",
    "result_of",
    "type_label",
]


class Operation(StrEnum):
    """What is asked of Vault beside what may be done with secrets (`access.Action`): both are
    values of the label `operation`.
    """

    ISSUE = "issue"
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    LOGIN = "login"
    RENEW = "renew"
    REVOKE = "revoke"


class Renewal(StrEnum):
    """How the service's own token was kept: a first login or a renewal (success), an attempt
    that failed, or a further login.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    RELOGIN = "relogin"


class NodeState(StrEnum):
    """What a node says of itself; unreachable if it says nothing that is Vault's."""

    ACTIVE = "active"
    STANDBY = "standby"
    SEALED = "sealed"
    UNINITIALIZED = "uninitialized"
    UNREACHABLE = "unreachable"


SERVING: Final = frozenset({NodeState.ACTIVE, NodeState.STANDBY})
"""The states of a node that answers requests."""


class CircuitState(StrEnum):
    """Whether a node is asked in its turn, or after all others."""

    CLOSED = "closed"
    OPEN = "open"


RETRY_REASONS: Final[tuple[str, ...]] = get_args(UnavailableReason)
"""Why a request was sent again."""


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
