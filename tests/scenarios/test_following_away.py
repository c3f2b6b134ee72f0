"""Vault sealed or frozen: what those see who follow a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import greenlang_secrets as gs


async def until(condition: Callable[[], bool], *, within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


async def test_sealed_vault_leaves_a_handle_stale_and_then_empty(vault, opened, seed):
    """Without any reader: fresh, stale, then VaultUnavailable with its reason; fresh again within
    two seconds of the unsealing, and the iteration goes on.
    """
    await seed("held")
    async with opened(fresh_for=0.2, stale_for=1.0) as secrets:
        handle = await secrets.hold("held")
        changes = handle.changes()
        first = await anext(changes)
        await vault.seal()

        await until(lambda: handle.current.stale)
        ages: list[float] = []
        with pytest.raises(gs.VaultUnavailable) as caught:
            await until(lambda: ages.append(handle.current.age) is not None)
        await vault.unseal()

        def fresh() -> bool:
            try:
                return not handle.current.stale
            except gs.VaultUnavailable:
                return False

        await until(fresh, within=2.0)
        await secrets.put("held", {"k": "new"})
        second = await asyncio.wait_for(anext(changes), 5)

        assert 0.2 < max(ages) < 1.05
        assert caught.value.reason == "sealed"
        assert (first["k"].reveal(), second["k"].reveal()) == ("held", "new")


async def test_watch_begins_stale_in_an_outage_and_hears_of_its_end(vault, opened, seed):
    """A watcher that comes while Vault is sealed has the last value, marked stale, and what was
    written afterwards.
    """
    await seed("held")
    async with opened(fresh_for=0.2, stale_for=60) as secrets:
        await secrets.get("held")
        await vault.seal()
        while not (await secrets.get("held")).stale:
            await asyncio.sleep(0.01)
        watch = secrets.watch("held")

        first = await anext(watch)
        step = asyncio.ensure_future(anext(watch))
        await vault.unseal()
        status = 0
        while status != 200:
            status, _ = await vault.request(
                "POST", "secret/data/greenlang/held", {"data": {"k": "new"}}
            )
        second = await asyncio.wait_for(step, 5)

        assert (first.stale, first["k"].reveal()) == (True, "held")
        assert (second.stale, second["k"].reveal()) == (False, "new")
        await watch.aclose()


async def test_frozen_vault_holds_up_no_reader_of_a_handle(vault, opened, seed):
    """`current` waits for nobody: stale while the server is mute, fresh when it goes on."""
    await seed("held")
    async with opened(fresh_for=0.2, stale_for=60) as secrets, await secrets.hold("held") as handle:
        await vault.pause()
        try:
            await until(lambda: handle.current.stale)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            answers = [handle.current for _ in range(1000)]
            spent = loop.time() - begun
        finally:
            await vault.resume()

        assert all(answer.stale for answer in answers)
        assert spent < 0.5
        await until(lambda: not handle.current.stale)


async def test_a_hundred_paths_ask_a_sealed_vault_together_no_oftener_than_one(vault, opened, seed):
    """An outage is asked about by one loop for all, and at its end all are fresh again, none after
    a wait of its own.
    """
    names = [f"s{number}" for number in range(100)]
    await seed(*names)
    # Fifty reads a second meanwhile: more would be a matter of the machine's speed.
    async with opened(fresh_for=2.0, stale_for=60) as secrets:
        handles = [await secrets.hold(name) for name in names]
        await vault.seal()
        await until(lambda: all(handle.current.stale for handle in handles), within=10.0)
        misses, reads = secrets.cache.stats().misses, 0
        answer = secrets.followers.learn

        def counting(*arguments: object) -> None:
            nonlocal reads
            reads += 1
            answer(*arguments)

        secrets.followers.learn = counting
        loop = asyncio.get_running_loop()
        end = loop.time() + 2.0
        while loop.time() < end:
            await asyncio.sleep(0.05)
        asked = reads
        await vault.unseal()

        # The two seconds of one path, above, and the machine's time for a hundred answers.
        await until(lambda: not any(handle.current.stale for handle in handles), within=5.0)

        assert 1 <= asked <= 5
        assert secrets.cache.stats().misses == misses
