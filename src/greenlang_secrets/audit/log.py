"""`AuditLog`: events become durable records, in groups, before anybody is told.

One thread of its own writes; the loop hands over, what one turn brings at its end, and waits. A
batch is what was handed over while the one before was being synced, so nothing waits for a timer:
alone, a record costs one append and one `fdatasync`, and under load a hundred records share them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from greenlang_secrets.audit.event import AuditEvent, AuditPhase, AuditResult
from greenlang_secrets.audit.log_file import TORN_RECORD_REMOVED, LogFile
from greenlang_secrets.audit.private_file import SETTING
from greenlang_secrets.audit.records import ChainKey, members_of, sealed
from greenlang_secrets.errors import AuditUnavailable, ConfigurationError
from greenlang_secrets.sensitive import SecretValue

__all__ = ["WRITE_WITHIN", "AuditLog", "AuditStats"]

WRITE_WITHIN: Final = 0.5
"""Seconds that `write` takes at most; a disk that is slower than this is one that fails."""

CLOSE_WITHIN: Final = 5.0
"""Seconds that closing waits for a disk that hangs; the thread is a daemon and ends with us."""

MOST_IN_BATCH: Final = 100
"""Records of one batch, unless one call hands over more: 0.5 ms of a disk at the median."""

MOST_WAITING: Final = 10_000
"""Records that wait for the disk at most; beyond them the answer is no at once."""

_MEASURE_EVERY: Final = 1.0
"""Seconds between two looks at the disk's free room."""

_log: Final = logging.getLogger("greenlang_secrets")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditStats:
    """How the log is doing.

    Attributes:
        records: records made durable since it was opened.
        failures: calls of `write` that failed since then.
        last_error: what went wrong last, such as ``ENOSPC``, ``slow`` or ``configuration``;
            None once a write has succeeded.
        since_durable: seconds since the last durable write; None before the first.
        free: which part of the disk's room is free, from 0 to 1; up to a second old, or as old
            as the last look at it.
    """

    records: int
    failures: int
    last_error: str | None
    since_durable: float | None
    free: float


_Order = Enum("_Order", ["WAKE", "REOPEN", "STOP"])


@dataclass(slots=True, eq=False)
class _Waiting:
    members: Sequence[bytes]
    told: asyncio.Future[None]
    until: float  # by the loop's clock


