"""What is wrong with the secret that a call names: not there, or in another state."""

from __future__ import annotations

from datetime import datetime

from greenlang_secrets.errors.root import SecretsError

__all__ = [
    "AncestorIsSecret",
    "Conflict",
    "PathIsFolder",
    "SecretDeleted",
    "SecretExists",
    "SecretIncomplete",
    "SecretNotFound",
    "SecretTypeMismatch",
    "SecretUnavailable",
    "VersionConflict",
    "VersionDestroyed",
    "VersionNotFound",
]


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


class SecretTypeMismatch(Conflict):
    """The secret is declared as another type than the one asked for.

    Attributes:
        declared: the secret's own type.
        expected: the type that was asked for.
    """

    code = "secret_type_mismatch"

    def __init__(self, *, declared: str, expected: str, path: object | None = None) -> None:
        self.declared = declared
        self.expected = expected
        super().__init__(
            f"The secret is declared as {declared}, not {expected}; ask for what it is, or "
            f"declare it anew with put(..., type=SecretType.{expected.upper()}).",
            path=path,
            declared=declared,
            expected=expected,
        )


class SecretIncomplete(Conflict):
    """A field is missing, or is not what its type needs; write the secret anew with it.

    Attributes:
        field: the field's name; never what it holds.
    """

    code = "secret_incomplete"

    def __init__(
        self, field: str, *, wanted: str | None = None, path: object | None = None
    ) -> None:
        self.field = field
        super().__init__(
            f"The field {field!r} is missing; write it, or give it to the call."
            if wanted is None
            else f"The field {field!r} is not {wanted}.",
            path=path,
            field=field,
        )
