"""``make bench``: the candidates in turn, run by run, and one table of ratios.

What is measured is the client's CPU time per read (`time.process_time`), because the
server shares the machine; for the audit log, the wall's time per record; for metrics, the CPU's
per read and per scrape. Each round runs every candidate once, in a new order, so that a slow moment
hits all of them; a ratio is taken within its round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

import greenlang_secrets as gs
from benchmarks.audit import BARE, audited
from benchmarks.metrics import FEW, UNCOUNTED, counted, scraped
from greenlang_secrets.testing import OpenBaoServer

Candidate = Callable[[int], Awaitable[None]]
RESULTS = Path(__file__).parent / "results"


async def measure(
    candidates: dict[str, Candidate],
    rounds: int,
    reads: int,
    *,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Return microseconds per read, by default of CPU, a list of `rounds` for each candidate."""
    spent: dict[str, list[float]] = {name: [] for name in candidates}
    order = list(candidates)
    for name in order:  # warm-up, not counted
        await candidates[name](max(1, reads // 10))
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            begun = clock()
            await candidates[name](reads)
            spent[name].append((clock() - begun) / reads * 1e6)
    return spent


def cached(secrets: gs.SecretsService) -> dict[str, Candidate]:
    """A read from the cache, beside a dictionary in an async function that looks at a clock."""
    held = {"database/postgresql": (object(), time.monotonic() + 3600)}

    async def lookup(path: str) -> object | None:
        value, until = held[path]
        return value if time.monotonic() < until else None

    async def bare(reads: int) -> None:
        for _ in range(reads):
            await lookup("database/postgresql")

    async def ours(reads: int) -> None:
        for _ in range(reads):
            await secrets.get("database/postgresql")

    async def tenant(reads: int) -> None:
        view = secrets.for_tenant("acme")
        for _ in range(reads):
            await view.get("api-keys/stripe")

    return {"dict with clock": bare, "secrets.get": ours, "secrets.get (tenant)": tenant}


def cold(
    secrets: gs.SecretsService, session: aiohttp.ClientSession, server: OpenBaoServer
) -> dict[str, Candidate]:
    """A read that goes to Vault, beside the same request by the bare HTTP client."""
    url = f"{server.addr}/v1/secret/data/greenlang/database/postgresql"
    headers = {"X-Vault-Token": server.root_token}

    async def bare(reads: int) -> None:
        for _ in range(reads):
            async with session.get(url, headers=headers) as answer:
                json.loads(await answer.read())

    async def ours(reads: int) -> None:
        for _ in range(reads):
            await secrets.get("database/postgresql", fresh=True)

    return {"aiohttp": bare, "secrets.get (fresh=True)": ours}


def rows(base: str, spent: dict[str, list[float]]) -> list[dict[str, object]]:
    """One row per candidate: median time and the ratio to `base`, with its spread."""
    table = []
    for name, values in spent.items():
        ratios = sorted(
            value / reference for value, reference in zip(values, spent[base], strict=True)
        )
        table.append(
            {
                "what": name,
                "beside": base,
                "us": round(statistics.median(values), 3),
                "ratio": round(statistics.median(ratios), 3),
                "ratio_min": round(ratios[0], 3),
                "ratio_max": round(ratios[-1], 3),
            }
        )
    return table


async def run(rounds: int, scale: float) -> list[dict[str, object]]:
    """Start a server, run all suites, and return their rows."""
    async with OpenBaoServer(audit=False) as server:
        await server.request(
            "POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}
        )
        config = gs.SecretsServiceConfig(
            addresses=(server.addr,),
            auth=gs.AuthConfig(token=gs.SecretValue(server.root_token)),
            cache=gs.CacheConfig(fresh_for=3600, stale_for=3600),
            tenant_token_role=None,
        )
        async with gs.SecretsService.open(config) as secrets, aiohttp.ClientSession() as session:
            await secrets.put("database/postgresql", {"username": "app", "password": "x" * 40})
            await secrets.for_tenant("acme").put("api-keys/stripe", {"key": "x" * 40})
            hot = await measure(cached(secrets), rounds, max(1, int(50_000 * scale)))
            async with counted(secrets) as candidates:
                told = await measure(candidates, rounds, max(1, int(45_000 * scale)))
            async with scraped(secrets) as candidates:
                scrapes = await measure(candidates, rounds, max(1, int(20 * scale)))
            away = await measure(cold(secrets, session, server), rounds, max(1, int(300 * scale)))
    async with audited() as candidates:
        # A multiple of a hundred, which is how many writers share it.
        records = max(1, int(5 * scale)) * 100
        kept = await measure(candidates, rounds, records, clock=time.perf_counter)
    return (
        rows("dict with clock", hot)
        + rows(UNCOUNTED, told)
        + rows(FEW, scrapes)
        + rows("aiohttp", away)
        + rows(BARE, kept)
    )


def main() -> int:
    """Run, print the table and keep it."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--scale", type=float, default=1.0, help="reads per round, as a factor")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/<time>.json")
    arguments = parser.parse_args()
    table = asyncio.run(run(arguments.rounds, arguments.scale))
    print(f"{'what':28} {'beside':18} {'us':>9} {'ratio':>7}  spread")  # noqa: T201  # output
    for row in table:
        print(  # noqa: T201  # a command's output
            f"{row['what']:28} {row['beside']:18} {row['us']:>9} {row['ratio']:>7}  "
            f"{row['ratio_min']} to {row['ratio_max']}"
        )
    if arguments.keep:
        now = datetime.now(UTC)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json").write_text(
            json.dumps(
                {
                    "at": now.isoformat(timespec="seconds"),
                    "python": platform.python_version(),
                    "machine": platform.machine(),
                    "aiohttp": aiohttp.__version__,
                    "rows": table,
                },
                indent=1,
            )
            + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
