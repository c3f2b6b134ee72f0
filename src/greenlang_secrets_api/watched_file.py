"""A file that is read again when it changes: looked at once a second at most, off the loop.

What cannot be read or parsed later keeps what was parsed last: a file that is half written,
or gone for a moment, must neither lock everybody out nor let everybody in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

import anyio.to_thread

__all__ = ["FileContentError", "WatchedFile"]

CHECK: Final = 1.0
"""Seconds between two looks at a file's times."""

T = TypeVar("T")


class FileContentError(ValueError):
    """A file holds something else than it should; the text says what, and quotes nothing."""


class WatchedFile(Generic[T]):
    """What `parse` makes of the file at `path`, as of a second ago at most.

    Args:
        limit: octets of the file at most.
        parse: called in a thread; raises `FileContentError`.
        log: where a reload that fails is told, as `event`.

    Attributes:
        value: what was parsed last; before `open` there is none.
        generation: rises with each new content.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit: int,
        parse: Callable[[bytes], T],
        log: logging.Logger,
        event: str,
    ) -> None:
        self._path = path
        self._limit = limit
        self._parse = parse
        self._log = log
        self._event = event
        self._stamp: tuple[int, ...] = ()
        self._looked_at = float("-inf")
        self.value: T
        self.generation = 0

    async def open(self) -> None:
        """Read the file for the first time.

        Raises:
            OSError: it cannot be read.
            FileContentError: it is too large, or `parse` does not take it.
        """
        await anyio.to_thread.run_sync(self._reload)

    async def refresh(self) -> None:
        """Look whether the file has changed, at most once a second; a failure is logged."""
        now = time.monotonic()
        if now - self._looked_at < CHECK:
            return
        self._looked_at = now
        try:
            await anyio.to_thread.run_sync(self._reload)
        except (OSError, FileContentError) as error:
            self._log.warning(self._event, extra={"error": type(error).__name__})

    def _reload(self) -> None:
        status = self._path.stat()
        # The time of the inode's change too: tools that copy keep the time of modification.
        stamp = (status.st_ctime_ns, status.st_mtime_ns, status.st_ino, status.st_size)
        if stamp == self._stamp:
            return
        with self._path.open("rb") as file:
            content = file.read(self._limit + 1)
        if len(content) > self._limit:
            raise FileContentError(f"it has more than {self._limit} octets")
        self.value, self._stamp = self._parse(content), stamp
        self.generation += 1
