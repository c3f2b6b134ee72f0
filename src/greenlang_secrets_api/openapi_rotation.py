"""The JSON Schemas of rotations and their schedule, with examples that are valid against them."""

from __future__ import annotations

from typing import Final

from greenlang_secrets.rotation_model import (
    ConsumerKind,
    RotationKind,
    RotationState,
    RotationTrigger,
)
from greenlang_secrets_api.openapi_parts import Schema, closed, moment, number, ref, text
from greenlang_secrets_api.rotation_bodies import MAX_SECONDS, MAX_SETTINGS

__all__ = ["ROTATION_ID", "ROTATION_SCHEMAS"]

ROTATION_ID: Final = "^[0-9a-f]{32}$"

_ID: Final = "6f1d2a4c8b0e4f7796a3c5d1e2b40918"
_PATH: Final = text("The secret's path, relative to the scope.")
_KIND: Final[Schema] = {
    "enum": [str(each) for each in RotationKind],
    "description": "What is done.",
}
_NEXT: Final[Schema] = {
    "type": ["string", "null"],
    "description": "`after` of the next page; null on the last one.",
}
_SETTINGS: Final[Schema] = {
    "type": "object",
    "description": "What the kind needs to know, such as `users`; never a secret. Which ones there "
    "are depends on the kind.",
    "propertyNames": {"maxLength": 512},
    "additionalProperties": {"type": "string", "maxLength": 16384},
    "maxProperties": MAX_SETTINGS,
}
_EXAMPLE_SETTINGS: Final = {
    "users": "app_a,app_b",
    "owner": "app",
    "admin": "database/postgresql-admin",
}

_EXAMPLE_POLICY: Final[Schema] = {
    "path": "database/postgresql",
    "type": "database",
    "kind": "postgresql",
    "interval_seconds": 43200,
    "jitter": 0.05,
    "enabled": True,
    "overlap_seconds": None,
    "consumers_wait_seconds": 3600,
    "settings": _EXAMPLE_SETTINGS,
    "next_due": "2026-11-20T20:00:00Z",
    "last_success": "2026-11-20T08:00:02Z",
    "updated_at": "2026-11-01T08:00:00Z",
    "updated_by": "operator",
}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _seconds(said: str, *, least: int = 1) -> Schema:
    return number(said, least=least, maximum=MAX_SECONDS)


