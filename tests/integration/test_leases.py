from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest

import greenlang_secrets as gs
from greenlang_secrets.leases import HeldLease
from support.approle import AppRole, approle
from support.database import DatabaseEngine, database_engine
from support.mounts import mounted


@pytest.fixture
async def engine(vault_server, postgres_server) -> AsyncIterator[DatabaseEngine]:
    async with database_engine(vault_server, postgres_server) as engine:
        yield engine


@pytest.fixture
def app(engine, vault_server, mount, tmp_path):
    """Make the AppRole of the service; settings of its tokens by keyword."""

    async def make(**settings: object) -> AppRole:
        policy = engine.policy + f'path "{mount}/*" {{ capabilities = ["read"] }}'
        return await approle(
            vault_server, tmp_path, mount=f"lease-{mount}", policy=policy, **settings
        )

    return make


@pytest.fixture
def opened(config, app):
    @asynccontextmanager
    async def opened(role: AppRole | None = None) -> AsyncIterator[gs.SecretsService]:
        role = role or await app()
        async with gs.SecretsService.open(replace(config, auth=role.auth)) as service:
            yield service

    return opened


async def hold(service, engine, **options) -> HeldLease[gs.DatabaseCredentials]:
    return await service.database_credentials("app", mount=engine.mount, **options)


async def until(condition: Callable[[], Awaitable[bool]], within: float = 8.0) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not await condition():
        assert loop.time() < deadline, f"not within {within} s"
        await asyncio.sleep(0.02)


async def test_credentials_log_in_and_are_dropped_at_release(opened, engine):
    """What is held logs in; when it is released its account and lease are gone."""
    await engine.role(ttl="1h", max_ttl="2h")
    async with opened() as service:
        async with await hold(service, engine) as held:
            credentials = held.current
            assert await engine.log_in(credentials) == credentials.username
            during = await engine.leases()

        assert len(during) == 1
        assert await engine.leases() == []
        assert service.leases.holding == 0
        with pytest.raises(asyncpg.PostgresError):
            await engine.log_in(credentials)
        with pytest.raises(RuntimeError, match="released"):
            _ = held.current


async def test_holders_of_a_role_share_one_lease(opened, engine):
    """100 who ask at once get one account; it lives until the last lets go."""
    await engine.role(ttl="1h", max_ttl="2h")
    async with opened() as service:
        handles = await asyncio.gather(*(hold(service, engine) for _ in range(100)))
        first, *others = handles

        assert len({handle.current.username for handle in handles}) == 1
        for handle in others:
            await handle.release()
        assert await engine.log_in(first.current) == first.current.username
        await first.release()
        assert await engine.leases() == []


async def test_lease_is_renewed_while_it_can_be(opened, engine, vault_server):
    """Credentials of 2 s are the same after 5 s, by renewals."""
    await engine.role(ttl="2s", max_ttl="1h")
    mark = await vault_server.audit_mark()
    async with opened() as service:
        held = await hold(service, engine)
        first = held.current
        granted_at = service.leases._kept[next(iter(service.leases._kept))].entry.term.granted_at

        async def renewed_twice() -> bool:
            entry = service.leases._kept[next(iter(service.leases._kept))].entry
            return entry.term.granted_at > granted_at + 2.5

        await until(renewed_twice)

        assert held.current is first
        assert await engine.log_in(first) == first.username
        assert len(await vault_server.audit_requests(mark, "sys/leases/renew")) >= 2
        assert len(await vault_server.audit_requests(mark, f"{engine.mount}/creds/app")) == 1


async def test_credentials_are_replaced_before_their_maximum(opened, engine):
    """At the end of what renewals give there is a new account, which is told; the old one works to
    its own end.
    """
    await engine.role(ttl="2s", max_ttl="4s")
    told: list[tuple[str, str]] = []
    async with opened() as service:
        held = await hold(service, engine)
        first = held.current
        held.on_change(lambda old, new: told.append((old.username, new.username)))

        async def changed() -> bool:
            return held.current is not first

        await until(changed)
        old_works = await engine.log_in(first)
        second = held.current

        assert old_works == first.username
        assert await engine.log_in(second) == second.username

        async def is_told() -> bool:
            return told == [(first.username, second.username)]

        await until(is_told)


async def test_followers_get_each_new_account(opened, engine):
    """An iteration gives the present credentials, and then what replaced them."""
    await engine.role(ttl="2s", max_ttl="3s")
    async with opened() as service:
        held = await hold(service, engine)
        seen = []
        async for credentials in held.changes():
            assert await engine.log_in(credentials) == credentials.username
            seen.append(credentials.username)
            if len(seen) == 3:
                break

        assert len(set(seen)) == 3


