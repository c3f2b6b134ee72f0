"""`RotationManager` against a real OpenBao, a real catalogue, and a target with a fence."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import greenlang_secrets as gs
from greenlang_secrets.access import SERVICE, Permission, Principal, TenantContext
from greenlang_secrets.errors import (
    AccessDenied,
    AuditUnavailable,
    CatalogueUnavailable,
    InvalidRequest,
    NotRotatable,
    OutcomeUnknown,
    OverlapInProgress,
    RotationFailed,
    RotationInProgress,
    SecretNotFound,
    VersionConflict,
)
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, Tenant, TenantId
from greenlang_secrets.rotation.handler import NotYet, Prepared
from greenlang_secrets.rotation_model import (
    RotationKind,
    RotationOutcome,
    RotationState,
    RotationTrigger,
)
from greenlang_secrets.vault.kv import KvV2

from .conftest import FAST, PATH, POLICY

LATER = replace(FAST, enabled=False)
SLOW = replace(FAST, least_gap=30.0)


async def test_a_rotation_goes_from_claim_to_finish(bench):
    """Every step is told before and after; the secret logs in from first to last, and says when it
    was rotated; the history and the counters have one success.
    """
    steps = []
    async with bench.open(on_step=steps.append) as manager:
        run = await manager.rotate(PATH, reason="a test")
        standing = await run.promoted(within=20)
        assert standing.version == 2
        assert await bench.works()
        ended = await run.until(RotationState.IDLE, within=20)
        await _until(lambda: bench.secrets.tally.rotations["generic", "success"])

    assert ended.state is RotationState.IDLE
    assert ended.last_success is not None
    assert run.base_version == 1
    assert [(each.step, each.when) for each in steps] == [
        (step, when)
        for step in (
            *("claim", "prepare", "apply", "verify", "promote", "overlap"),
            *("claim", "retire", "finish"),
        )
        for when in ("before", "after")
    ]
    secret = await bench.secrets.get(PATH, fresh=True)
    assert secret["username"].reveal() == "app_b"
    assert secret.custom_metadata["gls_op"] == run.id
    assert set(secret.custom_metadata) == {"gls_op", "gls_rotated_at", "gls_next_due"}
    assert not await bench.target.takes(gs.SecretMap({"username": "app_a", "password": "first"}))
    (row,) = await bench.catalogue.rotations.history(PLATFORM, PATH, limit=10)
    assert (row.outcome, row.version, row.reason) == (RotationOutcome.SUCCESS, 2, "a test")
    assert manager.stats.outcomes[SecretType.GENERIC, RotationOutcome.SUCCESS] == 1
    assert bench.secrets.tally.rotations["generic", "success"] == 1
    assert (await manager.status(PATH)).standing.state is RotationState.IDLE


async def test_the_candidate_is_in_the_record_only_while_it_is_needed(bench):
    """It is there from the first step to the overlap, and in no text that anybody is shown."""
    held = {}

    async def look(step):
        if step.when == "after":
            held[step.state] = (await bench.record()).candidate is not None

    async with bench.open(on_step=look) as manager:
        run = await manager.rotate(PATH)
        await run.until(RotationState.IDLE, within=20)

    assert [state for state, there in held.items() if there] == [
        RotationState.PENDING,
        RotationState.APPLIED,
        RotationState.TESTED,
        RotationState.PROMOTED,
    ]
    assert (await bench.secrets.get(PATH))["password"].reveal() not in repr(await bench.record())


@pytest.mark.parametrize("forbidden", ["apply", "promote"])
async def test_a_step_that_the_hook_forbids_is_not_taken(bench, forbidden):
    """What cannot be recorded is not done: the record waits where it is, no attempt is counted, and
    who asks again once it can goes on with the same operation.
    """
    full, told = True, []

    def audit(step):
        told.append((step.step, step.when))
        if full and (step.step, step.when) == (forbidden, "before"):
            raise AuditUnavailable

    async with bench.open(config=LATER, on_step=audit) as manager:
        run = await manager.rotate(PATH)
        await _until(lambda: run._operation.over)
        waits = await bench.record()
        assert told[-1] == (forbidden, "before")
        assert (waits.standing.attempts, waits.owner, waits.open) == (0, None, True)
        assert waits.standing.wake_at > datetime.now(UTC)
        assert (await bench.secrets.get(PATH, fresh=True)).version == 1
        assert await bench.works()

        full = False
        again = await manager.rotate(PATH)
        assert (await again.promoted(within=20)).version == 2
    assert again.id == run.id
    assert await bench.works()


async def test_a_hook_that_fails_otherwise_changes_nothing(bench):
    """The control: an error that is none of ours, and one after a step, are reported and ignored."""

    def broken(step):
        raise AuditUnavailable if step.when == "after" else ValueError

    async with bench.open(config=LATER, on_step=broken) as manager:
        run = await manager.rotate(PATH)
        assert (await run.promoted(within=20)).version == 2


async def test_what_is_due_is_rotated_once_however_often_it_was_missed(bench):
    """Ten missed runs are made up for by one; the nine others are counted as skipped."""
    now = datetime.now(UTC)
    due = now - timedelta(seconds=10.5 * 3600)
    row = await bench.catalogue.rotations.find(PLATFORM, PATH)
    policy = replace(POLICY, interval=3600.0)
    await bench.catalogue.rotations.put(
        PLATFORM,
        PATH,
        policy,
        digest=(await _digest(bench)),
        secret_type=row.secret_type,
        by="test",
        standing=replace(row.standing, next_due=due, wake_at=due),
    )
    async with bench.open() as manager:
        await _until(lambda: manager.stats.outcomes[SecretType.GENERIC, RotationOutcome.SUCCESS])
        assert manager.stats.scheduler_running
        assert manager.stats.last_tick is not None

    record = await bench.record()
    assert record.standing.trigger is RotationTrigger.SCHEDULE
    assert record.standing.next_due > now + timedelta(seconds=3000)
    assert manager.stats.outcomes[SecretType.GENERIC, RotationOutcome.SKIPPED] == 10
    assert (await bench.secrets.get(PATH, fresh=True)).version == 2
    assert not manager.stats.scheduler_running


async def test_what_is_due_but_gone_is_skipped(bench):
    """A secret that was deleted is not rotated, is counted once, and is due again later."""
    await bench.secrets.delete(PATH)
    await _make_due(bench)
    async with bench.open() as manager:
        await _until(lambda: manager.stats.outcomes[SecretType.GENERIC, RotationOutcome.SKIPPED])
    row = await bench.catalogue.rotations.find(PLATFORM, PATH)
    assert row.standing.next_due > datetime.now(UTC)
    assert bench.handler.called == []


async def test_a_second_rotation_waits_for_the_first_and_for_its_overlap(bench):
    """While one is under way, and until the old credential is retired, another is refused."""
    go_on = asyncio.Event()

    async def hold(step):
        if (step.step, step.when) == ("apply", "before"):
            await go_on.wait()

    async with bench.open(config=SLOW, on_step=hold) as manager:
        run = await manager.rotate(PATH)
        with pytest.raises(RotationInProgress) as refused:
            await manager.rotate(PATH)
        assert refused.value.facts["rotation_id"] == run.id
        with pytest.raises(RotationInProgress):
            await manager.remove_policy(PATH)
        go_on.set()
        await run.until(RotationState.OVERLAP, within=20)
        with pytest.raises(OverlapInProgress) as waits:
            await manager.rotate(PATH)
        assert "until" in waits.value.facts
        with pytest.raises(RotationInProgress):
            await manager.remove_policy(PATH)


async def test_force_retires_the_old_credential_and_rotates_again(bench):
    """It needs the permission of an administrator, and a reason."""
    rotator = TenantContext(
        principal=Principal(subject="r", permissions=frozenset({Permission.ROTATE})),
        scope=PLATFORM,
    )
    async with bench.open(config=SLOW) as manager:
        first = await manager.rotate(PATH)
        await first.until(RotationState.OVERLAP, within=20)
        with pytest.raises(AccessDenied):
            await manager.rotate(PATH, context=rotator, force=True, reason="it leaked")
        with pytest.raises(InvalidRequest):
            await manager.rotate(PATH, force=True, reason=" ")
        second = await manager.rotate(PATH, force=True, reason="it leaked")
        standing = await second.promoted(within=20)

    assert second.id != first.id
    assert standing.version == 3
    assert standing.trigger is RotationTrigger.FORCED
    assert await bench.works()
    runs = await bench.catalogue.rotations.history(PLATFORM, PATH, limit=10)
    assert {run.rotation_id: run.outcome for run in runs}[first.id] is RotationOutcome.SUCCESS


async def test_a_promotion_waits_for_the_gap(bench):
    """Where the last promotion is too near, the candidate waits, and no attempt is counted."""
    async with bench.open(config=replace(LATER, least_gap=0.0)) as manager:
        run = await manager.rotate(PATH)
        await run.until(RotationState.OVERLAP, within=20)
    async with bench.open() as manager:
        await run.until(RotationState.IDLE, within=20)

    async def as_if_just_promoted(rotation):
        manager._operations.copy().pop().record = replace(
            manager._operations.copy().pop().record, last_promoted_at=datetime.now(UTC)
        )
        return Prepared()

    bench.handler.verify = as_if_just_promoted
    async with bench.open() as manager:
        again = await manager.rotate(PATH)
        waits = await again.until(RotationState.TESTED, within=20)
        assert waits.attempts == 0
        assert (await again.promoted(within=20)).version == 3


async def test_a_step_that_fails_is_tried_again_with_the_same_candidate(bench):
    """Who waits for the promotion is told why; the retry takes the next fence."""
    bench.handler.fails["apply"] = [RotationFailed("target_unavailable")]
    async with bench.open() as manager:
        run = await manager.rotate(PATH)
        with pytest.raises(RotationFailed) as failed:
            await run.promoted(within=20)
        assert failed.value.reason == "target_unavailable"
        record = await bench.record()
        assert record.candidate is not None
        standing = await run.until(RotationState.PROMOTED, within=20)
        await run.until(RotationState.IDLE, within=20)

    assert standing.attempts == 0
    assert bench.handler.called[:3] == [("prepare", 1), ("apply", 1), ("apply", 2)]
    assert (await bench.secrets.get(PATH, fresh=True)).data == record.candidate
    assert manager.stats.outcomes[SecretType.GENERIC, RotationOutcome.FAILURE] == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (ValueError("a fault of the handler"), "internal"),
        (SecretNotFound(path="admin"), "secret_not_found"),
        (TimeoutError(), "target_unavailable"),
    ],
)
async def test_other_failures_are_told_by_their_code(bench, fault, code):
    """A fault of a handler, an error of Vault's, or a target that is silent: each is an attempt."""
    bench.handler.fails["verify"] = [fault]
    async with bench.open(config=LATER) as manager:
        run = await manager.rotate(PATH)
        standing = await run.until(RotationState.FAILED, within=20)
        again = await manager.rotate(PATH)
        assert again.id == run.id
        assert (await again.promoted(within=20)).version == 2
    assert (standing.error_code, standing.phase) == (code, RotationState.APPLIED)


