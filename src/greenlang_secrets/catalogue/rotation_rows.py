"""Rows of the rotation's tables, from and to what they mean."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, Final

from sqlalchemy.engine import Row

from greenlang_secrets.catalogue.tables import scope_of, storable
from greenlang_secrets.model import SecretType
from greenlang_secrets.rotation_model import (
    ClockRow,
    ConsumerKind,
    ConsumerReport,
    RotationKind,
    RotationOutcome,
    RotationPolicy,
    RotationRow,
    RotationRunRow,
    RotationStanding,
    RotationState,
    RotationTrigger,
)

__all__ = [
    "clock_columns",
    "clock_of",
    "policy_columns",
    "report_of",
    "row_of",
    "run_columns",
    "run_of",
    "standing_columns",
]

_STANDING: Final = tuple(field.name for field in fields(RotationStanding))
_PLAIN: Final = tuple(
    name for name in _STANDING if name not in {"state", "phase", "trigger", "progress"}
)


def policy_columns(policy: RotationPolicy) -> dict[str, Any]:
    """Return the columns of a policy; its settings are texts that say where, and never a value."""
    return {
        "kind": policy.kind.value,
        "interval": policy.interval,
        "enabled": policy.enabled,
        "overlap": policy.overlap,
        "consumers_wait": policy.consumers_wait,
        "settings": json.dumps(dict(policy.settings), sort_keys=True),
    }


def standing_columns(standing: RotationStanding) -> dict[str, Any]:
    """Return the columns of a standing."""
    return {
        **{name: getattr(standing, name) for name in _PLAIN},
        "state": standing.state.value,
        "phase": standing.phase.value,
        "trigger": None if standing.trigger is None else standing.trigger.value,
        "progress": json.dumps(dict(standing.progress), sort_keys=True),
    }


def clock_columns(standing: RotationStanding) -> dict[str, Any]:
    """Return what of a standing is in `rotation_clock`."""
    names = ("wake_at", "next_due", "last_success", "not_after")
    return {**{name: getattr(standing, name) for name in names}, "state": standing.state.value}


def row_of(row: Row[Any]) -> RotationRow:
    """Return a policy with its standing."""
    return RotationRow(
        scope=scope_of(row.tenant_id),
        path=row.path,
        secret_type=SecretType(row.secret_type),
        policy=RotationPolicy(
            kind=RotationKind(row.kind),
            # SQLite returns what it was given, before it becomes the column's type.
            interval=float(row.interval),
            enabled=row.enabled,
            overlap=None if row.overlap is None else float(row.overlap),
            consumers_wait=float(row.consumers_wait),
            settings=json.loads(row.settings),
        ),
        standing=RotationStanding(
            **{name: getattr(row, name) for name in _PLAIN},
            state=RotationState(row.state),
            phase=RotationState(row.phase),
            trigger=None if row.trigger is None else RotationTrigger(row.trigger),
            progress=json.loads(row.progress),
        ),
        created_at=row.created_at,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )


def clock_of(row: Row[Any]) -> ClockRow:
    """Return what gauges want to know."""
    return ClockRow(
        secret_type=SecretType(row.secret_type),
        state=RotationState(row.state),
        next_due=row.next_due,
        last_success=row.last_success,
        not_after=row.not_after,
    )


def run_columns(run: RotationRunRow) -> dict[str, Any]:
    """Return the columns of one rotation in the history, apart from whose it is."""
    return {
        "rotation_id": run.rotation_id,
        "path": run.path,
        "kind": run.kind.value,
        "secret_type": run.secret_type.value,
        "trigger": run.trigger.value,
        "principal": None if run.principal is None else storable(run.principal),
        "reason": None if run.reason is None else storable(run.reason),
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "outcome": None if run.outcome is None else run.outcome.value,
        "base_version": run.base_version,
        "version": run.version,
        "error_code": run.error_code,
    }


def run_of(row: Row[Any]) -> RotationRunRow:
    """Return one rotation of the history."""
    return RotationRunRow(
        rotation_id=row.rotation_id,
        scope=scope_of(row.tenant_id),
        path=row.path,
        kind=RotationKind(row.kind),
        secret_type=SecretType(row.secret_type),
        trigger=RotationTrigger(row.trigger),
        principal=row.principal,
        reason=row.reason,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=None if row.outcome is None else RotationOutcome(row.outcome),
        base_version=row.base_version,
        version=row.version,
        error_code=row.error_code,
    )


def report_of(row: Row[Any]) -> ConsumerReport:
    """Return what a consumer last said."""
    return ConsumerReport(
        scope=scope_of(row.tenant_id),
        path=row.path,
        consumer=row.consumer,
        kind=ConsumerKind(row.kind),
        principal=row.principal,
        instance=row.instance,
        version=row.version,
        lives_for=row.lives_for,
        seen_at=row.seen_at,
    )
