"""The kind that waits for an operator, in a real OpenBao."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import greenlang_secrets as gs
from greenlang_secrets.errors import NotRotatable, RotationFailed
from greenlang_secrets.rotation.handler import NotYet
from greenlang_secrets.rotation.manual import ManualRotation
from greenlang_secrets.rotation_model import RotationKind
from support.rotations import Played, subject_of


@pytest.fixture
def handler(client, mount) -> ManualRotation:
    return ManualRotation(client, kv_mount=mount)


async def test_operator_is_awaited_and_their_version_taken(handler, secrets):
    """The step looks once a minute until a newer version is there, which is then the new one."""
    await secrets.create("some/path", {"password": "1"})
    played = Played(handler, {"password": "1"})
    await played.prepare()
    for step in (played.apply, played.taken_over().apply, played.verify):
        with pytest.raises(NotYet) as caught:
            await step()
        wait = (caught.value.until - datetime.now(UTC)).total_seconds()
        assert caught.value.operator
        assert 55 < wait <= 60

    await secrets.put("some/path", {"password": "2"})
    await played.apply()
    await played.apply()
    await played.verify()
    await played.retire()

    assert played.rotation.notes == {"version": "2"}
    assert played.rotation.candidate is None


async def test_version_that_was_deleted_is_none(handler, secrets):
    """A newer version that nobody can read has to be written again."""
    await secrets.create("some/path", {"password": "1"})
    await secrets.put("some/path", {"password": "2"})
    await secrets.delete("some/path")

    with pytest.raises(NotYet):
        await Played(handler, None).apply()


async def test_secret_that_is_gone_fails(handler):
    """A purged secret is not waited for."""
    with pytest.raises(RotationFailed) as caught:
        await Played(handler, None).apply()

    assert caught.value.reason == "incomplete"


@pytest.mark.parametrize("secret_type", list(gs.SecretType))
async def test_every_type_fits(handler, secret_type):
    """Whatever a secret is, an operator may replace it."""
    await handler.check(subject_of(RotationKind.MANUAL, secret_type, {}))


async def test_setting_is_refused(handler):
    """There is nothing to set."""
    with pytest.raises(NotRotatable, match="no setting 'role'; it knows none"):
        await handler.check(subject_of(RotationKind.MANUAL, gs.SecretType.GENERIC, {}, role="x"))
