"""Reads the audit log's records in order, across rotation: what is next after a record.

What decides is the record's number in its chain. The place that was noted with it saves
looking; a file that was renamed, copied, compressed or restored is found by its first record.

Where the place does not hold, the record that was reached is sought. A log that has another one
at its number, or ends before it, is a fork of the one that was copied: it is told, and the
chain read from its beginning, since only the copy can tell by the events' ids what it has.

A file that was rotated away is complete once its successor has a record: until then the
service, which has it open, may still append to it. So it is read to its end again before the
next one is begun.

What is in the file need not be durable: a failed sync has the service cut it off again, and
its number is then another record's. So nothing is read that the log's sidecar does not vouch
for.
"""

from __future__ import annotations

import gzip
import itertools
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final, cast

from greenlang_secrets.audit.head import SUFFIX, Head, read_head
from greenlang_secrets.audit.lines import lines_from_end
from greenlang_secrets.audit.records import MAX_LINE, Position, Record, RecordError, parse
from greenlang_secrets.catalogue.audit_copy import Reached

__all__ = ["Batch", "LogReader"]

_GZIP: Final = ".gz"
_MOST_OCTETS: Final = 4 * 1024 * 1024  # of a batch: records are small, and may be large


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What follows.

    Attributes:
        records: in order, of one chain.
        reached: where they end; None if there are none.
        damaged: lines that are no records, and were passed over.
        missing: records between the one before and these that are in no file.
        behind: records that are durable and come after these, as far as the log's sidecar
            tells; 0 if there is none.
        forked: records that were reached, and are not what the log has at their numbers.
    """

    records: tuple[Record, ...] = ()
    reached: Reached | None = None
    damaged: int = 0
    missing: int = 0
    behind: int = 0
    forked: tuple[Position, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file of the log, as found: which file it is, and its first record."""

    path: Path
    first: Position
    written: int
    device: int
    inode: int

    def is_file_of(self, found: os.stat_result) -> bool:
        """Whether it is that one, whatever its name is now."""
        return (self.device, self.inode) == (found.st_dev, found.st_ino)


@dataclass(slots=True)
class _Open:
    """The file that is read. It stays open when it is renamed or removed."""

    file: _File
    stream: BinaryIO
    offset: int = 0
    last_look: bool = False  # its successor has a record, so nothing is appended any more

    def lines(self) -> Iterator[bytes]:
        """Yield whole lines; half a one at the end is left for the next time."""
        while True:
            line = self.stream.readline(MAX_LINE + 1)
            if not line.endswith(b"\n") and len(line) <= MAX_LINE:
                self.stream.seek(self.offset)
                return
            # One that is longer than any record comes in pieces, none of which is a record.
            self.offset += len(line)
            yield line

    def back_before(self, line: bytes) -> None:
        """Leave the line just yielded for the next time."""
        self.offset -= len(line)
        self.stream.seek(self.offset)

    def is_cut(self) -> bool:
        """Whether it has become shorter than what was read."""
        size = os.fstat(self.stream.fileno()).st_size
        return self.file.path.suffix != _GZIP and size < self.offset


@dataclass(slots=True)
class _Part:
    """What was read in one go from one file."""

    records: list[Record] = field(default_factory=list)
    damaged: int = 0
    missing: int = 0
    waits: bool = False  # for the sidecar to vouch for what comes next
    forks: bool = False  # the record sought is not in the files


