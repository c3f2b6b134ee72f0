from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenlang_secrets.audit.head import HeadFile
from greenlang_secrets.audit.records import MAX_LINE, ChainKey, Position
from greenlang_secrets.catalogue.audit_copy import Reached
from greenlang_secrets.catalogue.log_reader import Batch, LogReader
from support.audit_records import KEY, event, lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "audit.jsonl"


@pytest.fixture
def reader(path: Path) -> Iterator[LogReader]:
    """A reader that has read nothing yet."""
    reader = LogReader(path, {})
    yield reader
    reader.close()


def numbered(first: int, last: int, after: Position | None = None) -> tuple[list[bytes], Position]:
    return lines(*(event(number) for number in range(first, last + 1)), after=after)


def write(path: Path, *parts: bytes, at: int | None = None) -> None:
    """Write a file; `at` is when, in seconds."""
    path.write_bytes(b"".join(parts))
    if at is not None:
        os.utime(path, (at, at))


def append(path: Path, *parts: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(parts))


def seen(batch: Batch) -> list[str | None]:
    return [record.event.path for record in batch.records]


def everything(reader: LogReader) -> list[str | None]:
    """Read until nothing follows."""
    found: list[str | None] = []
    while (batch := reader.read(100)).reached is not None:
        found += seen(batch)
    return found


def names(*numbers: int) -> list[str | None]:
    return [f"secret-{number}" for number in numbers]


def after(reader: LogReader, path: Path) -> LogReader:
    """Return a reader that comes after this one, with what it has reached."""
    reached = dict(reader._reached)
    reader.close()
    return LogReader(path, reached)


def test_nothing_is_read_from_no_log(reader: LogReader) -> None:
    """A folder without a log has no records, and no error."""
    assert reader.read(10) == Batch()
    reader.close()
    assert reader.read(10) == Batch()


def test_batches_have_bounds(reader: LogReader, path: Path) -> None:
    """A batch has as many records as asked for, and ends sooner where they are large."""
    large = [event(number, reason="x" * 200_000) for number in range(1, 31)]
    write(path, *lines(*large)[0])

    assert len(reader.read(3).records) == 3
    assert len(reader.read(100).records) == 21
    assert len(everything(reader)) == 6


def test_half_a_line_waits_for_its_other_half(reader: LogReader, path: Path) -> None:
    """What is being written is read when it is whole, and once."""
    [first, second], _ = numbered(1, 2)
    write(path, first, second[:50])

    assert everything(reader) == names(1)
    append(path, second[50:])

    assert everything(reader) == names(2)


def test_a_line_without_end_is_passed_over(reader: LogReader, path: Path) -> None:
    """A line longer than any record is damage: it takes no memory, and holds up nothing."""
    [first, second], _ = numbered(1, 2)
    write(path, first, b"x" * (3 * MAX_LINE), b"\n", second)

    batch = reader.read(10)

    assert seen(batch) == names(1, 2)
    assert batch.damaged == 3


def test_a_file_that_was_emptied_is_begun_anew(reader: LogReader, path: Path) -> None:
    """A log that is copied and cut, as by copytruncate, goes on in both."""
    first, position = numbered(1, 3)
    write(path, *first)
    assert seen(reader.read(2)) == names(1, 2)

    write(path.with_name("audit.jsonl.1"), *first)
    write(path)
    assert everything(reader) == names(3)
    append(path, *numbered(4, 4, position)[0])

    assert everything(reader) == names(4)


def test_a_note_that_is_wrong_is_not_believed(reader: LogReader, path: Path) -> None:
    """A place where the record does not end, or beyond the file's end, is looked for anew."""
    written, position = numbered(1, 3)
    write(path, *written)
    reader.read(2)
    [reached] = reader._reached.values()
    for offset in (reached.offset - 1, 10**9, 1):
        wrong = Reached(
            position=reached.position,
            file=reached.file,
            device=reached.device,
            inode=reached.inode,
            offset=offset,
        )
        another = LogReader(path, {position.chain: wrong})

        assert everything(another) == names(3)
        another.close()


def test_a_place_that_fits_saves_the_looking(reader: LogReader, path: Path) -> None:
    """With a note that is right, what was read before is not even looked at."""
    written, _ = numbered(1, 3)
    write(path, *written)
    reader.read(2)
    damaged = b"?" * (len(written[0]) - 1) + b"\n"
    with path.open("r+b") as file:
        file.write(damaged)

    another = after(reader, path)

    assert seen(batch := another.read(10)) == names(3)
    assert batch.damaged == 0
    another.close()


