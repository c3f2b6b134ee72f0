"""Nineteen hits for each read that goes to Vault, which is what a service with a fresh time sees:
ours, and the bare HTTP client behind a dictionary that somebody clears as often.
"""

from __future__ import annotations

import json
import time
from typing import Final

import aiohttp

import greenlang_secrets as gs
from benchmarks.measuring import Outcome, Run, Size, interleaved, over, per_call
from benchmarks.servers import library_config, vault
from greenlang_secrets.testing import OpenBaoServer

__all__ = ["run"]

OURS: Final = "secrets.get, 95 of 100 hits"
BARE: Final = "dict over aiohttp, 95 of 100 hits"
MISS_EVERY: Final = 20
PATH: Final = "database/postgresql"


async def run(size: Size) -> Outcome:
    """Measure CPU a read."""
    async with (
        vault() as server,
        gs.SecretsService.open(library_config(server)) as secrets,
        aiohttp.ClientSession(headers={"X-Vault-Token": server.root_token}) as session,
    ):
        await secrets.put(PATH, {"username": "app", "password": "x" * 40})
        reads = size.of(2_000, least=MISS_EVERY)
        samples = await interleaved(
            {
                OURS: per_call(_ours(secrets), reads),
                BARE: per_call(_bare(server, session), reads),
            },
            size.rounds,
            unit="us CPU",
        )
    return Outcome(findings=(over(samples, OURS, BARE),), samples=samples)


def _ours(secrets: gs.SecretsService) -> Run:
    async def run(times: int) -> None:
        for number in range(times):
            await secrets.get(PATH, fresh=number % MISS_EVERY == 0)

    return run


def _bare(server: OpenBaoServer, session: aiohttp.ClientSession) -> Run:
    url = f"{server.addr}/v1/secret/data/greenlang/{PATH}"
    held: dict[str, tuple[object, float]] = {}

    async def get(path: str) -> object:
        found = held.get(path)
        if found is not None and time.monotonic() < found[1]:
            return found[0]
        async with session.get(url) as answer:
            value = json.loads(await answer.read())
        held[path] = (value, time.monotonic() + 3600)
        return value

    async def run(times: int) -> None:
        for number in range(times):
            if number % MISS_EVERY == 0:
                held.clear()
            await get(PATH)

    return run
