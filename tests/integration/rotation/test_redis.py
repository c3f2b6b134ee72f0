"""Two passwords of one user on a real Valkey: what each step makes true, and who is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio.client import Pipeline

import greenlang_secrets as gs
from greenlang_secrets.errors import NotRotatable, RotationFailed, RotationFenced
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath, Tenant, TenantId
from greenlang_secrets.rotation.handler import Rotation
from greenlang_secrets.rotation.redis import RedisRotation
from greenlang_secrets.sensitive import SecretMap
from greenlang_secrets.testing import ValkeyServer
from greenlang_secrets.testing.process import free_port
from support.acl_users import ADMIN, FIRST, AclUser, acl_user, digest
from support.canary import shown_in
from support.rotating import STEPS, ByHand, declared, taken_over


@pytest.fixture
async def user(valkey_server) -> AsyncIterator[AclUser]:
    """A user of the test's own."""
    async with acl_user(valkey_server) as user:
        yield user


@pytest.fixture
async def by_hand(client: gs.VaultClient, mount: str, user: AclUser) -> ByHand:
    """A secret with the user, and its administrator's beside it."""
    return await set_up(client, mount, user)


async def set_up(client: gs.VaultClient, mount: str, user: AclUser) -> ByHand:
    """Write both secrets."""
    by_hand = ByHand(
        client,
        RedisRotation(client, kv_mount=mount),
        mount,
        {"admin": "cache/admin"},
        path=SecretPath.parse("cache/app"),
        type=SecretType.CACHE,
    )
    admin = KvPath.of(mount, PLATFORM, SecretPath.parse("cache/admin"))
    url = f"redis://{user.name}:{FIRST}@127.0.0.1:{user.server.port}/0"
    await declared(client, admin, user.data(user.admin, ADMIN), SecretType.CACHE)
    await declared(client, by_hand.place, user.data(user.name, FIRST, url=url), SecretType.CACHE)
    return by_hand


def password_of(rotation: Rotation) -> str:
    """Return the candidate's password."""
    assert rotation.candidate is not None
    return rotation.candidate["password"].reveal()


async def test_user_of_the_acl_fits(by_hand: ByHand, user: AclUser) -> None:
    """An administrator who may change users and use the fence is enough; a check changes nothing."""
    await by_hand.handler.check(await by_hand.subject())

    assert await user.digests() == {digest(FIRST)}
    assert await user.run("EXISTS", f"gls:fence:{user.name}") == 0


async def test_three_rotations(by_hand: ByHand, user: AclUser) -> None:
    """What the secret holds works after each rotation, its URL too, and nothing else does."""
    for fence in (1, 2, 3):
        before = await by_hand.live()
        await by_hand.rotate(fence=fence)
        after = await by_hand.live()

        assert await user.works(after)
        assert not await user.works(before)
        assert after["password"].reveal() in after["url"].reveal()
        assert await user.digests() == {digest(after["password"].reveal())}


async def test_exactly_two_passwords_are_taken_from_apply_on(
    by_hand: ByHand, user: AclUser
) -> None:
    """Beside the present password and the candidate's no other stays, such as one of before."""
    await user.run("ACL SETUSER", user.name, ">one-that-was-left-behind")

    rotation = await by_hand.rotate(fence=1, until="promote")

    assert await user.digests() == {digest(FIRST), digest(password_of(rotation))}


@pytest.mark.parametrize("dies_after", STEPS)
@pytest.mark.parametrize("repeats", [1, 3])
async def test_death_after_any_step(
    by_hand: ByHand, user: AclUser, dies_after: str, repeats: int
) -> None:
    """Whoever takes over repeats what was done, with a greater fence, and comes to the same end."""
    rotation = await by_hand.rotate(fence=1, until=dies_after)

    for fence in range(2, 2 + repeats):
        rotation = taken_over(rotation, fence=fence)
        for name in STEPS[1:]:
            rotation = await by_hand.step(rotation, name)
            assert await user.works(await by_hand.live())

    assert await by_hand.live() == rotation.candidate
    assert await user.digests() == {digest(password_of(rotation))}


async def test_owner_that_was_taken_for_dead_is_refused(by_hand: ByHand, user: AclUser) -> None:
    """An owner that wakes after another rotation has promoted its own candidate changes nothing."""
    zombie = await by_hand.rotate(fence=1, until="apply")
    await by_hand.rotate(fence=2)

    with pytest.raises(RotationFenced):
        await by_hand.step(zombie, "apply")
    with pytest.raises(RotationFenced):
        await by_hand.step(zombie, "retire")
    assert await user.works(await by_hand.live())