async def test_a_credential_that_cannot_be_retired_is_said_to_be_stuck(bench):
    """The new one is promoted all the same, and retiring is tried again until it works."""
    bench.handler.fails["retire"] = [RotationFailed("target_denied")]
    async with bench.open() as manager:
        run = await manager.rotate(PATH)
        stuck = await run.until(RotationState.REVOKE_STUCK, RotationState.OLD_REVOKED, within=20)
        await run.until(RotationState.IDLE, within=20)
    assert (stuck.state, stuck.error_code) == (RotationState.REVOKE_STUCK, "target_denied")
    assert await bench.works()


async def test_a_write_by_somebody_else_ends_the_rotation(bench):
    """What they wrote stays; the candidate is dropped; the next rotation begins with it."""

    async def write(step):
        if (step.step, step.when) == ("promote", "before") and step.fence == 1:
            await bench.target.alter("app_a", "theirs", fence=1)
            await bench.secrets.put(PATH, {"username": "app_a", "password": "theirs"})

    async with bench.open(config=LATER, on_step=write) as manager:
        run = await manager.rotate(PATH)
        with pytest.raises(VersionConflict):
            await run.promoted(within=20)
        assert (await bench.record()).candidate is None
        assert (await bench.secrets.get(PATH, fresh=True))["password"].reveal() == "theirs"
        again = await manager.rotate(PATH)
        assert (await again.promoted(within=20)).version == 3
    assert again.id != run.id
    assert bench.secrets.tally.rotations["generic", "conflict"] == 1


