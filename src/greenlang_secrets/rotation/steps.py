"""What each step makes true; none of them knows who owns the record, or writes it.

A step gets the record and gives the changed one. It may be repeated: a step that was done by an
owner who died before he could say so finds that it is.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

from greenlang_secrets.errors import (
    CatalogueUnavailable,
    RotationFailed,
    SecretNotFound,
    SecretUnavailable,
    VaultRefused,
    VersionConflict,
)
from greenlang_secrets.paths import KvPath
from greenlang_secrets.rotation.desk import Desk
from greenlang_secrets.rotation.handler import NotYet, Prepared, Rotation, RotationHandler
from greenlang_secrets.rotation.observing import StepName
from greenlang_secrets.rotation.policy import due_at, overlap_of
from greenlang_secrets.rotation.record import Record
from greenlang_secrets.rotation_model import RotationState, RotationTrigger
from greenlang_secrets.sensitive import SecretMap

__all__ = ["STEP_OF", "Conflicted", "Progress", "Steps"]

_log: Final = logging.getLogger("greenlang_secrets")

Progress = Callable[[Mapping[str, int], Mapping[str, str]], Awaitable[None]]

STEP_OF: Final[Mapping[RotationState, StepName]] = {
    RotationState.IDLE: "prepare",
    RotationState.PENDING: "apply",
    RotationState.APPLIED: "verify",
    RotationState.TESTED: "promote",
    RotationState.PROMOTED: "overlap",
    RotationState.OVERLAP: "retire",
    RotationState.OLD_REVOKED: "finish",
}
"""What comes next in each phase."""


class Conflicted(Exception):  # says what is so; the rotation ends with it
    """Somebody else has written the secret since the rotation began."""


class Steps:
    """The steps of one operation, in one owner's hands.

    `latest` gives the record, which `progress` changes while a long step is under way.
    """

    def __init__(
        self,
        desk: Desk,
        handler: RotationHandler,
        *,
        latest: Callable[[], Record],
        progress: Progress,
    ) -> None:
        self._desk = desk
        self._handler = handler
        self._latest = latest
        self._progress = progress
        self._versions: dict[int, SecretMap | None] = {}

    async def take(self, step: StepName) -> Record:
        """Do one step, and return the record as it is to be written.

        Raises:
            NotYet: it has to wait.
            Conflicted: see there.
            SecretsError: it failed.
        """
        record = self._latest()
        match step:
            case "prepare":
                return await self._prepare(record)
            case "apply":
                prepared = await self._handler.apply(await self._rotation(record))
                return _advanced(self._with(prepared), RotationState.APPLIED)
            case "verify":
                await self._handler.verify(await self._rotation(record))
                return _advanced(self._latest(), RotationState.TESTED)
            case "promote":
                return await self._promote(record)
            case "overlap":
                return await self._overlap(record)
            case "retire":
                prepared = await self._handler.retire(await self._rotation(record))
                return _advanced(self._with(prepared), RotationState.OLD_REVOKED)
            case _:
                return await self._finish(record)

    async def _prepare(self, record: Record) -> Record:
        await self._desk.records.keep_two(record)
        prepared = await self._handler.prepare(await self._rotation(record))
        return _advanced(self._with(prepared), RotationState.PENDING)

    async def _promote(self, record: Record) -> Record:
        promoted_at = self._desk.clock()
        # Where somebody else writes the new version, the handler notes which one it is.
        version = int(record.notes.get("version") or record.standing.base_version or 0)
        if self._handler.promotes:
            if record.candidate is None:
                raise RotationFailed("incomplete", path=record.path)
            version = await self._written(record, record.candidate)
            promoted_at = self._desk.clock()
        return _advanced(
            replace(record, last_promoted_at=promoted_at),
            RotationState.PROMOTED,
            version=version,
            promoted_at=promoted_at,
        )

    async def _written(self, record: Record, candidate: SecretMap) -> int:
        """Make the candidate the secret's next version, or find that it is."""
        kv, place = self._desk.service.client.kv(record.scope), self._place(record)
        base = record.standing.base_version or 0
        if (version := await self._current(record, candidate, base)) is None:
            self._check_gap(record)
            try:
                version = (await kv.write(place, candidate.reveal(), cas=base)).version
            except VersionConflict:
                # With another's write, or with that of an owner before us which has just arrived.
                version = await self._current(record, candidate, base)
            if version is None:
                raise Conflicted
        followers = self._desk.service.followers
        followers.changed(record.scope.key, str(record.path))
        await followers.caught_up(record.scope.key, str(record.path))
        return version

    async def _current(self, record: Record, candidate: SecretMap, base: int) -> int | None:
        """Return the promoted version if it is the current one, None if nothing was written yet."""
        kv = self._desk.service.client.kv(record.scope)
        try:
            secret = await kv.read(self._place(record), consistent=True)
        except SecretUnavailable:
            raise Conflicted from None
        if secret.version == base:
            return None
        if secret.version == base + 1 and secret.data == candidate:
            return secret.version
        raise Conflicted

    def _check_gap(self, record: Record) -> None:
        """Wait until nobody can still use the value before the one that is current now."""
        if record.last_promoted_at is None or record.standing.trigger is RotationTrigger.FORCED:
            return
        until = record.last_promoted_at + timedelta(seconds=self._desk.gap)
        if until > self._desk.clock():
            raise NotYet(until)

    async def _overlap(self, record: Record) -> Record:
        standing, policy = record.standing, record.policy
        promoted_at = standing.promoted_at or self._desk.clock()
        digest = self._desk.records.digest(record.scope, record.path)
        next_due = due_at(promoted_at, policy.interval, digest) if policy.enabled else None
        kv = self._desk.service.client.kv(record.scope)
        try:
            await kv.patch_metadata(
                self._place(record),
                custom_metadata={
                    "gls_rotated_at": promoted_at.isoformat(),
                    "gls_next_due": None if next_due is None else next_due.isoformat(),
                    "gls_op": standing.rotation_id,
                },
            )
        except (SecretNotFound, VaultRefused) as error:
            # It was removed since, or has 64 keys of its own: they are a courtesy to readers.
            _log.warning(
                "rotation.undescribed", extra={"code": error.code, "path": str(record.path)}
            )
        old_valid_until = promoted_at + timedelta(seconds=overlap_of(policy, self._desk.gap))
        return _advanced(
            replace(record, candidate=None, owner=None, lease_until=None),
            RotationState.OVERLAP,
            old_valid_until=old_valid_until,
            next_due=next_due,
            wake_at=old_valid_until,
        )

    async def _finish(self, record: Record) -> Record:
        policy, standing = record.policy, record.standing
        with suppress(CatalogueUnavailable):  # the policy may be another one by now
            row = await self._desk.catalogue.rotations.find(record.scope, str(record.path))
            policy = policy if row is None else row.policy
        digest = self._desk.records.digest(record.scope, record.path)
        since = standing.promoted_at or self._desk.clock()
        next_due = due_at(since, policy.interval, digest) if policy.enabled else None
        forced = record.following is not None
        return _advanced(
            replace(
                record,
                open=False,
                retire_now=False,
                notes={},
                owner=record.owner if forced else None,
                lease_until=record.lease_until if forced else None,
            ),
            RotationState.IDLE,
            last_success=self._desk.clock(),
            old_valid_until=None,
            next_due=next_due,
            wake_at=standing.wake_at if forced else next_due,
        )

    async def _rotation(self, record: Record) -> Rotation:
        standing = record.standing
        candidate = record.candidate
        if standing.phase is RotationState.OVERLAP and self._handler.promotes:
            candidate = await self._data(record, standing.version)
        return Rotation(
            id=standing.rotation_id or "",
            fence=standing.fence,
            scope=record.scope,
            path=record.path,
            settings=record.policy.settings,
            base_version=standing.base_version or 0,
            current=await self._data(record, standing.base_version),
            candidate=candidate,
            notes=record.notes,
            promotion_gap=self._desk.gap,
            progress=self._progress,
        )

    async def _data(self, record: Record, version: int | None) -> SecretMap | None:
        """What that version holds; None if it is gone. It does not change, so it is read once."""
        if version is None:
            return None
        if version not in self._versions:
            kv = self._desk.service.client.kv(record.scope)
            try:
                secret = await kv.read(self._place(record), version=version, consistent=True)
            except SecretUnavailable:
                return None
            self._versions[version] = secret.data
        return self._versions[version]

    def _with(self, prepared: Prepared) -> Record:
        record = self._latest()
        standing = record.standing
        if prepared.not_after is not None:
            standing = replace(standing, not_after=prepared.not_after)
        return replace(
            record,
            standing=standing,
            candidate=record.candidate if prepared.candidate is None else prepared.candidate,
            notes={**record.notes, **prepared.notes},
        )

    def _place(self, record: Record) -> KvPath:
        return KvPath.of(self._desk.service.config.kv_mount, record.scope, record.path)


def _advanced(record: Record, state: RotationState, **changes: object) -> Record:
    standing = replace(
        record.standing,
        state=state,
        phase=state,
        attempts=0,
        error_code=None,
        error_at=None,
        **changes,  # type: ignore[arg-type]  # names of its own fields
    )
    return replace(record, standing=standing)
