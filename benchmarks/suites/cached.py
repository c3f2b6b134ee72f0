"""A read from the library's cache, beside caches that one would take instead."""

from __future__ import annotations

import greenlang_secrets as gs
from benchmarks.measuring import (
    Candidate,
    Finding,
    Outcome,
    Run,
    Size,
    Way,
    interleaved,
    not_runnable,
    over,
    per_call,
)
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
        many, few = size.of(30_000), size.of(1_000)
        candidates: dict[str, Candidate] = {
            OURS: per_call(_gets(secrets), many),
            TENANT: per_call(_gets(view), many),
        }
        missing: dict[str, str] = {}
        for name, peer, times in (
            (DICT, dictionary_get, many),
            (TTL, cachetools_get, many),
            (AIOCACHE, aiocache_get, few),
        ):
            try:
                candidates[name] = per_call(await peer(secret), times)
            except ImportError as error:
                missing[name] = str(error)
        samples = await interleaved(candidates, size.rounds_of(1.8), unit="us CPU")

    def line(name: str, peer: str, way: Way = "cost", target: str = "") -> Finding:
        if peer in missing:
            return not_runnable(name, missing[peer], beside=peer, target=target)
        return over(samples, name, peer, way=way, target=target)

    return Outcome(
        findings=(
            line(OURS, DICT, target="cached-dict"),
            line(TENANT, DICT),
            line(OURS, AIOCACHE, "gain", target="cached-aiocache"),
            line(OURS, TTL, "gain"),
        ),
        samples=samples,
    )


def _gets(secrets: gs.SecretsView) -> Run:
    async def gets(times: int) -> None:
        for _ in range(times):
            await secrets.get(KEY)

    return gets
