"""Alternating users on a real PostgreSQL: what each step makes true, and who is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import greenlang_secrets as gs
from greenlang_secrets.errors import RotationFailed, RotationFenced
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath
from greenlang_secrets.rotation.postgresql import PostgresqlRotation
from support.pairs import ADMIN, FIRST, UserPair, user_pair
from support.rotating import STEPS, ByHand, declared, taken_over


@pytest.fixture
async def pair(postgres_server) -> AsyncIterator[UserPair]:
    """Two users in a database of the test's own."""
    async with user_pair(postgres_server) as pair:
        yield pair


@pytest.fixture
async def by_hand(client: gs.VaultClient, mount: str, pair: UserPair) -> ByHand:
    """A secret with the first of the two users, and its administrator's beside it."""
    handler = PostgresqlRotation(client, kv_mount=mount)
    settings = {"users": pair.users, "owner": pair.owner, "admin": "database/admin"}
    by_hand = ByHand(client, handler, mount, settings)
    admin = KvPath.of(mount, PLATFORM, SecretPath.parse("database/admin"))
    await declared(client, admin, pair.data(pair.admin, ADMIN), SecretType.DATABASE)
    await declared(client, by_hand.place, pair.data(pair.a, FIRST), SecretType.DATABASE)
    return by_hand


async def test_pair_of_users_fits(by_hand: ByHand, pair: UserPair) -> None:
    """Two users, their owner and an administrator who is no superuser are enough."""
    await by_hand.handler.check(await by_hand.subject())

    assert await pair.sql("SELECT to_regclass('gls_rotation.gls_fence') IS NULL")


async def test_three_rotations_change_between_the_users(by_hand: ByHand, pair: UserPair) -> None:
    """What the secret holds works after each rotation, and what it held before does not."""
    names = []
    for fence in (1, 2, 3):
        before = await by_hand.live()
        await by_hand.rotate(fence=fence)
        after = await by_hand.live()

        assert await pair.works(after)
        assert not await pair.works(before)
        names.append(after["username"].reveal())

    assert names == [pair.b, pair.a, pair.b]


@pytest.mark.parametrize("last", STEPS[:-1])
async def test_both_work_until_the_old_one_is_retired(
    by_hand: ByHand, pair: UserPair, last: str
) -> None:
    """Up to the retirement the present login works, and from `apply` on the candidate too."""
    before = await by_hand.live()

    rotation = await by_hand.rotate(fence=1, until=last)

    assert await pair.works(before)
    assert rotation.candidate is not None
    assert await pair.works(rotation.candidate) == (last != "prepare")


@pytest.mark.parametrize("dies_after", STEPS)
@pytest.mark.parametrize("repeats", [1, 3])
async def test_death_after_any_step(
    by_hand: ByHand, pair: UserPair, dies_after: str, repeats: int
) -> None:
    """Whoever takes over repeats what was done, with a greater fence, and comes to the same end."""
    rotation = await by_hand.rotate(fence=1, until=dies_after)

    for fence in range(2, 2 + repeats):
        rotation = taken_over(rotation, fence=fence)
        for name in STEPS[1:]:
            rotation = await by_hand.step(rotation, name)
            assert await pair.works(await by_hand.live())

    assert (await by_hand.live()) == rotation.candidate
    assert await pair.works(await by_hand.live())
    assert not await pair.works(_first(rotation))


def _first(rotation):
    assert rotation.current is not None
    return rotation.current


async def test_owner_that_was_taken_for_dead_is_refused(by_hand: ByHand, pair: UserPair) -> None:
    """An owner that stopped before it retired the old user, and wakes after the next rotation has
    promoted that user, changes nothing.
    """
    zombie = await by_hand.rotate(fence=1, until="promote")
    await by_hand.step(taken_over(zombie, fence=2), "retire")
    await by_hand.rotate(fence=3)

    with pytest.raises(RotationFenced):
        await by_hand.step(zombie, "apply")
    blind = await _blind(by_hand, zombie)
    with pytest.raises(RotationFenced):
        await blind.handler.retire(zombie)
    assert await pair.works(await by_hand.live())


async def test_without_the_fence_the_live_login_is_broken(by_hand: ByHand, pair: UserPair) -> None:
    """Control: the same owner, where the server has forgotten what it has seen, breaks the login
    that everybody uses.
    """
    zombie = await by_hand.rotate(fence=1, until="promote")
    await by_hand.step(taken_over(zombie, fence=2), "retire")
    await by_hand.rotate(fence=3)
    await pair.sql("DELETE FROM gls_rotation.gls_fence")

    blind = await _blind(by_hand, zombie)
    await blind.handler.retire(zombie)

    assert not await pair.works(await by_hand.live())


async def _blind(by_hand: ByHand, zombie) -> ByHand:
    """The zombie as it is after its last look at Vault: what it has read is old by then."""

    class Blind(PostgresqlRotation):
        async def _is_live(self, rotation, username):
            return False

    return ByHand(
        by_hand.client,
        Blind(by_hand.client, kv_mount=by_hand.kv_mount),
        by_hand.kv_mount,
        by_hand.settings,
    )


async def test_single_user_has_a_window(by_hand: ByHand, pair: UserPair) -> None:
    """Control: one user alone whose password is changed is locked out until the promotion."""
    before = await by_hand.live()

    await pair.sql(f"ALTER ROLE {pair.a} PASSWORD 'the-next-one'")

    assert not await pair.works(before)


async def test_candidate_that_does_not_work_is_found(by_hand: ByHand, pair: UserPair) -> None:
    """`verify` really logs in."""
    rotation = await by_hand.rotate(fence=1, until="prepare")

    with pytest.raises(RotationFailed) as caught:
        await by_hand.step(rotation, "verify")

    assert caught.value.reason == "verify_failed"
    assert caught.value.__context__ is None
