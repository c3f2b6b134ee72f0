"""Alternating users on a real PostgreSQL: what each step makes true, and who is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import asdict, replace

import asyncpg
import pytest

import greenlang_secrets as gs
from greenlang_secrets.errors import NotRotatable, RotationFailed, RotationFenced
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath, Tenant, TenantId
from greenlang_secrets.rotation import postgresql_fence
from greenlang_secrets.rotation.postgresql import PostgresqlRotation
from greenlang_secrets.sensitive import SecretMap
from greenlang_secrets.testing import PostgresServer
from greenlang_secrets.testing.process import free_port
from support.canary import shown_in
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


async def test_urls_are_rewritten(by_hand: ByHand, pair: UserPair) -> None:
    """A URL in the secret names the new user and password, and logs in."""
    url = f"postgresql://{pair.a}:{FIRST}@{pair.server.host}:{pair.server.port}/{pair.database}"
    await by_hand.client.kv(PLATFORM).write(by_hand.place, pair.data(pair.a, FIRST, url=url))

    await by_hand.rotate(fence=1)

    connection = await asyncpg.connect((await by_hand.live())["url"].reveal())
    assert await connection.fetchval("SELECT session_user") == pair.b
    await connection.close()


async def test_user_that_is_missing_is_made(by_hand: ByHand, pair: UserPair) -> None:
    """The other user need not exist: an administrator who may give the owner's role makes it."""
    await pair.sql(f"DROP ROLE {pair.b}")
    await by_hand.handler.check(await by_hand.subject())

    for fence in (1, 2, 3):
        await by_hand.rotate(fence=fence)

        assert await pair.works(await by_hand.live())


async def test_old_user_that_is_missing_is_no_failure(by_hand: ByHand, pair: UserPair) -> None:
    """Who was dropped by hand cannot log in any more, which is all that is wanted."""
    rotation = await by_hand.rotate(fence=1, until="promote")
    await pair.sql(f"DROP ROLE {pair.a}")

    await by_hand.step(rotation, "retire")

    assert await pair.sql(f"SELECT count(*) FROM pg_roles WHERE rolname = '{pair.a}'") == 0


async def test_user_that_the_secret_names_again_is_left_alone(
    by_hand: ByHand, pair: UserPair
) -> None:
    """Who went back to the old login by hand before it was retired keeps it."""
    before = await by_hand.live()
    rotation = await by_hand.rotate(fence=1, until="promote")
    await by_hand.client.kv(PLATFORM).write(by_hand.place, before.reveal())

    await by_hand.step(rotation, "retire")

    assert await pair.works(before)


async def test_user_of_a_secret_that_is_gone_is_retired(by_hand: ByHand, pair: UserPair) -> None:
    """A secret that was deleted meanwhile names nobody."""
    before = await by_hand.live()
    rotation = await by_hand.rotate(fence=1, until="promote")
    await by_hand.client.kv(PLATFORM).delete(by_hand.place, versions=[2])

    await by_hand.step(rotation, "retire")

    assert not await pair.works(before)


@pytest.mark.parametrize("terminate", ["true", "false"])
async def test_sessions_of_the_old_user(by_hand: ByHand, pair: UserPair, terminate: str) -> None:
    """Sessions go on after the old user is retired, unless the policy says otherwise."""
    await pair.sql(f"GRANT pg_signal_backend TO {pair.admin}")
    before = await by_hand.live()
    async with pair.connection(before) as connection:
        await by_hand.rotate(fence=1, terminate=terminate)

        lost = (asyncpg.PostgresError, asyncpg.InterfaceError)
        with pytest.raises(lost) if terminate == "true" else nullcontext():
            await connection.fetchval("SELECT 1")


