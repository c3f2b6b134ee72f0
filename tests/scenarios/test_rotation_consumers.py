"""Those who use a rotated secret: they see the change, and are waited for."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

import greenlang_secrets as gs
from greenlang_secrets.paths import PLATFORM
from greenlang_secrets.rotation_model import ConsumerKind, ConsumerReport, RotationState
from support.rotated import Rotated, Stage
from support.rotator import FRESH, GAP, Job, hearing
from support.rotators import Line, Rotators

measured = logging.getLogger("measured")


async def _saw(service: gs.SecretsService, path: str, watching: asyncio.Event) -> float:
    """Return when a watcher has the second version, by the machine's clock."""
    async for secret in service.watch(path):
        watching.set()
        if secret.version == 2:
            return time.time()
    raise AssertionError("the watch has ended")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("told", ["", "told"])
async def test_watchers_of_other_replicas_see_the_promotion(
    rotators: Rotators, stage: Stage, valkey_server: Any, postgres_server: Any, told: str
) -> None:
    """Two replicas have the new version one fresh time after the promotion; where replicas tell each
    other, within a second, though what they hold is fresh for an hour.
    """
    secret = await stage.cache(valkey_server, "cache/main")
    config = Job(**{**secret.job, "told": ""}).service()
    fresh = FRESH
    notices = postgres_server.url if told else ""
    if told:
        fresh = 0.0
        config = replace(config, cache=gs.CacheConfig(fresh_for=3600, stale_for=3600))
    async with AsyncExitStack() as stack:
        watching = [asyncio.Event(), asyncio.Event()]
        tasks = []
        for event in watching:
            replica = await stack.enter_async_context(gs.SecretsService.open(config))
            if told:
                await stack.enter_async_context(hearing(replica, config, notices))
            tasks.append(asyncio.ensure_future(_saw(replica, secret.path, event)))
            await event.wait()
        pid = await rotators.start(**secret.job, rotate=1, notices=notices)
        seen = await asyncio.wait_for(asyncio.gather(*tasks), 60)
        await rotators.until(pid, lambda lines: _has(lines, "promote after"), within=30)

    began = next(line.at for line in rotators.told(pid) if line.what == "promote before")
    measured.info("seen after %s s, %s", [round(at - began, 2) for at in seen], told)
    assert max(seen) - began < fresh + 1.0


def _has(told: list[Line], what: str) -> bool:
    return any(line.what == what for line in told)


async def _report(secret: Rotated, version: int) -> None:
    report = ConsumerReport(
        scope=PLATFORM,
        path=secret.path,
        consumer="pool:api-1:main",
        kind=ConsumerKind.POOL,
        principal="service:api",
        instance="api-1",
        version=version,
        lives_for=600.0,
    )
    async with secret.catalogue() as catalogue:
        await catalogue.rotations.report([report])


@pytest.mark.timeout(120)
async def test_old_credential_is_kept_for_a_consumer_that_is_behind(
    rotators: Rotators, stage: Stage, valkey_server: Any
) -> None:
    """A pool that still uses the version before keeps it valid after the overlap, and no longer than
    it does.
    """
    secret = await stage.cache(valkey_server, "cache/main")
    before = (await secret.stored()).data
    await _report(secret, 1)
    pid = await rotators.start(**secret.job, rotate=1)
    await rotators.until(pid, lambda told: _has(told, "overlap after"), within=60)
    overlap = (await secret.status()).standing
    assert overlap.old_valid_until is not None

    while (row := await secret.status()).standing.state is RotationState.OVERLAP:
        if time.time() > overlap.old_valid_until.timestamp() + GAP:
            break
        await asyncio.sleep(0.1)
    assert row.standing.state is RotationState.OVERLAP
    assert not _has(rotators.told(pid), "retire before")
    assert await secret.works(before)
    assert await secret.stored_works()

    await _report(secret, 2)
    await rotators.until(pid, lambda told: _has(told, "finish after"), within=60)

    assert not await secret.works(before)
    assert await secret.stored_works()
