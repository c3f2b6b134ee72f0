"""Whoever rotates is killed, at each step and at any time: nobody's login fails."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from dataclasses import dataclass
from typing import Any, get_args

import pytest

from greenlang_secrets.rotation.observing import StepName
from greenlang_secrets.rotation_model import RotationOutcome
from support.rotated import Logins, Rotated, Stage
from support.rotator import GAP, SHORT
from support.rotators import Rotators

TIMES = int(os.environ.get("GREENLANG_SECRETS_TEST_ROTATION_DEATHS", "5"))
KILLS = int(os.environ.get("GREENLANG_SECRETS_TEST_ROTATION_KILLS", "30"))
measured = logging.getLogger("measured")

POINTS = [(step, when) for step in get_args(StepName) for when in ("before", "after")]
CHAINS = 8
"""Secrets that are rotated at the same time, each by processes of its own, one after the other."""

STUCK = 2 * SHORT.lease_for + GAP + 20.0
"""Seconds from a death to the end of the operation at most: twice the lease, as 60 s are in
production, the overlap, and what a busy machine takes to start the next process.
"""


@dataclass
class Chain:
    """One secret, and the processes that rotate it, each until it is killed."""

    secret: Rotated
    rotators: Rotators
    longest: float = 0.0
    deaths: int = 0

    async def dies(self, step: str, when: str) -> None:
        """Start a process that ends what the one before has left, rotates, and dies there."""
        pid = await self.rotators.start(**self.secret.job, rotate=1, die=(step, when))
        last = await self.rotators.ended(pid, within=60)
        assert last.what == f"{step} {when}", self.rotators.log()
        await self._died(pid)

    async def is_killed(self, after: float) -> None:
        """Start a process that rotates all the time, and kill it so many seconds after it began."""
        pid = await self.rotators.start(**self.secret.job, rotate=1000)
        await self.rotators.until(pid, bool, within=60)
        await asyncio.sleep(after)
        await self.rotators.kill(pid)
        await self._died(pid)

    async def _died(self, pid: int) -> None:
        assert await self.secret.stored_works(), f"lost: {self.rotators.told(pid)[-5:]}"
        self.deaths += 1
        self._measure()

    async def recover(self) -> None:
        """Start a process that ends what was left, and kill it when all is done."""
        pid = await self.rotators.start(**self.secret.job)
        await self.rotators.until(
            pid, lambda told: any(line.what == "idle" for line in told), within=60
        )
        while not await self.secret.is_idle():
            await asyncio.sleep(0.1)
        await self.rotators.kill(pid)
        self._measure()

    def _measure(self) -> None:
        """Find the longest time from a process's last word to when its operation had ended."""
        died: float | None = None
        pid = 0
        for line in self.rotators.all_told():
            if line.path != self.secret.path:
                continue
            if died is not None and line.pid != pid and line.what == "idle":
                self.longest = max(self.longest, line.at - died)
            if line.pid != pid or died is None or line.what != "idle":
                died, pid = line.at, line.pid


async def eight(stage: Stage, postgres: Any, valkey: Any, rotators: Rotators) -> list[Chain]:
    """Half on PostgreSQL, half on Valkey."""
    secrets = [await stage.database(postgres, f"db/{n}") for n in range(CHAINS // 2)]
    secrets += [await stage.cache(valkey, f"cache/{n}") for n in range(CHAINS // 2)]
    return [Chain(secret, rotators) for secret in secrets]


async def check(chains: list[Chain], logins: Logins) -> None:
    """What must hold after all deaths, and what was measured."""
    promoted = [(await chain.secret.stored()).version - 1 for chain in chains]
    longest = max(chain.longest for chain in chains)
    deaths = sum(chain.deaths for chain in chains)
    measured.info(
        "%d deaths, %d rotations, %d logins, %d failed, slowest %.2f s, longest to the end %.1f s",
        *(deaths, sum(promoted), logins.count, len(logins.failures), logins.slowest, longest),
    )
    for chain, count in zip(chains, promoted, strict=True):
        assert await chain.secret.stored_works()
        history = await chain.secret.history()
        # One promotion each, and no more.
        assert sorted(run.version or 0 for run in history) == list(range(2, count + 2))
        assert {run.outcome for run in history} <= {RotationOutcome.SUCCESS}
    assert logins.failures == []
    assert logins.count >= 5 * deaths
    assert longest < STUCK


@pytest.mark.timeout(120 + 80 * TIMES)
@pytest.mark.parametrize("kind", ["postgresql", "redis"])
async def test_process_that_dies_at_any_step(
    rotators: Rotators, stage: Stage, postgres_server: Any, valkey_server: Any, kind: str
) -> None:
    """A process dies before and after each step, and another one ends what it began: no login
    fails, what is stored works after each death, and each operation promotes once.
    """
    if kind == "postgresql":
        secrets = [await stage.database(postgres_server, f"db/{n}") for n in range(CHAINS)]
    else:
        secrets = [await stage.cache(valkey_server, f"cache/{n}") for n in range(CHAINS)]
    chains = [Chain(secret, rotators) for secret in secrets]
    script = POINTS * TIMES

    async def live(number: int) -> None:
        for step, when in script[number::CHAINS]:
            await chains[number].dies(step, when)
        await chains[number].recover()

    async with Logins(stage.service, secrets) as logins, asyncio.TaskGroup() as group:
        for number in range(CHAINS):
            group.create_task(live(number))

    await check(chains, logins)


@pytest.mark.timeout(120 + 5 * KILLS)
async def test_process_that_is_killed_at_any_time(
    rotators: Rotators, stage: Stage, postgres_server: Any, valkey_server: Any
) -> None:
    """Killed from outside wherever it is, likewise."""
    chains = await eight(stage, postgres_server, valkey_server, rotators)
    dice = random.Random(20261125)  # noqa: S311  moments, no secrets
    moments = [dice.uniform(0.0, 6.0) for _ in range(KILLS)]

    async def live(number: int) -> None:
        for moment in moments[number::CHAINS]:
            await chains[number].is_killed(moment)
        await chains[number].recover()

    secrets = [chain.secret for chain in chains]
    async with Logins(stage.service, secrets) as logins, asyncio.TaskGroup() as group:
        for number in range(CHAINS):
            group.create_task(live(number))

    await check(chains, logins)
