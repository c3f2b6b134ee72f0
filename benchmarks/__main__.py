"""``make bench``: every suite, and one table of ratios with their targets.

    python -m benchmarks                       all of them
    python -m benchmarks cached cold           some of them
    python -m benchmarks --rounds 3 --scale .1 a glance
    python -m benchmarks --keep                and make it the result that is committed
    python -m benchmarks render                the tables in the documents, from what is kept

Each run is also written into `benchmarks/results/`, by its time.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from benchmarks import results
from benchmarks.machine import CLIENT, place
from benchmarks.measuring import Outcome, Size
from benchmarks.rendering import render

SUITES: Final = {
    "cached": "a read from the cache, beside other caches",
    "cold": "a read that goes to Vault, beside other clients",
    "mixed": "nineteen hits for each read at Vault",
    "stampede": "a thousand callers of one cold key",
    "rest": "the service over HTTP, beside other services",
    "growth": "hits and listings, among few and many",
    "memory": "what a cached secret takes",
    "imports": "how long the import takes",
    "audit": "what a durable audit record costs",
    "metrics": "what scrapes cost",
    "http_edge": "what metrics and spans add to a request",
    "rate_limits": "what counting a request against its limits costs",
    "invalidation": "how long a write stays unseen on another replica",
    "rotation": "what looking for due rotations costs",
}
"""In the order in which they run; each is a module of `benchmarks.suites`."""

_SERVED: Final = {"rest", "rate_limits"}
"""Suites whose client runs on uvloop, so as to be no limit; in a library's it is asyncio's own."""


def measured(names: Sequence[str], size: Size) -> tuple[dict[str, Outcome], dict[str, str]]:
    """Run suites, each in a loop of its own, and return what they found and why some failed."""
    found: dict[str, Outcome] = {}
    failed: dict[str, str] = {}
    for name in names:
        begun = time.perf_counter()
        sys.stderr.write(f"{name}: {SUITES[name]} ... ")
        sys.stderr.flush()
        suite = importlib.import_module(f"benchmarks.suites.{name}")
        with asyncio.Runner(loop_factory=_loop(name)) as runner:
            try:
                found[name] = runner.run(suite.run(size))
            except Exception as error:  # noqa: BLE001  # one that fails must not cost the others
                failed[name] = f"{type(error).__name__}: {error}"
        sys.stderr.write(f"{time.perf_counter() - begun:.0f} s\n")
        gc.collect()
    return found, failed


def _loop(name: str) -> type[asyncio.AbstractEventLoop] | None:
    if name not in _SERVED:
        return None
    import uvloop  # noqa: PLC0415  # not to be had everywhere

    return uvloop.Loop


def main() -> int:
    """Run, print the table and keep it."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", nargs="*", metavar="suite", help=", ".join([*SUITES, "render"]))
    parser.add_argument("--rounds", type=int, default=5, help="turns of each candidate")
    parser.add_argument("--scale", type=float, default=1.0, help="of what is done in a turn")
    parser.add_argument("--keep", action="store_true", help="as latest.json, and in the documents")
    arguments = parser.parse_args()
    if arguments.suites == ["render"]:
        render()
        return 0
    names = arguments.suites or list(SUITES)
    if unknown := [name for name in names if name not in SUITES]:
        parser.error(f"no suite {', '.join(unknown)}; there are {', '.join(SUITES)}")
    place(CLIENT)
    began = datetime.now(UTC)
    found, failed = measured(names, Size(rounds=arguments.rounds, scale=arguments.scale))
    document = results.document(found, began=began, failed=failed)
    sys.stdout.write(results.text(document) + "\n")
    results.write(document, results.RESULTS / f"{began:%Y%m%dT%H%M%SZ}.json")
    if arguments.keep:
        results.write(document, results.LATEST)
        render()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
