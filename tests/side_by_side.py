"""Runs all tests as two pytest processes at the same time; what ``make test`` does without ARGS.

The scenarios take minutes and mostly wait, for a token to end or a leader to be elected.
Two processes, each with servers of its own, share nothing: no test is moved between them, no
two scenarios run at once, and ``pytest`` in one process runs the same tests.

Many tests have to do with time, and the two take each other's. So up to three tests that
fail are run once more, alone, when both have ended: what fails then too is a failure. What passes
then is named, both here and in the log, and is a test to be mended or a race to be found.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
APART = "tests/scenarios"

# Under coverage, whose data files are told apart by process id.
PYTEST = [sys.executable, "-m", "coverage", "run", "-m", "pytest"]

CACHES = (ROOT / ".pytest_cache", ROOT / ".pytest_cache" / "apart")
MOST_AGAIN = 3
"""Tests that may run a second time: more than these are no accident."""
TESTS_FAILED = 1  # pytest's exit code; other ones say that it did not run as it should


def main() -> int:
    """Show what the one says at once and what the other said at the end; 0 if both passed."""
    # Both get a terminal's Ctrl-C themselves and end in order: we are there to the last. Not
    # SIG_IGN, which they would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for cache in CACHES:
        _failures(cache).unlink(missing_ok=True)
    with tempfile.TemporaryFile("w+") as said:
        apart = subprocess.Popen(
            [*PYTEST, "-o", "cache_dir=.pytest_cache/apart", APART],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            rest = subprocess.run([*PYTEST, f"--ignore={APART}"], cwd=ROOT, check=False)
            sys.stdout.write(f"{APART}, which run at the same time:\n")
            sys.stdout.flush()
            apart.wait()
        finally:
            apart.terminate()
            apart.wait()
        said.seek(0)
        sys.stdout.write(said.read())
    codes = {rest.returncode, apart.returncode}
    return _again() if codes in ({0, TESTS_FAILED}, {TESTS_FAILED}) else max(codes, key=abs)


def _again() -> int:
    """Run what failed once more, alone, if it is little; 0 if it passes."""
    failed = [
        test
        for cache in CACHES
        if _failures(cache).exists()
        for test in json.loads(_failures(cache).read_text())
    ]
    if not 0 < len(failed) <= MOST_AGAIN:
        return TESTS_FAILED
    sys.stdout.write(f"\nThese failed beside others and now run alone: {', '.join(failed)}\n")
    sys.stdout.flush()
    alone = subprocess.run([*PYTEST, *failed], cwd=ROOT, check=False)
    said = "fail alone too" if alone.returncode else "PASS ALONE, and are to be mended"
    sys.stdout.write(f"Failed beside others; they {said}: {', '.join(failed)}\n")
    return alone.returncode


def _failures(cache: Path) -> Path:
    return cache / "v" / "cache" / "lastfailed"


if __name__ == "__main__":
    sys.exit(main())
