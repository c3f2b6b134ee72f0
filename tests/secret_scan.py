"""No secret in the tree: every file that git knows or would take is looked through.

What is known to be none stands in `secret_scan_allowed.txt`, by its digest and with a reason; a line
of it that allows nothing any more is an error too. A secret planted in memory must be found, or
the scan itself is broken.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from greenlang_secrets.check.literals import suspicious

ROOT = Path(__file__).parent.parent
ALLOWED = Path(__file__).with_name("secret_scan_allowed.txt")
# Digests of packages, and nothing that anybody wrote by hand.
GENERATED = ("requirements/",)


def digest(found: str) -> str:
    """Return what names a text in the list without showing it."""
    return hashlib.sha256(found.encode()).hexdigest()[:16]


def scan(name: str, text: str) -> Iterator[tuple[str, int, str, str]]:
    """Yield (file, line, reason, digest) of what looks like a secret."""
    for offset, reason, found in suspicious(text):
        yield name, text.count("\n", 0, offset) + 1, reason, digest(found)


def allowed(text: str) -> set[tuple[str, str]]:
    """Return (file, digest) of the list; each line has a reason."""
    entries = set()
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, what, why = line.split(maxsplit=2)
            if why:
                entries.add((name, what))
    return entries


def tree() -> Iterator[tuple[str, str]]:
    """Yield (name, text) of every file that is text."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in sorted(filter(None, listed.split("\0"))):
        file = ROOT / name
        if file.is_file() and not name.startswith(GENERATED):
            yield name, file.read_bytes().decode("utf-8", "ignore")


def main() -> int:
    """Print what is found, and return the exit code."""
    control = "token = " + "hvs" + ".CAESIJlqW9mT4kX0bYvR2nPz"
    if not list(scan("planted", control)):
        sys.stdout.write("the planted secret was not found: the scan is broken\n")
        return 1
    known = allowed(ALLOWED.read_text("utf-8"))
    seen = set()
    bad = 0
    for name, text in tree():
        for file, line, reason, what in scan(name, text):
            seen.add((file, what))
            if (file, what) not in known:
                bad += 1
                sys.stdout.write(f"{file}:{line}: {reason} ({what})\n")
    for file, what in sorted(known - seen):
        bad += 1
        sys.stdout.write(f"{ALLOWED.name}: {file} {what} allows nothing any more\n")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
