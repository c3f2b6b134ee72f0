"""The service's token taken away, again and again: what readers see."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Self

import pytest

import greenlang_secrets as gs
from support.approle import AppRole, approle

READERS = 200

PAUSE = 0.5
"""Seconds between two reads of one reader: 400 a second together, a third of what one core takes,
for a read that is shed (64 at once, a second's wait) would be a failure of another kind."""

SECONDS = 60.0


@pytest.fixture
def app(vault, tmp_path):
    """Make the AppRole of the service; settings of its tokens by keyword."""

    async def make(**settings: object) -> AppRole:
        policy = 'path "secret/*" { capabilities = ["read"] }'
        return await approle(vault, tmp_path, mount="app", policy=policy, **settings)

    return make


@pytest.fixture
def config(vault) -> gs.SecretsServiceConfig:
    return gs.SecretsServiceConfig(addresses=(vault.addr,), tenant_token_role=None)


class Readers:
    """Many who ask Vault all the time, and what went wrong."""

    def __init__(self, secrets: gs.SecretsService) -> None:
        self._secrets = secrets
        self.reads = 0
        self.failures: list[str] = []
        self._over = False

    async def _read(self, name: str) -> None:
        while not self._over:
            try:
                secret = await self._secrets.get(name, fresh=True)
                assert secret["k"].reveal() == name
                self.reads += 1
            except gs.SecretsError as error:
                self.failures.append(f"{error.code}: {error}")
            await asyncio.sleep(PAUSE)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.ensure_future(self._read(f"s{n}")) for n in range(READERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)


@pytest.mark.timeout(180)
async def test_token_revoked_every_two_seconds_is_no_failed_read(vault, app, config, seed):
    """A minute of revocations under 200 concurrent readers: no read fails, and each revocation costs
    one login.
    """
    role = await app()
    await seed(*(f"s{n}" for n in range(READERS)))
    mark = await vault.audit_mark()
    loop = asyncio.get_running_loop()
    revocations = 0
    async with (
        gs.SecretsService.open(replace(config, auth=role.auth)) as secrets,
        Readers(secrets) as readers,
    ):
        end = loop.time() + SECONDS
        while loop.time() < end:
            await role.revoke_tokens()
            revocations += 1
            next_at = loop.time() + 2.0
            while loop.time() < next_at:
                await asyncio.sleep(0.05)

    logins = await role.logins(mark) - 1  # the first is the opening's
    assert readers.failures == []
    assert readers.reads > 10 * READERS
    assert revocations >= 25
    assert abs(logins - revocations) <= 1


@pytest.mark.timeout(180)
async def test_token_of_six_seconds_is_no_failed_read(vault, app, config, seed):
    """With `explicit_max_ttl` 6 s the token comes to its end ten times in a minute, under 200
    concurrent readers: no read fails, and nobody logs in more often than that needs.
    """
    role = await app(token_explicit_max_ttl="6s", ttl="6s")
    await seed(*(f"s{n}" for n in range(READERS)))
    mark = await vault.audit_mark()
    loop = asyncio.get_running_loop()
    async with (
        gs.SecretsService.open(replace(config, auth=role.auth)) as secrets,
        Readers(secrets) as readers,
    ):
        end = loop.time() + SECONDS
        while loop.time() < end:
            await asyncio.sleep(0.05)

    assert readers.failures == []
    assert readers.reads > 10 * READERS
    assert 9 <= await role.logins(mark) <= 25


@pytest.mark.timeout(60)
async def test_readers_without_a_new_login_would_fail(vault, app, config, seed):
    """The control: a token that nobody may replace is missed at once."""
    role = await app()
    await seed(*(f"s{n}" for n in range(READERS)))
    async with gs.SecretsService.open(replace(config, auth=role.auth)) as secrets:
        role.secret_id_file.write_text("another")
        await role.revoke_tokens()
        async with Readers(secrets) as readers:
            while not readers.failures:
                await asyncio.sleep(0.01)

    assert {failure.split(":")[0] for failure in readers.failures} == {"authentication_lost"}