async def test_refresh_replaces_at_once(opened, engine):
    """Who was refused a login asks for new credentials; those who ask together share them."""
    await engine.role(ttl="1h", max_ttl="2h")
    async with opened() as service:
        held = await hold(service, engine)
        first = held.current

        answers = await asyncio.gather(*(held.refresh() for _ in range(20)))

        assert len({answer.username for answer in answers}) == 1
        assert answers[0].username != first.username
        assert len(await engine.leases()) == 2  # the first lives on for logins under way
    assert await engine.leases() == []


async def test_dead_token_takes_its_leases_along_and_they_are_replaced(opened, engine, app):
    """When the service's token is revoked its accounts are gone; the credentials are replaced under
    the next token, without being asked for.
    """
    await engine.role(ttl="1h", max_ttl="2h")
    role = await app()
    async with opened(role) as service:
        held = await hold(service, engine)
        first = held.current
        await role.revoke_tokens()
        with pytest.raises(gs.SecretsError):  # the first request notices the death; any would
            await service.get("nothing-there")

        async def replaced() -> bool:
            try:
                return held.current.username != first.username
            except gs.LeaseExpired:
                return False

        await until(replaced)

        assert await engine.log_in(held.current) == held.current.username


async def test_death_of_an_idle_token_is_noticed(opened, engine, app, monkeypatch):
    """A service that holds an account and asks Vault nothing hears of its token's death within half a
    minute (here a fifth of a second), and has another account then.
    """
    monkeypatch.setattr("greenlang_secrets.vault.session.NOTICE_EVERY", 0.2)
    await engine.role(ttl="1h", max_ttl="2h")
    role = await app()
    async with opened(role) as service:
        held = await hold(service, engine)
        first = held.current
        await role.revoke_tokens()

        async def replaced() -> bool:
            try:
                return held.current.username != first.username
            except gs.LeaseExpired:
                return False

        await until(replaced, within=5.0)

        assert await engine.log_in(held.current) == held.current.username


async def test_token_in_use_is_not_looked_at(opened, app, vault_server, mount, monkeypatch):
    """Answers to requests show that the token lives: while there are some, nothing else is asked."""
    monkeypatch.setattr("greenlang_secrets.vault.session.NOTICE_EVERY", 0.2)
    await vault_server.request("POST", f"{mount}/data/greenlang/x", {"data": {"k": "v"}})
    async with opened(await app()) as service:
        mark = await vault_server.audit_mark()
        loop = asyncio.get_running_loop()
        end = loop.time() + 1.0
        while loop.time() < end:
            await service.get("x", fresh=True)

        assert await vault_server.audit_requests(mark, "auth/token/lookup-self") == []


async def test_old_token_is_not_revoked_before_its_leases_end(opened, engine, app, vault_server):
    """A new login alone ends no lease: the old token waits for what was made with it, which is
    replaced in time.
    """
    await engine.role(ttl="1h", max_ttl="2h")
    role = await app(ttl="6s")
    async with opened(role) as service:
        held = await hold(service, engine)
        first = held.current
        await service.client.session._start_acquisition()

        still = await engine.log_in(first)

        async def replaced() -> bool:
            return held.current.username != first.username

        await until(replaced)

        assert still == first.username
        assert await engine.log_in(held.current) == held.current.username


async def test_lease_revoked_by_an_operator_is_replaced(opened, engine, vault_server):
    """A lease that Vault does not know any more is replaced when its renewal shows it."""
    await engine.role(ttl="2s", max_ttl="1h")
    async with opened() as service:
        held = await hold(service, engine)
        first = held.current
        await vault_server.request(
            "POST", f"sys/leases/revoke-prefix/{engine.mount}", {"sync": True}
        )

        async def replaced() -> bool:
            try:
                return held.current.username != first.username
            except gs.LeaseExpired:
                return False

        await until(replaced)

        assert await engine.log_in(held.current) == held.current.username


async def test_unknown_role_is_said_and_nothing_is_kept(opened, engine):
    """A role that is not there is an error of the first call, and of the next one as well."""
    async with opened() as service:
        for _ in range(2):
            with pytest.raises(gs.ObjectNotFound):
                await hold(service, engine)

        assert service.leases.holding == 0


