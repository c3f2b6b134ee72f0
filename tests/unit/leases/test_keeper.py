from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from typing import Any

import pytest

from greenlang_secrets.errors import (
    AccessDenied,
    AuthenticationLost,
    LeaseExpired,
    SecretsError,
    VaultUnavailable,
)
from greenlang_secrets.leases import database
from greenlang_secrets.leases.leased import Ending, Entry
from support.fake_vault import (
    CREDS,
    PLACED,
    STATIC,
    Clock,
    FakeVault,
    Service,
    fake_service,
    settle,
)


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def entry_of(service: Service) -> Entry[Any]:
    """What the service holds."""
    return next(iter(service.keeper._kept.values())).entry


async def test_dead_token_found_by_the_first_fetch_leaves_a_usable_handle():
    """When the fetch itself finds the token dead, the lease hangs on the token that made it: its
    value is there at once, and one account is made.
    """
    async with fake_service() as service:
        await service.session.login()
        service.vault.kill("t1")

        held = await service.hold()

        assert held.current.username == "user-1"
        assert service.vault.leases == {f"{CREDS}/1": "t2"}
        assert service.users() == {"t2": 1}


async def test_token_retired_during_the_fetch_stays_until_its_lease_is_replaced():
    """A login while the account is made does not take the account away."""
    async with fake_service() as service:
        gate = service.vault.gates[CREDS] = asyncio.Event()
        holding = asyncio.ensure_future(service.hold())
        await settle()
        await service.session._start_acquisition()
        gate.set()
        held = await holding
        await settle()

        assert service.vault.count("auth/token/revoke-self") == 0
        assert held.current.username == "user-1"
        assert service.users() == {"t1": 1}


async def test_every_use_of_a_token_is_given_back():
    """After holding, refreshing, failing and releasing nobody uses a token any more."""
    async with fake_service() as service:
        held = await service.hold()
        await held.refresh()
        service.vault.instead[CREDS] = [VaultUnavailable("network"), 500, 404, 400]
        for _ in range(3):
            with pytest.raises(SecretsError):
                await held.refresh()
        during = service.users()
        await held.release()

        assert during == {"t1": 2}  # the present one, and the one before, which lives on
        assert service.users() == {}
        assert service.vault.leases == {}


async def test_dead_token_and_no_answer_is_retried_with_growing_waits():
    """After the token's death a failing replacement waits 1 s and more, and does not hammer."""
    async with fake_service() as service:
        held = await service.hold()
        entry = entry_of(service)
        service.vault.instead[CREDS] = [VaultUnavailable("network") for _ in range(9)]
        assert entry.token is not None
        entry.token.dead = True
        await service.pass_time(0.0)
        after_death = service.vault.count(CREDS)
        waits = []
        for _ in range(4):
            waits.append(entry.plan(0.5).at - service.vault.clock.now)
            await service.pass_time(waits[-1] + 0.001)

        assert after_death == 2
        assert [round(wait, 1) for wait in waits] == [1.0, 2.0, 4.0, 8.0]
        with pytest.raises(LeaseExpired) as ended:
            _ = held.current
        assert isinstance(ended.value.__cause__, VaultUnavailable)


async def test_lease_that_hangs_on_an_ended_token_is_retried_with_growing_waits():
    """The same when a retired token has come to its end."""
    async with fake_service(FakeVault(Clock(), token_ttl=30)) as service:
        held = await service.hold()
        entry = entry_of(service)
        await service.session._start_acquisition()
        service.vault.instead[CREDS] = [VaultUnavailable("network") for _ in range(9)]
        await service.pass_time(31.0)
        waits = []
        for _ in range(3):
            waits.append(entry.plan(0.5).at - service.vault.clock.now)
            await service.pass_time(waits[-1] + 0.001)

        assert [round(wait, 1) for wait in waits] == [1.0, 2.0, 4.0]
        with pytest.raises(LeaseExpired) as ended:
            _ = held.current
        assert isinstance(ended.value.__cause__, VaultUnavailable)


async def test_lease_that_has_ended_when_it_comes_is_not_asked_for_without_a_pause():
    """Half a second lies between two attempts though each succeeds."""
    async with fake_service(FakeVault(Clock(), lease_ttl=0, renewable=False)) as service:
        held = await service.hold()
        await service.pass_time(0.4)
        at_first = service.vault.count(CREDS)
        await service.pass_time(0.2)

        assert (at_first, service.vault.count(CREDS)) == (1, 2)
        with pytest.raises(LeaseExpired):
            _ = held.current


