"""Files that only their owner reads, and that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["private_folder", "write_private"]


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` with mode 0600; a reader sees the old file or the new one.

    Blocks; call it in a thread.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:  # mkstemp makes it 0600
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def private_folder(path: Path) -> Path:
    """Return `path` as an absolute folder, made with mode 0700 if it is missing. Blocks."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path.absolute()
