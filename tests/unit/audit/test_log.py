"""Events become durable in groups, within half a second, or the caller is told that they are not."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import threading
import time
from collections.abc import Callable

import pytest

from greenlang_secrets.audit import AuditLog
from greenlang_secrets.audit import log as log_module
from greenlang_secrets.audit.records import ChainKey, parse
from greenlang_secrets.errors import AuditUnavailable, ConfigurationError
from greenlang_secrets.sensitive import SecretValue
from support.audit import (
    KEY,
    KEYS,
    OTHER_KEY,
    codes,
    event,
    intent,
    lines_of,
    numbers,
    verified,
    written,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


@pytest.fixture
async def log(path):
    async with AuditLog.open(path) as log:
        log.use_key(KEY, 1)
        yield log


@pytest.fixture
def patience(monkeypatch):
    """A busy machine gets ten seconds for what is about batches, and not about the half second."""
    monkeypatch.setattr(log_module, "WRITE_WITHIN", 10.0)


class SlowDisk:
    """`fdatasync` that really blocks its thread, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self.begun = threading.Event()
        self._free = threading.Event()
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, descriptor: int) -> None:
        self.syncs += 1
        self.begun.set()
        self._free.wait(30)
        self._real(descriptor)

    def let_go(self) -> None:
        self._free.set()


@pytest.fixture
def slow_disk(monkeypatch):
    made = []

    def slow_disk() -> SlowDisk:
        made.append(SlowDisk(monkeypatch))
        return made[-1]

    yield slow_disk
    for disk in made:
        disk.let_go()


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.005)


# ---------------------------------------------------------------- writing


async def test_a_written_event_stands_in_the_file(log, path):
    """When `write` returns, the record is on the disk, sealed with the key that was given."""
    said = event(path="database/postgresql")

    await log.write(said)

    [line] = path.read_bytes().splitlines(keepends=True)
    assert parse(line).event == said
    assert (await verified([path], KEYS)).good


async def test_events_of_one_call_stand_together(log, path, patience):
    """They follow one another, whatever others write meanwhile."""
    await asyncio.gather(
        *(log.write(*(event(path=f"{n}.{part}") for part in range(3))) for n in range(20))
    )

    paths = [parse(line).event.path for line in path.read_bytes().splitlines(keepends=True)]
    assert len(paths) == 60
    for first in range(0, 60, 3):
        call = paths[first].partition(".")[0]
        assert paths[first : first + 3] == [f"{call}.0", f"{call}.1", f"{call}.2"]


async def test_nothing_to_write_is_written_at_once(log, path):
    """A call without events succeeds and leaves no trace."""
    await log.write()

    assert path.read_bytes() == b""


async def test_what_gathers_during_a_sync_shares_the_next(log, path, slow_disk, patience):
    """A thousand records that wait for the disk take ten more syncs, of a hundred each."""
    disk = slow_disk()
    first = asyncio.ensure_future(log.write(event()))
    await until(disk.begun.is_set)
    rest = [asyncio.ensure_future(log.write(event())) for _ in range(1000)]
    await asyncio.sleep(0)

    disk.let_go()
    await asyncio.gather(first, *rest)

    assert disk.syncs == 11
    assert numbers(path) == list(range(1, 1002))


async def test_a_call_of_many_events_is_one_batch(log, path, slow_disk, patience):
    """More than a hundred events of one call are not torn apart, and wait for no others."""
    disk = slow_disk()
    first = asyncio.ensure_future(log.write(event()))
    await until(disk.begun.is_set)
    rest = [
        asyncio.ensure_future(log.write(*(event() for _ in range(count)))) for count in (1, 150, 1)
    ]
    await asyncio.sleep(0)

    disk.let_go()
    await asyncio.gather(first, *rest)

    assert disk.syncs == 4
    assert numbers(path) == list(range(1, 154))


async def test_one_record_waits_for_no_timer(log, slow_disk):
    """Alone, a record costs one sync and no other wait."""
    disk = slow_disk()
    disk.let_go()

    await log.write(event())

    assert disk.syncs == 1


async def test_an_event_that_fits_no_line_hurts_nobody_else(log, path):
    """It is refused before it is handed over."""
    with pytest.raises(ValueError, match="JSON"):
        await log.write(event(), event(seconds=float("nan")))

    await log.write(event())

    assert numbers(path) == [1]


# ---------------------------------------------------------------- the bound


async def test_a_slow_disk_is_not_waited_for(log, path, slow_disk):
    """After half a second the caller is told; the record still comes, and later calls succeed."""
    disk = slow_disk()
    begun = time.monotonic()

    with pytest.raises(AuditUnavailable):
        await log.write(event())
    waited = time.monotonic() - begun
    assert log.stats.last_error == "slow"
    disk.let_go()
    await log.write(event())

    assert 0.5 <= waited < 5
    assert numbers(path) == [1, 2]
    assert (log.stats.records, log.stats.failures, log.stats.last_error) == (2, 1, None)


