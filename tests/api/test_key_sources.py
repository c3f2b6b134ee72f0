"""Keys from a URL: one fetch for many, kept while the issuer is away, and never elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from api.conftest import service_config_for
from api.issuer import AUDIENCE, ISSUER, Issuer
from api.live import running
from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets_api import key_sources, watched_file
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.key_sources import FileKeys, UrlKeys
from greenlang_secrets_api.problems import ProblemError


@dataclass
class JwksServer:
    """An issuer's JWKS endpoint that counts and misbehaves as told."""

    document: Any
    url: str = ""
    asked: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        await asyncio.sleep(0.02)
        body = (
            self.document
            if isinstance(self.document, bytes)
            else json.dumps(self.document).encode()
        )
        return web.Response(status=self.status, body=body, headers=self.headers)


@pytest.fixture
async def jwks(issuer: Issuer) -> AsyncIterator[JwksServer]:
    server = JwksServer(issuer.jwks())
    app = web.Application()
    app.router.add_get("/jwks", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    yield server
    await runner.cleanup()


@pytest.fixture
async def keys(jwks: JwksServer) -> AsyncIterator[UrlKeys]:
    async with Supervisor() as supervisor, aiohttp.ClientSession() as session:
        yield UrlKeys(jwks.url, supervisor=supervisor, session=session)


class Clock:
    """A `time` module whose monotonic seconds a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(key_sources, "time", clock)
    return clock


async def test_many_callers_cause_one_fetch(keys: UrlKeys, jwks: JwksServer) -> None:
    """The first ones wait for the same flight; later ones find what it brought."""
    await asyncio.gather(*(keys.refresh() for _ in range(50)))

    assert await keys.find("rsa")
    assert (jwks.asked, keys.generation) == (1, 1)


async def test_an_unknown_kid_asks_every_30_s_at_most(
    keys: UrlKeys, jwks: JwksServer, clock: Clock
) -> None:
    """A new key is found; a made-up one cannot make us hammer the issuer."""
    await keys.refresh()
    for _ in range(10):
        assert await keys.find("new") is None
    jwks.document["keys"].append({**jwks.document["keys"][0], "kid": "new"})
    clock.now += 31

    assert await keys.find("new")

    assert (jwks.asked, keys.generation) == (2, 2)


async def test_keys_outlive_the_issuer_by_a_day(
    keys: UrlKeys, jwks: JwksServer, clock: Clock
) -> None:
    """While the issuer fails the old keys hold, for 24 hours; then nobody is let in."""
    await keys.refresh()
    jwks.status = 500

    clock.now += 23 * 3600
    await keys.refresh()
    still = await keys.find("rsa")
    clock.now += 2 * 3600

    assert still
    with pytest.raises(ProblemError) as refused:
        await keys.refresh()
    assert refused.value.code == "keys_unavailable"


async def test_keys_that_are_good_for_a_day_outlive_a_late_failure(
    keys: UrlKeys, jwks: JwksServer, clock: Clock
) -> None:
    """The day without an issuer begins when the keys were due, not when they were fetched: one
    failed renewal must not lock everybody out.
    """
    jwks.headers = {"Cache-Control": "max-age=86400"}
    await keys.refresh()
    jwks.status = 500

    clock.now += 24 * 3600 + 60
    await keys.refresh()
    still = await keys.find("rsa")
    clock.now += 24 * 3600
    with pytest.raises(ProblemError) as refused:
        await keys.refresh()

    assert still
    assert refused.value.code == "keys_unavailable"


async def test_without_any_key_it_is_503_until_there_is_one(
    keys: UrlKeys, jwks: JwksServer, clock: Clock
) -> None:
    """Attempts are a second apart, and the first that works is enough."""
    jwks.status = 503
    for _ in range(5):
        with pytest.raises(ProblemError):
            await keys.refresh()
    jwks.status = 200
    clock.now += 1.1

    await keys.refresh()

    assert await keys.find("rsa")
    assert jwks.asked == 2


@pytest.mark.parametrize(
    ("document", "status", "headers"),
    [
        (b"x" * (256 * 1024 + 1), 200, {}),
        (b"not json", 200, {}),
        ({"keys": []}, 200, {}),
        ({"keys": []}, 302, {"Location": "http://127.0.0.1:1/"}),
    ],
    ids=["too large", "not json", "empty", "redirect"],
)
async def test_what_is_no_jwks_is_not_taken(
    document: Any, status: int, headers: dict[str, str], keys: UrlKeys, jwks: JwksServer
) -> None:
    """Nothing of it is used, and a redirect is not followed."""
    jwks.document, jwks.status, jwks.headers = document, status, headers

    with pytest.raises(ProblemError):
        await keys.refresh()


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("", 300.0),
        ("max-age=1", 300.0),
        ("public, max-age=600", 600.0),
        ("max-age=999999", 86400.0),
        ("s-max-age=600", 300.0),
    ],
)
async def test_max_age_is_clamped(
    cache_control: str, seconds: float, keys: UrlKeys, jwks: JwksServer, clock: Clock
) -> None:
    """Between five minutes and a day."""
    jwks.headers = {"Cache-Control": cache_control}
    await keys.refresh()

    clock.now += seconds - 1
    await keys.refresh()
    before = jwks.asked
    clock.now += 2
    await keys.refresh()
    async with asyncio.timeout(5):
        while jwks.asked == before:  # the fetch is nobody's to await
            await asyncio.sleep(0.01)

    assert (before, jwks.asked) == (1, 2)


async def test_the_service_fetches_its_keys(
    jwks: JwksServer, vault_server: Any, mount: str, issuer: Issuer
) -> None:
    """The whole service with a JWKS URL: the first bearer causes the one fetch."""
    config = ApiConfig(jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwks_url=jwks.url)
    with running(service_config_for(vault_server, mount), config) as api:
        asked_before = jwks.asked
        replies = [await api.ask("GET", "", issuer.tenant("acme", sub=str(n))) for n in range(3)]
        jwks.status = 500
        wrong = await api.ask("GET", "", issuer.sign(issuer.claims(), kid="other"))

    assert [reply.status for reply in replies] == [200, 200, 200]
    assert wrong.status == 401
    assert (asked_before, jwks.asked) == (0, 1)


async def test_without_keys_the_service_says_503(
    jwks: JwksServer, vault_server: Any, mount: str, issuer: Issuer
) -> None:
    """It runs, tells its health, and asks the caller to come back."""
    jwks.status = 500
    config = ApiConfig(jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwks_url=jwks.url)
    with running(service_config_for(vault_server, mount), config) as api:
        reply = await api.ask("GET", "", issuer.tenant("acme"))
        health = await api.ask("GET", "health", issuer.tenant("acme"))

    assert (reply.status, reply.code) == (503, "keys_unavailable")
    assert "Retry-After" in reply.headers
    assert health.json == {"status": "ok"}


async def test_a_key_file_that_breaks_keeps_the_keys(
    tmp_path: Path, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-written file must not lock everybody out."""
    monkeypatch.setattr(watched_file, "CHECK", 0.0)
    file = issuer.write(tmp_path / "jwks.json")
    keys = FileKeys(file)
    await keys.open()

    file.write_text("{")
    await keys.refresh()
    file.unlink()
    await keys.refresh()

    assert await keys.find("rsa")
    assert keys.generation == 1


@pytest.mark.parametrize("content", [None, "{}"])
async def test_a_key_file_must_be_good_at_the_start(tmp_path: Path, content: str | None) -> None:
    """The refusal names the setting and the file."""
    file = tmp_path / "jwks.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigurationError, match=r"JWKS_FILE is .*jwks\.json"):
        await FileKeys(file).open()
