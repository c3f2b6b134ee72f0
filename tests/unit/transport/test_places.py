from __future__ import annotations

import asyncio

import pytest

from greenlang_secrets.errors import VaultUnavailable
from greenlang_secrets.transport.places import MAX_IN_FLIGHT, MAX_WAITING, Places


async def hold(places: Places, until: asyncio.Event) -> None:
    async with places.taken("x"):
        await until.wait()


async def test_free_place_is_taken_without_a_wait():
    """Up to 64 callers go on at once."""
    places, end = Places(), asyncio.Event()
    holders = [asyncio.ensure_future(hold(places, end)) for _ in range(MAX_IN_FLIGHT)]
    await asyncio.sleep(0)

    assert places._places.locked()
    end.set()
    await asyncio.gather(*holders)
    assert not places._places.locked()


async def test_wait_for_a_place_ends():
    """Who has waited too long is told that Vault is overloaded, on which path."""
    places, end = Places(max_wait=0.05), asyncio.Event()
    holders = [asyncio.ensure_future(hold(places, end)) for _ in range(MAX_IN_FLIGHT)]
    await asyncio.sleep(0)

    with pytest.raises(VaultUnavailable) as caught:
        await hold(places, end)

    assert caught.value.reason == "overloaded"
    end.set()
    await asyncio.gather(*holders)


async def test_full_queue_sheds_at_once():
    """One more than the queue holds does not wait at all."""
    places, end = Places(max_wait=60), asyncio.Event()
    holders = [asyncio.ensure_future(hold(places, end)) for _ in range(MAX_IN_FLIGHT + MAX_WAITING)]
    await asyncio.sleep(0)

    with pytest.raises(VaultUnavailable):
        await asyncio.wait_for(hold(places, end), 0.05)

    end.set()
    await asyncio.gather(*holders)


async def test_cancelled_waiter_leaves_the_queue():
    """Neither a holder nor a waiter that is cancelled keeps a place."""
    places, end = Places(max_wait=60), asyncio.Event()
    holders = [asyncio.ensure_future(hold(places, end)) for _ in range(MAX_IN_FLIGHT + 10)]
    await asyncio.sleep(0)
    for holder in holders:
        holder.cancel()
    await asyncio.gather(*holders, return_exceptions=True)

    end.set()
    await asyncio.wait_for(hold(places, end), 1)
    assert places._waiting == 0
