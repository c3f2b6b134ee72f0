"""How the cost grows with what is there: a fresh hit among few and many entries, and a listing.

Hits are on all entries in a shuffled order, which is the hardest for the processor's caches; a
dictionary of as many entries, read in the same order, stands beside, and so does the same hit
always, which shows what the code alone does.
"""

from __future__ import annotations

import gc
import itertools
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

import aiohttp
import anyio

import greenlang_secrets as gs
from benchmarks.filling import filled, paths_of
from benchmarks.measuring import Candidate, Outcome, Run, Size, interleaved, over, per_call
from benchmarks.servers import library_config, vault
from greenlang_secrets.testing import OpenBaoServer

__all__ = ["run"]

_ENTRIES: Final = (10, 1_000, 100_000)
_LISTED: Final = (10, 1_000, 10_000)
_AT_ONCE: Final = 32


async def run(size: Size) -> Outcome:
    """Measure hits, then listings."""
    async with vault() as server, AsyncExitStack() as opened:
        few, *_, many = _ENTRIES
        hits: dict[str, Candidate] = {}
        for count in _ENTRIES:
            paths = paths_of(size.of(count, least=10))
            service = await opened.enter_async_context(filled(server, paths))
            times = size.of(30_000)
            hits[_hit(count)] = per_call(_all(service, paths, times), times)
            hits[_same(count)] = per_call(_all(service, paths[:1], times), times)
            hits[_dict(count)] = per_call(_dictionary(paths, times), times)
        gc.freeze()  # or each tidying would look at all of them
        found = await interleaved(hits, size.rounds, unit="us CPU")
        gc.unfreeze()
        listed = await _listings(server, size)
    first, middle, last = _LISTED
    return Outcome(
        findings=(
            over(found, _hit(many), _hit(few), target="growth"),
            over(found, _same(many), _same(few), target="growth"),
            over(found, _dict(many), _dict(few)),
            over(found, _hit(1_000), _hit(few)),
            over(listed, _list(middle), _list(first)),
            over(listed, _list(last), _list(first)),
        ),
        samples=found | listed,
    )


def _hit(count: int) -> str:
    return f"fresh hit among {count:,} entries"


def _same(count: int) -> str:
    return f"the same fresh hit among {count:,} entries"


def _dict(count: int) -> str:
    return f"dict of {count:,} entries"


def _list(count: int) -> str:
    return f"listing of {count:,} secrets, for each"


def _order(paths: Sequence[str], times: int) -> list[str]:
    """All paths, shuffled, as often as it takes. Copies, for a caller's text is never ours."""
    shuffled = random.sample(list(paths), len(paths))
    return ["".join(path) for path in itertools.islice(itertools.cycle(shuffled), times)]


def _all(service: gs.SecretsService, paths: Sequence[str], times: int) -> Run:
    order = _order(paths, times)

    async def run(_: int) -> None:
        for path in order:
            await service.get(path)

    return run


def _dictionary(paths: Sequence[str], times: int) -> Run:
    held = {path: (object(), time.monotonic() + 3600) for path in paths}
    order = _order(paths, times)

    async def lookup(path: str) -> object | None:
        value, until = held[path]
        return value if time.monotonic() < until else None

    async def run(_: int) -> None:
        for path in order:
            await lookup(path)

    return run


async def _listings(server: OpenBaoServer, size: Size):  # noqa: ANN202  # as `interleaved`
    """The wall's time of a listing with the metadata of each, per secret."""
    async with gs.SecretsService.open(library_config(server)) as service:
        candidates: dict[str, Candidate] = {}
        for count in _LISTED:
            there = size.of(count, least=5)
            await _write(server, there, f"listed-{count}")
            candidates[_list(count)] = per_call(
                _listing(service, f"listed-{count}/", there), there, clock=time.perf_counter
            )
        return await interleaved(candidates, size.rounds_of(0.2), unit="us", warm=False)


def _listing(service: gs.SecretsService, prefix: str, count: int) -> Run:
    async def run(_: int) -> None:
        seen = [entry async for entry in service.list(prefix)]
        if len(seen) != count:
            raise RuntimeError(f"the listing has {len(seen)} of {count}")

    return run


async def _write(server: OpenBaoServer, count: int, folder: str) -> None:
    """Make secrets with the bare client: they are many, and none of ours to measure."""
    numbers = iter(range(count))
    url = f"{server.addr}/v1/secret/data/greenlang/{folder}/secret-"
    async with aiohttp.ClientSession(headers={"X-Vault-Token": server.root_token}) as session:

        async def some() -> None:
            for number in numbers:
                async with session.post(f"{url}{number}", json={"data": {"key": "x"}}) as answer:
                    answer.raise_for_status()

        async with anyio.create_task_group() as tasks:
            for _ in range(_AT_ONCE):
                tasks.start_soon(some)
