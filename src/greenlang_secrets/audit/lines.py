"""Lines of a file, read from its end: the last one of gigabytes costs one small read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from greenlang_secrets.audit.records import MAX_LINE, Position, RecordError, parse

__all__ = ["last_position", "lines_from_end"]

_BLOCK: Final = 64 * 1024

_TOO_LONG: Final = b"\0"
"""What stands for a line that is longer than any record: no record, and no memory."""


def lines_from_end(descriptor: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, line without its newline), the last first.

    The first is what follows the last newline: empty, unless the file ends in the midst of a
    line. Holds one block and one line at a time. Blocks.
    """
    rest = b""
    at = size
    while at > 0:
        begin = max(0, at - _BLOCK)
        block = os.pread(descriptor, at - begin, begin)
        *whole, rest = reversed((block + rest).split(b"\n"))
        offset = begin + len(rest)
        ends = []
        for line in reversed(whole):
            ends.append(offset + 1)
            offset += 1 + len(line)
        yield from zip(reversed(ends), whole, strict=True)
        if len(rest) > MAX_LINE:
            rest = _TOO_LONG
        at = begin
    yield 0, rest


def last_position(descriptor: int) -> tuple[Position | None, int]:
    """Return the position of the last line that is a record (None if no line is), and how many
    lines after it are none. Blocks.
    """
    passed = 0
    for _, line in lines_from_end(descriptor, os.fstat(descriptor).st_size):
        try:
            return parse(line + b"\n").position, passed
        except RecordError:
            passed += bool(line)
    return None, passed