async def test_dropped_handle_is_released():
    """A handle that nobody has any more is as good as released, but not before."""
    async with fake_service() as service:
        held = await service.hold()
        follower = held.changes()
        del held
        gc.collect()
        await settle()
        while_followed = dict(service.vault.leases)
        del follower
        gc.collect()
        await settle()

        assert while_followed == {f"{CREDS}/1": "t1"}
        assert service.vault.leases == {}
        assert service.keeper.holding == 0
        assert service.users() == {}


async def test_handle_dropped_after_the_close_does_nothing():
    """The end of a handle after that of its service is no error."""
    async with fake_service() as service:
        held = await service.hold()
    keeper = held._refresh
    del held, keeper
    gc.collect()
    await settle()

    assert service.vault.leases == {}


async def test_release_that_is_cancelled_revokes_all_the_same():
    """A cancelled release has begun a revocation, which goes on to its end."""
    async with fake_service() as service:
        held = await service.hold()
        gate = service.vault.gates["sys/leases/revoke"] = asyncio.Event()
        releasing = asyncio.ensure_future(held.release())
        await settle()
        await cancelled(releasing)
        during = service.users()
        gate.set()
        await settle()

        assert during == {"t1": 2}  # the lease, and the request
        assert service.vault.count("sys/leases/revoke") == 1
        assert service.users() == {}


async def test_fetch_is_revoked_when_all_who_waited_are_gone():
    """What is made for nobody is revoked, once it is there."""
    async with fake_service() as service:
        gate = service.vault.gates[CREDS] = asyncio.Event()
        holding = [asyncio.ensure_future(service.hold()) for _ in range(3)]
        await settle()
        for task in holding:
            await cancelled(task)
        gate.set()
        await settle()

        assert service.vault.count(CREDS) == 1
        assert service.vault.leases == {}
        assert service.users() == {}
        assert service.keeper.holding == 0


async def test_close_during_a_fetch_revokes_what_it_makes():
    """Who closes while an account is made waits for it and revokes it; who waited is told."""
    async with fake_service(FakeVault(Clock(), ours=False)) as service:
        gate = service.vault.gates[CREDS] = asyncio.Event()
        holding = asyncio.ensure_future(service.hold())
        await settle()
        closing = asyncio.ensure_future(service.keeper.close())
        await settle()
        gate.set()
        await closing

        assert service.vault.leases == {}  # though its token lives on
        assert "t1" in service.vault.tokens
        with pytest.raises(RuntimeError, match="closed"):
            await holding
        assert service.users() == {}


async def test_close_during_a_refresh_tells_no_change():
    """A value that comes after the close is neither given nor told."""
    async with fake_service(FakeVault(Clock(), ours=False)) as service:
        held = await service.hold()
        changes = held.changes()
        await anext(changes)
        gate = service.vault.gates[CREDS] = asyncio.Event()
        refreshing = asyncio.ensure_future(held.refresh())
        await settle()
        closing = asyncio.ensure_future(service.keeper.close())
        await settle()
        gate.set()
        await closing

        with pytest.raises(RuntimeError):
            await refreshing
        assert [value async for value in changes] == []
        assert service.vault.leases == {}
        with pytest.raises(LeaseExpired):
            _ = held.current


async def test_closed_keeper_holds_nothing():
    """After the close, and during it, nothing is held or refreshed any more."""
    async with fake_service() as service:
        held = await service.hold()
        await service.keeper.close()

        with pytest.raises(RuntimeError, match="closed"):
            await service.hold()
        with pytest.raises(RuntimeError, match="released, or the service closed"):
            await held.refresh()
        assert service.vault.count(CREDS) == 1


async def test_value_that_came_just_before_the_close_is_not_held():
    """Who was about to get a handle when the service closed is told that it is closed."""
    async with fake_service() as service:
        await service.session.login()
        gate = service.vault.gates[CREDS] = asyncio.Event()
        holding = asyncio.ensure_future(service.hold())
        await settle()
        kept = next(iter(service.keeper._kept.values()))
        gate.set()
        assert kept.replacing is not None
        kept.replacing.add_done_callback(
            lambda _: service.supervisor.spawn(service.keeper.close(), name="close")
        )
        kept.replacing.add_done_callback(lambda _: setattr(service.keeper, "_closed", True))

        with pytest.raises(RuntimeError, match="closed"):
            await holding
        await settle()
        assert kept.keeping is None


async def test_released_handle_is_not_refreshed():
    """Refreshing what was released makes no account."""
    async with fake_service() as service:
        held = await service.hold()
        await held.release()

        with pytest.raises(RuntimeError, match="released"):
            await held.refresh()
        assert service.vault.count(CREDS) == 1


async def test_handle_released_during_its_refresh_leaves_nothing():
    """The last release while a refresh is under way revokes what that makes."""
    async with fake_service() as service:
        held = await service.hold()
        gate = service.vault.gates[CREDS] = asyncio.Event()
        refreshing = asyncio.ensure_future(held.refresh())
        await settle()
        await held.release()
        gate.set()

        with pytest.raises(RuntimeError, match="released"):
            await refreshing
        await settle()
        assert service.vault.leases == {}
        assert service.users() == {}