async def test_owner_that_stops_in_mid_transaction_is_thrown_out(
    by_hand: ByHand, pair: UserPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that holds the fence's lock and says nothing more does not hold up who takes over for
    long: the server ends its session, and its change with it.
    """
    monkeypatch.setattr(postgresql_fence, "_LIMITS", SHORT_LIMITS)
    rotation = await by_hand.rotate(fence=1, until="prepare")
    stopped, go_on = asyncio.Event(), asyncio.Event()

    execute = asyncpg.Connection.execute

    async def stop(connection: asyncpg.Connection, query: str, *args, **options):
        if query == postgresql_fence._CHANGE and not stopped.is_set():
            stopped.set()
            await go_on.wait()
        return await execute(connection, query, *args, **options)

    monkeypatch.setattr(asyncpg.Connection, "execute", stop)
    zombie = asyncio.ensure_future(by_hand.step(rotation, "apply"))
    await stopped.wait()
    taken = taken_over(rotation, fence=2)

    await by_hand.step(taken, "apply")
    go_on.set()

    with pytest.raises(RotationFailed) as caught:
        await zombie
    assert caught.value.reason == "target_unavailable"
    await by_hand.step(taken, "verify")


SHORT_LIMITS = postgresql_fence._LIMITS.replace("'8s'", "'500ms'")


async def test_two_owners_at_once_make_the_table_once(by_hand: ByHand, pair: UserPair) -> None:
    """Two that come first at the same time both succeed, and the greater fence stays."""
    rotation = await by_hand.rotate(fence=1, until="prepare")

    await asyncio.gather(*(by_hand.step(taken_over(rotation, fence=2), "apply") for _ in range(4)))

    assert await pair.sql("SELECT max(fence) FROM gls_rotation.gls_fence") == 2
    assert rotation.candidate is not None
    assert await pair.works(rotation.candidate)


async def test_pair_of_another_secret_is_refused(by_hand: ByHand, pair: UserPair) -> None:
    """Two secrets with one pair would lock each other's consumers out: the second is refused, when
    its policy is set and by the server.
    """
    await by_hand.rotate(fence=1)
    second = replace(by_hand, path=SecretPath.parse("database/second"))
    data = (await by_hand.live()).reveal()
    await declared(by_hand.client, second.place, data, SecretType.DATABASE)

    with pytest.raises(NotRotatable, match="Another secret is rotated"):
        await second.handler.check(await second.subject())
    with pytest.raises(RotationFailed) as caught:
        await second.rotate(fence=7)

    assert caught.value.reason == "target_refused"
    assert await pair.works(await by_hand.live())


async def test_table_that_somebody_planted_is_not_used(by_hand: ByHand, pair: UserPair) -> None:
    """A table of the fence that another role owns could run its triggers with the administrator's
    rights: it is refused, when the policy is set and in the step.
    """
    rotation = await by_hand.rotate(fence=1, until="prepare")
    await pair.sql(
        f"CREATE SCHEMA gls_rotation AUTHORIZATION {pair.owner}",
        f"GRANT ALL ON SCHEMA gls_rotation TO {pair.admin}",
        "SELECT 1",
    )

    with pytest.raises(NotRotatable, match="belongs to another"):
        await by_hand.handler.check(await by_hand.subject())
    with pytest.raises(RotationFailed) as caught:
        await by_hand.step(rotation, "apply")

    assert caught.value.reason == "target_refused"


async def test_functions_of_other_users_are_not_called(by_hand: ByHand, pair: UserPair) -> None:
    """A function in `public` that fits a call of ours better than PostgreSQL's own is not called
    with the administrator's rights.
    """
    await pair.sql(
        "CREATE FUNCTION public.format(text, text, text) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'called' USING ERRCODE = '57014'; END $$",
        f"ALTER ROLE {pair.admin} SET search_path TO public, pg_catalog",
    )

    await by_hand.rotate(fence=1)

    assert await pair.works(await by_hand.live())


MISFITTING = {
    "lacks_owner": ("DROP OWNED BY {owner}; DROP ROLE {owner}", "'owner' names does not exist"),
    "is_superuser": ("ALTER ROLE {b} SUPERUSER", "is a superuser"),
    "no CREATEROLE": ("ALTER ROLE {admin} NOCREATEROLE", "may not change both users"),
    "no ADMIN OPTION": ("REVOKE {b} FROM {admin}", "may not change both users"),
    "may not grant": ("REVOKE {owner} FROM {b}, {admin}", "may not make it one"),
    "no temporary": ("REVOKE TEMPORARY ON DATABASE {database} FROM public", "temporary table"),
    "no schema": ("REVOKE CREATE ON DATABASE {database} FROM {admin}", "may make no schema"),
}


@pytest.mark.parametrize("case", MISFITTING)
async def test_pair_that_does_not_fit_is_refused(
    by_hand: ByHand, pair: UserPair, case: str
) -> None:
    """What is missing on the server is said when the policy is set, and the step fails for it."""
    statement, text = MISFITTING[case]
    rotation = await by_hand.rotate(fence=1, until="prepare")
    await pair.sql(*statement.format(**asdict(replace(pair, server=None))).split(";"))

    with pytest.raises(NotRotatable, match=text):
        await by_hand.handler.check(await by_hand.subject())
    if case not in {"is_superuser", "may not grant"}:
        with pytest.raises(RotationFailed):
            await by_hand.step(rotation, "apply")


async def test_superuser_needs_no_grants(by_hand: ByHand, pair: UserPair) -> None:
    """An administrator who is a superuser fits as it is."""
    await pair.sql(f"REVOKE {pair.a}, {pair.b}, {pair.owner} FROM {pair.admin}")
    await pair.sql(f"ALTER ROLE {pair.admin} SUPERUSER")

    await by_hand.handler.check(await by_hand.subject())
    await by_hand.rotate(fence=1)

    assert await pair.works(await by_hand.live())


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"users": ""}, "needs the setting 'users'"),
        ({"users": "a"}, "names of two users"),
        ({"users": "a,a"}, "names of two users"),
        ({"users": "a,b,c"}, "names of two users"),
        ({"users": 'a,b"; DROP ROLE x'}, "names of two users"),
        ({"users": "one,another"}, "none of those in the setting 'users'"),
        ({"owner": "o'"}, "names of two users"),
        ({"owner": ""}, "needs the setting 'owner'"),
        ({"terminate": "yes"}, "'terminate' is true or false"),
        ({"admin": ""}, "needs the setting 'admin'"),
        ({"admin": "a//b"}, "'admin' is no path"),
        ({"admin": "database/app"}, "names the secret itself"),
        ({"admin": "database/none"}, "'admin' names no secret"),
        ({"tls": "perhaps"}, "'tls' is disable, require or verify"),
        ({"ca": "no PEM"}, "'ca' is no PEM"),
    ],
)
async def test_settings_that_do_not_fit(
    by_hand: ByHand, settings: dict[str, str], text: str
) -> None:
    """What is wrong with a setting is said when the policy is set; the step says `incomplete`."""
    with pytest.raises(NotRotatable, match=text):
        await by_hand.handler.check(await by_hand.subject(**settings))
    with pytest.raises(RotationFailed) as caught:
        await by_hand.rotate(fence=1, **settings)
    assert caught.value.reason == "incomplete"


async def test_setting_that_is_unknown_is_refused(by_hand: ByHand) -> None:
    """A slip in a setting's name is told when the policy is set, and not taken for its absence."""
    with pytest.raises(NotRotatable, match="no setting 'terminat'"):
        await by_hand.handler.check(await by_hand.subject(terminat="true"))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"username": ""}, "lacks the field 'username' or 'password'"),
        ({"host": ""}, "lacks the field 'host'"),
        ({"port": "65536"}, "'port' is no port"),
        ({"note": f"say {FIRST}"}, "'note' has the password in it"),
    ],
)
async def test_fields_that_do_not_fit(
    by_hand: ByHand, pair: UserPair, change: dict[str, str], text: str
) -> None:
    """What is wrong with the secret is said when the policy is set; the step says `incomplete`."""
    data = {**pair.data(pair.a, FIRST), **change}
    await by_hand.client.kv(PLATFORM).write(by_hand.place, data)

    with pytest.raises(NotRotatable, match=text):
        await by_hand.handler.check(await by_hand.subject())
    with pytest.raises(RotationFailed) as caught:
        await by_hand.rotate(fence=1)
    assert caught.value.reason == "incomplete"