async def test_without_the_fence_the_live_login_is_broken(by_hand: ByHand, user: AclUser) -> None:
    """Control: the same owner, where the server has forgotten what it has seen, cuts everybody off."""
    zombie = await by_hand.rotate(fence=1, until="apply")
    await by_hand.rotate(fence=2)
    await user.run("DEL", f"gls:fence:{user.name}")

    await by_hand.step(zombie, "apply")

    assert not await user.works(await by_hand.live())


async def test_single_password_has_a_window(by_hand: ByHand, user: AclUser) -> None:
    """Control: a password that replaces the other locks everybody out until the promotion."""
    before = await by_hand.live()

    await user.run("ACL SETUSER", user.name, "resetpass", ">the-next-one")

    assert not await user.works(before)


@pytest.mark.parametrize(("fence", "error"), [("9", RotationFenced), ("1", None)])
async def test_owner_that_comes_between_is_seen(
    by_hand: ByHand,
    user: AclUser,
    monkeypatch: pytest.MonkeyPatch,
    fence: str,
    error: type[Exception] | None,
) -> None:
    """Where another owner comes between the look at the fence and the change, nothing is changed
    but looked at again, and its fence decides.
    """
    rotation = await by_hand.rotate(fence=1, until="prepare")
    get = Pipeline.get
    looks = []

    async def come_between(transaction: Pipeline, key: str) -> object:
        looks.append(await get(transaction, key))
        if len(looks) == 1:
            await user.run("SET", key, fence)
        return looks[-1]

    monkeypatch.setattr(Pipeline, "get", come_between)

    with pytest.raises(error) if error else nullcontext():
        await by_hand.step(rotation, "apply")

    assert looks == [None, fence]
    assert len(await user.digests()) == (1 if error else 2)


