from __future__ import annotations

import asyncio

import pytest

from greenlang_secrets.errors import (
    AccessDenied,
    AuthenticationLost,
    VaultProtocolError,
    VaultUnavailable,
)
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import VaultRequest
from greenlang_secrets.vault.token_holder import TokenHolder
from support.fake_vault import Clock, FakeVault, Service, fake_service, settle

RENEW = "auth/token/renew-self"
LOOK_UP = "auth/token/lookup-self"
REVOKE = "auth/token/revoke-self"
READ = VaultRequest(method="GET", path=ApiPath.of("some", "thing"))


async def read(service: Service) -> int:
    return (await service.session.call(READ)).status


# ---------------------------------------------------------------- keeping


async def test_given_token_is_renewed_on_after_failures():
    """A token that nobody can replace is renewed on though an outage cost two attempts and more."""
    vault = FakeVault(Clock(), ours=False)
    vault.instead[RENEW] = [VaultUnavailable("network") for _ in range(4)]
    async with fake_service(vault, keep=True) as service:
        await service.session.login()
        await service.pass_time(2401.0)
        for _ in range(5):
            await service.pass_time(60.0)

        token = service.session.token
        assert token is not None
        assert token.term.failures == 0
        assert token.expires_at > 1000.0 + 3600.0 + 2000.0
        assert service.login.made == 1


async def test_given_token_that_is_not_renewable_is_left_to_end():
    """What can be neither renewed nor replaced is used to its end, without a request."""
    async with fake_service(FakeVault(Clock(), ours=False), keep=True) as service:
        service.login.renewable = False
        await service.session.login()
        await service.pass_time(3000.0)

        assert service.vault.asked == []
        assert service.login.made == 1


async def test_renewal_that_fails_twice_is_followed_by_a_login():
    """A token of ours is replaced when renewing it does not work, and the failures are told."""
    async with fake_service(keep=True) as service:
        service.vault.instead[RENEW] = [VaultUnavailable("network") for _ in range(2)]
        await service.session.login()
        for seconds in (2401.0, 2.0, 3.0):
            await service.pass_time(seconds)

        assert service.events == ["success", "failure", "failure", "relogin"]
        assert service.vault.count(RENEW) == 2
        assert service.vault.count(REVOKE) == 1


async def test_login_that_fails_is_tried_again_before_the_end():
    """The token stays in use while the next one cannot be had; that failure is told once."""
    async with fake_service(keep=True) as service:
        service.login.renewable = False
        await service.session.login()
        service.login.refusals = [VaultUnavailable("sealed")]
        await service.pass_time(2401.0)
        meanwhile = await read(service)
        await service.pass_time(2.0)

        assert meanwhile == 200
        assert service.events == ["success", "failure", "relogin"]
        assert service.login.made == 2


async def test_renewal_that_is_refused_is_a_login():
    """400, as for a batch token, says that no renewal will ever do."""
    async with fake_service(keep=True) as service:
        service.vault.instead[RENEW] = [400]
        await service.session.login()
        await service.pass_time(2401.0)
        await service.pass_time(0.0)

        assert service.login.made == 2
        assert service.vault.count(RENEW) == 1


async def test_renewal_that_finds_the_token_dead_logs_in():
    """403 to a renewal is looked into: the token is gone, and the next one is made at once."""
    async with fake_service(keep=True) as service:
        await service.session.login()
        service.vault.kill("t1")
        await service.pass_time(2401.0)

        assert service.login.made == 2
        assert service.session.token is not None
        assert not service.session.token.dead


async def test_use_limited_token_is_not_renewed():
    """A renewal would cost one of its uses."""
    async with fake_service(keep=True) as service:
        service.login.limited = True
        await service.session.login()
        await service.pass_time(2401.0)
        await service.pass_time(0.0)

        assert service.vault.count(RENEW) == 0
        assert service.login.made == 2


async def test_unexpected_exception_ends_no_keeping(caplog):
    """What no renewal should raise is reported, and tried again."""
    async with fake_service(keep=True) as service:
        await service.session.login()
        service.vault.instead[RENEW] = [ValueError("CANARY")]
        await service.pass_time(2401.0)
        await service.pass_time(2.0)

        assert [record.message for record in caplog.records] == ["background.failed"]
        assert "CANARY" not in caplog.text
        assert service.vault.count(RENEW) == 2