class AuditLog:
    """An audit log that is open; `AuditLog.open` makes one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Sequence[_Waiting] | _Order] = SimpleQueue()
        self._next: Sequence[_Waiting] | _Order | None = None  # taken, for the next batch
        self._turn: list[_Waiting] = []  # not yet handed over
        self._in_order: deque[_Waiting] = deque()  # by when they are given up
        self._patience: asyncio.TimerHandle | None = None
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="audit-log", daemon=True)
        self._key: ChainKey | None = None
        self._closed = False
        self._waiting = 0
        # Written by the thread, read by the loop; each is one word.
        self._records = 0
        self._failures = 0
        self._failing = False
        self._last_error: str | None = None
        self._durable_at: float | None = None
        self._free = 1.0
        self._measured_at: float | None = None
        self._reopen = False

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[AuditLog]:
        """Yield the log at `path`; the file and its sidecar ``FILE.head`` are ours until the end.

        They are made with mode 0600, in a folder with mode 0700, where they are missing. The
        chain goes on where it ended, in this file or in the one that was rotated away.

        Raises:
            ConfigurationError: they cannot be opened or made, others may read them, they belong
                to another user, are links, or another process has them; the text says which,
                and the fix.
        """
        log = cls(path)
        log._thread.start()
        try:
            await log._opened
            yield log
        finally:
            await log.close()

    def use_key(self, key: SecretValue, version: int) -> None:
        """Seal the records from here on with `key`, 32 octets in base64; `version` is noted in
        each.

        Raises:
            ConfigurationError: it is no such key.
        """
        self._key = ChainKey.of(key, version)
        self._queue.put(_Order.WAKE)  # what was found at opening is recorded now

    async def write(self, *events: AuditEvent) -> None:
        """Return when all events are durable, one after the other and in one batch.

        A caller that is cancelled, or told that it took too long, leaves its records on their
        way: they may stand in the log without their value having left. The reverse does not
        happen.

        Raises:
            AuditUnavailable: they are not durable 0.5 s later, or the disk refuses them, or there
                is no key yet, or too many wait, or the log is closed.
            ValueError: an event cannot be written at all (`records.members_of`).
        """
        if not events:
            return
        until = self._loop.time() + WRITE_WITHIN
        waiting = _Waiting([members_of(each) for each in events], self._loop.create_future(), until)
        full = self._waiting >= MOST_WAITING
        if self._key is None or self._closed or full or self._ended.done():
            self._failures += 1
            raise AuditUnavailable
        self._waiting += len(events)
        if not self._turn:
            self._loop.call_soon(self._hand_over)
        self._turn.append(waiting)
        self._in_order.append(waiting)
        if self._patience is None:
            self._patience = self._loop.call_at(waiting.until, self._give_up)
        await waiting.told

    def _hand_over(self) -> None:
        turn, self._turn = self._turn, []
        part, records = list[_Waiting](), 0
        for waiting in turn:
            if part and records + len(waiting.members) > MOST_IN_BATCH:
                self._queue.put(part)
                part, records = [], 0
            part.append(waiting)
            records += len(waiting.members)
        if part:
            self._queue.put(part)

    def _give_up(self) -> None:
        """Tell those who waited too long; one timer for all, since all wait equally long."""
        self._patience = None
        now = self._loop.time()
        while self._in_order:
            first = self._in_order[0]
            if not first.told.done():
                if first.until > now:
                    self._patience = self._loop.call_at(first.until, self._give_up)
                    return
                self._failures += 1
                self._last_error = "slow"
                first.told.set_exception(AuditUnavailable())
            self._in_order.popleft()

    @property
    def failures(self) -> int:
        """Calls of `write` that failed since it was opened; from any thread."""
        return self._failures

    @property
    def waiting(self) -> int:
        """Records that were handed over and are not yet durable; from any thread."""
        return self._waiting

    def reopen(self) -> None:
        """Go on in the file that has the path now: for after a rotation renamed the old one.

        Returns at once, from any thread and from a signal handler. What was handed over before
        goes to the old file, what comes after to the new one. If that cannot be used, the old
        one is, and each batch tries anew.
        """
        self._call(self._queue.put, _Order.REOPEN)  # behind what this turn hands over

    @property
    def stats(self) -> AuditStats:
        """How the log is doing. Does not block; it has the free room measured for the next."""
        if not self._closed:
            self._queue.put(_Order.WAKE)
        durable_at = self._durable_at
        return AuditStats(
            records=self._records,
            failures=self._failures,
            last_error=self._last_error,
            since_durable=None if durable_at is None else time.monotonic() - durable_at,
            free=self._free,
        )

    async def close(self) -> None:
        """Write what waits, and give the files back; a second call does nothing more.

        A disk that hangs is waited for up to 5 s, and a caller that is cancelled does not keep
        the thread from ending.
        """
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._queue.put(_Order.STOP)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN):
                await asyncio.shield(self._ended)

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            file = self._open_file()
            if file is None:
                return
            try:
                while (batch := self._gathered(file)) is not None:
                    self._follow_rotation(file)
                    key = self._key
                    if key is not None:
                        file.check_head(key)
                        if batch or file.notices:
                            self._commit(file, batch, key)
            finally:
                file.close(self._key)
        finally:
            self._call(_settle, self._ended, None)

    def _open_file(self) -> LogFile | None:
        try:
            file = LogFile(self._path)
        except ConfigurationError as error:
            self._call(_settle, self._opened, error)
            return None
        except OSError as error:
            refusal = ConfigurationError(f"{SETTING}: the disk fails ({error.strerror}).")
            self._call(_settle, self._opened, refusal)
            return None
        self._measure(file)
        self._call(_settle, self._opened, None)
        return file

    def _gathered(self, file: LogFile) -> list[_Waiting] | None:
        """Return the next batch, empty if an order came alone; None at the end."""
        batch: list[_Waiting] = []
        records = 0
        item = self._next or self._queue.get()
        self._next = None
        while True:
            match item:
                case list():
                    size = sum(len(waiting.members) for waiting in item)
                    if batch and records + size > MOST_IN_BATCH:
                        self._next = item
                        return batch
                    batch += item
                    records += size
                case _ if batch:  # an order holds for what comes after it
                    self._next = item
                    return batch
                case _Order.STOP:
                    return None
                case _Order.REOPEN:
                    self._reopen = True
                    return batch
                case _:
                    self._measure(file)
                    return batch
            try:
                item = self._queue.get_nowait()
            except Empty:
                return batch

    def _follow_rotation(self, file: LogFile) -> None:
        if not self._reopen:
            return
        try:
            file.reopen()
        except (OSError, ConfigurationError) as error:
            self._last_error = _name_of(error)
            _log.error("audit.reopen_failed", extra={"error": self._last_error})
        else:
            self._reopen = False

    def _commit(self, file: LogFile, batch: list[_Waiting], key: ChainKey) -> None:
        try:
            file.ready()
            notices = tuple(file.notices)
            lines, position = [], file.position
            for members in _all_members(notices, batch):
                line, position = sealed(members, position, key)
                lines.append(line)
            file.append(b"".join(lines), position, key)
        except (OSError, ConfigurationError) as error:
            self._tell_of_failure(_name_of(error))
            self._call(self._answer, batch, False)
            return
        del file.notices[: len(notices)]
        self._records += len(lines)
        self._durable_at = time.monotonic()
        self._last_error = None
        self._call(self._answer, batch, True)
        if self._failing:
            self._failing = False
            _log.warning("audit.recovered")
        for notice in notices:
            _log.error("audit.notice", extra={"code": notice})
        self._measure(file)

    def _tell_of_failure(self, name: str) -> None:
        self._last_error = name
        if not self._failing:
            self._failing = True
            _log.error("audit.failed", extra={"error": name})

    def _measure(self, file: LogFile) -> None:
        now = time.monotonic()
        if self._measured_at is None or now - self._measured_at >= _MEASURE_EVERY:
            self._measured_at = now
            with suppress(OSError):
                self._free = file.free()

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(function, *arguments)

    # ------------------------------------------------------------ on the loop again

    def _answer(self, batch: list[_Waiting], durable: bool) -> None:  # noqa: FBT001  a callback
        for waiting in batch:
            self._waiting -= len(waiting.members)
            if not waiting.told.done():  # else it was cancelled, or told "too slow"
                self._failures += not durable
                _settle(waiting.told, None if durable else AuditUnavailable())
        while self._in_order and self._in_order[0].told.done():
            self._in_order.popleft()


def _settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _all_members(notices: Sequence[str], batch: Sequence[_Waiting]) -> Iterator[bytes]:
    for code in notices:
        torn = code == TORN_RECORD_REMOVED
        yield members_of(
            AuditEvent(
                action="audit",
                phase=AuditPhase.OUTCOME,
                result=AuditResult.FAILED if torn else AuditResult.UNKNOWN,
                code=code,
            )
        )
    for waiting in batch:
        yield from waiting.members


def _name_of(error: OSError | ConfigurationError) -> str:
    if isinstance(error, OSError):
        return errno.errorcode.get(error.errno or 0, "OSError")
    return error.code
