"""What the service's audit log has of a rotation's steps, and what a full log keeps from being done."""

from __future__ import annotations

import pytest

from greenlang_secrets.errors import AuditUnavailable
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM
from greenlang_secrets.rotation.observing import Step
from greenlang_secrets.rotation_model import RotationKind, RotationState
from greenlang_secrets_api.rotation_events import RotationEvents


class Log:
    """An audit log that is full, or not."""

    def __init__(self, *, full: bool) -> None:
        self.full = full
        self.events = []

    async def write(self, *events):
        if self.full:
            raise AuditUnavailable
        self.events += events


class Index:
    """What it was told of."""

    def __init__(self):
        self.told = []

    def changed(self, scope, path):
        self.told.append((scope, path))


def step(name, when, kind=RotationKind.POSTGRESQL):
    return Step(
        scope=PLATFORM,
        path="database/main",
        kind=kind,
        secret_type=SecretType.DATABASE,
        rotation_id="a" * 32,
        fence=3,
        step=name,
        when=when,
        state=RotationState.PENDING,
    )


@pytest.mark.parametrize("name", ["apply", "promote", "retire"])
async def test_a_change_that_cannot_be_recorded_is_forbidden(name):
    """Before a step that changes something the intent is durable, or the step is not taken."""
    with pytest.raises(AuditUnavailable):
        await RotationEvents(Log(full=True), Index())(step(name, "before"))


@pytest.mark.parametrize("when", ["after", "failed"])
async def test_what_was_done_is_not_undone_by_a_full_log(when):
    """The intent is there already; the rotation goes on."""
    await RotationEvents(Log(full=True), Index())(step("apply", when))


async def test_steps_that_change_nothing_need_no_record():
    """Claiming, preparing and trying are work of our own."""
    log = Log(full=True)
    for name in ("claim", "prepare", "verify", "overlap", "finish"):
        await RotationEvents(log, Index())(step(name, "before"))


async def test_intent_and_outcome_have_one_operation_and_the_index_follows_a_promotion():
    """Both are found by the same id, and the catalogue's index hears of the new version."""
    log, index = Log(full=False), Index()
    events = RotationEvents(log, index)

    await events(step("promote", "before"))
    assert index.told == []
    await events(step("promote", "after"))

    assert [(event.action, event.phase.value, event.result.value) for event in log.events] == [
        ("rotate.promote", "intent", "pending"),
        ("rotate.promote", "outcome", "ok"),
    ]
    assert log.events[0].operation_id == log.events[1].operation_id
    assert {event.request_id for event in log.events} == {"a" * 32}
    assert index.told == [(PLATFORM, "database/main")]


async def test_a_step_that_waits_has_its_outcome():
    """It was not done, for a reason that is not its own; no intent is left open."""
    log = Log(full=False)

    await RotationEvents(log, Index())(step("retire", "waiting"))

    [event] = log.events
    assert (event.phase.value, event.result.value, event.code) == ("outcome", "refused", "not_yet")


async def test_waiting_for_an_operator_leaves_no_records():
    """He is asked for once a minute, for days; the control: what his version makes true is recorded."""
    log = Log(full=False)
    events = RotationEvents(log, Index())

    for when in ("before", "waiting"):
        await events(step("apply", when, RotationKind.MANUAL))
    assert log.events == []
    await events(step("promote", "after", RotationKind.MANUAL))

    assert [event.action for event in log.events] == ["rotate.promote"]
