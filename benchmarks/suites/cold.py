"""A read that goes to Vault: the client's CPU beside the bare HTTP client, and reads a second
beside what people use.

One after the other for the CPU, sixteen at a time for reads a second. Each of the sixteen reads a
path of its own: reads of one path at a time would be one request, with us alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import greenlang_secrets as gs
from benchmarks.measuring import (
    Candidate,
    Finding,
    Outcome,
    Run,
    Samples,
    Size,
    interleaved,
    not_runnable,
    over,
    per_call,
)
from benchmarks.peers.clients import (
    THREADS,
    bare_aiohttp,
    hvac_in_threads,
    of_async_hvac,
    of_httpx,
    spread,
)
from benchmarks.servers import library_config, vault
from greenlang_secrets.testing import OpenBaoServer

__all__ = ["run"]

OURS: Final = "secrets.get, uncached"
AIOHTTP: Final = "aiohttp GET"
HVAC: Final = f"hvac in {THREADS} threads"
PATHS: Final = tuple(f"bench/{number}" for number in range(64))
_PEERS: Final = {
    AIOHTTP: bare_aiohttp,
    "async-hvac": of_async_hvac,
    "httpx": of_httpx,
    HVAC: hvac_in_threads,
}
_SHARE: Final = {"httpx": 0.2, HVAC: 0.4}  # of the reads, for who takes longer


def rate(run: Run, times: int) -> Candidate:
    """Return a candidate whose sample is reads a second."""

    async def candidate() -> float:
        begun = time.perf_counter()
        await run(times)
        return times / (time.perf_counter() - begun)

    return candidate


async def run(size: Size) -> Outcome:
    """Measure both."""
    async with vault() as server, gs.SecretsService.open(library_config(server)) as secrets:
        for path in PATHS:
            await secrets.put(path, {"username": "app", "password": "x" * 40})

        async def read(path: str) -> None:
            await secrets.get(path, fresh=True)

        reads = size.of(150, least=THREADS)
        cpu, missing = await _of(
            server,
            {OURS: spread(read, PATHS, 1)},
            1,
            lambda run, share: per_call(run, int(reads * share) or 1),
            size,
            unit="us CPU",
        )
        reads = size.of(320, least=THREADS)
        rates, _ = await _of(
            server,
            {OURS: spread(read, PATHS, THREADS)},
            THREADS,
            lambda run, share: rate(run, int(reads * share) or 1),
            size,
            unit="reads/s",
        )
    findings = [over(cpu, OURS, AIOHTTP, target="cold-aiohttp", what=f"{OURS}, CPU")]
    findings += [
        over(cpu, OURS, peer, way="gain", what=f"{OURS}, CPU")
        for peer in cpu
        if peer not in {OURS, AIOHTTP}
    ]
    findings += [
        over(rates, OURS, peer, target="cold-hvac" if peer == HVAC else "", what=f"{OURS}, reads/s")
        for peer in rates
        if peer != OURS
    ]
    samples = {f"{name}, CPU": found for name, found in cpu.items()}
    samples |= {f"{name}, {THREADS} at a time": found for name, found in rates.items()}
    return Outcome(findings=(*findings, *missing), samples=samples)


async def _of(
    server: OpenBaoServer,
    ours: dict[str, Run],
    at_once: int,
    made: Callable[[Run, float], Candidate],
    size: Size,
    *,
    unit: str,
) -> tuple[dict[str, Samples], list[Finding]]:
    """Ours and all peers that are here, and lines for those that are not."""
    missing = []
    async with AsyncExitStack() as opened:
        runs = dict(ours)
        for name, peer in _PEERS.items():
            wide = THREADS if peer is hvac_in_threads else at_once
            try:
                run = await opened.enter_async_context(peer(server, PATHS, at_once=wide))
                await run(1)
            except Exception as error:  # noqa: BLE001  # a peer may fail in ways of its own
                why = f"{type(error).__name__}: {error}"
                target = "cold-hvac" if name == HVAC else ""
                missing.append(not_runnable(OURS, why, beside=name, target=target))
                continue
            runs[name] = run
        samples = await interleaved(
            {name: made(run, _SHARE.get(name, 1.0)) for name, run in runs.items()},
            size.rounds,
            unit=unit,
        )
    return samples, missing
