"""A wall clock that is wrong: what tokens, leases and the cache go by does not notice."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from support.approle import approle
from support.database import database_engine

HOUR = 3600.0


@pytest.fixture(params=[-HOUR, HOUR], ids=["slow", "fast"])
def skew(request, monkeypatch) -> float:
    """This process's wall clock, an hour off."""
    honest = time.time
    monkeypatch.setattr(time, "time", lambda: honest() + request.param)
    return request.param


async def test_clock_an_hour_off_ends_no_token_and_no_lease(
    vault, postgres_server, tmp_path, seed, skew
):
    """A token of 2 s and an account of 2 s are renewed in time, and reads go on."""
    await seed("x")
    async with database_engine(vault, postgres_server) as engine:
        await engine.role(ttl="2s", max_ttl="1h")
        policy = engine.policy + 'path "secret/*" { capabilities = ["read"] }'
        role = await approle(vault, tmp_path, mount="app", policy=policy, ttl="2s")
        config = gs.SecretsServiceConfig(addresses=(vault.addr,), tenant_token_role=None)
        mark = await vault.audit_mark()
        async with gs.SecretsService.open(replace(config, auth=role.auth)) as secrets:
            held = await secrets.database_credentials("app", mount=engine.mount)
            first = held.current
            loop = asyncio.get_running_loop()
            end = loop.time() + 5.0
            while loop.time() < end:
                assert (await secrets.get("x", fresh=True))["k"].reveal() == "x"
                await asyncio.sleep(0.05)

            assert held.current is first
            assert await engine.log_in(first) == first.username
            assert await role.logins(mark) == 1


async def test_skew_is_told(opened, seed, skew):
    """The report of health says how far the clocks are apart."""
    async with opened() as secrets:
        health = await secrets.health()

    assert health.clock_skew is not None
    assert abs(health.clock_skew + skew) < 5.0


async def test_value_is_as_old_as_it_is(opened, seed, vault, skew):
    """The limit of staleness is one of real seconds."""
    await seed("x")
    async with opened(fresh_for=30.0) as secrets:
        await secrets.get("x")
        await vault.seal()

        assert not (await secrets.get("x")).stale
        assert (await secrets.get("x")).age < 5.0
