"""Runs all tests as two pytest processes at the same time; what ``make test`` does without ARGS.

The scenarios take minutes and mostly wait, for a token to end or a leader to be elected.
Two processes, each with servers of its own, share nothing: no test is moved between them, no
two scenarios run at once, and ``pytest`` in one process runs the same tests.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
APART = "tests/scenarios"

# Under coverage, whose data files are told apart by process id.
PYTEST = [sys.executable, "-m", "coverage", "run", "-m", "pytest"]


def main() -> int:
    """Show what the one says at once and what the other said at the end; 0 if both passed."""
    # Both get a terminal's Ctrl-C themselves and end in order: we are there to the last. Not
    # SIG_IGN, which they would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
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
    return rest.returncode or apart.returncode


if __name__ == "__main__":
    sys.exit(main())
