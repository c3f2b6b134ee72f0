"""Vault sealed, killed, frozen, or with a full audit disk: what readers see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import greenlang_secrets as gs


async def until(condition: Callable[[], Awaitable[bool]], *, within: float) -> float:
    """Wait for `condition`; return how long it took, or fail."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while not await condition():
        assert loop.time() - begun < within, f"not within {within} s"
        await asyncio.sleep(0.01)
    return loop.time() - begun


async def fresh_again(secrets: gs.SecretsService, path: str) -> float:
    async def is_fresh() -> bool:
        return not (await secrets.get(path)).stale

    return await until(is_fresh, within=2.0)


async def test_sealed_vault_serves_stale_and_fails_cold_reads_fast(vault, opened, seed):
    """While sealed, held values go on marked stale and cold reads fail within a second; after
    unsealing, reads are fresh within two seconds, without a restart.
    """
    await seed("held", "cold")
    async with opened(fresh_for=0.2, stale_for=60) as secrets:
        await secrets.get("held")
        await vault.seal()
        await until(lambda: _is_stale(secrets, "held"), within=2.0)

        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(gs.VaultUnavailable) as caught:
            await secrets.get("cold")
        spent = loop.time() - begun
        answers = [await secrets.get("held") for _ in range(1000)]
        health = await secrets.health()

        assert caught.value.reason == "sealed"
        assert spent < 1.0
        assert {answer["k"].reveal() for answer in answers} == {"held"}
        assert all(answer.stale for answer in answers)
        assert (health.status, health.sealed) == ("degraded", True)

        await vault.unseal()
        await fresh_again(secrets, "held")
        assert (await secrets.get("cold"))["k"].reveal() == "cold"
        assert (await secrets.health()).status == "ok"


async def _is_stale(secrets: gs.SecretsService, path: str) -> bool:
    return (await secrets.get(path)).stale


async def test_unexpired_values_are_fresh_though_vault_is_sealed(vault, opened, seed):
    """Within the fresh time nobody notices that Vault is sealed."""
    await seed("held")
    async with opened(fresh_for=30) as secrets:
        await secrets.get("held")
        await vault.seal()

        assert not (await secrets.get("held")).stale


async def test_stale_values_end_when_they_must(vault, opened, seed):
    """No value older than the stale limit is served, however long the outage."""
    await seed("held")
    async with opened(fresh_for=0.1, stale_for=0.5) as secrets:
        await secrets.get("held")
        await vault.seal()
        loop = asyncio.get_running_loop()
        oldest = 0.0
        end = loop.time() + 1.0
        while loop.time() < end:
            try:
                oldest = max(oldest, (await secrets.get("held")).age)
            except gs.VaultUnavailable:
                break
            await asyncio.sleep(0.01)

        assert 0.1 < oldest < 0.55
        with pytest.raises(gs.VaultUnavailable):
            await secrets.get("held")


async def test_killed_vault_serves_stale_and_recovers_at_its_return(new_vault_server, tmp_path):
    """Kill -9 and a restart on the same port: stale meanwhile, fresh after, no restart here."""
    vault = await new_vault_server(data_dir=tmp_path / "bao")
    await vault.request("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    await vault.request("POST", "secret/data/greenlang/held", {"data": {"k": "held"}})
    config = gs.SecretsServiceConfig(
        addresses=(vault.addr,),
        auth=gs.AuthConfig(token=gs.SecretValue(vault.root_token)),
        cache=gs.CacheConfig(fresh_for=0.1, stale_for=60),
        tenant_token_role=None,
    )
    async with gs.SecretsService.open(config) as secrets:
        await secrets.get("held")
        await vault.kill()

        await until(lambda: _is_stale(secrets, "held"), within=2.0)
        with pytest.raises(gs.VaultUnavailable) as caught:
            await secrets.get("cold")
        await vault.start()

        assert caught.value.reason == "network"
        await fresh_again(secrets, "held")


async def test_frozen_vault_stalls_the_first_reader_only(vault, opened, seed):
    """A stopped process accepts and is mute: one reader waits a quarter second, 500 more get
    stale values at once, and reads are fresh again when it goes on.
    """
    await seed("a", "b")
    async with opened(fresh_for=0.05, stale_for=60) as secrets:
        await secrets.get_many(["a", "b"])
        await asyncio.sleep(0.06)
        await vault.pause()
        loop = asyncio.get_running_loop()
        try:
            begun = loop.time()
            await secrets.get("a")
            first = loop.time() - begun
            begun = loop.time()
            answers = [await secrets.get(name) for _ in range(250) for name in ("a", "b")]
            rest = loop.time() - begun
        finally:
            await vault.resume()

        assert first < 0.5
        assert rest < 0.5
        assert all(answer.stale for answer in answers)
        await fresh_again(secrets, "a")


async def test_full_audit_disk_is_no_healthy_vault(vault, opened, seed):
    """When Vault cannot audit, it calls itself healthy and answers 500 to everything: held
    values are served stale, and our health says degraded.
    """
    await seed("held")
    async with opened(fresh_for=0.05, stale_for=60) as secrets:
        await secrets.get("held")
        await break_audit(vault)
        await until(lambda: _is_stale(secrets, "held"), within=2.0)

        health = await secrets.health()
        with pytest.raises(gs.VaultUnavailable) as caught:
            await secrets.get("cold")

        assert await vault.health() == 200
        assert (health.status, health.canary) == ("degraded", False)
        assert caught.value.reason == "audit"


async def break_audit(vault) -> None:
    """Put the audit file on a full disk, and have the server reopen it."""
    import os
    import signal

    vault.audit_file.rename(vault.audit_file.with_suffix(".old"))
    vault.audit_file.symlink_to("/dev/full")
    os.kill(vault.pid, signal.SIGHUP)

    async def broken() -> bool:
        return (await vault.request("GET", "auth/token/lookup-self"))[0] == 500

    await until(broken, within=5.0)


async def test_service_opens_while_vault_is_sealed(vault, opened, seed):
    """A Vault that is away does not keep a service from starting; it works when Vault does."""
    await seed("x")
    await vault.seal()
    async with opened() as secrets:
        with pytest.raises(gs.VaultUnavailable):
            await secrets.get("x")
        assert (await secrets.health()).status == "down"

        await vault.unseal()

        assert (await secrets.get("x"))["k"].reveal() == "x"


async def test_list_during_an_outage_is_an_error_and_not_empty(vault, opened, seed):
    """An empty listing never stands for one that could not be made."""
    await seed("x")
    async with opened() as secrets:
        await vault.seal()

        with pytest.raises(gs.VaultUnavailable):
            await secrets.page()


async def test_write_during_an_outage_changes_nothing_and_says_so(vault, opened, seed):
    """A sealed Vault refuses before acting: the error is retryable, not "unknown"."""
    await seed("x")
    async with opened() as secrets:
        await secrets.get("x")
        await vault.seal()

        with pytest.raises(gs.VaultUnavailable) as caught:
            await secrets.put("x", {"k": "new"})
        assert (await secrets.get("x"))["k"].reveal() == "x"  # still held, to be served
        await vault.unseal()

        assert caught.value.retryable
        assert (await secrets.get("x", fresh=True)).version == 1