async def test_failed_refreshes_at_the_same_time_get_errors_of_their_own():
    """A shared failure is raised to each as an error of its own, and what was held stays."""
    async with fake_service() as service:
        held = await service.hold()
        service.vault.instead[CREDS] = [VaultUnavailable("network")]

        errors = await asyncio.gather(*(held.refresh() for _ in range(3)), return_exceptions=True)

        assert [type(error) for error in errors] == [VaultUnavailable] * 3
        assert len(set(map(id, errors))) == 3
        assert held.current.username == "user-1"


async def test_renewal_that_is_forbidden_is_a_replacement():
    """A policy without the renewal costs no failure: a new account takes over at once."""
    async with fake_service() as service:
        held = await service.hold()
        service.vault.instead["sys/leases/renew"] = [403]
        service.session._refreshed_at = service.vault.clock.now + 2400.0  # no login because of it
        await service.pass_time(2401.0)
        await service.pass_time(0.0)

        assert held.current.username == "user-2"
        assert entry_of(service).term.failures == 0


async def test_forbidden_replacement_is_told_at_the_end():
    """When neither is allowed any more, the value ends and the reason is that."""
    async with fake_service(FakeVault(Clock(), lease_ttl=90, renewable=False)) as service:
        held = await service.hold()
        service.vault.instead[CREDS] = [403] * 50
        await service.pass_time(61.0)
        still = held.current.username
        for _ in range(6):
            await service.pass_time(10.0)

        assert still == "user-1"
        with pytest.raises(LeaseExpired) as ended:
            _ = held.current
        assert isinstance(ended.value.__cause__, AccessDenied)


async def test_lost_login_is_the_reason_at_the_end():
    """Credentials whose token died and cannot be followed by another have that as their error."""
    async with fake_service() as service:
        held = await service.hold()
        service.login.refusals = [AuthenticationLost("no") for _ in range(9)]
        service.vault.kill("t1")
        with pytest.raises(AuthenticationLost):
            await held.refresh()
        await settle()

        with pytest.raises(LeaseExpired) as ended:
            _ = held.current
        assert isinstance(ended.value.__cause__, AuthenticationLost)


async def test_attempt_that_takes_too_long_is_joined_by_the_next():
    """A fetch that hangs is not begun twice; it counts as a failed attempt meanwhile."""
    async with fake_service(FakeVault(Clock(), lease_ttl=3, renewable=False)) as service:
        held = await service.hold()
        entry = entry_of(service)
        gate = service.vault.gates[CREDS] = asyncio.Event()
        service.vault.clock.now += 2.9  # 0.1 s are left, and the attempt may take a quarter
        entry.woken.set()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 5.0
        while entry.term.failures < 1:
            assert loop.time() < deadline
            await asyncio.sleep(0.005)
        await service.pass_time(1.0)
        with pytest.raises(LeaseExpired):
            _ = held.current
        gate.set()
        await settle()

        assert held.current.username == "user-2"
        assert service.vault.count(CREDS) == 2


async def test_fetch_of_a_wrong_make_is_reported_and_tried_again(caplog):
    """What no fetch should raise ends no keeping."""
    async with fake_service(FakeVault(Clock(), renewable=False)) as service:
        held = await service.hold()
        service.vault.instead[CREDS] = [ValueError("CANARY")]
        await service.pass_time(2401.0)
        await service.pass_time(2.0)

        assert held.current.username == "user-2"
        assert [record.message for record in caplog.records] == ["background.failed"]
        assert "CANARY" not in caplog.text


async def test_ended_leases_are_let_go_of():
    """A replaced lease is used to its own end; then its token is not held back any more."""
    async with fake_service() as service:
        held = await service.hold()
        await service.pass_time(10.0)
        await held.refresh()
        before = service.users()
        entry = entry_of(service)
        entry.term = replace(entry.term, duration=7200.0)
        await service.pass_time(3595.0)

        assert before == {"t1": 2}
        assert entry.token is not None
        assert entry.token._users == 1
        assert held.current.username == "user-2"


async def test_revocation_that_fails_is_no_error():
    """What cannot be revoked ends with its token, and the token is given back."""
    async with fake_service() as service:
        held = await service.hold()
        service.vault.instead["sys/leases/revoke"] = [500]
        await held.release()

        assert service.users() == {}


async def test_lease_that_has_ended_is_not_revoked():
    """No request is made for what is gone."""
    async with fake_service(FakeVault(Clock(), lease_ttl=2, renewable=False)) as service:
        held = await service.hold()
        service.vault.clock.now += 3.0
        await held.release()

        assert service.vault.count("sys/leases/revoke") == 0
        assert service.users() == {}


