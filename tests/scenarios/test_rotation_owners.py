"""Several processes rotate the same secrets, and one of them sleeps past its lease."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from greenlang_secrets.rotation_model import RotationOutcome
from support.rotated import Logins, Rotated, Stage
from support.rotators import Line, Rotators

ROUNDS = int(os.environ.get("GREENLANG_SECRETS_TEST_ROTATION_ROUNDS", "2"))
PROCESSES = 4
SECRETS = 10

measured = logging.getLogger("measured")


@pytest.mark.timeout(180 + 20 * ROUNDS)
async def test_four_processes_promote_each_operation_once(
    rotators: Rotators, stage: Stage, postgres_server: Any, valkey_server: Any
) -> None:
    """All of them rotate all of ten secrets as often as they may: each operation makes one version
    of its secret, by one process alone, and no login fails.
    """
    catalogue = stage.new_catalogue()
    secrets = [
        await stage.database(postgres_server, f"db/{n}", catalogue=catalogue)
        for n in range(SECRETS // 2)
    ] + [
        await stage.cache(valkey_server, f"cache/{n}", catalogue=catalogue)
        for n in range(SECRETS // 2)
    ]
    job = {**secrets[0].job, "paths": tuple(secret.path for secret in secrets)}

    async with Logins(stage.service, secrets) as logins:
        for _ in range(PROCESSES):
            await rotators.start(**job, rotate=1000)
        for secret in secrets:
            while (await secret.stored()).version <= ROUNDS:
                assert logins.failures == []
                await asyncio.sleep(0.1)
        for pid in rotators.pids:
            await rotators.kill(pid)

    told = rotators.all_told()
    promotions = Counter(line.operation for line in told if line.what == "promote after")
    versions = {secret.path: (await secret.stored()).version for secret in secrets}
    begun = {line.operation for line in told if line.what == "claim after"}
    measured.info(
        "%d promotions of %d operations, %d claims, %d logins, %d failed",
        *(sum(promotions.values()), len(begun), _count(told, "claim after")),
        *(logins.count, len(logins.failures)),
    )
    assert logins.failures == []
    assert set(promotions.values()) == {1}
    assert len(promotions) <= len(begun)
    for secret in secrets:
        history = await secret.history()
        promoted = [run.version for run in history if run.outcome is RotationOutcome.SUCCESS]
        assert len(promoted) == len(set(promoted))
        # The last one may be in its overlap, or between its promotion and the word of it.
        assert versions[secret.path] - 2 <= len(promoted) <= versions[secret.path] - 1
        assert await secret.stored_works()
    assert len({line.pid for line in told if line.what == "promote after"}) > 1


def _count(told: list[Line], what: str) -> int:
    return sum(line.what == what for line in told)


Forget = Callable[[Rotated], Awaitable[None]]


async def _keep(_: Rotated) -> None:
    """The target remembers the greatest fence that it has seen, as it does."""


async def _forget(secret: Rotated) -> None:
    """The target has none, like every one without a table or a key for it."""
    if hasattr(secret.target, "sql"):
        await secret.target.sql("DELETE FROM gls_rotation.gls_fence")
    else:
        await secret.target.run("DEL", f"gls:fence:{secret.target.name}")


async def _wake_too_late(rotators: Rotators, secret: Rotated, before: Forget) -> list[str]:
    """Have a process stop in the midst of a retirement, another end that and rotate once more, and
    the first go on; return what the first tells of it.
    """
    sleeper = await rotators.start(**secret.job, rotate=1, stop=True)
    await rotators.until(sleeper, lambda told: bool(_count(told, "stopped")), within=30)
    other = await rotators.start(**secret.job, rotate=1)
    await rotators.until(other, lambda told: bool(_count(told, "overlap after")), within=60)
    while (await secret.stored()).version < 3:
        await asyncio.sleep(0.1)
    assert await secret.stored_works()
    await rotators.kill(other)
    await before(secret)
    os.kill(sleeper, signal.SIGCONT)
    await rotators.until(
        sleeper, lambda told: bool(_count(told, "refused") + _count(told, "done")), within=30
    )
    return [line.what for line in rotators.told(sleeper)]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["postgresql", "redis"])
async def test_owner_that_sleeps_past_its_lease_is_refused_by_the_target(
    rotators: Rotators, stage: Stage, postgres_server: Any, valkey_server: Any, kind: str
) -> None:
    """Stopped between its last look at Vault and the change of the target, and continued when
    another has rotated on: the target refuses it, and the live login works.
    """
    secret = await _secret(stage, kind, postgres_server, valkey_server)

    told = await _wake_too_late(rotators, secret, _keep)

    assert ("refused" in told, "done" in told) == (True, False)
    assert await secret.stored_works()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["postgresql", "redis"])
async def test_without_a_fence_the_sleeper_breaks_the_live_login(
    rotators: Rotators, stage: Stage, postgres_server: Any, valkey_server: Any, kind: str
) -> None:
    """The control: the same sleeper, where the target has no fence, ends what is in use."""
    secret = await _secret(stage, kind, postgres_server, valkey_server)

    told = await _wake_too_late(rotators, secret, _forget)

    assert ("refused" in told, "done" in told) == (False, True)
    assert not await secret.stored_works()


async def _secret(stage: Stage, kind: str, postgres: Any, valkey: Any) -> Rotated:
    if kind == "postgresql":
        return await stage.database(postgres, "db/main")
    return await stage.cache(valkey, "cache/main")
