"""``make load``: 1000 reads a second through the service for a minute, while a credential rotates.

A stack as `make dev` has it, OpenBao, PostgreSQL, Valkey and the API, with the service on one core
and Locust on the other, beside the servers. Eight tenants; every fiftieth read asks Vault; a
PostgreSQL credential rotates every few seconds, and whoever reads it logs in with it at once.
The result is printed and kept in `benchmarks/results/load.json`. All of it is on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg

from benchmarks import results
from benchmarks.machine import CLIENT, SERVER, cpu_clock, place
from benchmarks.measuring import Finding, Outcome, Samples, number
from benchmarks.rendering import render
from greenlang_secrets.access import Permission
from greenlang_secrets.development.issuer import DevelopmentIssuer

__all__ = ["main"]

ROTATED: Final = "database/postgresql"
TENANTS: Final = tuple(f"tenant-{number}" for number in range(8))
SECRETS: Final = 25  # of each tenant
USERS: Final = 50
FRESH_SHARE: Final = 0.02
ROTATE_EVERY: Final = 4.0  # seconds
LOGIN_EVERY: Final = 0.25  # seconds
_MOST: Final = 300.0  # seconds that a run may be asked for
_LIMITS: Final = {
    # Fifty users share a principal, and one rotates all the time: counted as ever, and let through.
    "GREENLANG_SECRETS_RATE_LIMIT_READ": "1000000/1s",
    "GREENLANG_SECRETS_RATE_LIMIT_WRITE": "1000000/1s",
    "GREENLANG_SECRETS_RATE_LIMIT_ROTATE": "1000/1s",
    "GREENLANG_SECRETS_RATE_LIMIT_ROTATE_PATH": "1000/1s",
}


@asynccontextmanager
async def _stack(folder: Path) -> AsyncIterator[dict[str, Any]]:
    """Run ``greenlang-secrets dev``, and give what its ready file says."""
    ready = folder / "ready.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "greenlang_secrets.cli", "dev", "--port", "0"),
        *("--ready-file", str(ready)),
        env={**os.environ, **_LIMITS},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(90):
            while not ready.exists():  # a file has no event
                if process.returncode is not None:
                    raise RuntimeError("the stack did not start; what it said is above")
                await asyncio.sleep(0.1)
        yield json.loads(ready.read_text("utf-8"))  # small, and once
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _seeded(stack: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Make the tenants' secrets, and return who reads what."""
    issuer = await asyncio.to_thread(DevelopmentIssuer.load, Path(stack["env_file"]).parent)
    base = "/api/v1/secrets"
    tenants = {}
    async with aiohttp.ClientSession(stack["api_url"]) as session:
        for tenant in TENANTS:
            bearer = issuer.issue("load", tenant=tenant, permissions=list(Permission)).reveal()
            paths = [f"{base}/services/secret-{number}" for number in range(SECRETS)]
            for path in paths:
                async with session.post(
                    path,
                    json={"data": {"username": "app", "password": os.urandom(20).hex()}},
                    headers={"Authorization": f"Bearer {bearer}"},
                ) as answer:
                    answer.raise_for_status()
            tenants[tenant] = {"bearer": bearer, "paths": paths}
    return tenants


