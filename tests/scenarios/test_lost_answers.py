"""A network that loses answers after the server has done what was asked."""

from __future__ import annotations

import asyncio
import os

import pytest

import greenlang_secrets as gs
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath
from greenlang_secrets.testing import Fault, FaultProxy

PUTS = int(os.environ.get("GREENLANG_SECRETS_TEST_PUTS", "2000"))
SIDE_BY_SIDE = 40
LIKEWISE = (Fault.DROP_RESPONSE, Fault.DROP_HALF, Fault.FIN_MID_BODY, Fault.RESET, Fault.GARBAGE)
"""Done and not said, done and half said, and not done at all: nobody can tell them apart."""


async def put_and_count(secrets: gs.SecretsService, path: str, puts: int) -> None:
    """Put one value after another at `path`; each must be the version after the last, and the
    ten that KV keeps must hold what was put.
    """
    values = [f"{path}-{number}" for number in range(puts)]
    versions = [(await secrets.put(path, {"k": value})).version for value in values]

    assert versions == list(range(1, puts + 1))
    assert (await secrets.metadata(path)).current_version == puts
    for version in versions[-10:]:
        held = await secrets.get(path, version=version)
        assert held["k"].reveal() == values[version - 1]


@pytest.mark.timeout(60 + PUTS // 20)
async def test_puts_whose_answers_are_dropped_after_the_commit_are_done_once(vault, config_of):
    """Of 2,000 puts without a single answer each is there, and none is there twice."""
    async with FaultProxy(vault.addr) as proxy:
        proxy.inject(Fault.DROP_RESPONSE, method="POST", path_prefix="secret/data/")
        config = config_of(vault.root_token, proxy.addr)
        async with gs.SecretsService.open(config) as secrets:
            await asyncio.gather(
                *(
                    put_and_count(secrets, f"lost/{number}", PUTS // SIDE_BY_SIDE)
                    for number in range(SIDE_BY_SIDE)
                )
            )

        assert proxy.count("POST", "secret/data/") == PUTS  # nothing was sent a second time


@pytest.mark.timeout(120)
async def test_puts_whose_answers_are_lost_in_any_way_are_done_once(vault, config_of):
    """Answers dropped, cut, or never given because the request was lost: a put that was not done
    is sent again, and one that was done is not.
    """
    async with FaultProxy(vault.addr) as proxy:
        for fault in LIKEWISE * 20:
            proxy.inject(fault, times=1, method="POST", path_prefix="secret/data/")
            proxy.inject(Fault.PASS, times=1, method="POST", path_prefix="secret/data/")
        config = config_of(vault.root_token, proxy.addr)
        async with gs.SecretsService.open(config) as secrets:
            await asyncio.gather(
                *(put_and_count(secrets, f"lost/{number}", 40) for number in range(4))
            )


async def test_create_whose_request_is_lost_is_done(vault, config_of):
    """Where there is no secret yet, and none was made, the create is sent again."""
    async with FaultProxy(vault.addr) as proxy:
        proxy.inject(Fault.RESET, method="POST", path_prefix="secret/data/", times=2)
        async with gs.SecretsService.open(config_of(vault.root_token, proxy.addr)) as secrets:
            assert (await secrets.create("new", {"k": "v"})).version == 1
            assert (await secrets.metadata("new")).current_version == 1


async def test_patch_whose_answer_is_dropped_is_done_once(vault, opened, config_of, seed):
    """A patch is found out like a put: what it would have made of the version before is there."""
    await seed("patched")
    async with FaultProxy(vault.addr) as proxy:
        proxy.inject(Fault.DROP_RESPONSE, method="PATCH", path_prefix="secret/data/", times=2)
        async with gs.SecretsService.open(config_of(vault.root_token, proxy.addr)) as secrets:
            added = await secrets.patch("patched", {"new": "n"})
            removed = await secrets.patch("patched", {"k": None}, expected_version=2)

            assert (added.version, removed.version) == (2, 3)
            assert (await secrets.get("patched")).data.reveal() == {"new": "n"}


async def test_write_that_names_no_version_is_not_found_out(vault, config_of):
    """The control: without CAS the same loss leaves the outcome unknown, and a sender that tries
    again has written twice.
    """
    path = KvPath.of("secret", PLATFORM, SecretPath.parse("blind"))
    async with FaultProxy(vault.addr) as proxy:
        proxy.inject(Fault.DROP_RESPONSE, method="POST", path_prefix="secret/data/", times=1)
        async with gs.SecretsService.open(config_of(vault.root_token, proxy.addr)) as secrets:
            kv = secrets.client.kv(PLATFORM)
            with pytest.raises(gs.OutcomeUnknown):
                await kv.write(path, {"k": "v"})
            again = await kv.write(path, {"k": "v"})

    assert again.version == 2


async def test_write_that_another_has_overtaken_is_a_conflict(vault, config_of, seed):
    """When the version that the lost write would have made is another's, that is a conflict, and
    the other's data stays.
    """
    await seed("contested")
    async with FaultProxy(vault.addr) as proxy:
        proxy.inject(Fault.BLACK_HOLE, method="POST", path_prefix="secret/data/", times=1)
        async with gs.SecretsService.open(config_of(vault.root_token, proxy.addr)) as secrets:
            lost = asyncio.ensure_future(
                secrets.put("contested", {"k": "lost"}, expected_version=1)
            )
            while not proxy.count("POST", "secret/data/"):
                await asyncio.sleep(0.01)
            await vault.request(
                "POST", "secret/data/greenlang/contested", {"data": {"k": "faster"}}
            )

            with pytest.raises(gs.VersionConflict) as caught:
                await lost
            assert caught.value.facts == {"current_version": 2}
            assert (await secrets.get("contested"))["k"].reveal() == "faster"


async def test_write_whose_version_is_gone_stays_unknown(vault, config_of, seed):
    """A version that was deleted before anybody could look at it decides nothing."""
    await seed("gone")
    async with FaultProxy(vault.addr) as proxy:
        proxy.inject(Fault.DELAY, method="POST", path_prefix="secret/data/", times=1, seconds=3)
        async with gs.SecretsService.open(config_of(vault.root_token, proxy.addr)) as secrets:
            lost = asyncio.ensure_future(secrets.put("gone", {"k": "lost"}, expected_version=1))
            while (await vault.request("GET", "secret/data/greenlang/gone?version=2"))[0] != 200:
                await asyncio.sleep(0.01)
            await vault.request("DELETE", "secret/data/greenlang/gone")

            with pytest.raises(gs.OutcomeUnknown):
                await lost


async def test_outcome_that_cannot_be_looked_at_is_unknown_in_time(vault, config_of, seed):
    """A Vault that stays away keeps the outcome unknown, and the caller knows that when the time
    for a write is over.
    """
    await seed("away")
    loop = asyncio.get_running_loop()
    async with FaultProxy(vault.addr) as proxy:
        config = config_of(vault.root_token, proxy.addr, write_timeout=1.0)
        async with gs.SecretsService.open(config) as secrets:
            proxy.inject(Fault.PASS, method="GET", path_prefix="secret/", times=2)
            proxy.inject(Fault.DROP_RESPONSE, method="POST", path_prefix="secret/data/", times=1)
            proxy.inject(Fault.RESET)
            begun = loop.time()
            with pytest.raises(gs.OutcomeUnknown):
                await secrets.put("away", {"k": "new"}, expected_version=1)
            spent = loop.time() - begun

    assert 0.9 < spent < 1.1 + 0.1
