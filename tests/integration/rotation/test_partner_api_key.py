"""Keys of a partner with two slots: a real HTTP server that dies, refuses and keeps fences."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import greenlang_secrets as gs
from greenlang_secrets.errors import NotRotatable, RotationFailed, RotationFenced
from greenlang_secrets.rotation.partner_api_key import PartnerApiKeyRotation
from greenlang_secrets.rotation_model import RotationKind
from support.partner import Partner, serving
from support.rotations import Played, subject_of

SETTINGS = {"adapter": "acme", "slots": "a, b"}
OLD = {"api_key": "first-key", "account": "42"}


@pytest.fixture
def partner() -> Partner:
    return Partner()


@pytest.fixture
async def handler(client, mount, partner) -> AsyncIterator[PartnerApiKeyRotation]:
    async with serving(partner) as adapter:
        handler = PartnerApiKeyRotation(client, kv_mount=mount)
        handler.adapters.register("acme", adapter)
        yield handler


@pytest.fixture
def played(handler) -> Played:
    return Played(handler, OLD, **SETTINGS)


async def test_both_keys_work_until_the_old_one_is_revoked(played, partner):
    """The spare slot gets the new key; the used one is emptied at the end."""
    await played.prepare()
    await played.apply()
    await played.verify()
    during = dict(partner.keys)
    await played.retire()

    assert played.candidate == {"api_key": "b-key-1", "account": "42", "slot": "b"}
    assert during == {"a": "first-key", "b": "b-key-1"}
    assert partner.keys == {"b": "b-key-1"}


async def test_slots_take_turns(handler, partner):
    """The next rotation goes the other way round, by the slot that the secret names."""
    first = Played(handler, OLD, **SETTINGS)
    for step in (first.prepare, first.apply, first.verify, first.retire):
        await step()
    second = Played(handler, first.candidate, fence=2, **SETTINGS)
    for step in (second.prepare, second.apply, second.verify, second.retire):
        await step()

    assert second.candidate["slot"] == "a"
    assert partner.keys == {"a": "a-key-2"}


@pytest.mark.parametrize("lost", [True, False])
async def test_every_step_may_be_repeated_by_the_next_owner(played, partner, lost):
    """A key that was made and not kept is overwritten; the used one works throughout."""
    await played.prepare(lost=lost)
    second = played.taken_over()
    await second.prepare()
    await second.apply(lost=lost)
    third = second.taken_over()
    await third.apply()
    await third.verify()
    assert partner.keys["a"] == "first-key"
    await third.retire(lost=lost)
    await third.taken_over().retire()

    assert partner.keys == {"b": third.candidate["api_key"]}


@pytest.mark.parametrize("when", ["dies_before", "dies_after"])
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
async def test_partner_that_dies_is_tried_again(played, partner, method, when):
    """Before it did what was asked or after: the step fails, and succeeds the next time."""
    step = {"PUT": "apply", "GET": "verify", "DELETE": "retire"}[method]
    await played.prepare()
    failed = []
    for name in ("apply", "verify", "retire"):
        setattr(partner, when, method if name == step else None)
        try:
            await getattr(played, name)()
        except RotationFailed as error:
            failed.append((name, error.reason))
            setattr(partner, when, None)
            await getattr(played, name)()

    assert failed == [(step, "partner_failed")]
    assert partner.keys == {"b": played.candidate["api_key"]}


async def test_owner_taken_for_dead_is_refused(played, partner):
    """The partner keeps the fence that it was given: the late owner makes and revokes nothing."""
    await played.prepare()
    successor = played.taken_over()
    await successor.apply()
    before = dict(partner.keys)

    with pytest.raises(RotationFenced):
        await played.apply()

    assert partner.keys == before
    await successor.verify()


async def test_partner_without_fences_lets_the_late_owner_break_the_key(client, mount):
    """The control: without a fence the candidate that was tried and kept works no longer."""
    partner = Partner(fenced=False)
    async with serving(partner) as adapter:
        handler = PartnerApiKeyRotation(client, kv_mount=mount)
        handler.adapters.register("acme", adapter)
        played = Played(handler, OLD, **SETTINGS)
        await played.prepare()
        successor = played.taken_over()
        await successor.apply()
        await successor.verify()

        await played.apply()

        with pytest.raises(RotationFailed) as caught:
            await successor.verify()
    assert caught.value.reason == "verify_failed"


async def test_partner_that_refuses_is_told(played, partner):
    """An answer that is an error fails the step, and the old key goes on."""
    await played.prepare()
    partner.status = 503

    with pytest.raises(RotationFailed) as caught:
        await played.apply()

    assert caught.value.reason == "partner_failed"
    assert partner.keys == {"a": "first-key"}


@pytest.mark.parametrize("error", [ConnectionResetError, TimeoutError])
async def test_adapter_that_lets_the_network_s_errors_through_fails_the_same(
    handler, partner, error
):
    """What an adapter forgets to translate is the partner's failure as well."""

    class Forgetful:
        async def create(self, slot, rotation):
            raise error

        async def test(self, candidate):
            raise error

        async def revoke(self, slot, rotation):
            raise error

    played = Played(handler, OLD, **SETTINGS)
    await played.prepare()
    await played.apply()
    handler.adapters.register("acme", Forgetful())

    for step in (played.apply, played.verify, played.retire):
        with pytest.raises(RotationFailed) as caught:
            await step()
        assert caught.value.reason == "partner_failed"


async def test_adapter_that_only_another_process_has_fails(client, mount):
    """A rotation that this process cannot go on with is left to one that can."""
    played = Played(PartnerApiKeyRotation(client, kv_mount=mount), OLD, **SETTINGS)
    await played.prepare()

    for step in (played.apply, played.retire):
        with pytest.raises(RotationFailed) as caught:
            await step()
        assert caught.value.reason == "incomplete"


async def test_what_fits_is_accepted(handler):
    """Keys and clients of OAuth, with a slot or without, are rotated."""
    for secret_type in (gs.SecretType.API_KEY, gs.SecretType.OAUTH_CLIENT):
        for data in (OLD, {**OLD, "slot": "b"}):
            await handler.check(
                subject_of(RotationKind.PARTNER_API_KEY, secret_type, data, **SETTINGS)
            )


@pytest.mark.parametrize(
    ("data", "changes", "text"),
    [
        (OLD, {"adapter": ""}, "Set 'adapter'"),
        (OLD, {"adapter": "other"}, "does not have"),
        (OLD, {"slots": ""}, "Set 'slots'"),
        (OLD, {"slots": "a"}, "two different names"),
        (OLD, {"slots": "a,a"}, "two different names"),
        (OLD, {"slots": "a,b,c"}, "two different names"),
        ({**OLD, "slot": "c"}, {}, "not one of 'slots'"),
    ],
)
async def test_what_does_not_fit_is_told(handler, data, changes, text):
    """Each refusal says what to change."""
    with pytest.raises(NotRotatable, match=text):
        await handler.check(
            subject_of(
                RotationKind.PARTNER_API_KEY,
                gs.SecretType.API_KEY,
                data,
                **{**SETTINGS, **changes},
            )
        )


async def test_slot_that_is_in_use_again_is_not_revoked(played, partner, secrets):
    """Who goes back to the old key by hand keeps it."""
    await played.prepare()
    await played.apply()
    await secrets.create("some/path", OLD)

    await played.retire()

    assert partner.keys["a"] == "first-key"
    assert played.rotation.notes["revoked"] == "in_use"