ROTATION_SCHEMAS: Final[dict[str, Schema]] = {
    # ------------------------------------------------------------ bodies
    "Rotate": closed(
        "How to rotate; all of it may be left out, and the body too.",
        {
            "reason": text(
                "Why, for the audit log and the history: 1 to 512 printable characters.",
                minLength=1,
                maxLength=512,
                pattern=r"^[ -~]*[!-~][ -~]*$",
            ),
            "force": {
                "type": "boolean",
                "default": False,
                "description": "Cut off who still uses the credential before: needs "
                "`secrets:admin`, and a reason.",
            },
        },
        optional=("reason", "force"),
        example={"reason": "leaked in ticket 42"},
    ),
    "Policy": closed(
        "How, and how often, a secret is rotated.",
        {
            "kind": _KIND,
            "interval_seconds": _or_null(
                _seconds("From one success to the next rotation; the environment's by default.")
            ),
            "enabled": {
                "type": "boolean",
                "default": True,
                "description": "False: never by schedule; by hand all the same.",
            },
            "overlap_seconds": _or_null(
                _seconds("For which the old credential stays valid; the promotion gap by default.")
            ),
            "consumers_wait_seconds": _or_null(
                _seconds(
                    "After the overlap, for which a consumer that is behind is waited for at most.",
                    least=0,
                )
            ),
            "settings": _SETTINGS,
        },
        optional=(
            *("interval_seconds", "enabled", "overlap_seconds", "consumers_wait_seconds"),
            "settings",
        ),
        example={
            "kind": "postgresql",
            "interval_seconds": 43200,
            "settings": _EXAMPLE_SETTINGS,
        },
    ),
    # ------------------------------------------------------------ answers
    "RotationState": {
        "description": "Where a rotation stands: `idle`, `pending`, `applied`, `tested`, "
        "`promoted`, `overlap`, `old_revoked`, and `idle` again; the others are side states.",
        "enum": [str(each) for each in RotationState],
        "examples": ["overlap"],
    },
    "RotationError": closed(
        "Why the last step failed.",
        {"code": text("What happened."), "at": moment("When.", nullable=True)},
        example={"code": "verify_failed", "at": "2026-11-20T08:00:00Z"},
    ),
    "Rotation": closed(
        "One rotation.",
        {
            "rotation_id": text("Which one.", pattern=ROTATION_ID),
            "path": _PATH,
            "state": ref("RotationState"),
            "base_version": _or_null(number("The secret's version when it began.")),
            "version": number("The version that it made, once it is promoted.", least=1),
            "old_valid_until": moment("Until when the old credential stays valid."),
            "last_error": ref("RotationError"),
        },
        optional=("version", "old_valid_until", "last_error"),
        example={
            "rotation_id": _ID,
            "path": "database/postgresql",
            "state": "pending",
            "base_version": 7,
        },
    ),
    "RotationStatus": closed(
        "How the rotations of a scope go.",
        {
            "enabled": {
                "type": "boolean",
                "description": "Whether this process rotates by schedule.",
            },
            "scheduler": ref("Scheduler"),
            "summary": ref("RotationSummary"),
            "items": {
                "type": "array",
                "description": "Secrets with a policy, by path.",
                "items": ref("RotationItem"),
                "maxItems": 100,
            },
            "next": _NEXT,
        },
        example={
            "enabled": True,
            "scheduler": {"running": True, "last_tick": "2026-11-20T08:00:03Z"},
            "summary": {
                "idle": 40,
                "running": 1,
                "overlap": 1,
                "awaiting_operator": 0,
                "failed": 1,
                "overdue": 0,
            },
            "items": [
                {
                    "path": "database/postgresql",
                    "type": "database",
                    "kind": "postgresql",
                    "state": "overlap",
                    "rotation_id": _ID,
                    "trigger": "schedule",
                    "started_at": "2026-11-20T08:00:00Z",
                    "base_version": 7,
                    "version": 8,
                    "promoted_at": "2026-11-20T08:00:01Z",
                    "last_success": "2026-11-13T08:00:02Z",
                    "next_due": "2026-11-20T08:00:00Z",
                    "overdue_seconds": 0,
                    "attempts": 0,
                    "last_error": None,
                    "progress": {},
                    "old_valid_until": "2026-11-20T08:15:01Z",
                    "consumers_behind": 1,
                    "consumers": [
                        {
                            "consumer": "pool:api-7f9c:main",
                            "kind": "pool",
                            "instance": "api-7f9c",
                            "version": 7,
                            "seen_at": "2026-11-20T08:00:09Z",
                        }
                    ],
                }
            ],
            "next": None,
        },
    ),
    "Scheduler": closed(
        "What begins rotations by schedule, in this process.",
        {
            "running": {"type": "boolean", "description": "Whether it looks for what is due."},
            "last_tick": moment("When it last looked with success.", nullable=True),
        },
    ),
    "RotationSummary": closed(
        "How many secrets of the scope stand where.",
        {
            "idle": number("Nothing to do."),
            "running": number("A rotation is under way, up to its promotion."),
            "overlap": number("Promoted; the old credential is still valid, or just retired."),
            "awaiting_operator": number("Somebody must do something."),
            "failed": number("A step failed and is tried again, or is stuck."),
            "overdue": number("Due for too long."),
        },
    ),
    "RotationItem": closed(
        "How the rotation of one secret stands.",
        {
            "path": _PATH,
            "type": ref("SecretType"),
            "kind": _KIND,
            "state": ref("RotationState"),
            "rotation_id": _or_null(
                text("The current rotation, or the last.", pattern=ROTATION_ID)
            ),
            "trigger": {
                "enum": [*map(str, RotationTrigger), None],
                "description": "Why it began.",
            },
            "started_at": moment("When it began.", nullable=True),
            "base_version": _or_null(number("The secret's version then.")),
            "version": _or_null(number("The version that it made.")),
            "promoted_at": moment("When.", nullable=True),
            "last_success": moment("When a rotation last ended well.", nullable=True),
            "next_due": moment("When the next one begins by schedule.", nullable=True),
            "overdue_seconds": number("For how long it has been due."),
            "attempts": number("Those that failed, in a row."),
            "last_error": {"oneOf": [ref("RotationError"), {"type": "null"}]},
            "progress": {
                "type": "object",
                "description": "Numbers of a long step, such as `rewrapped`.",
                "additionalProperties": {"type": "integer"},
            },
            "old_valid_until": moment("The end of the overlap.", nullable=True),
            "consumers_behind": number("Live consumers that use an older version."),
            "consumers": {
                "type": "array",
                "description": "They by name; where one secret is asked for.",
                "items": ref("Consumer"),
            },
        },
        optional=("consumers",),
    ),
    "Consumer": closed(
        "Who uses an older version of a secret.",
        {
            "consumer": text("Tells it from all others."),
            "kind": {"enum": [str(each) for each in ConsumerKind], "description": "What it is."},
            "instance": text("The process that it is in."),
            "version": number("The oldest version that it still uses."),
            "seen_at": moment("When it last said so.", nullable=True),
        },
    ),
    "Schedule": closed(
        "A part of the policies of a scope.",
        {
            "items": {
                "type": "array",
                "description": "Policies, by when they are due.",
                "items": ref("ScheduleItem"),
                "maxItems": 100,
            },
            "next": _NEXT,
        },
        example={"items": [_EXAMPLE_POLICY], "next": None},
    ),
    "ScheduleItem": closed(
        "One policy.",
        {
            "path": _PATH,
            "type": ref("SecretType"),
            "kind": _KIND,
            "interval_seconds": number("From one success to the next rotation."),
            "jitter": {
                "type": "number",
                "description": "By which part of the interval the next one is moved at most, so "
                "that not all are rotated at once.",
            },
            "enabled": {"type": "boolean", "description": "Whether it is rotated by schedule."},
            "overlap_seconds": _or_null(
                number("For which the old credential stays valid; null: the promotion gap.")
            ),
            "consumers_wait_seconds": number("For which one that is behind is waited for at most."),
            "settings": _SETTINGS,
            "next_due": moment("When the next one begins.", nullable=True),
            "last_success": moment("When a rotation last ended well.", nullable=True),
            "updated_at": moment("When the policy was set."),
            "updated_by": text("By whom."),
        },
        example=_EXAMPLE_POLICY,
    ),
}
"""The schemas of rotation, by name."""
