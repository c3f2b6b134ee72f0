"""The audit log on disk: what was promised to be in it is in it, whatever the disk did.

Every method blocks, and one thread calls them (`audit.log`).

An append that failed leaves the file in doubt: a part of the lines may stand in it, and after a
failed `fdatasync` the kernel holds pages for clean that never reached the disk. So before the
next append the file is cut back to the last good octet, closed, opened anew and read from the
disk, not from memory, and what stands at its end must be what was promised last.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from greenlang_secrets.audit.head import Head, HeadFile
from greenlang_secrets.audit.lines import last_position, lines_from_end
from greenlang_secrets.audit.private_file import open_private, private_folder, sync_folder
from greenlang_secrets.audit.records import ChainKey, Position
from greenlang_secrets.audit.rotated import rotated_position

__all__ = [
    "HEAD_FORGED",
    "HEAD_MISMATCH",
    "HEAD_MISSING",
    "HEAD_UNCHECKED",
    "HEAD_UNREADABLE",
    "LOG_FILE_CHANGED",
    "RECORDS_MISSING",
    "RECORD_UNREADABLE",
    "TORN_RECORD_REMOVED",
    "LogFile",
]

TORN_RECORD_REMOVED: Final = "torn_record_removed"
"""The file ended in the midst of a line, which nobody was told is durable; it was cut off."""

RECORD_UNREADABLE: Final = "record_unreadable"
"""The file's last line is no record; it was left where it is."""

RECORDS_MISSING: Final = "records_missing"
"""The file ended before the record that the sidecar or the process knows to be durable."""

HEAD_MISMATCH: Final = "head_mismatch"
"""The file's last record is not the one that the sidecar or the process knows."""

HEAD_UNREADABLE: Final = "head_unreadable"
"""The sidecar says nothing that can be read."""

HEAD_MISSING: Final = "head_missing"
"""There are records and no sidecar, or an empty one: how far the log had got, nothing says."""

HEAD_FORGED: Final = "head_forged"
"""The sidecar's own HMAC is wrong: somebody without the key wrote it."""

HEAD_UNCHECKED: Final = "head_unchecked"
"""The sidecar is sealed with another version of the key than the one in use."""

LOG_FILE_CHANGED: Final = "log_file_changed"
"""Somebody else removed, cut or wrote the file while it was open."""