async def test_static_role_has_no_lease_and_uses_no_token():
    """Nothing hangs on the token that read it: it is not held back, and nothing is revoked."""
    async with fake_service() as service:
        held = await service.keeper.hold("static", database.static("app", **PLACED))
        first = held.current
        during = service.users()
        service.vault.password = "second"
        await service.pass_time(60.5)
        too_early = held.current
        await service.pass_time(0.6)
        await held.release()

        assert (first.password.reveal(), during) == ("first", {})
        assert too_early is first
        assert service.vault.count(STATIC) == 2
        assert service.vault.count("sys/leases/revoke") == 0


async def test_static_role_made_for_nobody_is_forgotten():
    """A read whose callers are gone leaves nothing to revoke."""
    async with fake_service() as service:
        gate = service.vault.gates[STATIC] = asyncio.Event()
        fetch = database.static("app", **PLACED)
        holding = asyncio.ensure_future(service.keeper.hold("static", fetch))
        await settle()
        await cancelled(holding)
        gate.set()
        await settle()

        assert service.vault.count("sys/leases/revoke") == 0
        assert service.keeper.holding == 0


async def test_static_role_is_kept_while_it_cannot_be_read():
    """Vault may not have changed it: what was read goes on, and is read again."""
    async with fake_service() as service:
        held = await service.keeper.hold("static", database.static("app", **PLACED))
        service.vault.instead[STATIC] = [VaultUnavailable("network")]
        await service.pass_time(61.5)
        meanwhile = held.current.password.reveal()
        service.vault.password = "second"
        await service.pass_time(2.0)

        assert meanwhile == "first"
        assert held.current.password.reveal() == "second"


async def test_fetch_that_asks_for_nothing_and_gives_a_lease_is_a_mistake():
    """A lease that no token of ours made cannot be kept."""
    async with fake_service() as service:
        made = await database.dynamic("app", **PLACED)(service.session.call)

        async def fetch(_: object) -> object:
            return made

        with pytest.raises(RuntimeError, match="asked Vault for nothing"):
            await service.keeper.hold("wrong", fetch)
        assert service.keeper.holding == 0


async def test_last_token_that_answered_is_the_one_it_hangs_on():
    """A fetch of several requests, with a login between them, hangs on the token of the last."""
    async with fake_service() as service:

        async def fetch(call):
            await database.static("app", **PLACED)(call)
            await service.session._start_acquisition()
            return await database.dynamic("app", **PLACED)(call)

        held = await service.keeper.hold("two", fetch)
        await settle()

        assert held.current.username == "user-1"
        assert service.vault.leases == {f"{CREDS}/1": "t2"}
        assert service.users() == {"t2": 1}
        assert service.vault.count("auth/token/revoke-self") == 1


async def test_entry_without_a_value_says_so():
    """Nothing can be looked at, followed or planned before the first fetch."""
    entry = Entry("app", database.dynamic("app", **PLACED), Clock())

    for ask in (entry.look, lambda: entry.changes, lambda: entry.term):
        with pytest.raises(RuntimeError, match="nothing was fetched"):
            ask()
    assert entry.give_up() == []


async def test_old_lease_that_ends_is_no_step():
    """When an old lease has ended it is let go of, and nothing is asked of Vault."""
    async with fake_service() as service:
        held = await service.hold()
        await held.refresh()
        entry = entry_of(service)
        looks, drop_ended = 0, entry.drop_ended

        def counted() -> float:
            nonlocal looks
            looks += 1
            return drop_ended()

        entry.drop_ended = counted
        old = entry.endings[0]
        term = replace(old.term, granted_at=service.vault.clock.now, duration=0.02)
        entry.endings[0] = Ending(old.lease_id, old.token, term)
        entry.woken.set()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 5.0
        while looks < 3:  # its time has come by the loop's clock, and not yet by ours
            assert loop.time() < deadline
            await asyncio.sleep(0.005)
        service.vault.clock.now += 0.1
        while entry.endings:
            assert loop.time() < deadline
            await asyncio.sleep(0.005)

        assert held.current.username == "user-2"
        assert service.vault.count(CREDS) == 2
        assert service.users() == {"t1": 1}


async def test_step_that_breaks_counts_as_a_failed_attempt(monkeypatch):
    """After an error of our own the next attempt is planned as after any other failure."""
    async with fake_service() as service:
        held = await service.hold()

        async def broken(*_: object) -> bool:
            raise ValueError

        monkeypatch.setattr(service.keeper, "_take", broken)
        await service.pass_time(2401.0)

        assert entry_of(service).term.failures == 1
        assert held.current.username == "user-1"