async def test_the_loop_goes_on_while_the_disk_hangs(log, slow_disk):
    """Waiting for the disk is the thread's: the loop turns thousands of times meanwhile."""
    disk = slow_disk()
    waiting = asyncio.ensure_future(log.write(event()))
    turns = 0

    while not waiting.done():
        await asyncio.sleep(0)
        turns += 1

    assert isinstance(waiting.exception(), AuditUnavailable)
    assert turns > 1000
    assert disk.syncs == 1


async def test_a_cancelled_caller_leaves_its_record_on_its_way(log, path, slow_disk):
    """Cancellation reaches the caller at once, and the record the disk."""
    disk = slow_disk()
    first = asyncio.ensure_future(log.write(event(path="first")))
    await until(disk.begun.is_set)
    second = asyncio.ensure_future(log.write(event(path="second")))
    await asyncio.sleep(0)

    for task in (first, second):
        task.cancel()
    results = await asyncio.gather(first, second, return_exceptions=True)
    disk.let_go()
    await log.write(event(path="third"))

    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert numbers(path) == [1, 2, 3]
    assert log.stats.failures == 0


async def test_who_was_cancelled_is_given_up_once(log, slow_disk):
    """While the disk hangs, a caller who waits behind one who has left is told in its own time, and
    that one alone is a failure.
    """
    slow_disk()
    left = asyncio.ensure_future(log.write(event()))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    await asyncio.sleep(0.05)  # so that its time is over before the other's

    with pytest.raises(AuditUnavailable):
        await log.write(event())

    assert log.stats.failures == 1


async def test_the_queue_has_an_end(log, slow_disk, monkeypatch):
    """With too many waiting the answer is no at once, and yes again when they are done."""
    monkeypatch.setattr(log_module, "MOST_WAITING", 3)
    disk = slow_disk()
    waiting = [asyncio.ensure_future(log.write(event())) for _ in range(3)]
    await until(disk.begun.is_set)

    with pytest.raises(AuditUnavailable):
        await log.write(event())
    disk.let_go()
    await asyncio.gather(*waiting)

    await log.write(event())


# ---------------------------------------------------------------- the key


async def test_without_a_key_nothing_is_written(path):
    """Until the key is there, whoever must be audited is told no."""
    async with AuditLog.open(path) as log:
        with pytest.raises(AuditUnavailable):
            await log.write(event())
        log.use_key(KEY, 1)
        await log.write(event())

    assert numbers(path) == [1]


async def test_a_key_that_is_none_is_refused(path):
    """The refusal names its version."""
    async with AuditLog.open(path) as log:
        with pytest.raises(ConfigurationError, match="version 3"):
            log.use_key(SecretValue("short"), 3)


async def test_a_new_key_is_used_from_the_next_record_on(log, path):
    """Each record says which version sealed it, and both verify."""
    await log.write(event())
    log.use_key(OTHER_KEY, 2)
    await log.write(event())

    assert [parse(line).key for line in path.read_bytes().splitlines(keepends=True)] == [1, 2]
    assert (await verified([path], {1: KEY, 2: OTHER_KEY})).good
    assert not (await verified([path], KEYS)).good


# ---------------------------------------------------------------- what the log finds out


async def test_a_torn_record_is_told_by_the_next(path, caplog):
    """What was cut off at opening is on record before anything else, though nothing is written."""
    made, _ = lines_of(2)
    written(path, [made[0], made[1][:20]], head=parse(made[0]).position)

    with caplog.at_level(logging.ERROR):
        async with AuditLog.open(path) as log:
            log.use_key(KEY, 1)
            await until(lambda: log.stats.records == 1)

    assert codes(path) == ["torn_record_removed"]
    assert numbers(path) == [1, 2]
    assert [(record.message, record.code) for record in caplog.records] == [
        ("audit.notice", "torn_record_removed")
    ]


async def test_missing_records_are_told_and_stay_missing(path):
    """The log says that records are missing, and so does every later verification."""
    made, position = lines_of(5)
    written(path, made[:3], head=position)

    async with AuditLog.open(path) as log:
        log.use_key(KEY, 1)
        await log.write(event())

    report = await verified([path], KEYS)
    assert codes(path) == ["records_missing"]
    assert [(found.flaw, found.place.line) for found in report.findings] == [("cut", 4)]