async def test_call_in_the_last_third_gets_the_next_token_behind_it():
    """Without a keeping task a call starts the login, once a second at most, and is not kept
    waiting; a renewable one is left to the keeping task.
    """
    async with fake_service() as service:
        await service.session.login()
        await service.pass_time(2401.0)
        await read(service)
        await settle()
        left_alone = service.login.made
        token = service.session.token
        assert token is not None
        token.term = token.term.unrenewable()
        token.ahead_at = 0.0
        service.login.refusals = [VaultUnavailable("network")]
        for _ in range(3):
            await read(service)
            await settle()

        assert left_alone == 1
        assert service.events == ["success", "failure"]


async def test_watched_source_that_changes_is_a_login(monkeypatch):
    """A token replaced at its source is taken over; one that Vault refuses is not, and the old one
    stays in use.
    """
    monkeypatch.setattr("greenlang_secrets.vault.session._WATCH_EVERY", 0.001)
    async with fake_service() as service:
        changes = [False, True, True]

        async def changed() -> bool:
            return bool(changes) and changes.pop(0)

        monkeypatch.setattr(service.login, "changed", changed)
        await service.session.login()
        service.login.refusals = [AuthenticationLost("no")]
        service.supervisor.spawn(service.session.watch(), name="watch")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 5.0
        while service.login.made < 2 and changes:
            assert loop.time() < deadline
            await asyncio.sleep(0.001)
        await settle()

        assert service.events[:2] == ["success", "failure"]
        assert service.session.token is not None


# ---------------------------------------------------------------- what a 403 means


async def test_all_who_are_denied_share_the_refresh():
    """A login that gives new rights serves each of those who were denied at once."""
    async with fake_service() as service:
        await service.session.login()
        service.vault.clock.now += 61.0
        service.vault.instead["some/thing"] = [403] * 20
        gate = service.login.gate = asyncio.Event()
        reading = asyncio.gather(*(read(service) for _ in range(20)))
        await settle()
        gate.set()
        answers = await reading

        assert answers == [200] * 20
        assert service.login.made == 2


async def test_refresh_that_fails_leaves_the_denial():
    """The token lives on, and the answer is what Vault said."""
    async with fake_service() as service:
        await service.session.login()
        service.vault.clock.now += 61.0
        service.vault.instead["some/thing"] = [403]
        service.login.refusals = [VaultUnavailable("network")]

        assert await read(service) == 403
        assert await read(service) == 200


async def test_examination_of_another_token_is_not_joined():
    """What is found out about the token before says nothing of this one."""
    async with fake_service() as service:
        await service.session.login()
        gate = service.vault.gates[LOOK_UP] = asyncio.Event()
        service.vault.instead["some/thing"] = [403, 403]
        service.vault.instead[LOOK_UP] = [403]
        first = asyncio.ensure_future(read(service))
        await settle()
        await service.session._start_acquisition()  # another takes over meanwhile
        second = asyncio.ensure_future(read(service))
        await settle()
        looked = [token for path, token in service.vault.asked if path == LOOK_UP]
        gate.set()

        assert looked == ["t1", "t2"]
        assert await second == 403
        assert await first == 200


async def test_look_that_began_before_the_denial_is_not_believed():
    """A look under way may have found the token alive before it died: it is looked at once more."""
    async with fake_service() as service:
        await service.session.login()
        gate = service.vault.gates[LOOK_UP] = asyncio.Event()
        service.vault.instead["some/thing"] = [403]
        first = asyncio.ensure_future(read(service))
        await settle()
        service.vault.kill("t1")
        second = asyncio.ensure_future(read(service))
        await settle()
        gate.set()
        await settle()

        assert await second == 200
        await first
        assert service.vault.count(LOOK_UP) == 2
        assert service.login.made == 2


async def test_denial_of_a_newborn_that_may_not_look_is_a_denial():
    """Without the right to look, only one login follows a denial."""
    async with fake_service() as service:
        await service.session.login()
        service.vault.instead["some/thing"] = [403] * 9
        service.vault.instead[LOOK_UP] = [403] * 9

        assert await read(service) == 403
        assert service.login.made == 2


