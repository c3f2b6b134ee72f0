"""The files that the log was before: found by name, for where the chain goes on."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from greenlang_secrets.audit.head import SUFFIX
from greenlang_secrets.audit.lines import last_position
from greenlang_secrets.audit.records import Position

__all__ = ["rotated_position"]


def rotated_position(path: Path, known: Position | None) -> Position | None:
    """Return where the chain goes on when the log at `path` is empty.

    That is `known`, the sidecar's, unless a rotated file beside it (``FILE.1``,
    ``FILE-20260131``) has got further in the same chain: a power loss can leave the sidecar
    behind. Without a sidecar it is the end of the rotated file that was written last. Blocks.
    """
    best, latest = known, -1
    for file in sorted(path.parent.iterdir()):
        if not file.name.startswith((f"{path.name}.", f"{path.name}-")) or file.suffix == SUFFIX:
            continue
        position, written = _end_of(file)
        if position is None:
            continue
        if known is None:
            if written > latest:
                best, latest = position, written
        elif position.chain == known.chain and (best is None or position.seq > best.seq):
            best = position
    return best


def _end_of(file: Path) -> tuple[Position | None, int]:
    """Return a file's last position and when it was written; a compressed one has none."""
    with suppress(OSError):
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(file, flags)
        try:
            return last_position(descriptor)[0], os.fstat(descriptor).st_mtime_ns
        finally:
            os.close(descriptor)
    return None, -1