async def test_cancelled_holder_leaves_no_lease(opened, engine):
    """Who is cancelled while the account is made leaves none behind."""
    await engine.role(ttl="1h", max_ttl="2h")
    async with opened() as service:
        task = asyncio.ensure_future(hold(service, engine))
        while service.leases.holding == 0:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async def nothing_left() -> bool:
            fetching = [
                each
                for each in service.followers.supervisor._tasks
                if each.get_name().startswith("leases.")
            ]
            return not fetching and await engine.leases() == []

        await until(nothing_left)

        assert service.leases.holding == 0


async def test_close_revokes_what_is_held(opened, engine):
    """At a clean end no lease and no account is left; a handle has no value any more."""
    await engine.role(ttl="1h", max_ttl="2h")
    async with opened() as service:
        held = await hold(service, engine)
        seen = held.changes()
        await anext(seen)

    assert await engine.leases() == []
    with pytest.raises(gs.LeaseExpired):
        _ = held.current
    assert [value async for value in seen] == []


async def test_handed_over_credentials_survive_the_restart(opened, engine, app):
    """The successor issues anew what is held: the handle goes on, logins work before, during and
    after, and callbacks are told by it later on.
    """
    await engine.role(ttl="2s", max_ttl="4s")
    role = await app()
    told: list[str] = []
    async with opened(role) as successor:
        async with opened(role) as service:
            held = await hold(service, engine)
            held.on_change(lambda _, new: told.append(new.username))
            first = held.current

            await service.hand_over(successor)

            assert held.current.username != first.username
            assert await engine.log_in(first) == first.username
        with pytest.raises(asyncpg.PostgresError):
            await engine.log_in(first)
        second = held.current
        assert await engine.log_in(second) == second.username

        async def replaced() -> bool:
            return told[-2:] == [second.username, held.current.username]

        await until(replaced)

        assert await engine.log_in(held.current) == held.current.username
        assert (service.leases.holding, successor.leases.holding) == (0, 1)
        await held.release()
        assert await engine.leases() == []


async def test_without_hand_over_a_restart_ends_the_credentials(opened, engine, app):
    """The control: closing ends what is held."""
    await engine.role(ttl="1h", max_ttl="2h")
    role = await app()
    async with opened(role):
        async with opened(role) as service:
            held = await hold(service, engine)
            first = held.current

        with pytest.raises(asyncpg.PostgresError):
            await engine.log_in(first)


async def test_hand_over_that_fails_leaves_everything_where_it_was(
    opened, engine, app, config, vault_server
):
    """A successor that may not issue takes nothing; what is held is still kept."""
    await engine.role(ttl="1h", max_ttl="2h")
    async with opened() as service:
        held = await hold(service, engine)
        first = held.current
        _, body = await vault_server.request("POST", "auth/token/create", {"policies": ["default"]})
        auth = gs.AuthConfig(token=gs.SecretValue(body["auth"]["client_token"]))
        async with gs.SecretsService.open(replace(config, auth=auth)) as successor:
            with pytest.raises(gs.AccessDenied):
                await service.hand_over(successor)

        assert held.current is first
        assert await engine.log_in(first) == first.username
        assert service.leases.holding == 1


async def test_two_of_a_kind_are_handed_over_side_by_side(opened, engine, app):
    """A successor that holds the same role already keeps both accounts, each to its holders."""
    await engine.role(ttl="1h", max_ttl="2h")
    role = await app()
    async with opened(role) as successor:
        theirs = await hold(successor, engine)
        async with opened(role) as service:
            ours = await hold(service, engine)
            await service.hand_over(successor)

        assert ours.current.username != theirs.current.username
        for handle in (ours, theirs):
            assert await engine.log_in(handle.current) == handle.current.username
        await ours.release()
        assert await engine.log_in(theirs.current) == theirs.current.username


async def test_credentials_know_where_their_database_is(
    opened, engine, vault_server, mount, postgres_server
):
    """With `at` the credentials have a DSN, which really logs in."""
    await engine.role(ttl="1h", max_ttl="2h")
    await vault_server.request(
        "POST",
        f"{mount}/data/greenlang/database/postgresql",
        {
            "data": {
                "username": "somebody",
                "password": "else",
                "host": postgres_server.host,
                "port": str(postgres_server.port),
                "database": "postgres",
            }
        },
    )
    await vault_server.request(
        "POST",
        f"{mount}/metadata/greenlang/database/postgresql",
        {"custom_metadata": {"type": "database"}},
    )
    async with opened() as service:
        held = await hold(service, engine, at="database/postgresql")

        connection = await asyncpg.connect(held.current.dsn().reveal())
        user = await connection.fetchval("SELECT current_user")
        await connection.close()

        assert user == held.current.username


