"""The end of an audit log, as it is and as it grows; nothing is verified here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from greenlang_secrets.audit.event import AuditEvent
from greenlang_secrets.audit.lines import lines_from_end
from greenlang_secrets.audit.records import MAX_LINE, RecordError, parse

__all__ = ["Tail", "Wanted"]

Wanted = Callable[[AuditEvent], bool]
"""Whether an event is asked for."""

_LOOK_EVERY: Final = 0.2
"""Seconds between two looks at a file that does not grow."""


class Tail:
    """The log at `path`, opened for reading; a context manager. Every method blocks.

    Lines that are no records are passed over: naming them is the verification's.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def last(self, count: int, wanted: Wanted) -> list[bytes]:
        """Return the lines of the last `count` records that are wanted, the oldest first."""
        size = os.fstat(self._file.fileno()).st_size
        found: list[bytes] = []
        for offset, line in lines_from_end(self._file.fileno(), size):
            if offset + len(line) == size:  # what follows the last newline is still being written
                self._file.seek(offset)
                continue
            if len(found) == count:
                break
            if _is_wanted(line + b"\n", wanted):
                found.append(line + b"\n")
        return found[::-1]

    def follow(self, wanted: Wanted) -> Iterator[bytes]:
        """Yield the lines of wanted records that come after `last`, for ever; through rotations."""
        line = b""
        while True:
            line += self._file.readline(MAX_LINE + 1)
            if line.endswith(b"\n"):
                if _is_wanted(line, wanted):
                    yield line
                line = b""
            elif len(line) > MAX_LINE:
                line = line[-1:]  # no record; what is left makes the rest of the line none either
            elif not self._moved_on():
                time.sleep(_LOOK_EVERY)
            else:
                line = b""

    def _moved_on(self) -> bool:
        """Go to the file that has the path now, if that is another, or to its beginning if it was
        emptied. A file that was renamed is read to its end before.
        """
        ours = os.fstat(self._file.fileno())
        if ours.st_size < self._file.tell():
            self._file.seek(0)
            return True
        with suppress(FileNotFoundError):
            there = self._path.stat()
            # A new file that is empty has been made, and the service may not have heard of it yet.
            if os.path.samestat(there, ours) or not there.st_size:
                return False
            if os.fstat(self._file.fileno()).st_size > self._file.tell():
                return False  # came while we looked; the new file's records are younger
            opened = self._path.open("rb")
            self._file.close()
            self._file = opened
            return True
        return False


def _is_wanted(line: bytes, wanted: Wanted) -> bool:
    try:
        return wanted(parse(line).event)
    except RecordError:
        return False