async def test_administrator_of_another_type_or_of_the_pair(
    by_hand: ByHand, pair: UserPair
) -> None:
    """The administrator's secret is declared as `database`, and is none of the two users."""
    kv = by_hand.client.kv(PLATFORM)
    admin = KvPath.of(by_hand.kv_mount, PLATFORM, SecretPath.parse("database/admin"))
    await kv.write(admin, pair.data(pair.b, FIRST))
    with pytest.raises(NotRotatable, match="administrator is one of the users"):
        await by_hand.handler.check(await by_hand.subject())
    await kv.patch_metadata(admin, custom_metadata={"type": "generic"})

    with pytest.raises(NotRotatable, match="not declared as database"):
        await by_hand.handler.check(await by_hand.subject())


async def test_administrators_place_is_the_secrets_unless_it_says_another(
    by_hand: ByHand, pair: UserPair
) -> None:
    """An administrator's secret may be a name and a password alone."""
    admin = KvPath.of(by_hand.kv_mount, PLATFORM, SecretPath.parse("database/admin"))
    await by_hand.client.kv(PLATFORM).write(admin, {"username": pair.admin, "password": ADMIN})

    await by_hand.rotate(fence=1)

    assert await pair.works(await by_hand.live())


async def test_steps_without_their_data_fail(by_hand: ByHand) -> None:
    """A version that is gone, or a candidate that is, cannot be made up."""
    rotation = replace(await by_hand.claim(fence=1), current=None)

    for name in ("prepare", "apply", "verify", "retire"):
        with pytest.raises(RotationFailed) as caught:
            await by_hand.step(rotation, name)
        assert caught.value.reason == "incomplete"


