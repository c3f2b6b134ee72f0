"""One operation in one owner's hands: step after step, until it waits, fails, ends or is lost.

Nothing is done on the strength of what is remembered here: after each step the record is changed
by CAS, and a change that does not take means that another owns it now. Then this one stops.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import anyio

from greenlang_secrets.background import reported
from greenlang_secrets.errors import (
    OutcomeUnknown,
    RotationFailed,
    RotationLost,
    SecretsError,
    SecretUnavailable,
)
from greenlang_secrets.paths import KvPath
from greenlang_secrets.rotation.claims import Ask, begun, leased
from greenlang_secrets.rotation.desk import Desk
from greenlang_secrets.rotation.handler import NotYet
from greenlang_secrets.rotation.observing import Step, StepName, StepWhen
from greenlang_secrets.rotation.policy import AFTER_CONFLICT, backoff
from greenlang_secrets.rotation.record import Record
from greenlang_secrets.rotation.steps import STEP_OF, Conflicted, Steps
from greenlang_secrets.rotation_model import RotationOutcome, RotationState, RotationTrigger

__all__ = ["Operation"]

_UNKNOWN: Final = 3
"""Times that a step whose outcome is unknown is taken again at once, before it counts as failed."""

_PUT_OFF: Final = 15.0
"""Seconds after which a step that `on_step` forbade is tried again."""

_log: Final = logging.getLogger("greenlang_secrets")


@dataclass(frozen=True, slots=True)
class _Failed:
    code: str
    error: SecretsError | None = None


_Undone = NotYet | Conflicted | RotationLost | OutcomeUnknown | _Failed
_End = Record | _Undone
"""What came of a step; a `Record` is the one to be written."""


class Operation:
    """A claimed record that is worked on.

    Attributes:
        record: as last written.
        error: why the last attempt failed; None since the last step that succeeded.
        changed: is set, and replaced, whenever one of the two changes.
        over: whether nobody works on it here any more.
    """

    def __init__(self, desk: Desk, record: Record) -> None:
        self.record = record
        self.error: SecretsError | None = None
        self.changed = anyio.Event()
        self.over = False
        self._desk = desk
        self._stopping = False
        self._unknown = 0
        self._deadline: asyncio.Timeout | None = None
        self._lease_ends = time.monotonic() + desk.config.lease_for
        handler = desk.handlers.of(record.policy.kind, path=record.path)
        self._steps = Steps(desk, handler, latest=lambda: self.record, progress=self._progress)

    def stop(self) -> None:
        """Have it end after the step under way, with its lease released: others go on at once."""
        self._stopping = True

    async def drive(self) -> None:
        """Work on it until it waits, fails, ends or is lost. One that is cancelled leaves a lease
        that ends by itself.
        """
        try:
            while await self._go_on():
                pass
        except SecretsError as error:  # lost, or Vault refuses the record: the lease ends by itself
            _log.warning(
                "rotation.stopped", extra={"code": error.code, "path": str(self.record.path)}
            )
        finally:
            self.over = True
            self._announce()

    async def _go_on(self) -> bool:
        """Do the next thing, and return whether there is another after it."""
        record = self.record
        if self._stopping:
            await self._let_go(self._desk.clock())
            return False
        if not record.open:
            return await self._begin_following()
        step = STEP_OF[record.standing.phase]
        if (veto := await self.tell(step, "before")) is not None:
            await self._put_off(step, veto)
            return False
        began = time.monotonic()
        if began >= self._lease_ends:  # we were stopped, or the hook took its time
            raise RotationLost(path=record.path)
        end = await reported(self._take(step), name=f"rotation {step}") or _Failed("internal")
        seconds = time.monotonic() - began
        if isinstance(end, OutcomeUnknown) and self._unknown < _UNKNOWN:
            self._unknown += 1  # it makes something true: taking it again finds out
            return True
        self._unknown = 0
        if isinstance(end, Record):
            return await self._done(step, end, seconds)
        await self._undone(step, end, seconds)
        return False

    async def _undone(self, step: StepName, end: _Undone, seconds: float) -> None:
        match end:
            case NotYet():
                await self._wait(end)
                await self.tell(step, "waiting", seconds=seconds)
            case Conflicted():
                await self._conflict(step, seconds)
            case RotationLost():
                raise end
            case OutcomeUnknown():
                await self._fail(step, _Failed(end.code, end), seconds)
            case _Failed():
                await self._fail(step, end, seconds)

    async def _take(self, step: StepName) -> _End:
        try:
            async with asyncio.timeout(self._desk.config.step_within) as self._deadline:
                return await self._steps.take(step)
        except (NotYet, Conflicted, RotationLost, OutcomeUnknown) as end:
            return end
        except RotationFailed as error:
            return _Failed(error.reason, error)
        except SecretsError as error:
            return _Failed(error.code, error)
        except TimeoutError:
            late = RotationFailed("target_unavailable", path=self.record.path)
            return _Failed(late.reason, late)
        finally:
            self._deadline = None

    async def _progress(self, numbers: Mapping[str, int], notes: Mapping[str, str]) -> None:
        """Keep what a long step tells, our claim, and the time it has."""
        record = self.record
        standing = replace(record.standing, progress={**record.standing.progress, **numbers})
        await self._save(replace(record, standing=standing, notes={**record.notes, **notes}))
        if self._deadline is not None:
            now = asyncio.get_running_loop().time()
            self._deadline.reschedule(now + self._desk.config.step_within)

    # ------------------------------------------------------------ what comes of a step

    async def _done(self, step: StepName, record: Record, seconds: float) -> bool:
        await self._save(record)
        if step == "finish":
            self._desk.count(self.record.secret_type, RotationOutcome.SUCCESS)
        await self.tell(step, "after", seconds=seconds)
        return self.record.owner is not None

    async def _wait(self, wait: NotYet) -> None:
        """Nobody owns what waits; it is looked at when its time has come."""
        state = RotationState.AWAITING_OPERATOR if wait.operator else self.record.standing.phase
        standing = replace(self.record.standing, state=state)
        self.record = replace(self.record, standing=standing)
        until = wait.until
        if until is None and not wait.operator:
            until = self._desk.clock() + timedelta(seconds=self._desk.config.first_backoff)
        await self._let_go(until)

    async def _put_off(self, step: StepName, veto: SecretsError) -> None:
        """Leave a step that `on_step` forbids: what cannot be recorded, say, is not done."""
        _log.warning(
            "rotation.put_off",
            extra={"code": veto.code, "step": step, "path": str(self.record.path)},
        )
        await self._let_go(self._desk.clock() + timedelta(seconds=_PUT_OFF))
        self.error = veto

    async def _fail(self, step: StepName, failed: _Failed, seconds: float) -> None:
        record, now = self.record, self._desk.clock()
        stuck = record.standing.phase is RotationState.OVERLAP
        attempts = record.standing.attempts + 1
        jitter = random.random()  # noqa: S311  # spreads retries, hides nothing
        wait = backoff(attempts, jitter, self._desk.config)
        standing = replace(
            record.standing,
            state=RotationState.REVOKE_STUCK if stuck else RotationState.FAILED,
            attempts=attempts,
            error_code=failed.code,
            error_at=now,
        )
        _log.warning(
            "rotation.failed",
            extra={"code": failed.code, "step": step, "path": str(record.path)},
        )
        self.error = failed.error
        self.record = replace(record, standing=standing)
        await self._let_go(now + timedelta(seconds=wait))
        self._desk.count(record.secret_type, RotationOutcome.FAILURE)
        await self.tell(step, "failed", error_code=failed.code, seconds=seconds)

    async def _conflict(self, step: StepName, seconds: float) -> None:
        record, now = self.record, self._desk.clock()
        standing = replace(
            record.standing,
            state=RotationState.CONFLICT,
            phase=RotationState.IDLE,
            error_code="conflict",
            error_at=now,
        )
        self.record = replace(record, open=False, candidate=None, notes={}, standing=standing)
        await self._let_go(now + timedelta(seconds=AFTER_CONFLICT))
        self._desk.count(record.secret_type, RotationOutcome.CONFLICT)
        await self.tell(step, "failed", error_code="conflict", seconds=seconds)

    async def _let_go(self, wake_at: datetime | None) -> None:
        standing = replace(self.record.standing, wake_at=wake_at)
        await self._save(replace(self.record, owner=None, lease_until=None, standing=standing))

    async def _begin_following(self) -> bool:
        """Begin what was forced while the operation before was in its overlap."""
        following = self.record.following
        if following is None:
            return False
        record = self.record
        place = KvPath.of(self._desk.service.config.kv_mount, record.scope, record.path)
        try:
            secret = await self._desk.service.client.kv(record.scope).read(place, consistent=True)
        except SecretUnavailable:  # nothing is left that could be rotated
            self.record = replace(record, following=None)
            await self._let_go(record.standing.next_due)
            return False
        ask = Ask(
            id=following.id,
            scope=record.scope,
            path=record.path,
            policy=record.policy,
            secret_type=secret.type,
            base_version=secret.version,
            trigger=RotationTrigger.FORCED,
            principal=following.principal,
            reason=following.reason,
        )
        desk = self._desk
        await self._save(begun(record, ask, owner=desk.owner, now=desk.clock(), config=desk.config))
        await desk.begun(self.record)
        return True

    # ------------------------------------------------------------ the record

    async def _save(self, record: Record) -> None:
        desk = self._desk
        if record.owner is not None:
            record = leased(record, now=desk.clock(), config=desk.config)
        written_from = time.monotonic()
        self.record = await desk.records.save(record, within=self._lease_ends - written_from)
        self._lease_ends = written_from + desk.config.lease_for
        if not self.record.standing.attempts:
            self.error = None
        self._announce()
        if not self.record.open:  # before the mirror, after which nobody would look here again
            await desk.closed(self.record)
        await desk.mirror(self.record)

    def _announce(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    async def tell(
        self,
        step: StepName,
        when: StepWhen,
        *,
        error_code: str | None = None,
        seconds: float | None = None,
    ) -> SecretsError | None:
        """Tell whoever follows each step, and return the error by which he forbids it."""
        record = self.record
        return await self._desk.tell(
            Step(
                scope=record.scope,
                path=str(record.path),
                kind=record.policy.kind,
                secret_type=record.secret_type,
                rotation_id=record.standing.rotation_id or "",
                fence=record.standing.fence,
                step=step,
                when=when,
                state=record.standing.state,
                error_code=error_code,
                seconds=seconds,
                started_at=record.standing.started_at,
            )
        )
