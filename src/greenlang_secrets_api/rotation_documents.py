"""What rotations and their schedule look like in JSON; never a value of a secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from greenlang_secrets.rotation_model import (
    ConsumerReport,
    RotationRow,
    RotationStanding,
    RotationState,
)
from greenlang_secrets_api.documents import moment

__all__ = ["PROMOTED", "consumer_document", "run_document", "schedule_document", "status_document"]

PROMOTED: Final = frozenset(
    {
        RotationState.PROMOTED,
        RotationState.OVERLAP,
        RotationState.REVOKE_STUCK,
        RotationState.OLD_REVOKED,
    }
)
"""States in which the new credential is the secret's, and there is an old one."""

_JITTER: Final = 0.05  # of the interval, more or less


def run_document(path: str, standing: RotationStanding) -> Mapping[str, object]:
    """Return one rotation: what a caller who began it is told."""
    document: dict[str, object] = {
        "rotation_id": standing.rotation_id,
        "path": path,
        # Claimed, and on the way to its first step: for whoever asked it is no longer idle.
        "state": RotationState.PENDING if _begins(standing) else standing.state,
        "base_version": standing.base_version,
    }
    if standing.version is not None:
        document["version"] = standing.version
    if standing.old_valid_until is not None:
        document["old_valid_until"] = moment(standing.old_valid_until)
    if standing.error_code is not None:
        document["last_error"] = _error(standing)
    return document


def _begins(standing: RotationStanding) -> bool:
    return standing.state is RotationState.IDLE and standing.version is None


def status_document(
    row: RotationRow,
    behind: Sequence[ConsumerReport],
    *,
    now: datetime,
    by_name: bool,
) -> Mapping[str, object]:
    """Return how one secret's rotation stands.

    Args:
        row: the secret's policy and standing.
        behind: the live consumers that use an older version than the promoted one.
        now: what overdue is counted from.
        by_name: whether the consumers are named, and not only counted.
    """
    standing = row.standing
    document: dict[str, object] = {
        "path": row.path,
        "type": row.secret_type,
        "kind": row.policy.kind,
        "state": standing.state,
        "rotation_id": standing.rotation_id,
        "trigger": standing.trigger,
        "started_at": moment(standing.started_at),
        "base_version": standing.base_version,
        "version": standing.version,
        "promoted_at": moment(standing.promoted_at),
        "last_success": moment(standing.last_success),
        "next_due": moment(standing.next_due),
        "overdue_seconds": _overdue(standing, now),
        "attempts": standing.attempts,
        "last_error": None if standing.error_code is None else _error(standing),
        "progress": dict(standing.progress),
        "old_valid_until": moment(standing.old_valid_until),
        "consumers_behind": len(behind),
    }
    if by_name:
        document["consumers"] = [consumer_document(report) for report in behind]
    return document


def consumer_document(report: ConsumerReport) -> Mapping[str, object]:
    """Return one consumer that is behind."""
    return {
        "consumer": report.consumer,
        "kind": report.kind,
        "instance": report.instance,
        "version": report.version,
        "seen_at": moment(report.seen_at),
    }


def schedule_document(row: RotationRow) -> Mapping[str, object]:
    """Return one policy, and when it is due."""
    policy, standing = row.policy, row.standing
    return {
        "path": row.path,
        "type": row.secret_type,
        "kind": policy.kind,
        "interval_seconds": round(policy.interval),
        "jitter": _JITTER,
        "enabled": policy.enabled,
        "overlap_seconds": None if policy.overlap is None else round(policy.overlap),
        "consumers_wait_seconds": round(policy.consumers_wait),
        "settings": dict(policy.settings),
        "next_due": moment(standing.next_due),
        "last_success": moment(standing.last_success),
        "updated_at": moment(row.updated_at),
        "updated_by": row.updated_by,
    }


def _error(standing: RotationStanding) -> Mapping[str, object]:
    return {"code": standing.error_code, "at": moment(standing.error_at)}


def _overdue(standing: RotationStanding, now: datetime) -> int:
    """How long it has been due; what is being done is not."""
    if standing.next_due is None or standing.state in PROMOTED:
        return 0
    return max(0, int((now - standing.next_due).total_seconds()))