@pytest.mark.parametrize("wait", [NotYet(None), NotYet(datetime.now(UTC))])
async def test_a_step_that_waits_is_no_failure(bench, wait):
    """It is taken again when its time has come, and no attempt is counted."""
    bench.handler.fails["verify"] = [wait]
    async with bench.open() as manager:
        run = await manager.rotate(PATH)
        assert (await run.promoted(within=20)).attempts == 0
    assert bench.secrets.tally.rotations["generic", "failure"] == 0


async def test_a_step_that_waits_for_an_operator_says_so(bench):
    """Nobody looks at it until somebody asks again."""
    bench.handler.fails["verify"] = [NotYet(None, operator=True)]
    async with bench.open() as manager:
        run = await manager.rotate(PATH)
        standing = await run.promoted(within=20)
        assert standing.state is RotationState.AWAITING_OPERATOR
        assert standing.wake_at is None
        again = await manager.rotate(PATH)
        assert (await again.promoted(within=20)).version == 2


async def test_progress_is_kept_and_gives_more_time(bench):
    """A step that tells how far it is may take longer than the 20 s, and its notes are kept."""

    async def apply(rotation):
        for done in range(3):
            await asyncio.sleep(FAST.step_within / 2)
            await rotation.progress({"done": done}, {"checkpoint": str(done)})
        return await type(bench.handler).apply(bench.handler, rotation)

    bench.handler.apply = apply
    async with bench.open(config=LATER) as manager:
        run = await manager.rotate(PATH)
        standing = await run.promoted(within=20)
    assert standing.progress == {"done": 2}
    assert (await bench.record()).notes["checkpoint"] == "2"


