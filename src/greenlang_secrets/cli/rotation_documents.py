"""What the commands of rotation print: the members of their JSON, and cells of their tables."""

from __future__ import annotations

from datetime import datetime

from greenlang_secrets.rotation_model import ConsumerReport, RotationRow

__all__ = ["consumer_document", "moment", "policy_document", "shown", "standing_document"]


def standing_document(row: RotationRow) -> dict[str, object]:
    """Return how a rotation stands."""
    standing = row.standing
    return {
        "path": row.path,
        "type": row.secret_type.value,
        "state": standing.state.value,
        "rotation_id": standing.rotation_id,
        "version": standing.version,
        "last_success": moment(standing.last_success),
        "next_due": moment(standing.next_due),
        "attempts": standing.attempts,
        "last_error": standing.error_code,
        "old_valid_until": moment(standing.old_valid_until),
    }


def policy_document(row: RotationRow) -> dict[str, object]:
    """Return a policy, and when it is due."""
    policy = row.policy
    return {
        "path": row.path,
        "type": row.secret_type.value,
        "kind": policy.kind.value,
        "interval_seconds": round(policy.interval),
        "enabled": policy.enabled,
        "overlap_seconds": policy.overlap,
        "consumers_wait_seconds": policy.consumers_wait,
        "settings": dict(policy.settings),
        "next_due": moment(row.standing.next_due),
        "last_success": moment(row.standing.last_success),
    }


def consumer_document(report: ConsumerReport) -> dict[str, object]:
    """Return a consumer that is behind."""
    return {
        "consumer": report.consumer,
        "kind": report.kind.value,
        "instance": report.instance,
        "version": report.version,
        "seen_at": moment(report.seen_at),
    }


def shown(value: object) -> str:
    """Return a cell of a table."""
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def moment(at: datetime | None) -> str | None:
    """Return a time as it is printed."""
    return None if at is None else at.isoformat(timespec="seconds")