async def test_static_role_is_read_again_when_vault_has_rotated_it(opened, engine, postgres_server):
    """The password of a static role is followed by the next one, with the same name."""
    admin = await asyncpg.connect(postgres_server.url)
    name = f"static_{engine.mount.replace('-', '_')}"
    await admin.execute(f"CREATE ROLE {name} WITH LOGIN PASSWORD 'first'")
    await admin.close()
    await engine.write(
        "static-roles/app", {"db_name": "pg", "username": name, "rotation_period": "5s"}
    )
    async with opened() as service:
        held = await hold(service, engine, static=True)
        first = held.current
        assert await engine.log_in(first) == name

        async def rotated() -> bool:
            return held.current.password != first.password

        await until(rotated, within=20.0)

        assert held.current.username == name
        assert await engine.log_in(held.current) == name


async def test_static_role_rotated_by_hand_is_read_by_refresh(opened, engine, postgres_server):
    """A refused login is answered by `refresh`, which gives the password of now; one that has not
    changed is no change.
    """
    admin = await asyncpg.connect(postgres_server.url)
    name = f"byhand_{engine.mount.replace('-', '_')}"
    await admin.execute(f"CREATE ROLE {name} WITH LOGIN PASSWORD 'first'")
    await admin.close()
    await engine.write(
        "static-roles/app", {"db_name": "pg", "username": name, "rotation_period": "1h"}
    )
    async with opened() as service:
        held = await hold(service, engine, static=True)
        first = held.current
        unchanged = await held.refresh()
        await engine.write("rotate-role/app", {})
        with pytest.raises(asyncpg.PostgresError):
            await engine.log_in(first)

        assert unchanged is first
        assert await engine.log_in(await held.refresh()) == name


# ---------------------------------------------------------------- certificates


@pytest.fixture
async def pki(vault_server) -> AsyncIterator[str]:
    async with mounted(vault_server, "pki") as mount:
        for path, body in (
            ("root/generate/internal", {"common_name": "Test CA", "key_type": "ec"}),
            (
                "roles/short",
                {
                    "allowed_domains": ["localhost"],
                    "allow_bare_domains": True,
                    "key_type": "ec",
                    "not_before_duration": "30s",
                },
            ),
        ):
            status, _ = await vault_server.request("POST", f"{mount}/{path}", body)
            assert status in {200, 204}
        yield mount


async def test_certificate_is_followed_by_a_new_one_before_its_end(secrets, pki):
    """A certificate of 3 s is replaced by another, with another key, while it is still valid; that
    is told, and both speak TLS.
    """
    told: list[tuple[gs.TlsCertificate, gs.TlsCertificate, datetime]] = []
    held = await secrets.hold_certificate("short", common_name="localhost", ttl=3.0, mount=pki)
    first = held.current
    held.on_change(lambda old, new: told.append((old, new, datetime.now(UTC))))

    async def is_told() -> bool:
        return bool(told)

    await until(is_told)
    old, new, at = told[0]

    assert old is first
    assert at < first.not_after < new.not_after
    assert new.private_key != first.private_key
    for certificate in (first, new):
        await asyncio.to_thread(certificate.ssl_context)  # the keys are those of the certificates


async def test_holders_of_a_certificate_share_it(secrets, pki, vault_server):
    """The same names are the same certificate; others are another. Nothing is revoked at release."""
    mark = await vault_server.audit_mark()
    one, same = [
        await secrets.hold_certificate("short", common_name="localhost", ttl=60.0, mount=pki)
        for _ in range(2)
    ]
    other = await secrets.hold_certificate("short", common_name="localhost", ttl=90.0, mount=pki)

    assert one.current is same.current
    assert other.current is not one.current
    for handle in (one, same, other):
        await handle.release()
    assert secrets.leases.holding == 0
    assert await vault_server.audit_requests(mark, f"{pki}/revoke") == []
    assert await vault_server.audit_requests(mark, "sys/leases/revoke") == []


async def test_dead_token_found_by_the_first_hold_costs_one_account(opened, engine, app):
    """A service whose token was revoked gives credentials that work, at the first call: one account,
    which hangs on the new token.
    """
    await engine.role(ttl="1h", max_ttl="2h")
    role = await app()
    async with opened(role) as service:
        await role.revoke_tokens()
        held = await hold(service, engine)

        assert await engine.log_in(held.current) == held.current.username
        assert len(await engine.leases()) == 1
