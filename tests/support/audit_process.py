"""A process that writes an audit log (`support.audit_writer`), as its tests see it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

TESTS = Path(__file__).resolve().parents[1]


class Writer:
    """A process that writes at full speed, and what it has told us is durable.

    It ends with the ``with`` block, for a test that fails must not leave the machine to it.
    """

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.audit_writer", str(path)],
            cwd=TESTS,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    def told(self, count: int) -> list[str]:
        """Return the next so many ids that it says are durable."""
        assert self._process.stdout is not None
        lines = [self._process.stdout.readline() for _ in range(count)]
        assert all(lines), "the writer ended by itself"
        return [line.decode().strip() for line in lines]

    def rotate(self, path: Path, to: Path) -> None:
        """Do as logrotate does."""
        path.rename(to)
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> list[str]:
        """Kill it, and return what it had told and nobody had read yet."""
        self._process.kill()
        assert self._process.stdout is not None
        rest = self._process.stdout.read().decode().split("\n")
        self._process.stdout.close()
        self._process.wait()
        return rest[:-1]  # half an id was told to nobody