async def test_an_answer_lost_after_the_promotion_is_no_failure(bench, monkeypatch):
    """The write is found to be done: one version, no attempt."""
    real, lost = KvV2.write, []

    async def write(self, path, data, *, cas=None):
        written = await real(self, path, data, cas=cas)
        if str(path) == PATH and not lost:
            lost.append(written)
            raise OutcomeUnknown(path=path)
        return written

    monkeypatch.setattr(KvV2, "write", write)
    async with bench.open(config=LATER) as manager:
        run = await manager.rotate(PATH)
        standing = await run.promoted(within=20)
    assert (standing.version, standing.attempts) == (2, 0)
    assert len(lost) == 1
    assert (await bench.secrets.get(PATH, fresh=True)).version == 2


async def test_a_lost_answer_of_the_record_is_found_out(bench, monkeypatch):
    """The change of the record is seen to be ours, and the rotation goes on."""
    real, lost = KvV2.write, []

    async def write(self, path, data, *, cas=None):
        written = await real(self, path, data, cas=cas)
        if str(path).startswith("_rotation/") and data["state"] == "applied" and not lost:
            lost.append(written)
            raise OutcomeUnknown(path=path)
        return written

    monkeypatch.setattr(KvV2, "write", write)
    async with bench.open(config=LATER) as manager:
        run = await manager.rotate(PATH)
        assert (await run.promoted(within=20)).fence == 1
    assert len(lost) == 1


async def test_the_catalogue_may_be_away_meanwhile(bench, monkeypatch):
    """The rotation goes on without its mirror, which follows once it is back."""
    rotations, away = bench.catalogue.rotations, True
    real = rotations.note

    async def note(*args):
        if away:
            raise CatalogueUnavailable
        await real(*args)

    monkeypatch.setattr(rotations, "note", note)
    monkeypatch.setattr(rotations, "find", rotations.find)
    async with bench.open() as manager:
        run = await manager.rotate(PATH)
        await run.until(RotationState.OVERLAP, within=20)
        assert (await manager.status(PATH)).standing.fence == 0
        away = False
        await run.until(RotationState.IDLE, within=20)
        async with asyncio.timeout(10):  # the mirror follows the record
            while (await manager.status(PATH)).standing.state is not RotationState.IDLE:
                await asyncio.sleep(0.02)