def test_a_compressed_copy_beside_its_original_is_not_read_twice(
    reader: LogReader, path: Path
) -> None:
    """While a file is compressed both are there; they are one."""
    first, position = numbered(1, 2)
    rotated = path.with_name("audit.jsonl-20261120")
    write(rotated, *first)
    rotated.with_name(f"{rotated.name}.gz").write_bytes(gzip.compress(b"".join(first)))
    write(path, *numbered(3, 3, position)[0])

    assert everything(reader) == names(1, 2, 3)


def test_a_damaged_compressed_file_is_no_file(reader: LogReader, path: Path) -> None:
    """What cannot be unpacked is passed over; what it held is missing."""
    first, position = numbered(1, 2)
    write(path.with_name("audit.jsonl.1.gz"), gzip.compress(b"".join(first))[:-20][:15])
    write(path, *numbered(3, 3, position)[0])

    assert everything(reader) == names(3)


def test_what_is_no_file_of_the_log_is_left_alone(reader: LogReader, path: Path) -> None:
    """Folders, pipes, links, empty files and files of other names are not read."""
    written, _ = numbered(1, 1)
    write(path, *written)
    other, _ = numbered(7, 9)
    write(path.with_name("other.jsonl"), *other)
    write(path.with_name("audit.jsonlx"), *other)
    write(path.with_name("audit.jsonl.head"), *other)
    write(path.with_name("audit.jsonl.2"), b"")
    write(path.with_name("audit.jsonl.3"), b"no record\n")
    path.with_name("audit.jsonl.4").mkdir()
    os.mkfifo(path.with_name("audit.jsonl.5"))
    path.with_name("audit.jsonl.6").symlink_to(path.with_name("other.jsonl"))

    assert everything(reader) == names(1)


def test_a_log_that_was_begun_anew_follows_the_old_one(reader: LogReader, path: Path) -> None:
    """A chain that began later is read after the older one's end, from its beginning."""
    write(path.with_name("audit.jsonl.2"), *numbered(1, 2)[0], at=1000)
    first, position = numbered(11, 12)
    write(path.with_name("audit.jsonl.1"), *first, at=2000)
    write(path, *numbered(13, 13, position)[0], at=3000)

    assert everything(reader) == names(1, 2, 11, 12, 13)

    another = after(reader, path)
    append(path, *numbered(14, 14, _end(path))[0])
    assert everything(another) == names(14)
    another.close()


def _end(path: Path) -> Position:
    from greenlang_secrets.audit.lines import last_position

    with path.open("rb") as file:
        position, _ = last_position(file.fileno())
    assert position is not None
    return position


def test_two_chains_in_one_file_are_two_batches(reader: LogReader, path: Path) -> None:
    """A batch is of one chain, so that it ends at one place."""
    write(path, *numbered(1, 2)[0], *numbered(3, 4)[0])

    batches = [seen(reader.read(10)), seen(reader.read(10)), seen(reader.read(10))]

    assert batches == [names(1, 2), names(3, 4), []]


def test_the_old_file_is_read_to_its_end_first(reader: LogReader, path: Path) -> None:
    """What was appended to a renamed file before its successor's first record comes before it."""
    written, _ = numbered(1, 4)
    write(path, written[0])
    assert everything(reader) == names(1)
    rotated = path.with_name("audit.jsonl.1")
    path.rename(rotated)

    append(rotated, written[1])
    assert everything(reader) == names(2)
    write(path, b"")
    assert everything(reader) == []
    append(rotated, written[2])
    append(path, written[3])

    assert everything(reader) == names(3, 4)


def test_a_renamed_file_that_is_removed_is_read_to_its_end(reader: LogReader, path: Path) -> None:
    """It is open, so it is there until it was read."""
    written, _ = numbered(1, 3)
    write(path, *written[:2])
    assert seen(reader.read(1)) == names(1)

    path.unlink()
    assert everything(reader) == names(2)
    write(path, written[2])

    assert everything(reader) == names(3)


def test_what_the_sidecar_does_not_vouch_for_waits(reader: LogReader, path: Path) -> None:
    """A record that is in the file and not yet durable is not read; how many are is told."""
    written, position = numbered(1, 4)
    write(path, *written)
    head = HeadFile(path)
    _, second = numbered(1, 2)
    try:
        head.write(Position(chain=position.chain, seq=2, hmac=second.hmac), ChainKey.of(KEY, 1))
        first = reader.read(1)
        assert (seen(first), first.behind) == (names(1), 1)
        assert everything(reader) == names(2)
        assert reader.read(10) == Batch()
        head.write(position, ChainKey.of(KEY, 1))

        assert everything(reader) == names(3, 4)
    finally:
        head.close()
