"""Tokens of a token role, rotated in a real OpenBao."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

import greenlang_secrets as gs
from greenlang_secrets.errors import NotRotatable, RotationFailed
from greenlang_secrets.paths import Tenant, TenantId
from greenlang_secrets.rotation.service_token import ServiceTokenRotation
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.sensitive import SecretMap
from support.mounts import own_name
from support.rotations import DAY, HOUR, Played, subject_of


@pytest.fixture
async def role(vault_server) -> AsyncIterator[str]:
    name = own_name("role")
    body = {"orphan": True, "allowed_policies": ["default"], "token_explicit_max_ttl": "240h"}
    await vault_server.request("POST", f"auth/token/roles/{name}", body)
    yield name
    await vault_server.request("DELETE", f"auth/token/roles/{name}")


@pytest.fixture
def settings(role) -> dict[str, str]:
    return {"role": role, "ttl": "72h"}


@pytest.fixture
def handler(client, mount) -> ServiceTokenRotation:
    return ServiceTokenRotation(client, kv_mount=mount)


async def made(vault_server, role: str) -> dict[str, str]:
    _, body = await vault_server.request("POST", f"auth/token/create/{role}", {})
    return {"token": body["auth"]["client_token"], "accessor": body["auth"]["accessor"]}


async def lives(vault_server, token: str) -> bool:
    status, _ = await vault_server.request("GET", "auth/token/lookup-self", None, token)
    return status == 200


async def test_both_tokens_work_until_the_old_one_is_revoked(handler, settings, role, vault_server):
    """The new token is tried by using it; the old one ends with the overlap."""
    old = await made(vault_server, role)
    played = Played(handler, {**old, "owner": "team"}, **settings)
    await played.prepare()
    await played.apply()
    await played.verify()
    during = await lives(vault_server, old["token"])
    await played.retire()

    assert during
    assert not await lives(vault_server, old["token"])
    assert await lives(vault_server, played.candidate["token"])
    assert set(played.candidate) == {"token", "accessor", "owner"}


@pytest.mark.parametrize("lost", [True, False])
async def test_every_step_may_be_repeated_by_the_next_owner(
    handler, settings, role, vault_server, lost
):
    """Whoever dies after whichever step, the kept token works and the old one ends."""
    old = await made(vault_server, role)
    played = Played(handler, old, **settings)
    await played.prepare(lost=lost)
    second = played.taken_over()
    if lost:
        await second.prepare()
    await second.apply(lost=lost)
    third = second.taken_over()
    await third.apply()
    await third.verify()
    await third.retire(lost=lost)
    await played.taken_over().retire()
    await third.taken_over().retire()

    assert not await lives(vault_server, old["token"])
    assert await lives(vault_server, third.candidate["token"])


async def test_token_of_a_role_lives_on_without_its_maker(handler, settings, client, vault_server):
    """The new token is an orphan: the service's own login may end."""
    played = Played(handler, {}, **settings)
    await played.prepare()

    found = await client.tokens.lookup(gs.SecretValue(played.candidate["token"]))

    assert found.orphan
    assert abs(found.ttl - 72 * HOUR) < 60


async def test_accessor_that_the_secret_does_not_say_is_asked_for(
    handler, settings, role, vault_server
):
    """An operator's first token is revoked too, though only the token was written down."""
    old = await made(vault_server, role)
    played = Played(handler, {"token": old["token"]}, **settings)
    await played.prepare()
    await played.retire()

    assert not await lives(vault_server, old["token"])


@pytest.mark.parametrize("data", [{}, {"token": ""}, {"token": "hvs.dead"}])
async def test_without_an_old_token_nothing_is_revoked(handler, settings, data):
    """No token, or one that has ended, leaves nothing to do at the end."""
    played = Played(handler, data, **settings)
    await played.prepare()
    await played.retire()

    assert played.rotation.notes == {"old_accessor": ""}


async def test_token_that_was_cut_short_is_refused(handler, settings, client):
    """Vault shortens a token's life with a warning; we revoke it and say so."""
    before = set(await client.tokens.list_accessors())
    played = Played(handler, {}, **{**settings, "ttl": "300h"})

    with pytest.raises(RotationFailed) as caught:
        await played.prepare()

    assert caught.value.reason == "target_refused"
    assert set(await client.tokens.list_accessors()) <= before


@pytest.mark.parametrize("damage", ["revoked", "another", "none", "no accessor"])
async def test_token_that_does_not_work_is_not_promoted(  # noqa: PLR0917  # fixtures
    handler, settings, role, vault_server, client, damage
):
    """A token that was revoked meanwhile, or is not the one of its accessor, fails the test."""
    played = Played(handler, {}, **settings)
    await played.prepare()
    await played.verify()  # the control
    candidate = played.candidate
    if damage == "revoked":
        await client.tokens.revoke_accessor(candidate["accessor"])
    elif damage == "another":
        candidate["accessor"] = (await made(vault_server, role))["accessor"]
    else:
        del candidate["token" if damage == "none" else "accessor"]
    played.rotation = replace(played.rotation, candidate=SecretMap(candidate))

    with pytest.raises(RotationFailed) as caught:
        await played.verify()

    assert caught.value.reason == "verify_failed"


def subject(settings, **options: Any):
    return subject_of(
        RotationKind.SERVICE_TOKEN, gs.SecretType.SERVICE_TOKEN, {}, **options, **settings
    )


async def test_what_fits_is_accepted(handler, settings):
    """An interval and an overlap within the token's life will do."""
    await handler.check(subject(settings, interval=2 * DAY, overlap=12 * HOUR))


@pytest.mark.parametrize(
    ("changes", "options", "text"),
    [
        ({"role": ""}, {}, "Set 'role'"),
        ({"role": "none-such"}, {}, "does not name a token role"),
        ({"role": "../x"}, {}, "does not name a token role"),
        ({"ttl": "x"}, {}, "'ttl' is a duration"),
        ({}, {"interval": 3 * DAY}, "within the overlap"),
        ({}, {"scope": Tenant(TenantId("acme"))}, "for the platform's own secrets"),
    ],
)
async def test_what_does_not_fit_is_told(handler, settings, changes, options, text):
    """Each refusal says what to change."""
    with pytest.raises(NotRotatable, match=text):
        await handler.check(subject({**settings, **changes}, **options))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"orphan": False}, "set 'orphan'"),
        ({"orphan": True, "token_type": "batch", "renewable": False}, "cannot be revoked"),
        ({"orphan": True, "token_type": "default-batch"}, "cannot be revoked"),
    ],
)
async def test_role_that_makes_the_wrong_tokens_is_told(handler, vault_server, body, text):
    """Children of our own token end with it, and batch tokens cannot be revoked."""
    name = own_name("role")
    status, _ = await vault_server.request("POST", f"auth/token/roles/{name}", body)
    assert status in {200, 204}

    with pytest.raises(NotRotatable, match=text):
        await handler.check(subject({"role": name, "ttl": "72h"}))


@pytest.mark.parametrize("field", ["token", "accessor"])
async def test_token_that_is_in_use_again_is_not_revoked(  # noqa: PLR0917  # fixtures
    handler, settings, role, secrets, vault_server, field
):
    """Who goes back to the old token by hand, with its accessor or without, keeps it."""
    old = await made(vault_server, role)
    played = Played(handler, old, **settings)
    await played.prepare()
    await secrets.create("some/path", {"token": old["token"], field: old[field]})

    await played.retire()

    assert await lives(vault_server, old["token"])
    assert played.rotation.notes["revoked"] == "in_use"
