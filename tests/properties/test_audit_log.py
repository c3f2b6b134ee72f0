"""Whatever happens to writers, what they were promised stands in a log that verifies; whatever
happens to a log, the verification names the line.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlang_secrets.audit import verify as verify_module
from greenlang_secrets.audit.log_file import LogFile
from greenlang_secrets.audit.records import parse
from greenlang_secrets.audit.verify import verify
from support.audit import CHAIN_KEY, KEYS, lines_of, written


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """A disk that syncs at once, since no power is lost here, and no patience with half lines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fdatasync", lambda _: None)
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(verify_module, "_TORN_WITHIN", 0.0)
        yield


@contextmanager
def a_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "audit.jsonl"


class Service:
    """A log and its misfortunes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rotated: list[Path] = []
        self.promised: list[bytes] = []
        self.file = LogFile(path)

    def write(self, count: int) -> None:
        """Append records, which are promised from here on."""
        self.file.ready()
        lines, position = lines_of(count, self.file.position)
        self.file.append(b"".join(lines), position, CHAIN_KEY)
        self.promised += lines

    def rename(self) -> None:
        """What logrotate does before it sends SIGHUP, which may never come."""
        if not self.path.exists():
            return
        self.rotated.append(self.path.with_name(f"audit.jsonl.{len(self.rotated) + 1:03}"))
        self.path.rename(self.rotated[-1])

    def rotate(self) -> None:
        self.rename()
        self.file.reopen()

    def restart(self) -> None:
        self.file.close(CHAIN_KEY)
        self.file = LogFile(self.path)

    def crash(self, count: int, part: float, head_lags: bool) -> None:  # noqa: FBT001
        """Die within an append, of which the disk has a part; after a power loss the sidecar is
        an older one.
        """
        lines, _ = lines_of(count, self.file.position)
        octets = b"".join(lines)
        sidecar = self.path.with_name("audit.jsonl.head")
        older = sidecar.read_bytes()
        if head_lags and self.promised:
            self.write(1)
            lines, _ = lines_of(count, self.file.position)
            octets = b"".join(lines)
        os.write(self.file._descriptor, octets[: int(len(octets) * part)])
        os.close(self.file._descriptor)
        self.file._head.close()
        if head_lags:
            sidecar.write_bytes(older)
        self.file = LogFile(self.path)


counts = st.integers(1, 4)
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("write"), counts),
        st.tuples(st.just("rotate")),
        st.tuples(st.just("rename")),
        st.tuples(st.just("restart")),
        st.tuples(st.just("crash"), counts, st.floats(0, 1), st.booleans()),
    ),
    max_size=12,
)


@given(happenings=happenings)
def test_what_was_promised_is_there_and_verifies(happenings):
    """Writes, rotations, restarts and deaths within an append, in any order: every promised
    record stands in the files, and they are one good chain.
    """
    with a_folder() as path:
        service = Service(path)
        for name, *arguments in happenings:
            getattr(service, name)(*arguments)
        service.file.reopen()
        service.write(1)
        service.file.close(CHAIN_KEY)

        files = [*service.rotated, path]
        lines = [line for file in files for line in file.read_bytes().splitlines(keepends=True)]
        stand = [line for line in lines if line.endswith(b"\n")]  # a renamed file may end in half
        report = verify(files, KEYS)

    assert report.findings == ()
    assert len(report.notices) == len(lines) - len(stand)
    assert set(service.promised) <= set(stand)
    assert [parse(line).seq for line in stand] == list(range(1, len(stand) + 1))


EIGHT, AFTER_EIGHT = lines_of(8)
OCTETS = b"".join(EIGHT)


def named(lines: list[bytes]) -> set[int]:
    """The lines that are named in a log of these."""
    with a_folder() as path:
        report = verify([written(path, lines, AFTER_EIGHT)], KEYS)
    return {found.place.line for found in report.findings}


def test_a_log_that_nobody_touched_is_not_suspected():
    """The control: without a change no line is named."""
    assert named(EIGHT) == set()


@given(
    at=st.integers(0, len(OCTETS) - 1),
    how=st.sampled_from(["replace", "insert", "remove"]),
    octet=st.integers(0, 255).map(lambda octet: bytes([octet])),
)
def test_any_edited_octet_is_found(at, how, octet):
    """One octet replaced, put in or taken out anywhere: its line is named, or the next where the
    line's end was meant.
    """
    rest = OCTETS[at + (how != "insert") :]
    edited = OCTETS[:at] + (b"" if how == "remove" else octet) + rest
    line = OCTETS[:at].count(b"\n") + 1

    found = named([edited])

    if edited == OCTETS:
        assert found == set()
    else:
        assert found & {line, line + 1}
        assert found <= {line, line + 1}


@given(at=st.integers(1, 7), count=st.integers(1, 7))
def test_any_cut_is_found(at, count):
    """Lines taken out: the line after them is named, or the last one if they were the end."""
    left = [*EIGHT[:at], *EIGHT[at + count :]]

    assert named(left) == {min(at + 1, len(left))}


@given(places=st.lists(st.integers(0, 7), min_size=2, max_size=2, unique=True))
def test_any_swap_is_found(places):
    """Two lines exchanged: one of their places is named at least, and none before the first."""
    first, second = sorted(places)
    lines = list(EIGHT)
    lines[first], lines[second] = lines[second], lines[first]

    found = named(lines)

    assert found & {first + 1, second + 1}
    assert min(found) >= first + 1


@given(line=st.integers(0, 7), at=st.integers(0, 8))
def test_any_doubled_line_is_found(line, at):
    """A copy of a line put anywhere: one of the two is named."""
    lines = list(EIGHT)
    lines.insert(at, EIGHT[line])
    copies = {number for number, each in enumerate(lines, 1) if each == EIGHT[line]}

    assert named(lines) & copies
