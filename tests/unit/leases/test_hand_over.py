from __future__ import annotations

import asyncio

import pytest

from greenlang_secrets.errors import LeaseExpired, VaultUnavailable
from support.fake_vault import CREDS, Clock, FakeVault, fake_service, settle


async def test_refresh_before_the_hand_over_does_not_overtake_it():
    """A fetch under way, and one that is begun as it ends, come before that of the successor: what
    is held in the end is the successor's.
    """
    async with fake_service(FakeVault(Clock())) as new, fake_service(new.vault) as old:
        await new.session.login()
        old.login.made = 10
        held = await old.hold()
        kept = next(iter(old.keeper._kept.values()))
        gate = old.vault.gates[CREDS] = asyncio.Event()
        refreshing = [asyncio.ensure_future(held.refresh())]
        await settle()
        assert kept.replacing is not None
        kept.replacing.add_done_callback(
            lambda _: refreshing.append(asyncio.ensure_future(held.refresh()))
        )
        moving = asyncio.ensure_future(old.keeper.hand_over(new.keeper))
        await settle()
        gate.set()
        await moving
        await asyncio.gather(*refreshing)

        token = old.vault.leases[kept.entry.lease_id]
        assert token == "t1"
        assert (old.keeper.holding, new.keeper.holding) == (0, 1)


async def test_holding_during_the_hand_over_goes_along():
    """Who asks for the same while it is handed over gets a handle that the successor keeps."""
    async with fake_service(FakeVault(Clock())) as new, fake_service(new.vault) as old:
        old.login.made = 10
        first = await old.hold()
        gate = old.vault.gates[CREDS] = asyncio.Event()
        moving = asyncio.ensure_future(old.keeper.hand_over(new.keeper))
        await settle()
        second = await old.hold()
        kept = next(iter(old.keeper._kept.values()))
        not_kept_here = kept.keeping is None
        gate.set()
        await moving
        del old.vault.gates[CREDS]
        await old.keeper.close()
        await old.session.revoke()
        await new.pass_time(1.0)

        assert not_kept_here
        assert second._supervisor is new.supervisor
        assert first.current is second.current
        assert kept.keeping is not None
        assert not kept.keeping.done()
        assert kept.keeping in new.supervisor._tasks


async def test_release_during_the_hand_over_leaves_nothing():
    """What the last holder lets go of meanwhile is neither kept nor left behind."""
    async with fake_service(FakeVault(Clock())) as new, fake_service(new.vault) as old:
        old.login.made = 10
        held = await old.hold()
        gate = old.vault.gates[CREDS] = asyncio.Event()
        moving = asyncio.ensure_future(old.keeper.hand_over(new.keeper))
        await settle()
        await held.release()
        gate.set()
        await moving
        await settle()

        assert (old.keeper.holding, new.keeper.holding) == (0, 0)
        assert old.vault.leases == {}
        assert (old.users(), new.users()) == ({}, {})


async def test_release_as_the_hand_over_ends_leaves_nothing():
    """The same when it is let go of after it was issued, and before it has moved."""
    async with fake_service(FakeVault(Clock())) as new, fake_service(new.vault) as old:
        old.login.made = 10
        held = await old.hold()
        kept = next(iter(old.keeper._kept.values()))
        adopt = kept.entry.adopt
        releasing = []

        def adopt_and_release(*leased) -> None:
            adopt(*leased)
            old.keeper._stop(kept)
            del old.keeper._kept[kept.entry.key]
            releasing.append(
                old.keeper._work(old.keeper._revoke_all(kept.entry.give_up()), name="x")
            )

        kept.entry.adopt = adopt_and_release
        await old.keeper.hand_over(new.keeper)
        await asyncio.gather(*releasing)

        assert (old.keeper.holding, new.keeper.holding) == (0, 0)
        assert old.vault.leases == {}
        assert held._refresh is not None


async def test_cancelled_hand_over_goes_on():
    """Cancelling does not stop it half way: what was issued is kept by the successor."""
    async with fake_service(FakeVault(Clock())) as new, fake_service(new.vault) as old:
        old.login.made = 10
        held = await old.hold()
        gate = old.vault.gates[CREDS] = asyncio.Event()
        moving = asyncio.ensure_future(old.keeper.hand_over(new.keeper))
        await settle()
        moving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moving
        gate.set()
        await settle()

        assert (old.keeper.holding, new.keeper.holding) == (0, 1)
        assert held.current.username == "user-2"


async def test_two_hand_overs_at_once_are_one():
    """What is on its way is not issued twice."""
    async with fake_service(FakeVault(Clock())) as new, fake_service(new.vault) as old:
        old.login.made = 10
        held = await old.hold()
        await asyncio.gather(old.keeper.hand_over(new.keeper), old.keeper.hand_over(new.keeper))

        assert old.vault.count(CREDS) == 2
        assert held.current.username == "user-2"


async def test_failed_hand_over_is_kept_on_and_can_be_repeated():
    """After a failure the keeping goes on here, and the next call succeeds."""
    async with fake_service(FakeVault(Clock())) as new, fake_service(new.vault) as old:
        old.login.made = 10
        held = await old.hold()
        kept = next(iter(old.keeper._kept.values()))
        old.vault.instead[CREDS] = [VaultUnavailable("network")]
        with pytest.raises(VaultUnavailable):
            await old.keeper.hand_over(new.keeper)
        kept_here = kept.keeping is not None and held.current.username == "user-1"
        await old.keeper.hand_over(new.keeper)

        assert kept_here
        assert held.current.username == "user-2"


async def test_closed_successor_takes_nothing():
    """A successor that is closed, or closes meanwhile, leaves everything where it was."""
    async with fake_service(FakeVault(Clock())) as new, fake_service(new.vault) as old:
        old.login.made = 10
        held = await old.hold()
        gate = old.vault.gates[CREDS] = asyncio.Event()
        moving = asyncio.ensure_future(old.keeper.hand_over(new.keeper))
        await settle()
        closing = asyncio.ensure_future(new.keeper.close())
        await settle()
        gate.set()
        await closing
        await new.session.revoke()
        with pytest.raises(RuntimeError, match="closed"):
            await moving
        del old.vault.gates[CREDS]
        with pytest.raises(RuntimeError, match="closed"):
            await old.keeper.hand_over(new.keeper)
        await old.pass_time(0.0)

        assert old.keeper.holding == 1
        assert old.vault.leases[f"{CREDS}/{held.current.username[5:]}"] == "t11"


async def test_close_during_the_hand_over_ends_it():
    """Who closes the old service meanwhile has neither waited nor asked: nothing is held then."""
    async with fake_service(FakeVault(Clock())) as new, fake_service(new.vault) as old:
        old.login.made = 10
        held = await old.hold()
        gate = old.vault.gates[CREDS] = asyncio.Event()
        moving = asyncio.ensure_future(old.keeper.hand_over(new.keeper))
        await settle()
        closing = asyncio.ensure_future(old.keeper.close())
        await settle()
        gate.set()
        await closing
        await moving

        with pytest.raises(LeaseExpired):
            _ = held.current
        assert (old.keeper.holding, new.keeper.holding) == (0, 0)
        assert old.vault.leases == {}
