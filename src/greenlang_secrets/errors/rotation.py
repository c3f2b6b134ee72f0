"""What keeps a secret from being rotated."""

from __future__ import annotations

from typing import Literal

from greenlang_secrets.errors.requests import InvalidRequest
from greenlang_secrets.errors.root import SecretsError
from greenlang_secrets.errors.secrets import Conflict

__all__ = [
    "NotRotatable",
    "OverlapInProgress",
    "RotationFailed",
    "RotationFailure",
    "RotationFenced",
    "RotationInProgress",
    "RotationLost",
]

RotationFailure = Literal[
    "target_unavailable",
    "target_refused",
    "target_denied",
    "target_not_allowed",
    "verify_failed",
    "incomplete",
    "partner_failed",
    "rewrap_failed",
]
"""Why a step failed; a closed set, shown in the status and kept in the history."""


class NotRotatable(InvalidRequest):
    """The secret has no policy, or the policy does not fit it; the text says what to change, and
    `facts["advice"]` is the text. It names settings and fields, and never shows what one holds.
    """

    code = "not_rotatable"
    text = "This secret has no rotation policy; set one first."

    def __init__(self, text: str | None = None, *, path: object | None = None) -> None:
        super().__init__(text, path=path, advice=text or self.text)


class RotationInProgress(Conflict):
    """A rotation of this secret is under way; `facts["rotation_id"]` says which."""

    code = "rotation_in_progress"
    text = "This secret is being rotated."


class OverlapInProgress(Conflict):
    """Consumers may still use the credential before; `facts["until"]` says how long. Rotating now
    would cut them off: wait, or force it.
    """

    code = "overlap_in_progress"
    text = "The last rotation is not over: consumers may still use the credential before."


class RotationFailed(SecretsError):
    """A step failed, and is tried again later; nothing that is in use was changed.

    Attributes:
        reason: why.
    """

    code = "rotation_failed"
    retryable = True

    def __init__(self, reason: RotationFailure, *, path: object | None = None) -> None:
        self.reason: RotationFailure = reason
        super().__init__(_TEXTS[reason], path=path, failure=reason)


_TEXTS: dict[RotationFailure, str] = {
    "target_unavailable": "What the credential is for cannot be reached.",
    "target_refused": "What the credential is for refuses the change.",
    "target_denied": "The administrator's credential does not work there, or may not change it.",
    "target_not_allowed": "A tenant's secrets may not be rotated at this address.",
    "verify_failed": "The new credential does not work.",
    "incomplete": "A secret or a setting that the rotation needs is missing or malformed.",
    "partner_failed": "The partner's interface fails.",
    "rewrap_failed": "Not everything could be encrypted anew.",
}


class RotationFenced(SecretsError):
    """The target has seen a later owner of this rotation; this one stops."""

    code = "rotation_fenced"
    text = "Somebody else has taken this rotation over; the target says so."


class RotationLost(SecretsError):
    """The record says that somebody else owns this rotation; this one stops."""

    code = "rotation_lost"
    text = "Somebody else has taken this rotation over."
