"""Files that one process of one user has to itself: opened safely, or refused with the fix."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Final

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.settings import PREFIX, shown_path

__all__ = ["SETTING", "open_private", "private_folder", "sync_folder"]

SETTING: Final = f"{PREFIX}AUDIT_LOG"
"""The setting that a refusal names."""


def private_folder(folder: Path) -> None:
    """Make `folder` with mode 0700 if it is missing, and what is above it too. Blocks.

    Raises:
        ConfigurationError: it cannot be made.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    try:
        for each in reversed(missing):  # one by one: `parents=True` gives the upper ones 0755
            each.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{SETTING}: the folder {shown_path(str(missing[0]))} cannot be made "
            f"({error.strerror}); make it, for the service's user alone."
        ) from None


def open_private(path: Path, *, append: bool) -> int:
    """Return a descriptor of `path`, made with mode 0600 if it is missing, locked for this process.

    The lock (`flock`) goes with the descriptor, so a process that dies leaves none. Blocks.

    Raises:
        ConfigurationError: it cannot be opened, is a link or no file, is another user's, may be
            read by others, or another process has it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags | (os.O_APPEND if append else 0), 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"{SETTING}: {shown_path(str(path))} cannot be opened ({error.strerror}); it must be "
            "a file, and no link, that the service's user may write."
        ) from None
    try:
        _check(descriptor, path)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigurationError(
            f"{SETTING}: another process writes {shown_path(str(path))}; give each its own."
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(descriptor: int, path: Path) -> None:
    found = os.fstat(descriptor)
    shown = shown_path(str(path))
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(
            f"{SETTING}: {shown} is no file; name one, or none to have it made."
        )
    if found.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{SETTING}: {shown} belongs to another user; chown it to the service's."
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigurationError(f"{SETTING}: {shown} is open to other users; chmod 600 it.")


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a file just made would else go with the power. Blocks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
