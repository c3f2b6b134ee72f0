"""Everything this library raises on purpose.

SecretsError
├── ConfigurationError          a setting is missing or wrong
├── InvalidRequest              the caller's input, refused before anything is sent
│   ├── InvalidPath
│   │   └── ReservedName
│   ├── InvalidTenant
│   ├── InvalidVersion
│   ├── InvalidSecret
│   └── SecretTooLarge
├── AccessDenied                the caller, or Vault's policy, may not
├── SecretUnavailable           there is no value to give
│   ├── SecretNotFound
│   ├── SecretDeleted
│   └── VersionNotFound
├── Conflict                    the state in Vault is another than the caller thought
│   ├── VersionConflict
│   │   └── SecretExists
│   ├── VersionDestroyed
│   ├── PathIsFolder
│   └── AncestorIsSecret
├── PreconditionRequired        Vault demands CAS for this secret
└── VaultError                  Vault, or the way to it
    ├── VaultUnavailable
    ├── VaultProtocolError
    ├── VaultRefused
    ├── AuthenticationLost
    └── OutcomeUnknown

Texts are fixed: they say what was attempted, on which path, and what to do.
They never hold a value, a token, Vault's own words (which quote hosts, users and
databases) or an address. `code` is stable and appears in logs, metrics and HTTP
problems; `retryable` says whether the same call may succeed later unchanged.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal, Self, TypeVar

__all__ = [
    "AccessDenied",
    "AncestorIsSecret",
    "AuthenticationLost",
    "ConfigurationError",
    "Conflict",
    "InvalidPath",
    "InvalidRequest",
    "InvalidSecret",
    "InvalidTenant",
    "InvalidVersion",
    "OutcomeUnknown",
    "PathIsFolder",
    "PreconditionRequired",
    "ReservedName",
    "SecretDeleted",
    "SecretExists",
    "SecretNotFound",
    "SecretTooLarge",
    "SecretUnavailable",
    "SecretsError",
    "UnavailableReason",
    "VaultError",
    "VaultProtocolError",
    "VaultRefused",
    "VaultUnavailable",
    "VersionConflict",
    "VersionDestroyed",
    "VersionNotFound",
]

E = TypeVar("E", bound="SecretsError")

UnavailableReason = Literal["sealed", "standby", "network", "timeout", "overloaded", "audit", "tls"]
"""Why Vault gives no answer; a closed set, so that it may be a metric label."""


class SecretsError(Exception):
    """Root of everything raised on purpose.

    Attributes:
        code: stable identifier, the same in logs, metrics and HTTP problems.
        retryable: the same call may succeed later without a change.
        path: the caller's own path, relative to its scope, where there is one.
        facts: further members that are safe to show, such as `current_version`.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    text: ClassVar[str] = "The operation failed."

    def __init__(
        self,
        text: str | None = None,
        *,
        path: object | None = None,
        **facts: str | int | bool | None,
    ) -> None:
        self.path: str | None = None if path is None else str(path)
        self.facts: dict[str, str | int | bool] = {k: v for k, v in facts.items() if v is not None}
        message = text or self.text
        super().__init__(message if self.path is None else f"{message} (path {self.path!r})")

    def again(self) -> Self:
        """Return an equal error without traceback, so that a cached one never grows."""
        twin = _restore(type(self), self.args, self.__dict__)
        twin.facts = dict(self.facts)
        if notes := getattr(self, "__notes__", None):
            twin.__notes__ = list(notes)
        return twin

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own would call the constructor with the text alone.
        return (_restore, (type(self), self.args, self.__dict__))


def _restore(cls: type[E], args: tuple[object, ...], attributes: dict[str, object]) -> E:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ConfigurationError(SecretsError):
    """A setting is missing or wrong; the text names it, what was seen, and the fix."""

    code = "configuration"


# ---------------------------------------------------------------- the caller's input


class InvalidRequest(SecretsError):
    """The input was refused before anything was sent; correct it and call again."""

    code = "invalid_request"


class InvalidPath(InvalidRequest, ValueError):
    """The path is outside the grammar; it is refused, never cleaned."""

    code = "invalid_path"
    text = "The path is not a valid secret path."


class ReservedName(InvalidPath):
    """The path begins or ends with a word that the REST API gives a meaning of its own."""

    code = "reserved_name"
    text = "The path uses a reserved name."


class InvalidTenant(InvalidRequest, ValueError):
    """The tenant id is outside ``[a-z0-9][a-z0-9-]{0,62}``."""

    code = "invalid_tenant"
    text = "The tenant id is not valid: use 1 to 63 of a-z, 0-9 and '-', not beginning with '-'."


class InvalidVersion(InvalidRequest, ValueError):
    """A version is a whole number from 1 on (Vault would take -1 for the latest)."""

    code = "invalid_version"
    text = "A version is a whole number, 1 or greater."


class InvalidSecret(InvalidRequest, ValueError):
    """The data cannot be kept faithfully: not a mapping of strings to strings, or not UTF-8.

    Vault changes numbers (integers beyond 2^53, ``1.0``) and replaces invalid UTF-8,
    so both are refused here instead of coming back altered.
    """

    code = "invalid_body"
    text = "Secret data is a mapping of strings to strings."

    def __init__(self, text: str | None = None, *, pointer: str | None = None) -> None:
        super().__init__(text, pointer=pointer)


