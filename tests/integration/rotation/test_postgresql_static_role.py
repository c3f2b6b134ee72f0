"""One account that Vault rotates, on a real server before a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from greenlang_secrets.errors import NotRotatable, RotationFailed
from greenlang_secrets.model import SecretType
from greenlang_secrets.provision.policies import render_policy
from greenlang_secrets.rotation.postgresql_static_role import PostgresqlStaticRoleRotation
from greenlang_secrets.sensitive import SecretMap
from support.database import database_engine
from support.mounts import token_with
from support.pairs import FIRST, UserPair, user_pair
from support.rotating import STEPS, ByHand, declared, taken_over


@pytest.fixture
async def pair(postgres_server) -> AsyncIterator[UserPair]:
    """Users in a database of the test's own; the first is the static role's."""
    async with user_pair(postgres_server) as pair:
        yield pair


@pytest.fixture
async def by_hand(
    vault_server, postgres_server, client: gs.VaultClient, mount: str, pair: UserPair
) -> AsyncIterator[ByHand]:
    """A secret that is a copy of a static role's credentials."""
    async with database_engine(vault_server, postgres_server) as engine:
        role = {"db_name": "pg", "username": pair.a, "rotation_period": "720h"}
        await engine.write("static-roles/orders", role)
        made = await client.database(mount=engine.mount).static_credentials("orders")
        by_hand = ByHand(
            client,
            PostgresqlStaticRoleRotation(client, kv_mount=mount),
            mount,
            {"role": "orders", "mount": engine.mount},
        )
        data = pair.data(pair.a, made.password.reveal())
        await declared(client, by_hand.place, data, SecretType.DATABASE)
        yield by_hand


async def test_static_role_that_fits(by_hand: ByHand, pair: UserPair) -> None:
    """A check changes nothing: the secret's password is still Vault's."""
    await by_hand.handler.check(await by_hand.subject())

    assert await pair.works(await by_hand.live())


async def test_rotation_brings_what_vault_has_made(by_hand: ByHand, pair: UserPair) -> None:
    """What the secret holds after a rotation works, and what it held before does not."""
    before = await by_hand.live()

    await by_hand.rotate(fence=1)

    after = await by_hand.live()
    assert await pair.works(after)
    assert not await pair.works(before)
    assert after["username"] == before["username"]


async def test_there_is_a_window(by_hand: ByHand, pair: UserPair) -> None:
    """From `apply` to the promotion what the secret holds does not work: this is what two users
    are for.
    """
    await by_hand.rotate(fence=1, until="verify")

    assert not await pair.works(await by_hand.live())


@pytest.mark.parametrize("dies_after", STEPS)
async def test_death_after_any_step(by_hand: ByHand, pair: UserPair, dies_after: str) -> None:
    """Whoever takes over comes to the same end, and has the password changed once in all."""
    rotation = await by_hand.rotate(fence=1, until=dies_after)

    again = taken_over(rotation, fence=2)
    for name in STEPS[1:]:
        again = await by_hand.step(again, name)

    assert await pair.works(await by_hand.live())
    assert dies_after == "prepare" or again.candidate == rotation.candidate


async def test_owner_that_was_taken_for_dead_changes_nothing(
    by_hand: ByHand, pair: UserPair
) -> None:
    """An owner that comes to `apply` after others have rotated sees that, and leaves it."""
    zombie = await by_hand.rotate(fence=1, until="prepare")
    await by_hand.rotate(fence=2)

    await by_hand.step(zombie, "apply")

    assert await pair.works(await by_hand.live())


async def test_password_that_vault_has_changed_meanwhile_is_found(by_hand: ByHand) -> None:
    """A candidate that is Vault's no more is not promoted."""
    rotation = await by_hand.rotate(fence=1, until="apply")
    await by_hand.client.database(mount=by_hand.settings["mount"]).rotate_role("orders")

    with pytest.raises(RotationFailed) as caught:
        await by_hand.step(rotation, "verify")

    assert caught.value.reason == "verify_failed"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"role": ""}, "needs the setting 'role'"),
        ({"role": "../x"}, "'role' or 'mount' is not"),
        ({"role": "none"}, "no such static role"),
    ],
)
async def test_settings_that_do_not_fit(
    by_hand: ByHand, settings: dict[str, str], text: str
) -> None:
    """What is wrong is said when the policy is set."""
    with pytest.raises(NotRotatable, match=text):
        await by_hand.handler.check(await by_hand.subject(**settings))


async def test_role_that_does_not_fit(by_hand: ByHand, pair: UserPair) -> None:
    """A role of another account, or one that Vault changes sooner than the schedule, is refused."""
    subject = await by_hand.subject()
    often = replace(subject, policy=replace(subject.policy, interval=16 * 86400.0))
    other = replace(subject, data=SecretMap(pair.data(pair.b, FIRST)))

    with pytest.raises(NotRotatable, match="rotation_period of twice the interval"):
        await by_hand.handler.check(often)
    with pytest.raises(NotRotatable, match="another than the secret's username"):
        await by_hand.handler.check(other)


async def test_steps_without_what_they_need_fail(by_hand: ByHand, pair: UserPair) -> None:
    """A version that is gone, a setting that is, a place that is, or a password that cannot be
    replaced everywhere: the step fails and says `incomplete`.
    """
    rotation = await by_hand.rotate(fence=1, until="apply")
    assert rotation.candidate is not None
    assert rotation.current is not None
    nowhere = SecretMap({**rotation.candidate.reveal(), "host": ""})
    note = {"note": rotation.current["password"].reveal()}
    broken = [
        ("prepare", replace(rotation, current=None)),
        ("prepare", replace(rotation, settings={})),
        ("apply", replace(rotation, current=SecretMap({**rotation.current.reveal(), **note}))),
        ("verify", replace(rotation, candidate=nowhere)),
    ]

    for name, one in broken:
        with pytest.raises(RotationFailed) as caught:
            await by_hand.step(one, name)
        assert caught.value.reason == "incomplete"


async def test_policy_of_the_service_is_enough_and_no_more(vault_server) -> None:
    """The service may rotate static roles of its own names, and neither others nor what they are."""
    policy = await asyncio.to_thread(
        render_policy, "greenlang-secrets", kv_mount="secret", token_accessor="none"
    )
    token = await token_with(vault_server, policy)
    paths = {
        "database/static-roles/greenlang-orders": ["read"],
        "database/static-creds/greenlang-orders": ["read"],
        "database/rotate-role/greenlang-orders": ["update"],
        "database/static-roles/other": ["deny"],
        "database/static-creds/other": ["deny"],
        "database/rotate-role/other": ["deny"],
        "database/rotate-root/greenlang-orders": ["deny"],
    }

    status, body = await vault_server.request(
        "POST", "sys/capabilities", {"token": token, "paths": list(paths)}
    )

    assert status == 200
    assert {path: body["data"][path] for path in paths} == paths