async def test_errors_keep_nothing_of_the_drivers(by_hand: ByHand, pair: UserPair) -> None:
    """A server that is away, an administrator that is not let in, and a database that is not there
    are told apart, and neither the text nor the cause is the driver's.
    """
    rotation = await by_hand.rotate(fence=1, until="prepare")
    admin = KvPath.of(by_hand.kv_mount, PLATFORM, SecretPath.parse("database/admin"))
    right = pair.data(pair.admin, ADMIN)
    wrong = {
        "target_unavailable": {**right, "port": str(free_port())},
        "target_denied": {**right, "password": "wrong"},
        "target_refused": {**right, "database": "none"},
    }

    for reason, data in wrong.items():
        await by_hand.client.kv(PLATFORM).write(admin, data)
        with pytest.raises(RotationFailed) as caught:
            await by_hand.step(rotation, "apply")
        assert caught.value.reason == reason
        assert caught.value.__context__ is None


@pytest.mark.parametrize("host", ["..", "a" * 70 + ".example", "no.such.host.invalid"])
async def test_host_that_is_none_is_unavailable(by_hand: ByHand, host: str) -> None:
    """A name that no resolver takes is a server that is away."""
    rotation = await by_hand.rotate(fence=1, until="apply")
    assert rotation.candidate is not None
    nowhere = SecretMap({**rotation.candidate.reveal(), "host": host})

    with pytest.raises(RotationFailed) as caught:
        await by_hand.step(replace(rotation, candidate=nowhere), "verify")

    assert caught.value.reason == "target_unavailable"


async def test_user_that_does_not_act_as_the_owner_is_found(
    by_hand: ByHand, pair: UserPair
) -> None:
    """A login that works but acts as the user itself would make objects that the other cannot
    change: it is not promoted.
    """
    rotation = await by_hand.rotate(fence=1, until="apply")
    await pair.sql(f"ALTER ROLE {pair.b} RESET role")

    with pytest.raises(RotationFailed) as caught:
        await by_hand.step(rotation, "verify")

    assert caught.value.reason == "verify_failed"