class _Logins:
    """Reads the credential as an application does, and logs in with it."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack
        self.done = 0
        self.failed: Counter[str] = Counter()
        self.versions: set[int] = set()

    async def go_on(self) -> None:
        """Log in again and again, until cancelled."""
        bearer = {"Authorization": f"Bearer {self._stack['tokens']['platform-reader']}"}
        url = f"{self._stack['api_url']}/api/v1/secrets/{ROTATED}"
        async with aiohttp.ClientSession(headers=bearer) as session:
            while True:
                await asyncio.sleep(LOGIN_EVERY)
                try:
                    async with session.get(url) as answer:
                        answer.raise_for_status()
                        secret = await answer.json()
                    data = secret["data"]
                    connection = await asyncpg.connect(
                        host=data["host"],
                        port=int(data["port"]),
                        database=data["database"],
                        user=data["username"],
                        password=data["password"],
                        ssl=False,
                        timeout=10,
                    )
                    await connection.close()
                except (aiohttp.ClientError, asyncpg.PostgresError, OSError) as error:
                    self.failed[type(error).__name__] += 1
                else:
                    self.done += 1
                    self.versions.add(secret["version"])


async def _locust(plan: Path, url: str, folder: Path) -> float:
    """Run it, and return the share of its core that it was busy: at 1 it would measure itself."""
    with (folder / "locust.log").open("wb") as log:  # once, before it starts
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("locustfile.py"))),
            *("--headless", "--host", url, "--only-summary", "--stop-timeout", "10"),
            env={**os.environ, "BENCH_LOAD_PLAN": str(plan)},
            stdout=log,
            stderr=log,
        )
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        async with asyncio.timeout(_MOST + 60):
            await process.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return used / (time.perf_counter() - begun)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run(rate: float, seconds: float) -> Outcome:
    """Run it all, and return what was found.

    Raises:
        RuntimeError: the stack or Locust did not run.
    """
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".load-") as name:
        folder = Path(name)
        async with _stack(folder) as stack:
            pids = stack["pids"]
            place(SERVER, [pids["api"]])
            place(CLIENT, [pid for server, pid in pids.items() if server != "api"])
            plan, told = folder / "plan.json", folder / "told.json"
            plan.write_text(
                json.dumps(
                    {
                        "rate": rate,
                        "users": USERS,
                        "seconds": seconds,
                        "fresh_share": FRESH_SHARE,
                        "rotate_every": ROTATE_EVERY,
                        "rotate": f"/api/v1/secrets/rotate/{ROTATED}",
                        "platform": stack["tokens"]["platform-admin"],
                        "tenants": await _seeded(stack),
                        "result": str(told),
                    }
                ),
                "utf-8",
            )
            logins = _Logins(stack)
            clock = cpu_clock(pids["api"])
            spent, begun = clock(), time.perf_counter()
            going = asyncio.create_task(logins.go_on())
            try:
                locust = await _locust(plan, stack["api_url"], folder)
            finally:
                going.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await going
            busy = (clock() - spent) / (time.perf_counter() - begun)
        if not told.exists():
            raise RuntimeError((folder / "locust.log").read_text("utf-8")[-2000:])
        found = json.loads(told.read_text("utf-8"))
    return _outcome(found, logins, rate=rate, seconds=seconds, busy=busy, locust=locust)


def _outcome(
    found: dict[str, Any],
    logins: _Logins,
    *,
    rate: float,
    seconds: float,
    busy: float,
    locust: float,
) -> Outcome:
    read, asked, rotated = (sorted(found["taken"][name]) for name in found["taken"])
    reads = sorted([*read, *asked])
    failures = Counter(why for each in found["failed"].values() for why in each)
    failed = failures.total() + logins.failed.total()
    achieved = len(reads) / seconds
    offered = f"{achieved:,.0f} of {rate:,.0f} reads/s offered, {seconds:g} s"
    findings = (
        Finding(
            what="failures of reads, rotations and logins",
            unit="failures",
            values=(float(failed),),
            detail=", ".join(f"{why}: {count}" for why, count in (failures + logins.failed).items())
            or f"{len(reads):,} reads, {len(rotated)} rotations, {logins.done} logins",
            target="load-failures",
        ),
        Finding(
            what="p99 of all reads",
            unit="ms",
            values=(_at(reads, 0.99),),
            detail=offered,
            target="load-p99",
        ),
        *(
            Finding(
                what=f"{name}, p50",
                unit="ms",
                values=(_at(times, 0.5),),
                detail=f"p99 {number(_at(times, 0.99))}, max {number(times[-1])}, {len(times):,} of them",
            )
            for name, times in (
                ("held reads", read),
                ("reads that ask Vault", asked),
                ("rotations", rotated),
            )
            if times
        ),
        Finding(what="achieved", unit="reads/s", values=(achieved,), detail=offered),
        Finding(what="the service, of its core", unit="busy", values=(busy,)),
        Finding(what="Locust, of its core", unit="busy", values=(locust,)),
    )
    samples = {
        f"{name}, per cent {share * 100:g}": Samples(unit="ms", values=(_at(times, share),))
        for name, times in (
            ("reads", reads),
            ("reads that ask Vault", asked),
            ("rotations", rotated),
        )
        if times
        for share in (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
    }
    notes = (
        f"Under load {len(logins.versions)} versions of the credential were read, and logged in with.",
    )
    return Outcome(findings=findings, samples=samples, notes=notes)


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> int:
    """Run, print and keep."""
    parser = argparse.ArgumentParser(prog="make load", description=__doc__)
    parser.add_argument("--rate", type=float, default=1000.0, help="reads a second")
    parser.add_argument("--seconds", type=float, default=60.0, help="at most 300")
    parser.add_argument("--keep", action="store_true", help="as load.json, and in the documents")
    arguments = parser.parse_args()
    if not 0 < arguments.seconds <= _MOST:
        parser.error("a load lasts at most 300 seconds")
    place(CLIENT)
    began = datetime.now(UTC)
    outcome = asyncio.run(run(arguments.rate, arguments.seconds))
    document = results.document({"load": outcome}, began=began)
    sys.stdout.write(results.text(document) + "\n")
    results.write(document, results.RESULTS / f"{began:%Y%m%dT%H%M%SZ}-load.json")
    if arguments.keep:
        results.write(document, results.LOAD)
        render()
    return 0


if __name__ == "__main__":
    sys.exit(main())
