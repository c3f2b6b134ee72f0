"""What the scheduler decides when a secret is due by the catalogue: begin, wait, or leave it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from greenlang_secrets.errors import RotationFailed, VaultUnavailable
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, SecretPath
from greenlang_secrets.rotation.record import Records
from greenlang_secrets.rotation_model import (
    ConsumerKind,
    ConsumerReport,
    RotationOutcome,
    RotationState,
    RotationTrigger,
)

from .conftest import FAST, PATH, POLICY

LATER = replace(FAST, enabled=False)
ENOUGH = 30.0  # seconds, on a busy machine


def digest_of(bench) -> str:
    records = Records(bench.secrets.client, bench.secrets.config.kv_mount)
    return records.digest(PLATFORM, SecretPath.parse(PATH))


async def due(bench, *, policy=POLICY, **changes) -> None:
    """Have the catalogue say that the secret is due now, whatever its record says."""
    rotations, now = bench.catalogue.rotations, datetime.now(UTC)
    row = await rotations.find(PLATFORM, PATH)
    standing = replace(row.standing, **{"next_due": now, "wake_at": now, **changes})
    await rotations.put(
        PLATFORM,
        PATH,
        policy,
        digest=digest_of(bench),
        secret_type=row.secret_type,
        by="test",
        standing=standing,
    )


async def looked_at(bench) -> None:
    """Return once nothing is due by the catalogue any more."""
    async with asyncio.timeout(ENOUGH):
        while await bench.catalogue.rotations.due(most=1):
            await asyncio.sleep(0.02)


async def until(condition) -> None:
    async with asyncio.timeout(ENOUGH):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_disabled_policy_is_never_due(bench):
    """It is not rotated by schedule, and is not looked at again."""
    await due(bench, policy=replace(POLICY, enabled=False))

    async with bench.open():
        await looked_at(bench)

    row = await bench.catalogue.rotations.find(PLATFORM, PATH)
    assert (row.standing.wake_at, bench.handler.called) == (None, [])


async def test_a_look_that_comes_too_early_puts_itself_right(bench):
    """Woken without being due, it waits for when it is."""
    at = datetime.now(UTC) + timedelta(days=3)
    await due(bench, next_due=at)

    async with bench.open():
        await looked_at(bench)

    row = await bench.catalogue.rotations.find(PLATFORM, PATH)
    assert abs((row.standing.wake_at - at).total_seconds()) < 1
    assert bench.handler.called == []


async def test_a_policy_that_says_no_time_is_due_an_interval_after_it_was_made(bench):
    """A row without a time, as a restored database may have, is not rotated at once."""
    await due(bench, next_due=None)

    async with bench.open():
        await looked_at(bench)

    row = await bench.catalogue.rotations.find(PLATFORM, PATH)
    assert row.standing.next_due > datetime.now(UTC) + timedelta(days=10)
    assert bench.handler.called == []


async def test_a_schedule_waits_for_the_promotion_gap(bench):
    """Due sooner than consumers have moved, it is skipped once and due when they have."""
    async with bench.open() as manager:
        run = await manager.rotate(PATH)
        await run.until(RotationState.IDLE, within=ENOUGH)
    await due(bench)

    async with bench.open(config=replace(FAST, least_gap=600.0)) as manager:
        await until(lambda: manager.stats.outcomes[SecretType.GENERIC, RotationOutcome.SKIPPED])

    row = await bench.catalogue.rotations.find(PLATFORM, PATH)
    assert row.standing.next_due > datetime.now(UTC) + timedelta(seconds=400)
    assert (await bench.secrets.get(PATH, fresh=True)).version == 2


@pytest.mark.parametrize("by_hand", [False, True], ids=["by schedule", "by hand"])
async def test_a_first_rotation_that_fails_stays_as_due_as_it_was(bench, by_hand):
    """It has no record before it that would say when; without that nobody is told that it is
    overdue, for as long as it fails. One that ends well is due an interval later.
    """
    bench.handler.fails["verify"] = [RotationFailed("verify_failed")]
    was = (await bench.catalogue.rotations.find(PLATFORM, PATH)).standing.next_due
    if not by_hand:
        was = datetime.now(UTC) - timedelta(hours=1)
        await due(bench, next_due=was)
    failing = replace(FAST, enabled=not by_hand, first_backoff=600.0, longest_backoff=600.0)

    async with bench.open(config=failing) as manager:
        if by_hand:
            run = await manager.rotate(PATH)
            await run.until(RotationState.FAILED, within=ENOUGH)
        await until(lambda: manager.stats.outcomes[SecretType.GENERIC, RotationOutcome.FAILURE])

    row = await bench.catalogue.rotations.find(PLATFORM, PATH)
    assert (row.standing.state, row.standing.next_due) == (RotationState.FAILED, was)
    [clock] = await bench.catalogue.rotations.clock()
    assert clock.next_due == was

    async with bench.open(config=LATER) as manager:
        again = await manager.rotate(PATH)
        await again.until(RotationState.OVERLAP, within=ENOUGH)

    row = await bench.catalogue.rotations.find(PLATFORM, PATH)
    assert row.standing.next_due > datetime.now(UTC) + timedelta(days=10)


async def test_a_conflict_is_begun_anew_by_the_schedule(bench):
    """An hour later a new operation begins with what somebody else has written."""

    async def write(step):
        if (step.step, step.when) == ("promote", "before"):
            await bench.target.alter("app_a", "theirs", fence=1)
            await bench.secrets.put(PATH, {"username": "app_a", "password": "theirs"})

    async with bench.open(config=LATER, on_step=write) as manager:
        run = await manager.rotate(PATH)
        assert (await run.until(RotationState.CONFLICT, within=ENOUGH)).error_code == "conflict"
    record = await bench.record()
    hour_ago = datetime.now(UTC) - timedelta(seconds=1)
    records = Records(bench.secrets.client, bench.secrets.config.kv_mount)
    standing = replace(record.standing, wake_at=hour_ago)
    await records.claim(replace(record, standing=standing))
    await due(bench, state=RotationState.CONFLICT, wake_at=hour_ago)

    async with bench.open() as manager:
        await until(lambda: manager.stats.outcomes[SecretType.GENERIC, RotationOutcome.SUCCESS])

    record = await bench.record()
    assert record.standing.rotation_id != run.id
    assert record.standing.trigger is RotationTrigger.SCHEDULE
    assert (await bench.secrets.get(PATH, fresh=True)).version == 3


async def test_the_old_credential_is_kept_for_a_consumer_that_is_behind(bench):
    """It is not retired while a live consumer uses it, and is when the wait for it is over."""
    rotations = bench.catalogue.rotations
    await due(bench, policy=replace(POLICY, consumers_wait=5.0), next_due=None, wake_at=None)
    behind = ConsumerReport(
        scope=PLATFORM,
        path=PATH,
        consumer="pool:elsewhere:main",
        kind=ConsumerKind.POOL,
        principal="service",
        instance="elsewhere",
        version=1,
        lives_for=60.0,
    )
    await rotations.report([behind])

    async with bench.open() as manager:
        run = await manager.rotate(PATH)
        standing = await run.until(RotationState.OVERLAP, within=ENOUGH)
        await until(lambda: datetime.now(UTC) > standing.old_valid_until + timedelta(seconds=1))
        assert (await bench.record()).standing.phase is RotationState.OVERLAP
        assert ("retire", 1) not in bench.handler.called
        await run.until(RotationState.IDLE, within=ENOUGH)

    assert datetime.now(UTC) > standing.old_valid_until + timedelta(seconds=5)


async def test_what_cannot_be_looked_at_does_not_keep_the_others_waiting(bench, monkeypatch):
    """It is put off by seconds, and taken up then."""

    async def away(*_):
        raise VaultUnavailable("network")

    monkeypatch.setattr(Records, "read", away)
    await due(bench)

    async with bench.open():
        await looked_at(bench)
    monkeypatch.undo()

    assert bench.handler.called == []
    async with asyncio.timeout(ENOUGH), bench.open() as manager:
        while not manager.stats.outcomes[SecretType.GENERIC, RotationOutcome.SUCCESS]:
            await asyncio.sleep(0.05)


async def test_no_more_are_worked_on_than_configured(bench):
    """With every place taken a scan asks the catalogue for nothing."""
    bench.handler.fails["apply"] = [RotationFailed("target_unavailable")]
    gate = asyncio.Event()

    async def hold(step):
        if step.when == "before" and step.step == "apply":
            await gate.wait()

    await due(bench)
    async with bench.open(config=replace(FAST, concurrency=1), on_step=hold) as manager:
        await until(lambda: manager.stats.working)
        asked = []
        monkey, bench.catalogue.rotations.due = bench.catalogue.rotations.due, asked.append
        try:
            assert await manager.due.scan() == 0
        finally:
            bench.catalogue.rotations.due = monkey
        gate.set()
    assert asked == []


@pytest.mark.parametrize("kept", [True, False])
async def test_a_policy_that_was_removed_since_is_left_alone(bench, kept):
    """What is due for a moment and gone the next is no error; the control is looked at."""
    await due(bench, next_due=datetime.now(UTC) + timedelta(days=1))
    async with bench.open(config=LATER) as manager:
        if not kept:
            await bench.catalogue.rotations.remove(PLATFORM, PATH)
        await manager._looking.look(PLATFORM, digest_of(bench))
    assert bench.handler.called == []
    assert (await bench.catalogue.rotations.find(PLATFORM, PATH) is not None) is kept
