"""What is to be done for a secret that the catalogue says is due: nothing, go on, or begin."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from greenlang_secrets.errors import RotationLost, SecretUnavailable
from greenlang_secrets.paths import KvPath, Scope, SecretPath
from greenlang_secrets.rotation.claims import Ask, begun, taken_over
from greenlang_secrets.rotation.desk import Desk, new_id
from greenlang_secrets.rotation.policy import due_at, missed
from greenlang_secrets.rotation.record import Record
from greenlang_secrets.rotation_model import (
    RotationOutcome,
    RotationRow,
    RotationStanding,
    RotationState,
    RotationTrigger,
)

__all__ = ["Looking", "Take"]

_CONSUMERS: Final = 15.0
"""Seconds between two looks at whether the last consumer has moved."""

Take = Callable[[Record | None, Record], Awaitable[None]]
"""Claims a record that is as the first says, or is not there, as the second; works on it, and
returns when it waits again.
"""

_log: Final = logging.getLogger("greenlang_secrets")


class Looking:
    """Decides for one secret at a time; `take` does it."""

    def __init__(self, desk: Desk, take: Take) -> None:
        self._desk = desk
        self._take = take

    async def look(self, scope: Scope, digest: str) -> None:
        """Do what is due for this secret.

        Raises:
            CatalogueUnavailable, VaultError: it cannot be looked at now.
            NotRotatable: no handler here rotates its kind.
        """
        row = await self._desk.catalogue.rotations.by_digest(scope, digest)
        if row is None:  # removed since
            return
        self._desk.handlers.of(row.policy.kind, path=row.path)
        path = SecretPath.parse(row.path)
        record = await self._desk.records.read(scope, path)
        try:
            if record is not None and (record.open or record.following is not None):
                await self._go_on(record, digest)
            else:
                await self._begin(row, path, record, digest)
        except RotationLost:  # another process was faster, and mirrors what it does
            _log.debug("rotation.claimed_by_another", extra={"path": row.path})

    async def _go_on(self, record: Record, digest: str) -> None:
        """Take over what waited, or whose owner is dead."""
        desk, now = self._desk, self._desk.clock()
        wake_at = record.standing.wake_at
        waits = wake_at is None or wake_at > now
        if record.held(now, skew=desk.config.skew) or (record.owner is None and waits):
            await desk.mirror(record)  # the catalogue lags behind
            return
        if (until := await self._consumers(record, now)) is not None:
            await desk.catalogue.rotations.wake(digest, until)
            return
        await self._take(record, taken_over(record, owner=desk.owner, now=now, config=desk.config))

    async def _consumers(self, record: Record, now: datetime) -> datetime | None:
        """Return when to look again, if a live consumer still uses the credential before."""
        standing = record.standing
        if standing.phase is not RotationState.OVERLAP or record.retire_now:
            return None
        if standing.old_valid_until is None or standing.version is None:
            return None
        end = standing.old_valid_until + timedelta(seconds=record.policy.consumers_wait)
        if now >= end:
            return None
        behind = await self._desk.catalogue.rotations.behind(
            record.scope, str(record.path), version=standing.version
        )
        return min(end, now + timedelta(seconds=_CONSUMERS)) if behind else None

    async def _begin(
        self, row: RotationRow, path: SecretPath, record: Record | None, digest: str
    ) -> None:
        desk, now = self._desk, self._desk.clock()
        if record is not None and _differ(row.standing, record.standing):
            # Whoever ended it died before the catalogue knew.
            await desk.closed(record)
            await desk.mirror(record)
            return
        due = row.standing.next_due
        conflict = record is not None and record.standing.state is RotationState.CONFLICT
        if conflict and record is not None:
            due = record.standing.wake_at
        if not row.policy.enabled:
            await self._not_before(row, digest, None)
            return
        if due is None:
            due = due_at(row.created_at, row.policy.interval, digest)
        if due > now:
            await self._not_before(row, digest, due)
            return
        if record is not None and record.last_promoted_at is not None:
            safe = record.last_promoted_at + timedelta(seconds=desk.gap)
            if safe > now:
                await self._not_before(row, digest, safe)
                self._skipped(row, 1)
                return
        place = KvPath.of(desk.service.config.kv_mount, row.scope, path)
        try:
            secret = await desk.service.client.kv(row.scope).read(place, consistent=True)
        except SecretUnavailable as error:  # there is nothing to rotate, until somebody writes it
            _log.warning("rotation.skipped", extra={"code": error.code, "path": row.path})
            await self._not_before(row, digest, due_at(now, row.policy.interval, digest))
            self._skipped(row, 1)
            return
        self._skipped(row, 0 if conflict else missed(due, row.policy.interval, now))
        ask = Ask(
            id=new_id(),
            scope=row.scope,
            path=path,
            policy=row.policy,
            secret_type=secret.type,
            base_version=secret.version,
            trigger=RotationTrigger.SCHEDULE,
            next_due=row.standing.next_due,
        )
        await self._take(record, begun(record, ask, owner=desk.owner, now=now, config=desk.config))

    async def _not_before(self, row: RotationRow, digest: str, at: datetime | None) -> None:
        standing = replace(row.standing, wake_at=at, next_due=at)
        await self._desk.catalogue.rotations.note(row.scope, row.path, digest, standing)

    def _skipped(self, row: RotationRow, times: int) -> None:
        if times:
            self._desk.count(row.secret_type, RotationOutcome.SKIPPED, times)


def _differ(mirrored: RotationStanding, recorded: RotationStanding) -> bool:
    """Whether the catalogue shows an earlier moment than the record."""
    return recorded.fence >= mirrored.fence and (
        mirrored.rotation_id,
        mirrored.state,
        mirrored.fence,
    ) != (recorded.rotation_id, recorded.state, recorded.fence)