async def test_token_that_dies_again_and_again_is_given_up():
    """A call is tried with four tokens at most."""
    async with fake_service() as service:
        await service.session.login()
        service.vault.instead["some/thing"] = [403] * 9
        service.vault.instead[LOOK_UP] = [403] * 9

        async def died_long_ago() -> None:
            while True:
                service.session._died_at = -1e9
                await asyncio.sleep(0)

        task = service.supervisor.spawn(died_long_ago(), name="test")
        answer = await read(service)
        task.cancel()

        assert answer == 403
        assert service.login.made == 4


async def test_refused_login_is_not_repeated_at_once():
    """The same error is given for 1 s, 2 s and so on; then it is tried again."""
    async with fake_service() as service:
        service.login.refusals = [AuthenticationLost("no") for _ in range(2)]
        for _ in range(3):
            with pytest.raises(AuthenticationLost):
                await read(service)
        before = len(service.login.refusals)
        service.vault.clock.now += 1.1
        with pytest.raises(AuthenticationLost):
            await read(service)
        service.vault.clock.now += 1.1
        with pytest.raises(AuthenticationLost):
            await read(service)  # the second time it is 2 s
        service.vault.clock.now += 1.0

        assert before == 1
        assert await read(service) == 200


# ---------------------------------------------------------------- who made what


async def test_maker_is_told_while_its_token_is_in_use():
    """Who keeps what was made can keep its token, which would be revoked after the call."""
    async with fake_service() as service:
        gate = service.vault.gates["some/thing"] = asyncio.Event()
        makers = []

        def made_by(token) -> None:
            token.acquire()
            makers.append(token)

        call = asyncio.ensure_future(service.session.call(READ, made_by=made_by))
        await settle()
        await service.session._start_acquisition()
        gate.set()
        await call
        await settle()
        revoked_before = service.vault.count(REVOKE)
        makers[0].release()
        await settle()

        assert [each.value.reveal() for each in makers] == ["t1"]
        assert revoked_before == 0
        assert service.vault.count(REVOKE) == 1


async def test_answer_that_is_an_error_made_nothing():
    """Nobody is told of a request that made nothing."""
    async with fake_service() as service:
        service.vault.instead["some/thing"] = [404]
        makers: list[object] = []
        await service.session.call(READ, made_by=makers.append)

        assert makers == []


# ---------------------------------------------------------------- the end


async def test_login_under_way_at_the_close_is_revoked():
    """A token made while the service closes is not left behind."""
    async with fake_service() as service:
        service.login.gate = asyncio.Event()
        reading = asyncio.ensure_future(read(service))
        await settle()
        closing = asyncio.ensure_future(service.session.revoke())
        await settle()
        service.login.gate.set()
        await closing

        await asyncio.wait({reading})

        assert service.vault.tokens == set()


async def test_nothing_logs_in_after_the_close():
    """Who asks after the close is told so, and no token is made."""
    async with fake_service() as service:
        await service.session.login()
        await service.session.revoke()

        with pytest.raises(RuntimeError, match="closed"):
            await read(service)
        assert service.login.made == 1
        assert service.vault.tokens == set()


async def test_close_does_not_wait_for_a_vault_that_is_away(monkeypatch):
    """Logins and revocations that hang are left after 2 s; tokens die by their TTL."""
    monkeypatch.setattr("greenlang_secrets.vault.token_holder.REVOKE_DEADLINE", 0.01)
    async with fake_service() as service:
        await service.session.login()
        service.vault.gates[REVOKE] = asyncio.Event()
        await service.session.revoke()

        assert service.vault.count(REVOKE) == 1


async def test_revocation_that_fails_is_no_error():
    """The token dies by its TTL."""
    async with fake_service() as service:
        await service.session.login()
        service.vault.instead[REVOKE] = [VaultUnavailable("network")]
        await service.session.revoke()

        assert service.session.token is None


async def test_retired_token_is_not_revoked_after_its_end_nor_when_it_cannot_be():
    """No request is made for a token that has ended, or is of a kind that cannot be revoked."""
    async with fake_service() as service:
        await service.session.login()
        service.vault.clock.now += 3601.0
        await read(service)
        service.login.accessor = False
        await service.session._start_acquisition()
        await settle()
        with_accessor = service.vault.count(REVOKE)
        await service.session._start_acquisition()
        await settle()

        assert (with_accessor, service.vault.count(REVOKE)) == (1, 1)