@pytest.mark.parametrize("how", ["head_missing", "head_forged"])
async def test_a_cut_log_without_a_true_sidecar_is_told(path, how):
    """Cut, with the sidecar gone or made up without the key, the log is a good chain: the first
    record after it says so, and so does every later verification.
    """
    made, _ = lines_of(10)
    five = parse(made[4]).position
    written(path, made[:5], head=five, head_key=ChainKey.of(OTHER_KEY, 1))
    if how == "head_missing":
        path.with_name("audit.jsonl.head").unlink()

    async with AuditLog.open(path) as log:
        log.use_key(KEY, 1)
        await log.write(event())

    report = await verified([path], KEYS)
    assert codes(path) == [how]
    assert (report.good, report.records) == (True, 7)
    assert report.notices == (f"{path}:6 says of the log: {how}.",)


async def test_a_log_with_its_sidecar_tells_nothing(path):
    """The control: whole and sealed, it goes on in silence."""
    made, position = lines_of(5)
    written(path, made, head=position)

    async with AuditLog.open(path) as log:
        log.use_key(KEY, 1)
        await log.write(event())

    report = await verified([path], KEYS)
    assert (codes(path), report.notices, report.records) == ([], (), 6)


async def test_what_was_not_recorded_is_recorded_later(path, monkeypatch):
    """A notice that the disk refused stays, and comes with the next batch."""
    made, position = lines_of(1)
    written(path, [*made, b"torn"], head=position)
    async with AuditLog.open(path) as log:
        with monkeypatch.context() as broken:
            broken.setattr(os, "write", full)
            log.use_key(KEY, 1)
            await until(lambda: log.stats.last_error == "ENOSPC")
        await log.write(event())

    assert codes(path) == ["torn_record_removed"]
    assert numbers(path) == [1, 2, 3]


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


# ---------------------------------------------------------------- failures


async def test_a_full_disk_refuses_and_recovers_by_itself(log, path, monkeypatch, caplog):
    """Every caller is told, it is logged once, and the next write after it succeeds."""
    await log.write(event())
    with monkeypatch.context() as broken, caplog.at_level(logging.WARNING):
        broken.setattr(os, "write", full)
        for _ in range(3):
            results = await asyncio.gather(
                log.write(event()), log.write(event()), return_exceptions=True
            )
            assert [type(result) for result in results] == [AuditUnavailable] * 2
        assert log.stats.last_error == "ENOSPC"
        broken.undo()
        await log.write(event())
        await until(lambda: len(caplog.records) > 1)  # its thread answers first

    assert [record.message for record in caplog.records] == ["audit.failed", "audit.recovered"]
    assert (log.stats.failures, log.stats.last_error) == (6, None)
    assert numbers(path) == [1, 2]
    assert (await verified([path], KEYS)).good


async def test_an_error_without_a_number_has_a_name(log, monkeypatch):
    """The last error is a word in any case."""

    def nameless(*_: object) -> int:
        raise OSError

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", nameless)
        with pytest.raises(AuditUnavailable):
            await log.write(event())

    assert log.stats.last_error == "OSError"


