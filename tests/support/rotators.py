"""Processes that rotate (`support.rotator`), as their tests see them."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.rotator import Job
from support.zygote import Zygote, kill, lives

__all__ = ["Line", "Rotators"]

_TESTS = Path(__file__).resolve().parents[1]
_RUN = """
import os, signal, sys, traceback
import asyncpg, aiosqlite, redis.asyncio
import sqlalchemy.dialects.sqlite.aiosqlite, sqlalchemy.dialects.postgresql.asyncpg
from support.rotator import main

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
for line in sys.stdin:
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(2, 1)
    try:
        main(line)
    except BaseException:
        traceback.print_exc()
    os._exit(1)
"""


@dataclass(frozen=True)
class Line:
    """What a rotator has told.

    Attributes:
        what: ``up``, ``idle``, ``stopped``, ``refused``, ``done``, or a step and when.
        at: when, by the machine's clock.
    """

    what: str
    at: float
    pid: int
    path: str = ""
    operation: str = ""
    fence: int = 0
    state: str = ""
    error: str | None = None


class Rotators:
    """Starts rotators, and reads what each has told."""

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        self._zygote = zygote
        self._folder = folder
        self._files: dict[int, Path] = {}
        self._number = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator[Rotators]:
        """Start the interpreter that forks them; those that are left at the end are killed."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("VAULT_", "BAO_", "GREEN"))}
        own["PYTHONPATH"] = str(_TESTS)
        async with Zygote.open(own, folder / "log", program=_RUN) as zygote:
            yield cls(zygote, folder)

    async def start(self, **job: Any) -> int:
        """Start one, and return its process id."""
        self._number += 1
        file = self._folder / f"told-{self._number}"
        file.touch()
        pid = await self._zygote.run(Job(told=str(file), **job).line())
        self._files[pid] = file
        return pid

    def told(self, pid: int) -> list[Line]:
        """Return what it has told so far."""
        lines = self._files[pid].read_bytes().splitlines(keepends=True)
        return [Line(**json.loads(line)) for line in lines if line.endswith(b"\n")]

    @property
    def pids(self) -> list[int]:
        """Return the process ids of all that were started."""
        return list(self._files)

    def all_told(self) -> list[Line]:
        """Return what all have told, in the order of time."""
        return sorted((line for pid in self._files for line in self.told(pid)), key=_at)

    async def until(self, pid: int, enough: Callable[[list[Line]], bool], *, within: float) -> None:
        """Return when it has told enough.

        Raises:
            AssertionError: it has ended before, or the time is over.
        """
        until = time.monotonic() + within
        while not enough(self.told(pid)):
            assert lives(pid), f"the rotator has ended: {self.log()}"
            assert time.monotonic() < until, (
                f"not in {within} s: {self.told(pid)[-5:]} {self.log()}"
            )
            await asyncio.sleep(0.05)

    async def ended(self, pid: int, *, within: float) -> Line:
        """Return the last line that it has told, once it has killed itself."""
        until = time.monotonic() + within
        while lives(pid):
            assert time.monotonic() < until, f"it lives: {self.told(pid)[-5:]} {self.log()}"
            await asyncio.sleep(0.05)
        return self.told(pid)[-1]

    async def kill(self, pid: int) -> None:
        """Kill one from outside, and return when it is gone."""
        kill(pid)
        while lives(pid):
            await asyncio.sleep(0.005)

    def log(self) -> str:
        """Return the end of what they have logged."""
        return (self._folder / "log").read_text()[-3000:]


def _at(line: Line) -> float:
    return line.at
