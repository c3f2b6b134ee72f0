"""The audit log while its writer dies, its disk is full and its file is rotated."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenlang_secrets.audit import AuditLog
from greenlang_secrets.audit.records import parse
from greenlang_secrets.audit.verify import verify
from greenlang_secrets.errors import AuditUnavailable
from support.audit import KEY, KEYS, event, numbers, verified
from support.audit_process import Writer

DEATHS = int(os.environ.get("GREENLANG_SECRETS_TEST_AUDIT_DEATHS", "20"))
"""How often the writer is killed."""

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.timeout(300)
def test_a_killed_writer_has_lost_nothing_it_promised(tmp_path):
    """Killed 20 times while ten writers write at full speed, with rotations in between: every
    record that was told to be durable stands in the log, once, and the log verifies.
    """
    path, promised, files = tmp_path / "audit.jsonl", [], []
    for death in range(DEATHS):
        with Writer(path) as writer:
            promised += writer.told(50 + 37 * death % 100)
            if death % 5 == 4:
                files.append(tmp_path / f"audit.jsonl.{death:03}")
                writer.rotate(path, files[-1])
                while not path.exists():
                    promised += writer.told(1)
                promised += writer.told(50)
            promised += writer.kill()
    files.append(path)

    lines = [line for file in files for line in file.read_bytes().splitlines(keepends=True)]
    if not lines[-1].endswith(b"\n"):
        lines.pop()  # the last death's half line, promised to nobody
    stand = [parse(line).event.id for line in lines]
    report = verify(files, KEYS)

    assert len(promised) >= 50 * DEATHS
    assert len(set(promised)) == len(promised)
    assert set(promised) <= set(stand)
    assert len(set(stand)) == len(stand)
    assert report.findings == ()
    assert report.records == len(stand)
    assert report.first == 1

    # The control: one octet of one line, and that line is named.
    octets = bytearray(path.read_bytes())
    at = octets.index(b"postgresql", octets.index(b"\n", len(octets) // 2))
    octets[at] ^= 1
    path.write_bytes(octets)
    named = [(found.flaw, found.place.line) for found in verify(files, KEYS).findings]
    assert named == [("edited", octets[:at].count(b"\n") + 1)]


# ---------------------------------------------------------------- a full disk


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 64 KiB of this test's own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip(
            "needs the right to mount: run as root in a container with CAP_SYS_ADMIN; "
            "test_a_file_that_may_not_grow_refuses_and_recovers goes everywhere"
        )
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_refuses_and_recovers(small_disk):
    """A real disk fills up: callers are told, the room is 0, and when there is room again the log
    goes on by itself, whole.
    """
    path, durable = small_disk / "audit.jsonl", 0
    async with AuditLog.open(path) as log:
        log.use_key(KEY, 1)
        ballast = small_disk / "ballast"
        await log.write(event())
        ballast.write_bytes(b"x" * 32 * 1024)
        try:
            while durable < 1000:
                await log.write(event(reason="x" * 1000))
                durable += 1
        except AuditUnavailable:
            pass
        full = log.stats
        ballast.unlink()
        await log.write(event())
        again = log.stats

    report = await verified([path], KEYS)
    assert full.last_error == "ENOSPC"
    assert 10 <= durable < 1000
    assert again.last_error is None
    assert numbers(path) == list(range(1, durable + 3))
    assert report.good


_LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from greenlang_secrets.audit import AuditLog
from greenlang_secrets.errors import AuditUnavailable
from support.audit import KEY, event

async def main():
    async with AuditLog.open(Path(sys.argv[1])) as log:
        log.use_key(KEY, 1)
        durable = 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        try:
            while True:
                await log.write(event(reason="x" * 100))
                durable += 1
        except AuditUnavailable:
            error = log.stats.last_error
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        await log.write(event())
        print(durable, error)

asyncio.run(main())
"""


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY,
    reason="needs an environment that sets no hard limit on the size of files",
)
def test_a_file_that_may_not_grow_refuses_and_recovers(tmp_path):
    """A record that fits in part is cut off again, and the log goes on when it may grow."""
    path = tmp_path / "audit.jsonl"

    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(path)],
        cwd=TESTS,
        check=True,
        capture_output=True,
        text=True,
    )

    durable, error = done.stdout.split()
    assert error == "EFBIG"
    assert int(durable) >= 10
    assert numbers(path) == list(range(1, int(durable) + 2))
    assert verify([path], KEYS).good


# ---------------------------------------------------------------- rotation under load


async def test_rotation_under_load_loses_and_doubles_nothing(tmp_path):
    """Ten rotations while a hundred writers write: every record once, one good chain."""
    path, files, told = tmp_path / "audit.jsonl", [], []
    stop = asyncio.Event()

    async def write(log: AuditLog) -> None:
        while not stop.is_set():
            said = event()
            await log.write(said)
            told.append(said.id)

    async with AuditLog.open(path) as log, asyncio.TaskGroup() as writers:
        log.use_key(KEY, 1)
        for _ in range(100):
            writers.create_task(write(log))
        for number in range(10):
            seen, until = len(told), time.monotonic() + 30
            while len(told) < seen + 200:
                assert time.monotonic() < until
                await asyncio.sleep(0.005)
            files.append(tmp_path / f"audit.jsonl.{number:03}")
            path.rename(files[-1])
            log.reopen()
            while not path.exists():
                await asyncio.sleep(0.001)
        stop.set()
    files.append(path)

    stand = [
        parse(line).event.id
        for file in files
        for line in file.read_bytes().splitlines(keepends=True)
    ]
    report = await verified(files, KEYS)
    assert sorted(told) == sorted(stand)
    assert report.good
    assert report.records == len(told)
