from __future__ import annotations

import os
from pathlib import Path

import pytest

from greenlang_secrets.invalidation import log_file
from greenlang_secrets.invalidation.log_file import LogFile, Read


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def file(path, time):
    """A reader of a file that was there and empty when it began."""
    path.touch()
    file = LogFile(path, clock=time)
    assert file.look() == Read(lines=[], gap="begun", more=True)
    yield file
    file.close()


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def everything(file: LogFile) -> tuple[list[bytes], list[str]]:
    """All lines until there are no more, and the gaps among them."""
    lines, gaps = [], []
    while True:
        read = file.look()
        lines += read.lines
        gaps += [read.gap] if read.gap else []
        if not read.more:
            return lines, gaps


def test_lines_come_as_they_are_appended(file, path):
    """Each complete line is given once; one without an end waits for it."""
    append(path, b"one\ntw")
    assert everything(file) == ([b"one"], [])
    append(path, b"o\nthree\n\n")
    assert everything(file) == ([b"two", b"three"], [])
    assert file.look() == Read(lines=[])


def test_reading_begins_at_the_end(path):
    """What was written before is not read; half a line at the end is left out with its rest."""
    path.write_bytes(b"old\nhalf of")
    file = LogFile(path)
    assert everything(file) == ([], ["begun"])

    append(path, b" a line\nnew\n")

    assert everything(file) == ([b"new"], [])
    file.close()


def test_file_that_is_not_there_is_waited_for(path):
    """A missing file is said, and begun when it is there."""
    file = LogFile(path)
    assert file.look() == Read(lines=[], missing="FileNotFoundError")
    append(path, b"before\n")

    assert everything(file) == ([], ["begun"])
    append(path, b"after\n")
    assert everything(file) == ([b"after"], [])
    file.close()
    file.close()


def test_file_that_is_no_file_is_missing(tmp_path):
    """A folder at the path is said as well, each time, and nothing stays open."""
    file = LogFile(tmp_path)

    assert file.look().missing == "IsADirectoryError" or file.look().missing == "IsADirectoryError"


def test_renamed_file_is_read_until_its_successor_has_content(file, path):
    """Lines that come into the old file after the rename, and after the new one was made, are
    read.
    """
    append(path, b"one\n")
    old = path.rename(path.with_suffix(".1"))
    append(old, b"two\n")
    assert everything(file) == ([b"one", b"two"], [])
    path.touch()
    append(old, b"three\n")
    assert everything(file) == ([b"three"], [])

    append(old, b"four\n")
    append(path, b"five\n")

    assert everything(file) == ([b"four", b"five"], [])


def test_line_that_the_old_file_never_ended_is_a_gap(file, path):
    """A writer that was cut off in a line leaves a gap at the switch."""
    append(path, b"one\ntw")
    path.rename(path.with_suffix(".1"))
    append(path, b"three\n")

    assert everything(file) == ([b"one", b"three"], ["cut off"])


def test_file_replaced_while_nobody_looked_is_a_gap(file, path, time):
    """After a pause there may have been another file in between."""
    path.rename(path.with_suffix(".1"))
    append(path, b"two\n")
    time.now += 6.0

    assert everything(file) == ([b"two"], ["replaced"])


def test_truncated_file_is_a_gap_and_read_from_its_beginning(file, path):
    """Copytruncate may lose lines; what comes after it is read."""
    append(path, b"one\ntw")
    everything(file)
    os.truncate(path, 0)
    append(path, b"a\n")

    assert everything(file) == ([b"a"], ["truncated"])


def test_line_without_an_end_is_skipped(file, path, monkeypatch):
    """A line longer than the bound is a gap, once, and the next line is read."""
    monkeypatch.setattr(log_file, "_LONGEST", 10)
    append(path, b"x" * 11)
    assert everything(file) == ([], ["long"])
    append(path, b"x" * 50)
    assert everything(file) == ([], [])

    append(path, b"x\nnext\n")

    assert everything(file) == ([b"next"], [])


def test_who_is_too_far_behind_goes_to_the_end(file, path, monkeypatch):
    """More than the bound is a gap, and not read."""
    monkeypatch.setattr(log_file, "_BEHIND", 10)
    append(path, b"a line too many\nhalf")

    assert everything(file) == ([], ["behind"])
    append(path, b" a line\nnext\n")
    monkeypatch.setattr(log_file, "_BEHIND", 1000)
    assert everything(file) == ([b"next"], [])


def test_large_content_comes_in_pieces(file, path, monkeypatch):
    """Whatever the size of a piece, lines are whole."""
    monkeypatch.setattr(log_file, "_CHUNK", 7)
    lines = [b"line %d" % number for number in range(100)]
    append(path, b"\n".join(lines) + b"\n")

    assert everything(file) == (lines, [])


def test_error_while_reading_begins_anew(file, path, monkeypatch):
    """A file that cannot be read any more is closed, and begun again at its end."""

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    append(path, b"one\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        assert file.look() == Read(lines=[], missing="OSError")

    assert everything(file) == ([], ["begun"])
