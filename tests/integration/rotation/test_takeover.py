"""Owners that die, sleep too long, or end: the next one goes on with the same operation."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import (
    CatalogueUnavailable,
    OverlapInProgress,
    RotationLost,
    VaultUnavailable,
)
from greenlang_secrets.paths import PLATFORM, SecretPath
from greenlang_secrets.rotation.record import Records
from greenlang_secrets.rotation_model import RotationOutcome, RotationState
from greenlang_secrets.vault.kv import KvV2

from .conftest import FAST, PATH

LATER = replace(FAST, enabled=False)
BEFORE_OVERLAP = ("claim", "prepare", "apply", "verify", "promote", "overlap")


class Stop:
    """Holds a rotation at one moment, and says when it has come."""

    def __init__(self, step: str, when: str) -> None:
        self.at = (step, when)
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, step) -> None:
        if (step.step, step.when) == self.at and not self.go_on.is_set():
            self.reached.set()
            await self.go_on.wait()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", BEFORE_OVERLAP)
async def test_another_goes_on_where_one_has_died(bench, step, when):
    """Whatever the moment: one promotion, of the candidate there was, and a login that works."""
    stop = Stop(step, when)
    async with (
        Supervisor() as doomed,
        bench.open(within=doomed, config=LATER, on_step=stop) as manager,
    ):
        asking = asyncio.ensure_future(manager.rotate(PATH))
        await stop.reached.wait()
        asking.cancel()
        await doomed.close()
        manager._busy = 0  # the dead release nothing
    claimed = (step, when) != ("claim", "before")
    assert await bench.works()
    async with bench.open() as manager:
        if not claimed:
            await manager.rotate(PATH)
        await _idle(bench, version=2)
    assert await bench.works()
    assert (await bench.secrets.get(PATH, fresh=True)).version == 2
    (run,) = await bench.catalogue.rotations.history(PLATFORM, PATH, limit=10)
    assert run.outcome is RotationOutcome.SUCCESS
    fences = [fence for _, fence in bench.handler.called]
    assert fences == sorted(fences)


@pytest.mark.parametrize("step", ["apply", "promote", "overlap"])
async def test_an_owner_that_slept_past_its_lease_stops(bench, step):
    """Another has taken over meanwhile; the sleeper does nothing any more, and says why."""
    stop = Stop(step, "before")
    async with bench.open(config=LATER, on_step=stop) as sleeper:
        run = await sleeper.rotate(PATH)
        await stop.reached.wait()
        async with bench.open() as manager:
            await _idle(bench, version=2)
            called = list(bench.handler.called)
            stop.go_on.set()
            await run.until(RotationState.IDLE, within=20)
            await _until(lambda: manager.stats.outcomes.total() == 1)
    assert sleeper.stats.outcomes.total() == 0
    assert bench.handler.called == called
    assert await bench.works()
    assert (await bench.secrets.get(PATH, fresh=True)).version == 2


async def test_an_owner_that_wakes_up_within_its_step_is_refused_by_the_target(bench):
    """The step was begun before the lease was over, and reaches the target after another's."""
    asleep, wake = asyncio.Event(), asyncio.Event()
    real, fenced = bench.target.alter, []

    async def alter(user, password, *, fence=0):
        if fence == 1:
            asleep.set()
            await asyncio.shield(wake.wait())
        try:
            await real(user, password, fence=fence)
        except BaseException as error:
            fenced.append(type(error).__name__)
            raise

    bench.target.alter = alter
    slow = replace(LATER, step_within=20.0, lease_for=25.0)
    async with bench.open(config=slow) as sleeper:
        await sleeper.rotate(PATH)
        await asleep.wait()
        record = await bench.record()
        long_ago = record.standing.started_at - timedelta(minutes=1)
        expired = replace(record, lease_until=long_ago)
        await Records(bench.secrets.client, bench.secrets.config.kv_mount).claim(
            replace(expired, standing=replace(record.standing, wake_at=long_ago))
        )
        async with bench.open(config=LATER) as manager:
            await (await manager.rotate(PATH)).promoted(within=20)
            wake.set()
            await _until(lambda: fenced)
    assert fenced == ["RotationFenced"]
    assert await bench.works()


async def test_closing_lets_the_step_end_and_the_next_owner_begin_at_once(bench):
    """Nothing waits for a lease: the record has no owner when the manager is closed."""
    stop = Stop("verify", "before")
    async with bench.open(config=LATER, on_step=stop) as manager:
        await manager.rotate(PATH)
        await stop.reached.wait()
        asyncio.get_running_loop().call_later(0.1, stop.go_on.set)
    record = await bench.record()
    assert record.owner is None
    assert record.standing.phase is RotationState.TESTED
    with pytest.raises(RuntimeError):
        await manager.rotate(PATH)

    began = time.monotonic()
    async with bench.open():
        await _promoted(bench, version=2)
    assert time.monotonic() - began < FAST.lease_for


async def test_four_that_look_at_the_same_time_rotate_once(bench):
    """Who loses the claim stops; there is one promotion and one success in all of them."""
    async with (
        bench.open() as a,
        bench.open() as b,
        bench.open() as c,
        bench.open() as d,
    ):
        managers = (a, b, c, d)
        asked = await asyncio.gather(
            *(manager.rotate(PATH) for manager in managers), return_exceptions=True
        )
        await _idle(bench, version=2)
        await _until(lambda: bench.secrets.tally.rotations["generic", "success"])
    assert sum(not isinstance(each, BaseException) for each in asked) == 1
    assert bench.secrets.tally.rotations["generic", "success"] == 1
    assert (await bench.secrets.get(PATH, fresh=True)).version == 2