async def test_token_let_go_of_after_the_close_is_left_to_its_end():
    """A user that outlives the service is no error."""
    async with fake_service() as service:
        await service.session.login()
        token = service.session.token
        assert token is not None
        token.acquire()
        await service.session._start_acquisition()
        await service.supervisor.close()
        token.release()

        assert service.session._retired == set()


async def test_renewal_that_says_nothing_is_a_protocol_error():
    """A renewal without a length is a failed attempt."""
    async with fake_service() as service:
        await service.session.login()
        token = service.session.token
        assert token is not None
        service.vault.instead[RENEW] = [200]

        with pytest.raises(VaultProtocolError):
            await service.session._renewed(token)


async def test_denied_call_raises_where_the_engine_reads_it():
    """The control: a 403 that stays is the engine's to name."""
    async with fake_service() as service:
        service.vault.instead["sys/leases/revoke"] = [403]

        with pytest.raises(AccessDenied):
            await service.keeper._client.leases.revoke("some/lease")


async def test_examination_of_a_token_that_was_replaced_meanwhile_drops_nothing():
    """What is found dead too late has a successor already, which stays."""
    async with fake_service() as service:
        await service.session.login()
        gate = service.vault.gates[LOOK_UP] = asyncio.Event()
        service.vault.instead["some/thing"] = [403]
        service.vault.instead[LOOK_UP] = [403]
        reading = asyncio.ensure_future(read(service))
        await settle()
        await service.session._start_acquisition()
        gate.set()

        assert await reading == 200
        assert service.login.made == 2


async def test_denial_of_a_token_that_was_refreshed_meanwhile_is_sent_again():
    """Whoever has taken over while a look was under way may be allowed what was denied."""
    async with fake_service() as service:
        await service.session.login()
        gate = service.vault.gates[LOOK_UP] = asyncio.Event()
        service.vault.instead["some/thing"] = [403]
        reading = asyncio.ensure_future(read(service))
        await settle()
        await service.session._start_acquisition()
        gate.set()

        assert await reading == 200


async def test_replaced_twice_is_revoked_once():
    """A user that comes back to a retired token does not have it revoked again."""
    async with fake_service() as service:
        await service.session.login()
        token = service.session.token
        assert token is not None
        await service.session._start_acquisition()
        await settle()
        with token.in_use():
            pass
        await settle()

        assert service.vault.count(REVOKE) == 1


async def test_close_without_a_login_asks_for_nothing():
    """There is nothing to revoke."""
    async with fake_service() as service:
        await service.session.revoke()

        assert service.vault.asked == []


async def test_idle_session_waits_for_its_first_token():
    """Keeping begins with the first token, whenever that comes."""
    async with fake_service(keep=True) as service:
        await settle()
        await service.session.login()
        await service.pass_time(2401.0)

        assert service.vault.count(RENEW) == 1


async def test_holder_without_a_keeping_task_gets_the_next_token_behind_a_call():
    """A tenant's token, which nobody renews, is followed by the next one in its last third."""
    async with fake_service() as service:
        holder = TokenHolder(
            lambda: service.login.login(service.vault),
            transport=service.session._transport,
            supervisor=service.supervisor,
            clock=service.vault.clock,
        )
        await holder.call(READ)
        service.vault.clock.now += 2401.0
        await holder.call(READ)
        await settle()
        await holder.call(READ)

        assert [token for path, token in service.vault.asked if path == "some/thing"] == [
            "t1",
            "t1",
            "t2",
        ]
        assert service.vault.count(REVOKE) == 1


async def test_denial_of_a_token_that_was_replaced_before_it_is_sent_again():
    """An answer that comes after its token's successor says nothing of that, and costs no look."""
    async with fake_service() as service:
        await service.session.login()
        gate = service.vault.gates["some/thing"] = asyncio.Event()
        service.vault.instead["some/thing"] = [403]
        reading = asyncio.ensure_future(read(service))
        await settle()
        await service.session._start_acquisition()
        gate.set()

        assert await reading == 200
        assert service.vault.count(LOOK_UP) == 0
