"""What each endpoint of rotation means to its callers; a part of `operations`."""

from __future__ import annotations

from typing import Final

from greenlang_secrets_api.operation import Link, Operation, Outcome, Vault
from greenlang_secrets_api.targets import Kind

__all__ = ["ROTATION_OPERATIONS"]

_GONE: Final = ("secret_not_found", "secret_deleted", "secret_destroyed")
_CATALOGUE: Final = ("catalogue_unavailable",)

ROTATION_OPERATIONS: Final[dict[tuple[Kind, str], Operation]] = {
    (Kind.ROTATE, "POST"): Operation(
        id="rotateSecret",
        tag="Rotation",
        summary="Rotate a secret now",
        text="Begins a rotation of a secret that has a policy, and goes on with it after the "
        "answer: a new credential is made, taken by what it is for, tried, and written as the "
        "secret's next version; the old one stays valid until nobody can still use it. With "
        "`Prefer: wait=20` the answer is held back until the new version is there. `force` "
        "retires the credential before at once, and so cuts off who still uses it: it needs "
        "`secrets:admin` besides, and a `reason`. With an `Idempotency-Key` the same request may "
        "be sent again for 24 hours, and is done once.",
        body="Rotate",
        outcomes=(
            Outcome(
                status=202,
                text="Begun, and not there yet; a step that failed is tried again by itself.",
                schema="Rotation",
                headers=("Location", "Preference-Applied", "Idempotent-Replay"),
            ),
            Outcome(
                status=200,
                text="Promoted, within the time that the caller waits.",
                schema="Rotation",
                headers=("Preference-Applied", "Idempotent-Replay"),
                example=(
                    ("rotation_id", "6f1d2a4c8b0e4f7796a3c5d1e2b40918"),
                    ("path", "database/postgresql"),
                    ("state", "overlap"),
                    ("base_version", 7),
                    ("version", 8),
                    ("old_valid_until", "2026-11-20T08:15:00Z"),
                ),
            ),
        ),
        headers=("Prefer-Promotion",),
        problems=(
            *_GONE,
            *_CATALOGUE,
            *("rotation_in_progress", "overlap_in_progress", "not_rotatable", "conflict"),
            *("rotation_failed", "rotation_lost", "rotation_fenced"),
        ),
        vault=Vault.CHANGED,
        links=(
            Link(
                status=202,
                to="readRotationStatus",
                text="How it goes on.",
                parameters=(("id", "$response.body#/rotation_id"),),
            ),
        ),
    ),
    (Kind.ROTATION_STATUS, "GET"): Operation(
        id="readRotationStatus",
        tag="Rotation",
        summary="See how rotations go",
        text="The secrets of your scope that have a policy, by path, and how the rotation of each "
        "stands; all of them, or those that `id`, `path` or `state` name. Of one alone the live "
        "consumers that still use an older version are named.",
        outcomes=(
            Outcome(
                status=200,
                text="A page; `next` is null on the last one.",
                schema="RotationStatus",
                headers=("Link",),
            ),
        ),
        problems=(*_CATALOGUE, "invalid_path", "reserved_name"),
        vault=Vault.READ,
    ),
    (Kind.ROTATION_SCHEDULE, "GET"): Operation(
        id="listRotationSchedule",
        tag="Rotation",
        summary="See what rotates when",
        text="The policies of your scope, the one that is due next first.",
        outcomes=(
            Outcome(
                status=200,
                text="A page; `next` is null on the last one.",
                schema="Schedule",
                headers=("Link",),
            ),
        ),
        problems=_CATALOGUE,
        vault=Vault.READ,
    ),
    (Kind.ROTATION_SCHEDULE, "PUT"): Operation(
        id="scheduleRotation",
        tag="Rotation",
        summary="Have a secret rotate by itself",
        text="Gives a secret its policy, or replaces it. The kind must fit the secret's type and "
        "what the secret holds, which is tried: the logins that a rotation needs are made. The "
        "interval may not be below the promotion gap, in which every consumer hears of a "
        "promotion.",
        body="Policy",
        outcomes=(Outcome(status=200, text="Set.", schema="ScheduleItem"),),
        problems=(
            *_GONE,
            *_CATALOGUE,
            *("not_rotatable", "rotation_failed", "rotation_in_progress", "conflict"),
        ),
        vault=Vault.CHANGED,
        links=(
            Link(status=200, to="rotateSecret", text="The first rotation, now."),
            Link(status=200, to="unscheduleRotation", text="The policy's end."),
        ),
    ),
    (Kind.ROTATION_SCHEDULE, "DELETE"): Operation(
        id="unscheduleRotation",
        tag="Rotation",
        summary="Have a secret rotate no more",
        text="Takes a secret's policy away. The secret stays as it is. While a rotation is under "
        "way, or an old credential is still valid, it is a conflict.",
        outcomes=(Outcome(status=204, text="Gone."),),
        problems=(
            *_GONE,
            *_CATALOGUE,
            *("not_rotatable", "rotation_in_progress", "overlap_in_progress", "conflict"),
        ),
        vault=Vault.CHANGED,
    ),
}
"""The operations of rotation."""
