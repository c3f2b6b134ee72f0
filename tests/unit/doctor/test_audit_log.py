"""Whether an audit log could be written, on real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from greenlang_secrets.doctor import Cause, Level
from greenlang_secrets.doctor.audit_log import examine_audit_log


def test_a_log_that_can_be_made_leaves_nothing_behind(tmp_path):
    """The folders are not made, and the file that was tried is gone."""
    found = examine_audit_log(tmp_path / "a" / "b" / "audit.jsonl", wanted=True)

    assert (found.level, found.cause, found.fix) == (Level.OK, None, "")
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_there_is_not_touched(tmp_path):
    """Its octets and its time stay as they are, and a process that writes it is not disturbed."""
    log = tmp_path / "audit.jsonl"
    log.touch(mode=0o600)
    log.write_text("line\n")
    before = log.stat()

    found = examine_audit_log(log, wanted=True)

    assert (found.level, found.what) == (Level.OK, "it can be written")
    assert (log.stat().st_mtime_ns, log.read_text()) == (before.st_mtime_ns, "line\n")


def mode_644(log: Path) -> None:
    log.touch()
    log.chmod(0o644)


def a_link(log: Path) -> None:
    (log.parent / "other").touch(mode=0o600)
    log.symlink_to(log.parent / "other")


def a_fifo(log: Path) -> None:
    os.mkfifo(log, mode=0o600)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (Path.mkdir, "it cannot be opened for writing: Is a directory"),
        (a_link, "it cannot be opened for writing: Too many levels of symbolic links"),
        (a_fifo, "it cannot be opened for writing: No such device or address"),
        (mode_644, "other users may open it; chmod 600 it"),
    ],
)
def test_a_log_that_the_service_would_refuse_is_told(tmp_path, make, what):
    """What the service does not open, as it must be a private file, is a fault."""
    log = tmp_path / "audit.jsonl"
    make(log)

    found = examine_audit_log(log, wanted=True)

    assert (found.level, found.cause) == (Level.FAULT, Cause.AUDIT_LOG_UNWRITABLE)
    assert found.what == what


def test_a_device_is_no_log(tmp_path):
    """What can be written and is no file keeps no records."""
    found = examine_audit_log(Path("/dev/null"), wanted=True)

    assert (found.level, found.what) == (Level.FAULT, "it is no file")


def test_another_users_log_is_told(tmp_path, monkeypatch):
    """A log of somebody else is refused, even where it may be opened."""
    log = tmp_path / "audit.jsonl"
    log.touch(mode=0o600)
    monkeypatch.setattr(os, "geteuid", lambda: log.stat().st_uid + 1)

    assert examine_audit_log(log, wanted=True).what == "it belongs to another user"


def test_a_folder_in_which_nothing_can_be_made_is_told():
    """Below /proc nobody makes a file, whoever it is; nothing names the log: a warning."""
    found = examine_audit_log(Path("/proc/greenlang/audit.jsonl"), wanted=False)

    assert (found.level, found.cause) == (Level.WARNING, Cause.AUDIT_LOG_UNWRITABLE)
    assert found.what.startswith("nothing can be made in /proc: ")


@pytest.mark.parametrize(
    ("blocks", "free", "level"),
    [(1000, 49, Level.WARNING), (1000, 50, Level.OK), (0, 0, Level.OK)],
)
def test_a_disk_that_is_nearly_full_is_warned_of(tmp_path, monkeypatch, blocks, free, level):
    """Below 5 % of the disk; a file system that counts nothing is not full."""

    class Disk:
        f_blocks = blocks
        f_bavail = free

    monkeypatch.setattr(os, "statvfs", lambda _: Disk)

    found = examine_audit_log(tmp_path / "audit.jsonl", wanted=True)

    assert found.level is level
    assert (found.cause is Cause.AUDIT_LOG_FULL) == (level is Level.WARNING)
