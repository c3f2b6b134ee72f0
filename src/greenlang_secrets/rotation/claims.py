"""Who may take a rotation up, and what the record says once somebody has: decided purely."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from greenlang_secrets.errors import OverlapInProgress, RotationInProgress
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import Scope, SecretPath
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.record import Next, Record
from greenlang_secrets.rotation_model import (
    RotationPolicy,
    RotationStanding,
    RotationState,
    RotationTrigger,
)

__all__ = ["Ask", "Verdict", "after_force", "begun", "leased", "taken_over", "verdict"]

_AFTER_PROMOTION: Final = frozenset({RotationState.OVERLAP, RotationState.OLD_REVOKED})

Verdict = Literal["begin", "go on", "retire first"]
"""What asking for a rotation comes to: a new operation; the one that was begun, and waits or lost
its owner; or the end of that one, and a new one after it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A new operation, as it is asked for.

    Attributes:
        id: 32 hexadecimal digits.
        base_version: the secret's current version.
        next_due: when the schedule has it due; None for what the record before says. A first
            operation has no record before, and is overdue by this alone while it fails.
        principal: who asks; None for the schedule.
    """

    id: str
    scope: Scope
    path: SecretPath
    policy: RotationPolicy
    secret_type: SecretType
    base_version: int
    trigger: RotationTrigger
    next_due: datetime | None = None
    principal: str | None = None
    reason: str | None = None


def verdict(
    record: Record | None, *, force: bool, now: datetime, gap: float, skew: float
) -> Verdict:
    """Return what asking for a rotation comes to.

    Raises:
        RotationInProgress: somebody works on it.
        OverlapInProgress: consumers may still use the credential before; `force` cuts them off.
    """
    if record is None:
        return "begin"
    standing = record.standing
    if record.held(now, skew=skew):
        raise RotationInProgress(path=record.path, rotation_id=standing.rotation_id)
    if record.open and standing.phase not in _AFTER_PROMOTION:
        return "go on"
    if record.open:
        if not force:
            raise _overlap(record, standing.old_valid_until)
        return "retire first"
    promoted_at = record.last_promoted_at
    if not force and promoted_at is not None and promoted_at + timedelta(seconds=gap) > now:
        raise _overlap(record, promoted_at + timedelta(seconds=gap))
    return "begin"


def _overlap(record: Record, until: datetime | None) -> OverlapInProgress:
    return OverlapInProgress(path=record.path, until=None if until is None else until.isoformat())


def begun(
    before: Record | None, ask: Ask, *, owner: str, now: datetime, config: RotationConfig
) -> Record:
    """Return the record of a new operation, owned."""
    known = RotationStanding() if before is None else before.standing
    record = Record(
        scope=ask.scope,
        path=ask.path,
        policy=ask.policy,
        secret_type=ask.secret_type,
        standing=RotationStanding(
            rotation_id=ask.id,
            fence=known.fence,
            trigger=ask.trigger,
            started_at=now,
            base_version=ask.base_version,
            last_success=known.last_success,
            next_due=ask.next_due or known.next_due,
            not_after=known.not_after,
        ),
        open=True,
        principal=ask.principal,
        reason=ask.reason,
        last_promoted_at=None if before is None else before.last_promoted_at,
        revision=0 if before is None else before.revision,
    )
    return taken_over(record, owner=owner, now=now, config=config)


def taken_over(record: Record, *, owner: str, now: datetime, config: RotationConfig) -> Record:
    """Return the record of the same operation with a new owner and a greater fence; a side state
    goes back to the phase that it interrupted.
    """
    standing = record.standing
    standing = replace(standing, state=standing.phase, fence=standing.fence + 1)
    return leased(replace(record, owner=owner, standing=standing), now=now, config=config)


def leased(record: Record, *, now: datetime, config: RotationConfig) -> Record:
    """Return the record with a lease from now on; after it somebody has to look."""
    until = now + timedelta(seconds=config.lease_for)
    standing = replace(record.standing, wake_at=until + timedelta(seconds=config.skew))
    return replace(record, lease_until=until, standing=standing)


def after_force(record: Record, following: Next) -> Record:
    """Return the record of an operation that ends at once, with what begins after it."""
    return replace(record, retire_now=True, following=following)
