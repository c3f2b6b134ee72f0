"""A file that another program appends to, read line by line as it grows.

Every method blocks: it is for a thread. What cannot have been read for certain is a gap, which
is said once, with the lines around it: the file got shorter, a line has no end, the reader
was too far behind, or the file was replaced while nobody looked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Gap", "LogFile", "Read"]

_CHUNK: Final = 1 << 20
"""Octets read at once."""

_LONGEST: Final = 1 << 20
"""Octets of a line at most; a longer one is skipped."""

_BEHIND: Final = 16 << 20
"""Octets behind the end at most: 100 ms of reading. Who is further behind goes to the end."""

_UNWATCHED: Final = 5.0
"""Seconds without a look after which a replaced file may have been replaced twice."""

Gap = str
"""Why lines may be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What one look has brought.

    Attributes:
        lines: complete ones, without their ends.
        gap: why others may be missing, or empty.
        more: whether there was more to read at once.
        missing: why there is no file to read, or empty.
    """

    lines: list[bytes]
    gap: Gap = ""
    more: bool = False
    missing: str = ""


class LogFile:
    """One path, and the file that is or was there.

    A file that was renamed is read until the one that took its place has content: the
    writer goes on in the old one until it is told to open the path anew.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._descriptor: int | None = None
        self._offset = 0
        self._rest = b""  # of a line without an end so far
        self._skipping = False  # to the end of a line that is not wanted
        self._looked_at = clock()

    def close(self) -> None:
        """Close the file; the next look opens it again, at its end."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def look(self) -> Read:
        """Return what has come since the last time. The first time, and after an error, that is a
        gap: reading begins at the file's end.
        """
        try:
            return self._begin() if self._descriptor is None else self._go_on(self._descriptor)
        except OSError as error:
            self.close()
            return Read(lines=[], missing=type(error).__name__)

    def _begin(self) -> Read:
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        self._looked_at = self._clock()
        self._to_the_end(self._descriptor)
        return Read(lines=[], gap="begun", more=True)

    def _go_on(self, descriptor: int) -> Read:
        looked_at, self._looked_at = self._looked_at, self._clock()
        size = os.fstat(descriptor).st_size
        if size < self._offset:
            self._offset, self._rest, self._skipping = 0, b"", False
            return Read(lines=[], gap="truncated", more=True)
        if size - self._offset > _BEHIND:
            self._to_the_end(descriptor)
            return Read(lines=[], gap="behind", more=True)
        replaced = self._is_replaced(descriptor)  # before the last look at what was replaced
        content = os.pread(descriptor, _CHUNK, self._offset)
        if content:
            self._offset += len(content)
            return self._split(content)
        if not replaced:
            return Read(lines=[])
        return self._replace(descriptor, unwatched=self._looked_at - looked_at > _UNWATCHED)

    def _to_the_end(self, descriptor: int) -> None:
        self._offset = os.fstat(descriptor).st_size
        self._rest = b""
        self._skipping = self._offset > 0 and os.pread(descriptor, 1, self._offset - 1) != b"\n"

    def _split(self, content: bytes) -> Read:
        if self._skipping:
            _, newline, content = content.partition(b"\n")
            self._skipping = not newline
        lines = (self._rest + content).split(b"\n")
        self._rest = lines.pop()
        gap = ""
        if len(self._rest) > _LONGEST:
            self._rest, self._skipping, gap = b"", True, "long"
        return Read(lines=[line for line in lines if line], gap=gap, more=True)

    def _is_replaced(self, descriptor: int) -> bool:
        """Whether another file is at the path, and in use."""
        ours = os.fstat(descriptor)
        try:
            theirs = self._path.stat()
        except FileNotFoundError:
            return False  # renamed, and nothing new so far
        return theirs.st_size > 0 and (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino)

    def _replace(self, descriptor: int, *, unwatched: bool) -> Read:
        gap = "replaced" if unwatched else "cut off" if self._rest or self._skipping else ""
        successor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        os.close(descriptor)
        self._descriptor = successor
        self._offset, self._rest, self._skipping = 0, b"", False
        return Read(lines=[], gap=gap, more=True)
