"""Runs all tests, a folder for each pytest process, two at a time; ``make test`` without ARGS.

Scenarios mostly wait, for a token to end or a leader to be elected, while other tests compute.
Each process has servers of its own and shares nothing: no test is moved between folders, the
tests of one folder run one after the other, and ``pytest`` in one process runs the same tests.

Many tests have to do with time, and two processes take each other's. So up to eight tests that
fail are run once more, alone, when all have ended: what fails then too is a failure. What passes
then is named, both here and in the log, and is a test to be mended or a race to be found.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent

# Under coverage, whose data files are told apart by process id.
PYTEST = [sys.executable, "-m", "coverage", "run", "-m", "pytest"]

LONGEST_FIRST = ("scenarios", "api", "integration", "unit", "contracts", "properties")
ELSEWHERE = {"kubernetes"}  # `make test-k8s`: it needs what does not come with the project
AT_ONCE = 2
MOST_AGAIN = 8
"""Tests that may run a second time: more than these are no accident."""
TESTS_FAILED = 1  # pytest's exit code; other ones say that it did not run as it should


@dataclass
class Room:
    """The tests of one folder, and what their process says."""

    folder: Path
    said: IO[str]
    process: subprocess.Popen[str] | None = None
    began: float = 0.0

    @property
    def cache(self) -> Path:
        """Pytest's folder for what it remembers, one for each process."""
        return ROOT / ".pytest_cache" / "rooms" / self.folder.name

    @property
    def failures(self) -> Path:
        """Where pytest remembers what failed."""
        return self.cache / "v" / "cache" / "lastfailed"

    def start(self) -> None:
        """Start its process."""
        self.failures.unlink(missing_ok=True)
        command = [*PYTEST, "-o", f"cache_dir={self.cache}", str(self.folder.relative_to(ROOT))]
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=self.said,
            stderr=subprocess.STDOUT,
        )

    def end(self) -> int:
        """Show what it said, and return how it ended."""
        assert self.process is not None
        self.said.seek(0)
        name = self.folder.relative_to(ROOT)
        code = self.process.wait()
        say(f"---- {name}, after {time.monotonic() - self.began:.0f} s:\n{self.said.read()}")
        return code


def folders() -> list[Path]:
    """Return every folder with tests: those that nobody has timed, and then the longest first."""
    tests = ROOT / "tests"
    found = {path.relative_to(tests).parts[0] for path in tests.rglob("test_*.py")} - ELSEWHERE
    timed = [name for name in LONGEST_FIRST if name in found]
    return [tests / name for name in (*sorted(found - set(timed)), *timed)]


def say(text: str) -> None:
    """Write to our output, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run everything; 0 if it passed."""
    # All get a terminal's Ctrl-C themselves and end in order: we are there to the last. Not
    # SIG_IGN, which they would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    codes: set[int] = set()
    with tempfile.TemporaryDirectory() as scratch:
        rooms = [Room(path, (Path(scratch) / path.name).open("w+")) for path in folders()]
        waiting, running = list(rooms), list[Room]()
        try:
            while waiting or running:
                while waiting and len(running) < AT_ONCE:
                    waiting[0].start()
                    running.append(waiting.pop(0))
                # Without reaping it, so that `wait` has its code.
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
                for room in [each for each in running if each.process.poll() is not None]:
                    running.remove(room)
                    codes.add(room.end())
        finally:
            for room in running:
                room.process.terminate()
                room.end()
    return again(rooms) if TESTS_FAILED in codes and codes <= {0, TESTS_FAILED} else max(codes)


def again(rooms: Sequence[Room]) -> int:
    """Run what failed once more, alone, if it is little; 0 if it passes."""
    failed = [
        test
        for room in rooms
        if room.failures.exists()
        for test in json.loads(room.failures.read_text("utf-8"))
    ]
    if not 0 < len(failed) <= MOST_AGAIN:
        say("\n".join(("These failed:", *failed)))
        return TESTS_FAILED
    say(f"\nThese failed beside others and now run alone: {', '.join(failed)}")
    alone = subprocess.run([*PYTEST, *failed], cwd=ROOT, check=False)
    fate = "fail alone too" if alone.returncode else "PASS ALONE, and are to be mended"
    say(f"Failed beside others; they {fate}: {', '.join(failed)}")
    return alone.returncode


if __name__ == "__main__":
    sys.exit(main())