async def test_a_record_that_cannot_be_written_is_given_up_with_the_lease(bench, monkeypatch):
    """While Vault is away its owner tries again; once the lease is over another may have it."""
    real, away = KvV2.write, []

    async def write(self, path, data, *, cas=None):
        if str(path).startswith("_rotation/") and data["state"] == "applied" and len(away) < 3:
            away.append(path)
            raise VaultUnavailable("network")
        return await real(self, path, data, cas=cas)

    monkeypatch.setattr(KvV2, "write", write)
    async with bench.open(config=LATER) as manager:
        run = await manager.rotate(PATH)
        assert (await run.promoted(within=20)).version == 2
    assert len(away) == 3

    records = Records(bench.secrets.client, bench.secrets.config.kv_mount)
    record = await records.read(PLATFORM, SecretPath.parse(PATH))
    away.clear()
    gone = replace(record, standing=replace(record.standing, state=RotationState.APPLIED))
    with pytest.raises(RotationLost):
        await records.save(gone, within=0.0)


async def test_the_retirement_waits_for_a_consumer_that_is_behind(bench, monkeypatch):
    """As long as somebody alive uses the version before, and no longer than the policy says."""
    monkeypatch.setattr("greenlang_secrets.rotation.looking._CONSUMERS", 0.1)
    asked = []

    async def behind(scope, path, *, version):
        asked.append(version)
        return ["somebody"] if len(asked) < 4 else []

    monkeypatch.setattr(bench.catalogue.rotations, "behind", behind)
    async with bench.open() as manager:
        await manager.rotate(PATH)
        await _idle(bench, version=2)
    assert asked == [2, 2, 2, 2]
    assert (await bench.record()).standing.fence == 2


async def test_a_forced_rotation_whose_owner_dies_between_the_two_is_begun(bench):
    """What was to follow is in the record, and the next owner begins it."""
    slow = replace(FAST, least_gap=30.0)
    async with bench.open(config=slow) as manager:
        await (await manager.rotate(PATH)).until(RotationState.OVERLAP, within=20)
    stop = Stop("finish", "after")
    async with (
        Supervisor() as doomed,
        bench.open(within=doomed, config=replace(slow, enabled=False), on_step=stop) as manager,
    ):
        run = await manager.rotate(PATH, force=True, reason="it leaked")
        await stop.reached.wait()
        assert run.base_version == 0
        await doomed.close()
        manager._busy = 0
    async with bench.open(config=slow):
        await _promoted(bench, version=3)
    assert (await bench.record()).standing.rotation_id == run.id
    assert await bench.works()


async def _idle(bench, *, version: int) -> None:
    await _seen(bench, lambda r: not r.open and r.standing.version == version)


async def _promoted(bench, *, version: int) -> None:
    await _seen(bench, lambda r: r.standing.version == version)


async def _seen(bench, condition) -> None:
    async with asyncio.timeout(20):
        while not condition(await bench.record()):
            await asyncio.sleep(0.02)


async def _until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("lost", [("note",), ("note", "end_run")])
async def test_an_end_that_the_catalogue_has_not_heard_of_is_told_later(bench, monkeypatch, lost):
    """Its owner dies between the last word in the record and that in the catalogue: whoever looks
    next tells it, and the history does not keep a rotation that goes on for ever.
    """
    rotations, died = bench.catalogue.rotations, asyncio.Event()

    async def gone(*_, **__):
        died.set()
        raise CatalogueUnavailable

    def last(step):
        if (step.step, step.when) == ("finish", "before"):
            for name in lost:
                monkeypatch.setattr(rotations, name, gone)

    async with bench.open(on_step=last) as manager:
        run = await manager.rotate(PATH)
        await run.until(RotationState.IDLE, within=20)
        await died.wait()
    monkeypatch.undo()
    row = await rotations.find(PLATFORM, PATH)
    assert row.standing.state is not RotationState.IDLE  # it has not heard

    async with bench.open():
        await _idle(bench, version=2)
        while (await rotations.find(PLATFORM, PATH)).standing.state is not RotationState.IDLE:
            await asyncio.sleep(0.02)
    (told,) = await rotations.history(PLATFORM, PATH, limit=10)
    assert (told.outcome, told.version) == (RotationOutcome.SUCCESS, 2)


async def test_an_end_that_nobody_told_is_told_by_who_begins_the_next(bench, monkeypatch):
    """The next rotation takes the record over, so this is the last moment to know how it ended."""
    rotations = bench.catalogue.rotations

    async def gone(*_, **__):
        raise CatalogueUnavailable

    def last(step):
        if (step.step, step.when) == ("finish", "before"):
            monkeypatch.setattr(rotations, "end_run", gone)

    async with bench.open(on_step=last) as manager:
        await (await manager.rotate(PATH)).until(RotationState.IDLE, within=20)
    monkeypatch.undo()
    (untold,) = await rotations.history(PLATFORM, PATH, limit=10)
    assert untold.outcome is None

    async with bench.open(config=LATER) as manager:
        while True:
            try:
                run = await manager.rotate(PATH)
                break
            except OverlapInProgress:
                await asyncio.sleep(0.02)
        await run.promoted(within=20)
    told = {each.version: each.outcome for each in await rotations.history(PLATFORM, PATH, limit=9)}
    assert told[2] is RotationOutcome.SUCCESS
