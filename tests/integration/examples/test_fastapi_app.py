"""`examples/fastapi_app`, served by uvicorn, before a real PostgreSQL and a real OpenBao."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

import greenlang_secrets as gs
from greenlang_secrets.testing.process import free_port
from support.alternating import PATH, Alternating, alternating
from support.example import EXAMPLES, Example, environment, running
from support.pool_load import under_load, until

KEY = "example/signing"


@dataclass
class Served:
    """The application, where it is, and the login that it follows."""

    example: Example
    url: str
    login: Alternating
    session: aiohttp.ClientSession

    async def who(self) -> str:
        async with self.session.get(f"{self.url}/") as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["logged_in_as"])


@pytest.fixture
async def served(
    config: gs.SecretsServiceConfig,
    secrets: gs.SecretsService,
    postgres_server,
    tmp_path: Path,
) -> AsyncIterator[Served]:
    port = free_port()
    await secrets.create(KEY, {"api_key": "first-signing-key"})
    env = environment(config, DATABASE_SECRET=PATH, SIGNING_KEY_SECRET=KEY)
    command = ("-m", "uvicorn", "--app-dir", str(EXAMPLES / "fastapi_app"), "app:app")
    async with (
        alternating(secrets, postgres_server) as login,
        running(*command, "--port", str(port), env=env, folder=tmp_path) as example,
        aiohttp.ClientSession() as session,
    ):

        async def up() -> bool:
            assert example.process.returncode is None, example.output
            return "Application startup complete" in example.output

        await until(up, within=60)
        yield Served(example, f"http://127.0.0.1:{port}", login, session)


async def test_no_request_fails_while_the_login_changes(served):
    """Five changes of user and password, each of which ends the old user's connections: no request
    fails, and a SIGTERM leaves no connection. No password is printed.
    """
    login = served.login
    async with under_load(served.who, workers=3, pause=0.01) as load:

        async def begun() -> bool:  # no connection yet would look like one that is gone
            return load.answered > 0

        await until(begun)
        for _ in range(5):
            await login.turn()
            await login.old_are_gone()
            await login.cut_off(login.before)

            async def moved(user: str = login.now) -> bool:
                return await served.who() == user

            await until(moved)
            await login.pair.sql(f"ALTER ROLE {login.before} LOGIN")
    served.example.process.terminate()
    await served.example.ends()

    assert load.failed == [], served.example.output[-4000:]
    assert load.users == {login.now, login.before}
    assert await login.sessions(login.now) == 0
    assert "Application shutdown complete" in served.example.output
    for turns in (0, 1):
        login.turns = turns
        assert login.data()["password"] not in served.example.output


async def test_signs_with_the_newest_key_and_tells_when_there_is_none(served, secrets):
    """A key that was changed is in use without a restart; one that was deleted is a 503 with the
    error's code, while the application's health says that Vault is well.
    """

    async def sign() -> tuple[int, dict[str, object]]:
        url, body = f"{served.url}/signatures", {"message": "hello"}
        async with served.session.post(url, json=body) as answer:
            return answer.status, await answer.json()

    def signed(key: str, version: int) -> tuple[int, dict[str, object]]:
        signature = hmac.digest(key.encode(), b"hello", hashlib.sha256).hex()
        return 200, {"signature": signature, "key_version": version}

    async def gives(expected: tuple[int, dict[str, object]]) -> bool:
        return await sign() == expected

    assert await sign() == signed("first-signing-key", 1)
    await secrets.put(KEY, {"api_key": "second-signing-key"})
    await until(lambda: gives(signed("second-signing-key", 2)))
    await secrets.delete(KEY)
    await until(lambda: gives((503, {"error": "secret_deleted"})))
    async with served.session.get(f"{served.url}/health") as answer:
        assert await answer.json() == {"vault": "ok"}