class LogReader:
    """Reads the log at `path` and its rotated predecessors, after what was `reached`.

    It moves forward only: what was read and not shipped is read again by another one. Every
    method blocks.
    """

    def __init__(self, path: Path, reached: Mapping[str, Reached]) -> None:
        self._path = path
        self._reached = dict(reached)
        self._open: _Open | None = None
        self._closed = False
        self._sought: Position | None = None  # reached, and not yet met in the files
        self._ended = False  # the files ended before it, when last looked at
        self._anew: dict[str, int] = {}  # forked chains read from their beginning, up to a number

    def close(self) -> None:
        """Close the file that is read; a `read` that still runs in its thread leaves none open."""
        self._closed = True
        self._shut()

    def _shut(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.stream.close()

    def read(self, most: int) -> Batch:
        """Return up to `most` records that follow; none if there are none yet.

        Raises:
            OSError: a file cannot be read.
        """
        damaged = 0
        forked: list[Position] = []
        head = read_head(self._path)[0]  # before the log: it never leads
        while (current := self._current()) is not None:
            part = self._part(current, head, most)
            damaged += part.damaged
            if part.records:
                batch = self._batch(current, part.records)
                behind = _behind(head, part.records[-1])
                return replace(
                    batch,
                    damaged=damaged,
                    missing=part.missing,
                    behind=behind,
                    forked=tuple(forked),
                )
            if part.waits:
                break
            if not part.forks and self._go_on(current):
                continue
            if not part.forks and not self._has_ended_early():
                break
            forked.append(self._begin_anew())
        return Batch(damaged=damaged, forked=tuple(forked))

    def _part(self, current: _Open, head: Head | None, most: int) -> _Part:
        """Return what follows in one file, of one chain."""
        part = _Part()
        octets = 0
        for line in current.lines():
            try:
                record = parse(line)
            except RecordError:
                part.damaged += 1
                continue
            part.waits = head is not None and _is_ahead(record, head)
            if part.waits or (part.records and record.chain != part.records[0].chain):
                current.back_before(line)
                break
            part.forks = self._is_fork(record)
            if part.forks:
                break
            if self._take(record, part):
                octets += len(line)
                if len(part.records) >= most or octets >= _MOST_OCTETS:
                    break
        return part

    def _take(self, record: Record, part: _Part) -> bool:
        """Add a record, unless it was reached already."""
        known = self._reached.get(record.chain)
        last = part.records[-1].seq if part.records else known.position.seq if known else None
        if last is not None:
            if record.seq <= last and record.chain not in self._anew:
                return False
            part.missing += max(0, record.seq - last - 1)
        part.records.append(record)
        return True

    def _batch(self, current: _Open, records: list[Record]) -> Batch:
        last = records[-1].position
        reached = Reached(
            position=last,
            file=current.file.path.name,
            device=current.file.device,
            inode=current.file.inode,
            offset=current.offset,
        )
        self._reached[last.chain] = reached
        if last.seq > self._anew.get(last.chain, last.seq):
            del self._anew[last.chain]
        return Batch(records=tuple(records), reached=reached)

    # ------------------------------------------------------------ a fork

    def _is_fork(self, record: Record) -> bool:
        """Whether a record shows that the one sought is not in the files; one that shows that it
        is, or was, ends the search.
        """
        sought = self._sought
        if sought is None or (record.chain == sought.chain and record.seq < sought.seq):
            return False
        if record.chain != sought.chain:
            return True
        if record.seq == sought.seq:
            found = record.hmac == sought.hmac
        else:  # what followed it says which one it was; what came later says nothing
            found = record.prev == sought.hmac or record.seq > sought.seq + 1
        if found:
            self._sought, self._ended = None, False
        return not found

    def _has_ended_early(self) -> bool:
        """Whether the files end too early at two looks: a rotation may hide one for a moment."""
        before, self._ended = self._ended, self._sought is not None
        return before and self._ended

    def _begin_anew(self) -> Position:
        """Read the chain of the record sought from its beginning, and return that record."""
        sought = cast("Position", self._sought)
        self._sought, self._ended = None, False
        self._anew[sought.chain] = sought.seq
        del self._reached[sought.chain]
        self._shut()
        return sought

    # ------------------------------------------------------------ which file

    def _current(self) -> _Open | None:
        """Return the file that is read, the one to begin with at first."""
        if self._open is not None and self._open.is_cut():
            self._shut()  # copied and emptied, as logrotate's copytruncate does
        if self._open is None:
            files = self._files()
            if files:
                oldest = min(files, key=lambda file: file.written)
                self._open = self._opened(self._start(files, oldest.first.chain))
        return self._open

    def _go_on(self, current: _Open) -> bool:
        """At a file's end, go on to its successor; False if there is none yet."""
        if current.last_look:
            following = self._successor(current.file)
            self._shut()
            if following is not None:
                self._open = self._opened(following)
            return self._open is not None
        with suppress(FileNotFoundError):
            if current.file.is_file_of(self._path.stat()):
                return False
        current.last_look = self._successor(current.file) is not None
        return current.last_look

    def _successor(self, of: _File) -> _File | None:
        """Return the next file of the chain, else the first of a chain that was begun later."""
        files = [file for file in self._files() if file.first != of.first]
        same = [file for file in files if file.first.chain == of.first.chain]
        later = [file for file in same if _place(file) > _place(of)]
        if later:
            return min(later, key=_place)
        others = [file for file in files if file not in same and file.written >= of.written]
        if not others:
            return None
        return self._start(others, min(others, key=lambda file: file.written).first.chain)

    def _start(self, files: list[_File], chain: str) -> _File:
        """Return the file of a chain in which the record after the one reached would be."""
        known = self._reached.get(chain)
        wanted = 1 if known is None else known.position.seq + 1
        mine = sorted((file for file in files if file.first.chain == chain), key=_place)
        return next((file for file in reversed(mine) if file.first.seq <= wanted), mine[0])

    def _files(self) -> list[_File]:
        """Return the log and its predecessors, as far as each has a record."""
        found: dict[Position, _File] = {}
        for path in sorted(self._path.parent.iterdir(), reverse=True):
            name = path.name.removeprefix(self._path.name)
            if path == self._path or (
                name != path.name and name[:1] in {".", "-"} and path.suffix != SUFFIX
            ):
                with suppress(OSError, EOFError):
                    file = _file(path)
                    if file is not None:  # of two copies the last, which is not the .gz
                        found[file.first] = file
        return list(found.values())

    def _opened(self, file: _File) -> _Open:
        opened = _Open(file, _stream(file.path))
        if self._closed:
            opened.stream.close()
            raise FileNotFoundError
        chain = file.first.chain
        known = None if chain in self._anew else self._reached.get(chain)
        if known is None or (self._sought is not None and self._sought.chain != chain):
            return opened
        self._sought = known.position
        if (known.device, known.inode) == (file.device, file.inode):
            descriptor = opened.stream.fileno()
            if file.path.suffix != _GZIP and _ends_with(descriptor, known):
                opened.offset = known.offset
                opened.stream.seek(known.offset)
                self._sought, self._ended = None, False
        return opened


def _place(file: _File) -> tuple[int, int]:
    """Where a file stands in its chain; after a fork two may begin with one number."""
    return file.first.seq, file.written


def _is_ahead(record: Record, head: Head) -> bool:
    return record.chain == head.position.chain and record.seq > head.position.seq


def _behind(head: Head | None, record: Record) -> int:
    """How many durable records follow."""
    if head is None or head.position.chain != record.chain:
        return 0
    return max(0, head.position.seq - record.seq)


class _Unzipped(gzip.GzipFile):
    """A compressed file that closes what it reads from."""

    def __init__(self, stream: BinaryIO) -> None:
        self._below = stream
        super().__init__(fileobj=stream)

    def close(self) -> None:
        super().close()
        self._below.close()


def _stream(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    stream = os.fdopen(descriptor, "rb")
    if path.suffix == _GZIP:
        return cast("BinaryIO", _Unzipped(stream))
    return stream


def _file(path: Path) -> _File | None:
    with _stream(path) as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            return None
        for line in _Open(cast("_File", None), stream).lines():
            with suppress(RecordError):
                return _File(
                    path=path,
                    first=parse(line).position,
                    written=found.st_mtime_ns,
                    device=found.st_dev,
                    inode=found.st_ino,
                )
    return None


def _ends_with(descriptor: int, reached: Reached) -> bool:
    """Whether the record that was reached ends at that place."""
    if os.fstat(descriptor).st_size < reached.offset:
        return False
    _, last, *_ = itertools.chain(
        itertools.islice(lines_from_end(descriptor, reached.offset), 2), [(0, b"")] * 2
    )
    with suppress(RecordError):
        return parse(last[1] + b"\n").position == reached.position
    return False
