"""A thousand callers that ask for one cold key at the same time: how many of them reach Vault, and
how long it takes until all have it, beside one cold read alone.

Making a thousand tasks and waking them takes the event loop longer than a read takes, whatever
they wait for; that is measured beside, with a thousand tasks that wait for one bare read.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

import greenlang_secrets as gs
from benchmarks.measuring import (
    Candidate,
    Finding,
    Outcome,
    Samples,
    Size,
    figure,
    interleaved,
    over,
)
from benchmarks.servers import library_config, vault
from greenlang_secrets.testing import OpenBaoServer

__all__ = ["run"]

CALLERS: Final = 1_000
ALL: Final = f"{CALLERS:,} concurrent cold gets of one key"
ONE: Final = "one cold get"
BARE: Final = f"{CALLERS:,} tasks that wait for one aiohttp GET"


async def run(size: Size) -> Outcome:
    """Measure the wall's time, and count reads in Vault's audit log."""
    async with (
        vault(audit=True) as server,
        gs.SecretsService.open(library_config(server)) as secrets,
        aiohttp.ClientSession(headers={"X-Vault-Token": server.root_token}) as session,
    ):
        callers, rounds = size.of(CALLERS), size.rounds
        keys = itertools.count()
        for number in range(2 * (rounds + 1)):
            await secrets.put(f"cold/{number}", {"username": "app", "password": "x" * 40})
        reads: list[float] = []

        async def stampede() -> float:
            path = f"cold/{next(keys)}"
            mark = await server.audit_mark()
            taken = await _timed(lambda: _all(callers, lambda: secrets.get(path)))
            asked = await server.audit_requests(mark, f"secret/data/greenlang/{path}")
            reads.append(float(len(asked)))
            return taken

        async def one() -> float:
            path = f"cold/{next(keys)}"
            return await _timed(lambda: secrets.get(path))

        candidates: dict[str, Candidate] = {
            ALL: stampede,
            ONE: one,
            BARE: lambda: _timed(lambda: _shared(callers, server, session)),
        }
        samples = await interleaved(candidates, rounds, unit="ms")
    samples["reads at Vault"] = Samples(unit="reads", values=tuple(reads[-rounds:]))
    findings: tuple[Finding, ...] = (
        figure(
            samples, "reads at Vault", target="stampede-reads", what=f"reads at Vault for {ALL}"
        ),
        over(samples, ALL, ONE, target="stampede-time"),
        over(samples, BARE, ONE),
        over(samples, ALL, BARE),
    )
    return Outcome(findings=findings, samples=samples)


async def _timed(what: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await what()
    return (time.perf_counter() - begun) * 1e3


async def _all(callers: int, what: Callable[[], Awaitable[object]]) -> None:
    await asyncio.gather(*(what() for _ in range(callers)))


async def _shared(callers: int, server: OpenBaoServer, session: aiohttp.ClientSession) -> None:
    """The least that a thousand callers of one read can cost."""

    async def read() -> object:
        async with session.get(f"{server.addr}/v1/secret/data/greenlang/cold/0") as answer:
            return json.loads(await answer.read())

    flight = asyncio.ensure_future(read())

    async def wait() -> object:
        return await asyncio.shield(flight)

    await _all(callers, wait)
