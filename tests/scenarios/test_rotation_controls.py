"""What rotation must not be like: these clients fail, so the other scenarios can."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

import greenlang_secrets as gs
from support.rotated import Logins, Stage
from support.rotator import GAP, Job
from support.rotators import Rotators


async def _fail(logins: Logins) -> None:
    while not logins.failures:
        await asyncio.sleep(0.05)


@pytest.mark.timeout(120)
async def test_single_user_locks_clients_out(
    rotators: Rotators, stage: Stage, postgres_server: Any
) -> None:
    """One user whose password is changed: from then until the promotion nobody gets in, and if the
    process dies in between, what is stored does not work either.
    """
    secret = await stage.database(postgres_server, "db/main")

    async with Logins(stage.service, [secret]) as logins:
        pid = await rotators.start(
            **secret.job,
            rotate=1,
            die=("promote", "before"),
            single_user=postgres_server.url,
        )
        last = await rotators.ended(pid, within=60)
        await asyncio.wait_for(_fail(logins), 30)
        lost = not await secret.stored_works()

    assert last.what == "promote before"
    assert lost
    assert logins.failures


@pytest.mark.timeout(120)
async def test_consumer_that_is_staler_than_the_gap_fails(
    rotators: Rotators, stage: Stage, valkey_server: Any
) -> None:
    """A client that goes by what it has read for longer than the promotion gap uses a password that
    is retired; one beside it, whose values are fresh, does not.
    """
    secret = await stage.cache(valkey_server, "cache/main")
    config = Job(**{**secret.job, "told": ""}).service()
    stale = gs.CacheConfig(fresh_for=100 * GAP, stale_for=100 * GAP)

    async with (
        gs.SecretsService.open(replace(config, cache=stale)) as careless,
        Logins(careless, [secret]) as failing,
        Logins(stage.service, [secret]) as logins,
    ):
        while not failing.count:
            await asyncio.sleep(0.05)
        pid = await rotators.start(**secret.job, rotate=1)
        await asyncio.wait_for(_fail(failing), 60)
        await rotators.until(
            pid, lambda told: any(line.what == "finish after" for line in told), within=30
        )

    assert failing.failures[0] == "cache/main: version 1 is not let in"
    assert logins.failures == []