class LogFile:
    """The log at `path`, opened and locked, and the chain's position in it.

    Attributes:
        position: the last durable record's.
        notices: codes of what was found wrong, for records that say so.

    Raises:
        ConfigurationError: it cannot be opened safely, or another process has it.
        OSError: the disk fails.
    """

    def __init__(self, path: Path) -> None:
        self.notices: list[str] = []
        self._path = path
        self._doubtful = False
        self._unchecked: Head | None = None
        private_folder(path.parent)
        self._head = HeadFile(path)
        try:
            self._descriptor = open_private(path, append=True)
            try:
                sync_folder(path.parent)
                self._good, self.position = self._settled(self._descriptor, None)
            except BaseException:
                os.close(self._descriptor)
                raise
        except BaseException:
            self._head.close()
            raise

    def check_head(self, key: ChainKey) -> None:
        """Check the seal of the sidecar that was found at opening; once, later calls do nothing.

        What it said has been gone on from by then: a gap that it makes up is there to be seen.
        """
        head, self._unchecked = self._unchecked, None
        if head is None:
            return
        if head.key != key.version:
            self._notice(HEAD_UNCHECKED)
        elif not head.is_sealed_with(key):
            self._notice(HEAD_FORGED)

    def ready(self) -> None:
        """Make sure that the file ends where the chain does, before anything is appended.

        Raises:
            OSError, ConfigurationError: it does not, and cannot be made to.
        """
        if self._doubtful:
            self._cut_back()
            self._replace()
            return
        found = os.fstat(self._descriptor)
        if found.st_nlink == 0 or found.st_size != self._good:
            self._notice(LOG_FILE_CHANGED)
            self._replace()  # nothing is cut: what others wrote is for `audit verify` to name

    def append(self, lines: bytes, to: Position, key: ChainKey) -> None:
        """Append whole lines, the last of which is at `to`; they are durable when it returns.

        Raises:
            OSError: they are not, and none of them counts.
        """
        self._doubtful = True
        rest = memoryview(lines)
        while rest:  # a disk that is nearly full takes a part
            rest = rest[os.write(self._descriptor, rest) :]
        os.fdatasync(self._descriptor)
        self._doubtful = False
        self._good += len(lines)
        self.position = to
        self._head.write(to, key)

    def reopen(self) -> None:
        """Go on in the file that has the path now, if that is another one.

        Raises:
            OSError, ConfigurationError: it cannot be used; the old one still is.
        """
        with suppress(FileNotFoundError):
            if os.path.samestat(self._path.stat(), os.fstat(self._descriptor)):
                return
        if self._doubtful:
            self._cut_back()
        self._replace()

    def close(self, key: ChainKey | None) -> None:
        """Give the files back, with their locks; after a failure, without half a record."""
        if self._doubtful:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._good)
        # What was noticed and is on no record yet must be noticed again, so the sidecar stays.
        if key is not None and self.position.seq and not self.notices:
            self._head.write(self.position, key)
        self._head.sync()
        os.close(self._descriptor)
        self._head.close()

    def free(self) -> float:
        """Return which part of the disk's room is free for us, from 0 to 1."""
        found = os.fstatvfs(self._descriptor)
        return found.f_bavail / found.f_blocks if found.f_blocks else 0.0

    # ------------------------------------------------------------ opening

    def _cut_back(self) -> None:
        """Remove what a failed append may have left."""
        ours = os.fstat(self._descriptor)
        if ours.st_size <= self._good:
            return
        try:
            os.ftruncate(self._descriptor, self._good)
        except OSError:
            # A file that was renamed may be on a disk that is gone; that does not hold up the
            # new one.
            if self._has_path(ours):
                raise

    def _has_path(self, file: os.stat_result) -> bool:
        try:
            return os.path.samestat(self._path.stat(), file)
        except FileNotFoundError:
            return False

    def _replace(self) -> None:
        """Open what has the path now, and only then let the old one go."""
        # If it is the same file, our own lock would keep us out. The sidecar's stays.
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        descriptor = open_private(self._path, append=True)
        try:
            sync_folder(self._path.parent)
            good, position = self._settled(descriptor, self.position)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(self._descriptor)
        self._descriptor, self._good, self.position = descriptor, good, position
        self._doubtful = False
        self._head.sync()

    # ------------------------------------------------------------ where the chain goes on

    def _settled(self, descriptor: int, remembered: Position | None) -> tuple[int, Position]:
        """Return where the file ends, without half a line, and the position to go on from."""
        # From the disk: after a failed sync the pages in memory may be better than the disk.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        end, torn = next(lines_from_end(descriptor, os.fstat(descriptor).st_size))
        if torn:
            os.ftruncate(descriptor, end)
            os.fdatasync(descriptor)
            self._notice(TORN_RECORD_REMOVED)
        found, passed = last_position(descriptor)
        if passed:
            self._notice(RECORD_UNREADABLE)
        if remembered is not None:
            return end, self._continued(remembered, found, leads=True)
        head, said = self._head.read()
        if said and head is None:
            self._notice(HEAD_UNREADABLE)
        self._unchecked = head
        known = None if head is None else head.position
        if not end:  # rotated away, or new; and after a power loss the sidecar may lag
            known = rotated_position(self._path, known)
        if not said and (found or known):
            self._notice(HEAD_MISSING)
        if known is None:
            return end, found or Position.beginning()
        return end, self._continued(known, found, leads=False)

    def _continued(self, known: Position, found: Position | None, *, leads: bool) -> Position:
        """Return the position to go on from, where one is known and the file may say another.

        What is known wins, so that what is missing stays a gap that `audit verify` tells for
        ever. Only a sidecar that lags is overtaken (`leads` is false).
        """
        if found is None or found == known:
            return known
        if found.chain == known.chain and found.seq > known.seq and not leads:
            return found
        behind = found.chain == known.chain and found.seq < known.seq
        self._notice(RECORDS_MISSING if behind else HEAD_MISMATCH)
        return known

    def _notice(self, code: str) -> None:
        if code not in self.notices:
            self.notices.append(code)