async def test_tenant_goes_only_where_the_operator_allows(
    client: gs.VaultClient, mount: str, pair: UserPair
) -> None:
    """A tenant's secret is rotated at an address on the list, and at no other: neither at its own
    nor at its administrator's.
    """
    scope = Tenant(TenantId("acme"))
    settings = {"users": pair.users, "owner": pair.owner, "admin": "database/admin"}
    here = f"{pair.server.host}:{pair.server.port}"
    refused = PostgresqlRotation(client, kv_mount=mount, tenant_targets=["db.example.com"])
    allowed = PostgresqlRotation(client, kv_mount=mount, tenant_targets=[here])
    by_hand = ByHand(client, refused, mount, settings, scope=scope)
    admin = KvPath.of(mount, scope, SecretPath.parse("database/admin"))
    await declared(client, admin, pair.data(pair.admin, ADMIN), SecretType.DATABASE)
    await declared(client, by_hand.place, pair.data(pair.a, FIRST), SecretType.DATABASE)
    rotation = await by_hand.rotate(fence=1, until="prepare")

    with pytest.raises(NotRotatable, match="may not be rotated at this address"):
        await refused.check(await by_hand.subject())
    await by_hand.promote(rotation)
    for name in ("apply", "verify", "retire"):
        with pytest.raises(RotationFailed) as caught:
            await by_hand.step(rotation, name)
        assert caught.value.reason == "target_not_allowed"

    await client.kv(scope).write(by_hand.place, pair.data(pair.a, FIRST))
    by_hand = replace(by_hand, handler=allowed)
    await allowed.check(await by_hand.subject())
    await by_hand.rotate(fence=1)
    assert await pair.works(await by_hand.live())


async def test_neither_password_nor_verifier_is_in_the_servers_log(
    client: gs.VaultClient, mount: str
) -> None:
    """With everything logged that can be, the log has neither the passwords of three rotations nor
    the verifiers that the server keeps of them, also of a step that fails on the server; it does
    have a password that is set the plain way (the control).
    """
    async with PostgresServer() as server, user_pair(server) as pair:
        handler = PostgresqlRotation(client, kv_mount=mount)
        settings = {"users": pair.users, "owner": pair.owner, "admin": "database/admin"}
        by_hand = ByHand(client, handler, mount, settings)
        admin = KvPath.of(mount, PLATFORM, SecretPath.parse("database/admin"))
        await declared(client, admin, pair.data(pair.admin, ADMIN), SecretType.DATABASE)
        await declared(client, by_hand.place, pair.data(pair.a, FIRST), SecretType.DATABASE)
        await pair.sql(
            "ALTER SYSTEM SET log_statement = 'all'",
            "ALTER SYSTEM SET log_min_duration_statement = 0",
            "ALTER SYSTEM SET log_min_messages = 'debug1'",
            "ALTER SYSTEM SET log_error_verbosity = 'verbose'",
            "SELECT pg_reload_conf()",
        )
        while await pair.sql("SHOW log_statement") != "all":
            await asyncio.sleep(0.01)
        hidden = []
        for fence in (1, 2, 3):
            rotation = await by_hand.rotate(fence=fence, until="promote")
            assert rotation.candidate is not None
            hidden.append(rotation.candidate["password"].reveal())
            hidden += await verifiers(pair)
            await by_hand.step(rotation, "retire")
            hidden += await verifiers(pair)
        await pair.sql(f"REVOKE {pair.a} FROM {pair.admin}")
        with pytest.raises(RotationFailed):
            await by_hand.rotate(fence=4)
        await pair.sql(f"ALTER ROLE {pair.b} PASSWORD 'a-password-in-a-statement'")
        log = await asyncio.to_thread(server.log_file.read_text)

    assert "INSERT INTO gls_rotation.gls_fence" in log
    assert "the role could not be changed" in log
    assert "a-password-in-a-statement" in log
    assert len(set(hidden)) == 3 + 7
    assert not [text for text in hidden if shown_in(log, text)]


async def verifiers(pair: UserPair) -> list[str]:
    """Return what the server keeps of the passwords of both users; as bytes, for its log would
    have them.
    """
    async with pair.connection() as connection:
        rows = await connection.fetch(
            "SELECT rolpassword FROM pg_authid WHERE rolname = ANY ($1) AND rolpassword LIKE 'S%'",
            [pair.a, pair.b],
        )
    return [row["rolpassword"].split("$")[2] for row in rows]
