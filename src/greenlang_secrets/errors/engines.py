"""What the engines besides KV refuse."""

from __future__ import annotations

from typing import Literal

from greenlang_secrets.errors.root import SecretsError
from greenlang_secrets.errors.secrets import Conflict

__all__ = [
    "CiphertextRefused",
    "CiphertextTooOld",
    "LeaseExpired",
    "NotRenewable",
    "ObjectExists",
    "ObjectKind",
    "ObjectNotFound",
    "WrappingTokenForeign",
    "WrappingTokenUsed",
]

ObjectKind = Literal[
    "auth mount",
    "certificate",
    "connection",
    "issuer",
    "key",
    "mount",
    "policy",
    "role",
    "static role",
    "token",
]
"""What an operator sets up in Vault; a closed set, so that it may be a metric label."""


class ObjectNotFound(SecretsError):
    """Vault has no such role, key, certificate, policy, mount or token; provision it.

    Attributes:
        kind: what is missing.
    """

    code = "object_not_found"

    def __init__(self, kind: ObjectKind, *, path: object | None = None) -> None:
        self.kind: ObjectKind = kind
        super().__init__(f"Vault has no such {kind}.", path=path, kind=kind)


class ObjectExists(Conflict):
    """Something else has this name already; choose another name or remove it first.

    Attributes:
        kind: what is there.
    """

    code = "object_exists"

    def __init__(self, kind: ObjectKind, *, path: object | None = None) -> None:
        self.kind: ObjectKind = kind
        super().__init__(f"Another {kind} has this name already.", path=path, kind=kind)


class LeaseExpired(Conflict):
    """The lease has ended or was revoked, and what it stood for with it; ask for a new one."""

    code = "lease_expired"
    text = "The lease has ended or was revoked; ask for new credentials."


class NotRenewable(Conflict):
    """This lease or token lives to its end and no longer; replace it before that."""

    code = "not_renewable"
    text = "This lease or token cannot be renewed; replace it before it ends."


class CiphertextRefused(SecretsError):
    """The ciphertext was not made by this key, or was made with another context or other
    associated data; it was changed on its way, or belongs to somebody else.
    """

    code = "ciphertext_refused"
    text = "The ciphertext does not fit this key, context and associated data."


class CiphertextTooOld(CiphertextRefused):
    """The key's `min_decryption_version` is above this version: it was retired on purpose."""

    code = "ciphertext_too_old"
    text = "The version of the key that made this is retired; it is no longer accepted."


class WrappingTokenUsed(SecretsError):
    """The wrapping token was used already, or has expired: raise an alarm.

    A wrapping token opens once. If it has not expired, somebody else has read the content:
    revoke what was in it and find out who.
    """

    code = "wrapping_token_used"
    text = "The wrapping token was used already or has expired; treat its content as read."


class WrappingTokenForeign(SecretsError):
    """The wrapping token was made by another request than the expected one: raise an alarm.

    It was not unwrapped. Somebody may have replaced the real one by one of their own.
    """

    code = "wrapping_token_foreign"
    text = "The wrapping token was not made by the expected request; it was not unwrapped."