class SecretTooLarge(InvalidRequest, ValueError):
    """More than 768 KiB of JSON or 256 keys (raft refuses values over 1 MiB with a 500)."""

    code = "too_large"
    text = "A secret holds at most 256 keys and 768 KiB of JSON."


# ---------------------------------------------------------------- authority


class AccessDenied(SecretsError):
    """The caller's permissions or Vault's policy do not allow it; a retry will not help."""

    code = "permission_denied"
    text = "This principal may not do this."


# ---------------------------------------------------------------- nothing to give


class SecretUnavailable(SecretsError):
    """There is no value at this path or version."""

    code = "secret_not_found"
    text = "There is no such secret."


class SecretNotFound(SecretUnavailable):
    """There is no such secret in the caller's scope."""


class SecretDeleted(SecretUnavailable):
    """The version exists, but is soft-deleted (`undelete` brings it back) or destroyed.

    Attributes:
        version: the version that was asked for, or the newest.
        destroyed: True if its data is gone for good.
    """

    code = "secret_deleted"

    def __init__(
        self, *, path: object, version: int, destroyed: bool, deleted_at: datetime | None = None
    ) -> None:
        self.version = version
        self.destroyed = destroyed
        super().__init__(
            "This version was destroyed for good."
            if destroyed
            else "This version is deleted; undelete brings it back.",
            path=path,
            version=version,
            deleted_at=None if destroyed or deleted_at is None else deleted_at.isoformat(),
        )


class VersionNotFound(SecretUnavailable):
    """The secret exists, this version of it does not (never written, or pruned)."""

    code = "version_not_found"
    text = "There is no such version of this secret."


# ---------------------------------------------------------------- conflicts


class Conflict(SecretsError):
    """The state in Vault is another than the caller thought; read it and decide again."""

    code = "conflict"


class VersionConflict(Conflict):
    """The expected version is not the current one; `facts["current_version"]` names that."""

    code = "version_conflict"
    text = "The secret has changed: the version you expected is not the current one."


class SecretExists(VersionConflict):
    """`create` found a live secret at the path."""

    code = "secret_exists"
    text = "A live secret is at this path already; put writes a new version of it."


class VersionDestroyed(Conflict):
    """A destroyed version cannot be brought back."""

    code = "version_destroyed"
    text = "A destroyed version cannot be brought back."


class PathIsFolder(Conflict):
    """Other secrets lie below this path; a secret is never also a folder."""

    code = "path_is_folder"
    text = "Other secrets lie below this path; a secret is never also a folder."


class AncestorIsSecret(Conflict):
    """A secret lies on the way to this path; a secret is never also a folder."""

    code = "ancestor_is_secret"
    text = "A part of this path is a secret itself; a secret is never also a folder."


class PreconditionRequired(SecretsError):
    """Vault demands CAS for this secret (`cas_required`): name the expected version."""

    code = "precondition_required"
    text = "This secret is only written with the version it replaces; name it."


# ---------------------------------------------------------------- Vault


class VaultError(SecretsError):
    """Vault, or the way to it, is at fault."""

    code = "vault"


class VaultUnavailable(VaultError):
    """Vault gives no answer now; nothing was changed by this call.

    Attributes:
        reason: sealed, standby, network, timeout, overloaded, audit or tls.
    """

    code = "vault_unavailable"
    retryable = True

    def __init__(
        self,
        reason: UnavailableReason,
        *,
        path: object | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.reason: UnavailableReason = reason
        self.retry_after = retry_after
        super().__init__(_UNAVAILABLE[reason], path=path, reason=reason)


_UNAVAILABLE: dict[UnavailableReason, str] = {
    "sealed": "Vault is sealed or not initialised; it must be unsealed.",
    "standby": "No active Vault node is known; an election may be going on.",
    "network": "Vault cannot be reached; check VAULT_ADDR and the network.",
    "timeout": "Vault did not answer in time.",
    "overloaded": "Vault, or the queue before it, is full.",
    "audit": "Vault answers no request; its audit device may be unable to write.",
    "tls": "The TLS connection to Vault failed; check VAULT_CACERT and the certificates.",
}


class VaultProtocolError(VaultError):
    """The answer is not one of Vault's: not JSON, too large, or of an unknown shape."""

    code = "vault_protocol"
    text = "The answer does not look like Vault's; check that VAULT_ADDR names a Vault server."


class VaultRefused(VaultError):
    """Vault refused a request as malformed: a fault of this library or of Vault's set-up."""

    code = "vault_refused"
    text = "Vault refused the request."

    def __init__(self, text: str | None = None, *, status: int, path: object | None = None) -> None:
        self.status = status
        super().__init__(text, path=path, status=status)


class AuthenticationLost(VaultError):
    """Vault no longer accepts this service's login; its token, role or secret id needs care."""

    code = "authentication_lost"
    retryable = True
    text = "Vault does not accept this service's login; check its token, role id or secret id."


class OutcomeUnknown(VaultError):
    """A write was sent and no answer came: it may have happened. Read, then decide."""

    code = "outcome_unknown"
    text = "The write may or may not have happened; read the secret and compare its version."
