"""A read from the library's cache, beside caches that one would take instead."""

from __future__ import annotations

import greenlang_secrets as gs
from benchmarks.measuring import Candidate, Outcome, Run, Size, interleaved, over, per_call
from benchmarks.peers.caches import KEY, aiocache_get, cachetools_get, dictionary_get
from benchmarks.servers import library_config, vault

__all__ = ["run"]

OURS = "secrets.get, fresh hit"
TENANT = "secrets.get of a tenant"
DICT = "dict with a clock"
TTL = "cachetools TTLCache"
AIOCACHE = "aiocache SimpleMemoryCache"


async def run(size: Size) -> Outcome:
    """Measure, with all that counts a read switched on: it always is."""
    async with vault() as server, gs.SecretsService.open(library_config(server)) as secrets:
        await secrets.put(KEY, {"username": "app", "password": "x" * 40})
        view = secrets.for_tenant("acme")
        await view.put(KEY, {"username": "app", "password": "x" * 40})
        secret = await secrets.get(KEY)
        many, few = size.of(50_000), size.of(2_500)
        candidates: dict[str, Candidate] = {
            DICT: per_call(dictionary_get(secret), many),
            OURS: per_call(_gets(secrets), many),
            TENANT: per_call(_gets(view), many),
            TTL: per_call(cachetools_get(secret), many),
            AIOCACHE: per_call(await aiocache_get(secret), few),
        }
        samples = await interleaved(candidates, size.rounds_of(1.7), unit="us CPU")
    return Outcome(
        findings=(
            over(samples, OURS, DICT, target="cached-dict"),
            over(samples, TENANT, DICT),
            over(samples, OURS, AIOCACHE, way="gain", target="cached-aiocache"),
            over(samples, OURS, TTL),
        ),
        samples=samples,
    )


def _gets(secrets: gs.SecretsView) -> Run:
    async def gets(times: int) -> None:
        for _ in range(times):
            await secrets.get(KEY)

    return gets
