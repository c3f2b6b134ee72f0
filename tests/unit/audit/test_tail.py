"""The end of the log, and how it grows."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from greenlang_secrets.audit import tail as tail_module
from greenlang_secrets.audit.event import AuditEvent
from greenlang_secrets.audit.records import MAX_LINE, parse
from greenlang_secrets.audit.tail import Tail
from support.audit import lines_of, written

TEN, _ = lines_of(10)


def every(_: AuditEvent) -> bool:
    return True


def even(event: AuditEvent) -> bool:
    return int(event.path or 0) % 2 == 0


def numbers(lines: list[bytes]) -> list[int]:
    return [parse(line).seq for line in lines]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


@pytest.mark.parametrize(
    ("count", "wanted", "expected"),
    [
        (0, every, []),
        (3, every, [8, 9, 10]),
        (99, every, list(range(1, 11))),
        (2, even, [8, 10]),
    ],
)
def test_the_last_that_are_wanted(path, count, wanted, expected):
    """So many from the end, the oldest first."""
    with Tail(written(path, TEN)) as tail:
        assert numbers(tail.last(count, wanted)) == expected


@pytest.mark.parametrize("rest", [TEN[3][:-4], b"rubbish\n", b"\n"])
def test_what_is_no_record_is_passed_over(path, rest):
    """Half a line is being written, and rubbish is for the verification to name."""
    with Tail(written(path, [*TEN[:3], rest])) as tail:
        assert numbers(tail.last(2, every)) == [2, 3]


class Disturbed:
    """Does the next of some things each time the follower finds nothing and sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.things: list[object] = []
        real = time.sleep

        def sleep(seconds: float) -> None:
            if threading.current_thread() is not threading.main_thread():
                real(seconds)
                return
            assert self.things, "nothing more happens, and the follower waits"
            self.things.pop(0)()

        monkeypatch.setattr(tail_module.time, "sleep", sleep)


@pytest.fixture
def disturbed(monkeypatch):
    return Disturbed(monkeypatch)


def following(tail: Tail, count: int) -> list[int]:
    lines: Iterator[bytes] = tail.follow(every)
    return numbers([next(lines) for _ in range(count)])


def append(path, *octets: bytes):
    """What appends these octets, when it is called."""

    def appended() -> None:
        with path.open("ab") as file:
            file.write(b"".join(octets))

    return appended


def test_what_is_written_later_follows(path, disturbed):
    """Half lines are waited for, and what is not wanted is left out."""
    with Tail(written(path, [*TEN[:2], TEN[2][:9]])) as tail:
        assert numbers(tail.last(1, every)) == [2]
        disturbed.things = [
            append(path, TEN[2][9:40]),
            append(path, TEN[2][40:], b"rubbish\n", TEN[3]),
        ]

        assert following(tail, 2) == [3, 4]


def test_a_rotation_is_followed(path, disturbed):
    """The renamed file is read to its end, and then the new one from its beginning."""

    def rotate() -> None:
        append(path, TEN[1])()
        path.rename(path.with_name("audit.jsonl.1"))

    with Tail(written(path, TEN[:1])) as tail:
        tail.last(0, every)
        disturbed.things = [rotate, lambda: written(path, TEN[2:4])]

        assert following(tail, 3) == [2, 3, 4]


def test_a_renamed_file_is_followed_until_the_new_one_has_a_record(path, disturbed):
    """A rotation may make the new file before the service hears of it."""

    def rotate() -> None:
        path.rename(path.with_name("audit.jsonl.1"))
        written(path, [])

    with Tail(written(path, TEN[:1])) as tail:
        tail.last(0, every)
        disturbed.things = [
            rotate,
            append(path.with_name("audit.jsonl.1"), TEN[1]),
            append(path, TEN[2]),
        ]

        assert following(tail, 2) == [2, 3]


def test_a_record_that_comes_while_the_new_file_is_found_is_read_first(
    path, monkeypatch, disturbed
):
    """The old file's last record, written between two looks, is not passed over."""
    real = os.path.samestat
    with Tail(written(path, TEN[:1])) as tail:
        tail.last(0, every)
        path.rename(path.with_name("audit.jsonl.1"))
        written(path, TEN[2:3])
        late = [append(path.with_name("audit.jsonl.1"), TEN[1])]

        def samestat(one: os.stat_result, other: os.stat_result) -> bool:
            if late:
                late.pop()()
            return real(one, other)

        monkeypatch.setattr(os.path, "samestat", samestat)
        disturbed.things = [lambda: None]

        assert following(tail, 2) == [2, 3]


def test_a_file_that_was_emptied_is_read_from_its_beginning(path, disturbed):
    """A log that begins anew in the same file is followed on."""
    with Tail(written(path, TEN[:5])) as tail:
        tail.last(0, every)
        disturbed.things = [lambda: path.write_bytes(TEN[6])]

        assert following(tail, 1) == [7]


def test_a_line_without_an_end_takes_no_memory(path, disturbed):
    """It is passed over in pieces, and the next record is found."""
    with Tail(written(path, [])) as tail:
        tail.last(0, every)
        disturbed.things = [append(path, b"x" * 3 * MAX_LINE, b"\n", TEN[0])]

        assert following(tail, 1) == [1]
