"""The service's own audit log: whether it could be written, found out without writing into it."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from greenlang_secrets.doctor.findings import Cause, Finding, Level

__all__ = ["examine_audit_log"]

_FREE_AT_LEAST: Final = 0.05
_FIX: Final = (
    "Set GREENLANG_SECRETS_AUDIT_LOG to a file in a folder that only the service's user may write."
)


def examine_audit_log(log: Path, *, wanted: bool) -> Finding:
    """Return whether the service could write its audit log at `log`. Blocks.

    A log that is there is opened and not written; for one that is not, a file of another name is
    made in the folder and removed. Without `wanted`, where nothing names the log, what is wrong
    is a warning, as only the service writes one.
    """
    wrong = _existing(log) if os.path.lexists(log) else _to_be_made(log.parent)
    if wrong is not None:
        return Finding(
            check="audit_log",
            subject=str(log),
            level=Level.FAULT if wanted else Level.WARNING,
            what=wrong,
            cause=Cause.AUDIT_LOG_UNWRITABLE,
            fix=f"{_FIX} Without it the service changes nothing.",
        )
    free = _free(log.parent)
    if free < _FREE_AT_LEAST:
        return Finding(
            check="audit_log",
            subject=str(log),
            level=Level.WARNING,
            what=f"{free:.1%} of its disk is free",
            cause=Cause.AUDIT_LOG_FULL,
            fix="Make room: when it is full, the service changes nothing.",
        )
    what = "it can be written" if log.exists() else "it can be made"
    return Finding(check="audit_log", subject=str(log), level=Level.OK, what=what)


def _existing(log: Path) -> str | None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(log, flags)
    except OSError as error:
        return f"it cannot be opened for writing: {error.strerror}"
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(found.st_mode):
        return "it is no file"
    if found.st_uid != os.geteuid():
        return "it belongs to another user"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return "other users may open it; chmod 600 it"
    return None


def _to_be_made(folder: Path) -> str | None:
    nearest = _nearest(folder)
    if not nearest.is_dir():
        return f"its folder cannot be made: {nearest} is no folder"
    try:
        with tempfile.TemporaryFile(dir=nearest, prefix=".doctor-"):
            return None
    except OSError as error:
        return f"nothing can be made in {nearest}: {error.strerror}"


def _nearest(folder: Path) -> Path:
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder


def _free(folder: Path) -> float:
    found = os.statvfs(_nearest(folder))
    return found.f_bavail / found.f_blocks if found.f_blocks else 1.0