async def test_a_disk_that_fails_at_opening_is_a_configuration_error(path, monkeypatch):
    """The service does not begin without its log."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(os, "posix_fadvise", fail)

    with pytest.raises(ConfigurationError, match=r"AUDIT_LOG: the disk fails \(I/O error\)"):
        async with AuditLog.open(path):
            raise AssertionError


async def test_a_log_that_cannot_be_opened_names_the_setting(path):
    """What is wrong and the fix reach whoever opens it."""
    path.touch()
    path.chmod(0o644)

    with pytest.raises(ConfigurationError, match="chmod 600"):
        async with AuditLog.open(path):
            raise AssertionError


async def test_an_opening_that_is_cancelled_leaves_nothing_open(path, monkeypatch):
    """The thread ends, and the next opening gets the lock."""
    hold = threading.Event()
    entered = threading.Event()
    real = os.posix_fadvise

    def slow(*arguments: int) -> None:
        entered.set()
        hold.wait(30)
        real(*arguments)

    async def opened() -> None:
        async with AuditLog.open(path):
            raise AssertionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fadvise", slow)
        opening = asyncio.ensure_future(opened())
        await until(entered.is_set)
        opening.cancel()
        await asyncio.sleep(0)
        hold.set()
        with pytest.raises(asyncio.CancelledError):
            await opening

    async with AuditLog.open(path):
        pass


# ---------------------------------------------------------------- rotation


async def test_asking_how_it_does_writes_nothing(log, path):
    """The room on the disk is measured for who asks next; no record is made of it."""
    await log.write(event())
    asked = log.stats

    await log.write(event())

    assert numbers(path) == [1, 2]
    assert asked.records == 1


async def test_a_log_without_a_key_tells_how_it_does(path):
    """Before Vault gave the key, asking is no error, and the end leaves an empty file."""
    async with AuditLog.open(path) as log:
        asked = log.stats

    assert (asked.records, asked.failures) == (0, 0)
    assert path.read_bytes() == b""


async def test_reopening_splits_between_records(log, path):
    """What was handed over before goes to the old file, what comes after to the new one."""
    await log.write(event())
    before = [asyncio.ensure_future(log.write(event())) for _ in range(5)]
    await asyncio.sleep(0)
    path.rename(path.with_name("audit.jsonl.1"))

    log.reopen()
    after = [asyncio.ensure_future(log.write(event())) for _ in range(5)]
    await asyncio.gather(*before, *after)

    assert numbers(path.with_name("audit.jsonl.1")) == [1, 2, 3, 4, 5, 6]
    assert numbers(path) == [7, 8, 9, 10, 11]
    assert (await verified([path.with_name("audit.jsonl.1"), path], KEYS)).good


async def test_reopening_does_not_wait_for_a_record(log, path):
    """The new file is there at once, so that the old one can be compressed."""
    await log.write(event())
    path.rename(path.with_name("audit.jsonl.1"))

    log.reopen()

    await until(path.exists)


async def test_reopening_is_tried_until_it_succeeds(log, path, caplog):
    """A new file that may not be used leaves the old one in use, and is logged."""
    await log.write(event())
    path.rename(path.with_name("audit.jsonl.1"))
    path.touch()
    path.chmod(0o644)
    log.reopen()
    await log.write(event())
    failed = {(record.message, record.error) for record in caplog.records}

    path.chmod(0o600)
    await log.write(event())

    assert failed == {("audit.reopen_failed", "configuration")}
    assert numbers(path.with_name("audit.jsonl.1")) == [1, 2]
    assert numbers(path) == [3]


# ---------------------------------------------------------------- the end


async def test_closing_writes_what_waits(path):
    """What was handed over before the end is durable, and nothing after it is taken."""
    async with AuditLog.open(path) as log:
        log.use_key(KEY, 1)
        waiting = [asyncio.ensure_future(log.write(event())) for _ in range(250)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    await log.close()

    with pytest.raises(AuditUnavailable):
        await log.write(event())

    assert numbers(path) == list(range(1, 251))
    assert log.stats.records == 250


async def test_closing_gives_up_on_a_disk_that_hangs(path, slow_disk, monkeypatch):
    """A stop of the service is not held up for ever."""
    monkeypatch.setattr(log_module, "CLOSE_WITHIN", 0.05)
    disk = slow_disk()
    disk.let_go()
    async with AuditLog.open(path) as log:
        log.use_key(KEY, 1)
        disk = slow_disk()
        waiting = asyncio.ensure_future(log.write(event()))
        await until(disk.begun.is_set)

    assert not waiting.done()
    disk.let_go()
    await waiting
    await until(lambda: not log._thread.is_alive())


async def test_a_loop_that_is_gone_does_not_keep_the_thread(path):
    """A loop that ended without closing the log leaves a thread that nobody hears and that goes."""

    def abandoned() -> AuditLog:
        loop = asyncio.new_event_loop()
        opening = AuditLog.open(path)
        log = loop.run_until_complete(opening.__aenter__())
        log.use_key(KEY, 1)
        loop.run_until_complete(log.write(event()))
        loop.close()
        log._queue.put(log_module._Order.STOP)
        log._thread.join(30)
        return log

    log = await asyncio.to_thread(abandoned)

    assert not log._thread.is_alive()
    assert numbers(path) == [1]


async def test_a_thread_that_died_is_not_waited_for(log):
    """A log without its thread says no at once."""
    log._ended.set_result(None)

    with pytest.raises(AuditUnavailable):
        await log.write(event())


async def test_stats_say_how_it_is_doing(log):
    """Nothing written is said as such, and the room is a ratio."""
    before = log.stats

    await log.write(event(), event())

    assert (before.records, before.failures, before.since_durable) == (0, 0, None)
    assert 0 < before.free <= 1
    assert log.stats.records == 2
    assert 0 <= log.stats.since_durable < 60


async def test_the_room_is_measured_while_nothing_is_written(log, monkeypatch):
    """Whoever asks for the stats has the room measured for the next who asks, once a second."""
    monkeypatch.setattr(log_module, "_MEASURE_EVERY", 0.0)

    class Nearly:
        f_bavail, f_blocks = 1, 10

    monkeypatch.setattr(os, "fstatvfs", lambda _: Nearly)

    await until(lambda: log.stats.free == 0.1)


async def test_an_intent_without_an_outcome_is_counted(log, path):
    """What was begun and not ended can be found."""
    await log.write(intent("a" * 32))
    await log.write(intent("b" * 32))
    await log.write(event("write", operation_id="a" * 32))

    report = await verified([path], KEYS)

    assert report.good
    assert [(each.operation_id, each.seq, each.place.line) for each in report.unknown] == [
        ("b" * 32, 2, 2)
    ]
