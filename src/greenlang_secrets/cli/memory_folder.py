"""A folder in memory for secrets: private, on no disk, and gone at the end.

Whoever kills this process without a warning leaves the folder; a lock on it, which the kernel
drops with the last process that holds it, tells the next run that nobody needs it any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from greenlang_secrets.errors import ConfigurationError

__all__ = ["MemoryFolder"]

_PREFIX: Final = "greenlang-run-"
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_MOUNTS: Final = Path("/proc/self/mounts")


class MemoryFolder:
    """A new folder of mode 0700 below `base`; use it as a context manager.

    Attributes:
        path: where it is.
        lock: a descriptor whose holders need the folder; to be inherited by who uses it.

    Raises:
        ConfigurationError: `base` is not in memory, or nothing can be made there.
    """

    def __init__(self, base: Path) -> None:
        if _kind_of(base) not in _IN_MEMORY:
            raise ConfigurationError(
                f"{str(base)!r} is not in memory (tmpfs); give --in a folder that is, so that no "
                "secret is written to a disk."
            )
        _sweep(base)
        try:
            self.path, self.lock = _made(base)
        except OSError as error:
            raise ConfigurationError(
                f"Nothing can be made in {str(base)!r} ({error.strerror}); give --in another "
                "folder that is in memory."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)

    def write(self, name: str, text: str) -> None:
        """Make a file of mode 0600; its name is one segment."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(self.path / name, flags, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)


def _made(base: Path) -> tuple[Path, int]:
    """Make a folder and lock it; once more if another run took it for left behind in between."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        with suppress(FileNotFoundError):
            lock = _locked(folder)
            if lock is not None:
                if folder.is_dir():
                    return folder, lock
                os.close(lock)


def _sweep(base: Path) -> None:
    """Remove what runs have left that were killed, those of this user."""
    for folder in base.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.stat(follow_symlinks=False).st_uid != os.geteuid():
                continue
            lock = _locked(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _locked(folder: Path) -> int | None:
    """Return a lock on a folder, or None if somebody else has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _kind_of(folder: Path) -> str | None:
    """Return the type of the file system that a folder is on; None if nobody says."""
    try:
        where = folder.resolve(strict=True)
        lines = _MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    kinds = {}
    for line in lines:
        _, at, kind, *_ = line.split(" ")
        kinds[Path(at.replace("\\040", " "))] = kind  # the last one mounted there is what is seen
    return next((kinds[each] for each in (where, *where.parents) if each in kinds), None)
