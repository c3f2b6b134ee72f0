"""What is refused of a call, before or by its content and its authority."""

from __future__ import annotations

from typing import Literal

from greenlang_secrets.errors.root import SecretsError

__all__ = [
    "AccessDenied",
    "DenialReason",
    "InvalidPath",
    "InvalidRequest",
    "InvalidSecret",
    "InvalidTenant",
    "InvalidVersion",
    "PreconditionRequired",
    "ReservedName",
    "SecretTooLarge",
]


DenialReason = Literal["permission", "tenant", "policy"]
"""What denies: the caller lacks the permission, the scope is another tenant's, or Vault's policy."""


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


class AccessDenied(SecretsError):
    """The caller's permissions or Vault's policy do not allow it; a retry will not help.

    Attributes:
        reason: which of them, for metrics; an answer does not tell.
    """

    code = "permission_denied"
    text = "This principal may not do this."

    def __init__(
        self,
        text: str | None = None,
        *,
        reason: DenialReason = "policy",
        path: object | None = None,
    ) -> None:
        super().__init__(text, path=path)
        self.reason: DenialReason = reason


class PreconditionRequired(SecretsError):
    """Vault demands CAS for this secret (`cas_required`): name the expected version."""

    code = "precondition_required"
    text = "This secret is only written with the version it replaces; name it."
