"""A rotation that was begun, as who asked for it sees it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final, get_args

import anyio

from greenlang_secrets.errors import (
    RotationFailed,
    RotationFailure,
    SecretsError,
    VaultError,
    VersionConflict,
)
from greenlang_secrets.paths import Scope
from greenlang_secrets.rotation.record import Record, Records
from greenlang_secrets.rotation.run import Operation
from greenlang_secrets.rotation_model import RotationStanding, RotationState

__all__ = ["RotationRun"]

_LOOK: Final = 0.5
"""Seconds between two looks at the record, once another process works on it."""

_FLOW: Final = (
    RotationState.IDLE,
    RotationState.PENDING,
    RotationState.APPLIED,
    RotationState.TESTED,
    RotationState.PROMOTED,
    RotationState.OVERLAP,
    RotationState.OLD_REVOKED,
)

_PROMOTED: Final = frozenset(
    {RotationState.PROMOTED, RotationState.OVERLAP, RotationState.OLD_REVOKED}
)


class RotationRun:
    """One operation. It goes on whether or not anybody waits for it, and in another process if this
    one ends.

    Attributes:
        id: 32 hexadecimal digits.
        scope, path: which secret.
        base_version: the version that it replaces; 0 while that is not known yet, because the
            operation before must end first.
    """

    def __init__(
        self, operation: Operation, records: Records, *, rotation_id: str, path: str
    ) -> None:
        self.id = rotation_id
        self.scope: Scope = operation.record.scope
        self.path = path
        ours = operation.record.standing.rotation_id == rotation_id
        self.base_version = (operation.record.standing.base_version or 0) if ours else 0
        self._operation = operation
        self._records = records
        self._last = operation.record

    @property
    def state(self) -> RotationState:
        """Where it stands, as last seen here."""
        return self._standing(self._operation.record).state

    async def until(self, *states: RotationState, within: float) -> RotationStanding:
        """Return how it stands once one of these states is reached or passed, or the operation is
        over, and after `within` seconds in any case. `IDLE` stands for its end.
        """
        until = time.monotonic() + within
        while True:
            changed = self._operation.changed
            record = await self._look()
            left = until - time.monotonic()
            if self._reached(record, states) or left <= 0:
                return self._standing(record)
            with anyio.move_on_after(min(left, _LOOK)):
                await changed.wait()

    async def promoted(self, *, within: float) -> RotationStanding:
        """Return how it stands once the new credential is the secret's current version, and after
        `within` seconds in any case.

        Raises:
            SecretsError: an attempt failed, mostly `RotationFailed`; it is tried again later.
            VersionConflict: somebody else has written the secret since it began.
        """
        standing = await self.until(
            RotationState.PROMOTED,
            RotationState.FAILED,
            RotationState.CONFLICT,
            RotationState.AWAITING_OPERATOR,
            within=within,
        )
        if standing.state is RotationState.CONFLICT:
            raise VersionConflict(path=self.path)
        if standing.state is RotationState.FAILED and standing.phase not in _PROMOTED:
            raise self._failure(standing)
        return standing

    def _failure(self, standing: RotationStanding) -> SecretsError:
        if self._operation.error is not None:
            return self._operation.error.again()
        for reason in get_args(RotationFailure):
            if reason == standing.error_code:
                return RotationFailed(reason, path=self.path)
        return SecretsError(path=self.path)

    async def _look(self) -> Record:
        operation = self._operation
        if not operation.over:
            self._last = operation.record
            return self._last
        with suppress(VaultError):  # then what is known must do
            found = await self._records.read(self.scope, operation.record.path)
            self._last = found or self._last
        return self._last

    def _is_ours(self, record: Record) -> bool:
        return record.standing.rotation_id == self.id

    def _is_ahead(self, record: Record) -> bool:
        return record.following is not None and record.following.id == self.id

    def _standing(self, record: Record) -> RotationStanding:
        """Ours, as far as the record is about us: it may be about the one that has to end first."""
        if self._is_ahead(record):
            return RotationStanding(rotation_id=self.id, fence=record.standing.fence)
        return record.standing

    def _reached(self, record: Record, states: tuple[RotationState, ...]) -> bool:
        if self._is_ahead(record):
            return False
        if not self._is_ours(record) or not record.open:
            return True
        standing = record.standing
        if standing.state is not RotationState.IDLE and standing.state in states:
            return True
        here = _FLOW.index(standing.phase)
        wanted = [_FLOW.index(s) for s in states if s in _FLOW and s is not RotationState.IDLE]
        return any(here >= each for each in wanted)