async def test_fence_that_is_never_left_alone_ends_the_step(
    by_hand: ByHand, user: AclUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few transactions that others came before, the step fails and is tried later."""
    rotation = await by_hand.rotate(fence=1, until="prepare")

    get = Pipeline.get

    async def come_between(transaction: Pipeline, key: str) -> object:
        seen = await get(transaction, key)
        await user.run("SET", key, "1")
        return seen

    monkeypatch.setattr(Pipeline, "get", come_between)

    with pytest.raises(RotationFailed) as caught:
        await by_hand.step(rotation, "apply")

    assert caught.value.reason == "target_unavailable"


async def test_password_written_by_hand_is_kept(by_hand: ByHand, user: AclUser) -> None:
    """Who went back to the old password by hand before it was retired keeps it."""
    before = await by_hand.live()
    rotation = await by_hand.rotate(fence=1, until="promote")
    await by_hand.client.kv(PLATFORM).write(by_hand.place, before.reveal())

    await by_hand.step(rotation, "retire")

    assert await user.works(before)


@pytest.mark.parametrize("change", ["deleted", "another user's"])
async def test_what_is_not_this_users_is_not_kept(
    by_hand: ByHand, user: AclUser, change: str
) -> None:
    """A secret that is gone by then, or another user's, leaves the candidate's password alone."""
    rotation = await by_hand.rotate(fence=1, until="promote")
    kv = by_hand.client.kv(PLATFORM)
    if change == "deleted":
        await kv.delete(by_hand.place, versions=[2])
    else:
        await kv.write(by_hand.place, user.data("another", "password"))

    await by_hand.step(rotation, "retire")

    assert await user.digests() == {digest(password_of(rotation))}


async def test_rotated_user_survives_a_restart(
    client: gs.VaultClient, mount: str, tmp_path: Path
) -> None:
    """A server with a file of users is told to save it, so that a restart forgets nothing."""
    async with AclFileServer(data_dir=tmp_path / "valkey") as server, acl_user(server) as user:
        by_hand = await set_up(client, mount, user)
        await by_hand.rotate(fence=1)

        await server.restart()

        assert await user.works(await by_hand.live())


async def test_server_that_cannot_save_its_users(
    client: gs.VaultClient, mount: str, tmp_path: Path
) -> None:
    """Where the file of users cannot be written, the step fails: a restart would undo it."""
    async with AclFileServer(data_dir=tmp_path / "valkey") as server, acl_user(server) as user:
        by_hand = await set_up(client, mount, user)
        rotation = await by_hand.rotate(fence=1, until="prepare")
        file = tmp_path / "valkey" / "users.acl"
        file.unlink()
        file.mkdir()
        (file / "in the way").touch()

        with pytest.raises(RotationFailed) as caught:
            await by_hand.step(rotation, "apply")

    assert caught.value.reason == "target_refused"


class AclFileServer(ValkeyServer):
    """A Valkey that keeps its users in a file."""

    def _config(self) -> str:
        file = self._home / "users.acl"
        if not file.exists():
            file.write_text(f"user default on >{self.password} ~* &* +@all\n")
        config = super()._config().replace(f"requirepass {self.password}\n", "")
        return f"{config}aclfile {json.dumps(str(file))}\n"


async def test_sessions_outlive_their_password(by_hand: ByHand, user: AclUser) -> None:
    """A connection that was made with the old password stays after it is retired."""
    async with user.connection(await by_hand.live()) as connection:
        before = await connection.execute_command("PING")
        await by_hand.rotate(fence=1)

        assert await connection.execute_command("PING") is before is True


async def test_candidate_that_does_not_work_is_found(by_hand: ByHand) -> None:
    """`verify` really logs in, and keeps nothing of what the server said."""
    rotation = await by_hand.rotate(fence=1, until="prepare")

    with pytest.raises(RotationFailed) as caught:
        await by_hand.step(rotation, "verify")

    assert caught.value.reason == "verify_failed"
    assert caught.value.__context__ is None


async def test_user_that_may_not_ping_is_let_in(by_hand: ByHand, user: AclUser) -> None:
    """What a login is tried with may be forbidden: it was a login all the same."""
    await user.run("ACL SETUSER", user.name, "-ping")

    await by_hand.rotate(fence=1)

    assert len(await user.digests()) == 1


@pytest.mark.parametrize(
    ("rule", "reason"),
    [("nopass", "target_refused"), ("off", "target_refused"), ("-acl", "target_denied")],
)
async def test_user_that_does_not_fit_is_refused(
    by_hand: ByHand, user: AclUser, rule: str, reason: str
) -> None:
    """A user that takes any password, or none, is left alone; so is one that may not be changed."""
    rotation = await by_hand.rotate(fence=1, until="prepare")
    await user.run("ACL SETUSER", user.admin if rule == "-acl" else user.name, rule)

    with pytest.raises(RotationFailed) as caught:
        await by_hand.step(rotation, "apply")
    assert caught.value.reason == reason
    with pytest.raises(NotRotatable if rule != "-acl" else RotationFailed):
        await by_hand.handler.check(await by_hand.subject())


async def test_user_that_is_missing_is_refused(by_hand: ByHand, user: AclUser) -> None:
    """A user that the server does not have is not made: it would have no permissions."""
    rotation = await by_hand.rotate(fence=1, until="prepare")
    await user.run("ACL DELUSER", user.name)

    with pytest.raises(RotationFailed) as caught:
        await by_hand.step(rotation, "apply")

    assert caught.value.reason == "target_refused"


@pytest.mark.parametrize("username", ["", "default"])
async def test_default_user_is_refused(by_hand: ByHand, user: AclUser, username: str) -> None:
    """The user that everybody is who does not log in is not rotated, and the text says so."""
    await by_hand.client.kv(PLATFORM).write(by_hand.place, user.data(username, FIRST))

    with pytest.raises(NotRotatable, match="'default' is not rotated"):
        await by_hand.handler.check(await by_hand.subject())
    with pytest.raises(RotationFailed) as caught:
        await by_hand.rotate(fence=1)
    assert caught.value.reason == "incomplete"


async def test_administrator_that_is_the_user_is_refused(by_hand: ByHand, user: AclUser) -> None:
    """Rotating the administrator with its own login is refused when the policy is set."""
    admin = KvPath.of(by_hand.kv_mount, PLATFORM, SecretPath.parse("cache/admin"))
    await by_hand.client.kv(PLATFORM).write(admin, user.data(user.name, FIRST))

    with pytest.raises(NotRotatable, match="administrator is the user"):
        await by_hand.handler.check(await by_hand.subject())


async def test_steps_without_what_they_need_fail(by_hand: ByHand, user: AclUser) -> None:
    """A version that is gone, another user by now, an administrator's secret that is gone, or a
    password that cannot be replaced everywhere: the step fails and says `incomplete`.
    """
    rotation = await by_hand.rotate(fence=1, until="prepare")
    assert rotation.candidate is not None
    renamed = SecretMap({**rotation.candidate.reveal(), "username": "another"})
    planted = SecretMap({**rotation.candidate.reveal(), "note": password_of(rotation)})
    broken = [
        ("apply", replace(rotation, current=None)),
        ("apply", replace(rotation, candidate=renamed)),
        ("apply", replace(rotation, settings={"admin": "cache/missing"})),
        ("prepare", replace(rotation, current=planted)),
    ]

    for name, one in broken:
        with pytest.raises(RotationFailed) as caught:
            await by_hand.step(one, name)
        assert caught.value.reason == "incomplete"


async def test_server_that_is_away(by_hand: ByHand) -> None:
    """A server that does not listen is unavailable, and nothing of the driver's text is kept."""
    rotation = await by_hand.rotate(fence=1, until="apply")
    assert rotation.candidate is not None
    nowhere = SecretMap({**rotation.candidate.reveal(), "port": str(free_port())})

    with pytest.raises(RotationFailed) as caught:
        await by_hand.step(replace(rotation, candidate=nowhere), "verify")

    assert caught.value.reason == "target_unavailable"
    assert caught.value.__context__ is None


async def test_tenant_goes_only_where_the_operator_allows(
    client: gs.VaultClient, mount: str, user: AclUser
) -> None:
    """A tenant's secret is not rotated at an address that is not on the list: neither its own nor
    its administrator's; one on the list is.
    """
    scope = Tenant(TenantId("acme"))
    for targets, error in (((), NotRotatable), ((f"127.0.0.1:{user.server.port}",), None)):
        by_hand = ByHand(
            client,
            RedisRotation(client, kv_mount=mount, tenant_targets=targets),
            mount,
            {"admin": "cache/admin"},
            path=SecretPath.parse("cache/app"),
            scope=scope,
            type=SecretType.CACHE,
        )
        admin = KvPath.of(mount, scope, SecretPath.parse("cache/admin"))
        if error is not None:
            await declared(client, admin, user.data(user.admin, ADMIN), SecretType.CACHE)
            await declared(client, by_hand.place, user.data(user.name, FIRST), SecretType.CACHE)
            rotation = await by_hand.rotate(fence=1, until="prepare")
            with pytest.raises(NotRotatable, match="may not be rotated at this address"):
                await by_hand.handler.check(await by_hand.subject())
            for name in ("apply", "verify", "retire"):
                with pytest.raises(RotationFailed) as caught:
                    await by_hand.step(rotation, name)
                assert caught.value.reason == "target_not_allowed"
        else:
            await by_hand.handler.check(await by_hand.subject())
            await by_hand.rotate(fence=1)

    assert await user.works(await by_hand.live())


async def test_no_password_is_shown_by_the_server(by_hand: ByHand, user: AclUser) -> None:
    """What MONITOR, SLOWLOG and ACL LOG show of three rotations and a login that fails has none of
    the passwords, and MONITOR does show a command that has one (the control).
    """
    await user.run("CONFIG SET", "slowlog-log-slower-than", "0")
    await user.run("ACL LOG", "RESET")
    await user.run("SLOWLOG", "RESET")
    passwords = [FIRST, ADMIN]
    async with user.connection() as watching, watching.monitor() as monitor:
        for fence in (1, 2, 3):
            rotation = await by_hand.rotate(fence=fence, until="prepare")
            with suppress(RotationFailed):  # the login that fails
                await by_hand.step(rotation, "verify")
            for name in STEPS[1:]:
                await by_hand.step(rotation, name)
            passwords.append(password_of(rotation))
        await user.run("SET", "planted", "a-password-in-a-command")
        shown = []
        while not shown or "a-password-in-a-command" not in shown[-1]:
            shown.append(str(await monitor.next_command()))
    shown.append(str(await user.run("SLOWLOG", "GET", "-1")))
    shown.append(str(await user.run("ACL LOG")))
    await user.run("CONFIG SET", "slowlog-log-slower-than", "10000")

    assert f"gls:fence:{user.name}" in "".join(shown)
    assert "a-password-in-a-command" in shown[-2]
    assert "auth" in shown[-1]
    assert not [text for text in shown for password in passwords if shown_in(text, password)]