async def test_a_scan_survives_a_catalogue_that_is_away(bench, monkeypatch):
    """It looks again, and does what is due once it is back."""
    rotations = bench.catalogue.rotations
    real, asked = rotations.due, []

    async def due(*, most):
        asked.append(most)
        if len(asked) < 3:
            raise CatalogueUnavailable
        return await real(most=most)

    monkeypatch.setattr(rotations, "due", due)
    await _make_due(bench)
    async with bench.open() as manager:
        await _until(lambda: bench.secrets.tally.rotations["generic", "success"])
    assert manager.stats.claims == 2
    assert max(asked) <= 8


async def test_a_view_rotates(bench):
    """Without a manager in the process it says so; with one it gives the rotation."""
    with pytest.raises(NotRotatable):
        await bench.secrets.rotate(PATH)
    async with bench.open(config=LATER):
        handle = await bench.secrets.rotate(PATH, reason="by hand")
        assert (await handle.promoted(within=20)).version == 2
        assert handle.state in {RotationState.PROMOTED, RotationState.OVERLAP}
        assert handle.path == PATH


async def test_a_tenants_secret_is_rotated_in_its_scope(bench):
    """With the same path as the platform's, and without touching that."""
    tenant = TenantContext(principal=SERVICE, scope=Tenant(TenantId("acme")))
    view = bench.secrets.for_tenant("acme")
    await view.create(PATH, {"username": "app_a", "password": "first"})
    async with bench.open(config=LATER) as manager:
        with pytest.raises(NotRotatable):
            await manager.rotate(PATH, context=tenant)
        await manager.set_policy(PATH, POLICY, context=tenant)
        await (await manager.rotate(PATH, context=tenant)).promoted(within=20)
    assert (await view.get(PATH, fresh=True)).version == 2
    assert (await bench.secrets.get(PATH, fresh=True)).version == 1


async def test_a_policy_that_does_not_fit_is_refused(bench):
    """Its kind, its times, or what the secret holds; and a secret that is not there."""
    await bench.secrets.create("other/thing", {"a": "b"})
    async with bench.open(config=LATER) as manager:
        for path, policy in [
            (PATH, replace(POLICY, kind=RotationKind.TRANSIT_KEY)),
            (PATH, replace(POLICY, kind=RotationKind.REDIS)),
            (PATH, replace(POLICY, interval=0.1)),
            (PATH, replace(POLICY, overlap=0.1)),
            ("other/thing", POLICY),
        ]:
            with pytest.raises(NotRotatable):
                await manager.set_policy(path, policy)
        with pytest.raises(SecretNotFound):
            await manager.set_policy("not/there", POLICY)


async def test_a_removed_policy_ends_what_failed(bench):
    """Nothing is rotated any more; the record stays, with its fence, and a new policy goes on."""
    bench.handler.fails["verify"] = [RotationFailed("verify_failed")]
    async with bench.open(config=LATER) as manager:
        run = await manager.rotate(PATH)
        await run.until(RotationState.FAILED, within=20)
        await manager.remove_policy(PATH)
        with pytest.raises(NotRotatable):
            await manager.status(PATH)
        with pytest.raises(NotRotatable):
            await manager.remove_policy(PATH)
        row = await manager.set_policy(PATH, replace(POLICY, enabled=False))
        assert row.standing.next_due is None
        again = await manager.rotate(PATH)
        standing = await again.until(RotationState.OVERLAP, within=20)
    assert again.id != run.id
    assert standing.fence == 2
    assert (await bench.record()).candidate is None


async def _digest(bench) -> str:
    from greenlang_secrets.rotation.record import Records

    records = Records(bench.secrets.client, bench.secrets.config.kv_mount)
    return records.digest(PLATFORM, gs.SecretPath.parse(PATH))


async def _make_due(bench) -> None:
    row = await bench.catalogue.rotations.find(PLATFORM, PATH)
    now = datetime.now(UTC)
    await bench.catalogue.rotations.put(
        PLATFORM,
        PATH,
        POLICY,
        digest=await _digest(bench),
        secret_type=row.secret_type,
        by="test",
        standing=replace(row.standing, next_due=now, wake_at=now),
    )


async def _until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)
