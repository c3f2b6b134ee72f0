"""The service over HTTP, as it is shipped, beside bare Starlette, FastAPI with hvac, and OpenBao's
own proxy: cached reads, reads that go to Vault, and writes.

The services take turns on the server's core; the client and OpenBao have the other one, where a
cached read leaves OpenBao idle. Reads a second decide; the server's CPU a request stands beside.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks.http_load import Load, request
from benchmarks.machine import CLIENT
from benchmarks.measuring import (
    Candidate,
    Finding,
    Outcome,
    Samples,
    Size,
    interleaved,
    not_runnable,
    over,
)
from benchmarks.peers.proxy import NO_KV_CACHE, proxy
from benchmarks.servers import Child, Service, child, python, service, vault
from greenlang_secrets.testing import OpenBaoServer, PostgresServer, ValkeyServer

__all__ = ["run"]

PATH: Final = "database/postgresql"
PATHS: Final = tuple(f"bench/{number}" for number in range(64))
DATA: Final = {"username": "app", "password": "x" * 40}

OURS: Final = "REST GET, cached"
AS_IN_DEV: Final = "REST GET, cached, with PostgreSQL and Valkey"
COLD: Final = "REST GET, uncached"
WRITE: Final = "REST PUT"
BARE: Final = "bare Starlette, the same octets"
FASTAPI: Final = "FastAPI with hvac, uncached"
PROXY: Final = "bao proxy with its cache"

_WEB: Final = (python(), "-P", "-m", "benchmarks.peers.web")


async def run(size: Size) -> Outcome:
    """Measure all of them in turn."""
    missing: list[Finding] = []
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd())))
        for part in ("alone", "dev"):
            (folder / part).mkdir(mode=0o700)
        server = await opened.enter_async_context(vault(CLIENT))
        ours = await opened.enter_async_context(_ours(server, folder / "alone"))
        as_in_dev = await opened.enter_async_context(_as_in_dev(server, folder / "dev"))
        answer = await _seeded(ours)
        bare = await opened.enter_async_context(
            child(*_WEB, "bare", environment={"BENCH_ANSWER": json.dumps(answer), **_SOURCES})
        )
        loads = {
            OURS: (_load(ours, PATH), 1_000),
            AS_IN_DEV: (_load(as_in_dev, PATH), 1_000),
            BARE: (_plain(bare, f"{bare.url}/api/v1/secrets/{PATH}"), 3_000),
            COLD: (_cold(ours), 150),
            WRITE: (_write(ours), 60),
        }
        try:
            fastapi = await opened.enter_async_context(
                child(*_WEB, "fastapi", environment=_fastapi(server))
            )
        except RuntimeError as error:
            missing.append(not_runnable(OURS, str(error), beside=FASTAPI, target="rest-fastapi"))
        else:
            loads[FASTAPI] = (_plain(fastapi, f"{fastapi.url}/api/v1/secrets/{PATH}"), 160)
        proxied = await opened.enter_async_context(proxy(server, folder))
        url = f"{proxied.url}/v1/secret/data/tenants/acme/{PATH}"
        loads[PROXY] = (_plain(proxied, url, {"X-Vault-Token": server.root_token}), 600)
        taken = _Taken()
        rates = await interleaved(
            {
                name: taken.rate(name, load, size.of(times, least=20))
                for name, (load, times) in loads.items()
            },
            size.rounds_of(1),
            unit="reads/s",
        )
    findings = [
        over(rates, OURS, BARE, target="rest-starlette"),
        over(rates, AS_IN_DEV, BARE),
        over(rates, OURS, PROXY),
        over(rates, COLD, PROXY),
        over(rates, OURS, COLD),
        over(rates, OURS, WRITE, what=f"{OURS}, beside a write"),
    ]
    if FASTAPI in rates:
        findings[2:2] = [
            over(rates, OURS, FASTAPI, target="rest-fastapi"),
            over(rates, COLD, FASTAPI),
        ]
    samples = {f"{name}, reads/s": found for name, found in rates.items()}
    samples |= taken.samples(rates)
    notes = (NO_KV_CACHE, taken.note())
    return Outcome(findings=(*findings, *missing), samples=samples, notes=notes)


class _Taken:
    """What each load told besides its rate."""

    def __init__(self) -> None:
        self._server_us: dict[str, list[float]] = {}
        self._p99_ms: dict[str, list[float]] = {}
        self._busy: dict[str, list[float]] = {}

    def rate(self, name: str, load: Load, times: int) -> Candidate:
        """Return a candidate whose sample is requests a second."""

        async def candidate() -> float:
            loaded = await load.run(times)
            self._server_us.setdefault(name, []).append(loaded.server_us)
            ordered = sorted(loaded.latencies)
            p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
            self._p99_ms.setdefault(name, []).append(p99 * 1e3)
            self._busy.setdefault(name, []).append(loaded.client_busy)
            return loaded.rate

        return candidate

    def samples(self, rates: dict[str, Samples]) -> dict[str, Samples]:
        """Return the server's CPU and the 99th percentile of each, without the warm-up's."""
        found = {}
        for name, rate in rates.items():
            last = -len(rate.values)
            for what, unit, values in (
                ("server CPU", "us CPU", self._server_us),
                ("p99", "ms", self._p99_ms),
                ("client busy", "of its core", self._busy),
            ):
                found[f"{name}, {what}"] = Samples(unit=unit, values=tuple(values[name][last:]))
        return found

    def note(self) -> str:
        """Return a sentence on whether the client was what ended it."""
        name, busiest = max(
            ((name, max(values)) for name, values in self._busy.items()), key=lambda pair: pair[1]
        )
        return f"The client's core was at most {busiest:.0%} the client's, at {name}."


_SOURCES: Final = {"PYTHONPATH": str(Path(__file__).parents[2])}


def _fastapi(server: OpenBaoServer) -> dict[str, str]:
    return {"BENCH_VAULT": server.addr, "BENCH_TOKEN": server.root_token, **_SOURCES}


@asynccontextmanager
async def _ours(server: OpenBaoServer, folder: Path) -> AsyncIterator[Service]:
    async with service(server, folder) as running:
        yield running


@asynccontextmanager
async def _as_in_dev(server: OpenBaoServer, folder: Path) -> AsyncIterator[Service]:
    async with (
        PostgresServer() as postgres,
        ValkeyServer() as valkey,
        service(server, folder, postgres=postgres, valkey=valkey) as running,
    ):
        yield running


async def _seeded(ours: Service) -> dict[str, object]:
    """Make the secrets, and return the answer to a cached read."""
    headers = _bearer(ours)
    async with aiohttp.ClientSession(headers=headers) as session:
        for path in (PATH, *PATHS):
            async with session.post(ours.secret(path), json={"data": DATA}) as answer:
                answer.raise_for_status()
        for _ in range(2):
            async with session.get(ours.secret(PATH)) as answer:
                body = await answer.text()
                kept = [
                    (name, value)
                    for name, value in answer.headers.items()
                    if name.lower() not in {"date", "content-length"}
                ]
    return {"body": body, "headers": kept}


def _bearer(ours: Service) -> dict[str, str]:
    return {"Authorization": f"Bearer {ours.bearers['acme']}"}


def _load(ours: Service, path: str) -> Load:
    message = request(ours.secret(path), headers=_bearer(ours))
    return Load(url=ours.url, make=lambda _: message, pids=[ours.pid])


def _plain(peer: Child, url: str, headers: dict[str, str] | None = None) -> Load:
    message = request(url, headers=headers)
    return Load(url=peer.url, make=lambda _: message, pids=[peer.pid])


def _cold(ours: Service) -> Load:
    messages = [request(f"{ours.secret(path)}?fresh=true", headers=_bearer(ours)) for path in PATHS]
    return Load(url=ours.url, make=lambda n: messages[n % len(PATHS)], pids=[ours.pid])


def _write(ours: Service) -> Load:
    """Writes of paths in turn, without a condition; each makes a version."""

    def message(number: int) -> bytes:
        body = json.dumps({"data": {**DATA, "number": str(number)}}).encode()
        return request(
            ours.secret(PATHS[number % len(PATHS)]), headers=_bearer(ours), method="PUT", body=body
        )

    return Load(url=ours.url, make=message, pids=[ours.pid])
