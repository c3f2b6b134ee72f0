"""The service's own metrics, as they are scraped from the real application."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from api.conftest import service_config_for
from api.in_process import InProcess, in_process
from api.issuer import Issuer
from contracts.markdown import ROOT, rows
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets_api import http_metrics
from greenlang_secrets_api.http_metrics import OUTSIDE, UNMATCHED
from greenlang_secrets_api.rate_policies import RatePolicy
from support.scrapes import samples, value

ROUTE = "/api/v1/secrets/{path}"
BODY = b'{"data":{"k":"v"}}'
JSON = (b"content-type", b"application/json")


@pytest.fixture
async def app(vault_server: Any, mount: str, api_config: Any) -> AsyncIterator[InProcess]:
    config = replace(api_config, rotation=RotationConfig(enabled=False), access_log=False)
    async with in_process(service_config_for(vault_server, mount), config) as app:
        yield app


def bearer(token: str) -> tuple[bytes, bytes]:
    return (b"authorization", f"Bearer {token}".encode())


async def scrape(app: InProcess) -> str:
    return (await app.ask("GET", "/metrics")).body.decode()


async def test_requests_are_counted_by_template(app: InProcess, issuer: Issuer, path: str) -> None:
    """By method, template and status; what was read from the cache is timed, as a miss is."""
    token = bearer(issuer.tenant("acme"))
    await app.ask("POST", path, [token, JSON], BODY)
    for _ in range(3):
        await app.ask("GET", path, [token])
    await app.ask("GET", f"{path}/none", [token])
    await app.ask("GET", path)
    await app.ask("GET", f"%2e/{path}", [token])
    await app.ask("GET", "/nowhere")

    text = await scrape(app)

    requests = "gl_http_requests_total"
    read = {"method": "GET", "route": ROUTE}
    assert value(text, requests, method="POST", route=ROUTE, status="201") == 1
    assert value(text, requests, **read, status="200") == 3
    assert value(text, requests, **read, status="404") == 1
    assert value(text, requests, **read, status="401") == 1
    assert value(text, requests, method="OTHER", route=UNMATCHED, status="400") == 1
    assert value(text, requests, method="OTHER", route=UNMATCHED, status="404") == 1
    assert value(text, "gl_http_request_duration_seconds_count", **read) == 4
    assert value(text, "gl_http_request_duration_seconds_bucket", **read, le="10.0") == 4
    assert value(text, "gl_http_requests_in_flight") == 1  # the scrape itself


async def test_failures_are_there_before_the_first(app: InProcess) -> None:
    """Counters whose first increment an alert must see exist with 0."""
    text = await scrape(app)

    for status in ("500", "503"):
        assert value(text, "gl_http_requests_total", status=status, route=ROUTE) == 0
    for scope in ("principal", "path", "address"):
        assert value(text, "gl_secrets_rate_limited_total", scope=scope) == 0
    for reason in ("permission", "tenant", "policy", "token"):
        assert value(text, "gl_secrets_access_denied_total", reason=reason) == 0
    for sink in ("log", "catalogue"):
        assert value(text, "gl_secrets_audit_write_failures_total", sink=sink) == 0
    assert value(text, "gl_secrets_audit_dropped_total") == 0


async def test_who_waits_is_in_flight_and_not_timed(
    app: InProcess, issuer: Issuer, path: str
) -> None:
    """A long poll is a request under way; its duration is its caller's wish."""
    token = bearer(issuer.tenant("acme"))
    await app.ask("POST", path, [token, JSON], BODY)
    waits = [token, (b"if-none-match", b'"1"'), (b"prefer", b"wait=1")]

    poll = asyncio.ensure_future(app.ask("GET", path, waits))
    while value(await scrape(app), "gl_http_requests_in_flight") < 2:
        await asyncio.sleep(0.01)
    reply = await poll

    text = await scrape(app)
    assert reply.status == 304
    assert value(text, "gl_http_requests_total", method="GET", route=ROUTE, status="304") == 1
    timed = value(text, "gl_http_request_duration_seconds_count", method="GET", route=ROUTE)
    assert not timed > 0


async def test_a_caller_who_has_gone_is_told_apart(
    app: InProcess, issuer: Issuer, path: str
) -> None:
    """A request that is cut off before its answer counts as 499, and is in flight no more."""
    token = bearer(issuer.tenant("acme"))
    await app.ask("POST", path, [token, JSON], BODY)
    waits = [token, (b"if-none-match", b'"1"'), (b"prefer", b"wait=30")]
    poll = asyncio.ensure_future(app.ask("GET", path, waits))
    while value(await scrape(app), "gl_http_requests_in_flight") < 2:
        await asyncio.sleep(0.01)

    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)

    text = await scrape(app)
    assert value(text, "gl_http_requests_total", method="GET", route=ROUTE, status="499") == 1
    assert value(text, "gl_http_requests_in_flight") == 1


async def odd_requests(app: InProcess, seed: int, tokens: list[str | None]) -> None:
    """Whatever comes to mind: hosts, methods, paths in and outside the prefix, with and without a
    bearer.
    """
    dice = random.Random(seed)  # noqa: S311  to find oddities, and no secrets

    def word() -> str:
        return f"{dice.getrandbits(48):x}"

    for _ in range(300):
        token = dice.choice(tokens)
        method = dice.choice(["GET", "HEAD", "POST", "PUT", "DELETE", "BREW", word().upper()])
        where = dice.choice([word(), f"{word()}/versions", f"/{word()}", *OUTSIDE, f"a//{word()}"])
        headers = [(b"host", f"{word()}.example".encode())]
        if token is not None:
            headers.append(bearer(token))
        await app.ask(method, where, headers)


async def test_asking_oddly_makes_no_series(
    app: InProcess, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After random hosts, methods and paths there are fewer than 300 series, and more of them add
    none; with labels as callers write them there would be hundreds more.
    """
    await odd_requests(app, 1, [None, "no bearer"])
    few = len(samples(await scrape(app)))
    assert few < 300
    everybody = [None, issuer.tenant("acme"), issuer.tenant("globex")]
    for seed in (2, 3, 4):
        await odd_requests(app, seed, everybody)
    before = {(s.name, *sorted(s.labels.items())) for s in samples(await scrape(app))}

    await odd_requests(app, 5, everybody)

    after = {(s.name, *sorted(s.labels.items())) for s in samples(await scrape(app))}
    assert len(after - before) <= 2  # a pair of method and template that chance had left out
    monkeypatch.setattr(http_metrics, "named", lambda method, route: (method, route))
    await odd_requests(app, 6, everybody)
    control = len(samples(await scrape(app))) - len(after)
    assert control > 30


async def test_scrapes_at_once_are_each_whole(app: InProcess) -> None:
    """Of twenty scrapes at the same time none lacks a series, and none has one twice."""
    alone = {(each.name, *sorted(each.labels.items())) for each in samples(await scrape(app))}

    for text in await asyncio.gather(*(scrape(app) for _ in range(20))):
        found = [(each.name, *sorted(each.labels.items())) for each in samples(text)]
        assert alone <= set(found)
        assert len(found) == len(set(found))


async def test_the_routes_outside_are_those_of_the_application(app: InProcess) -> None:
    """What is told of by its own name is what there is."""
    assert {route.path for route in app.app.routes} == set(OUTSIDE)


async def test_denials_are_told_by_why_and_of_how_many(
    app: InProcess, issuer: Issuer, path: str, vault_server: Any
) -> None:
    """A permission, a tenant, the bearer; and principals, as often as each was denied, once."""
    reader = bearer(issuer.tenant("acme", "secrets:read", sub="reader"))
    other = bearer(issuer.tenant("globex", "secrets:read", sub="reader"))
    for token in (reader, reader, other):
        reply = await app.ask("DELETE", path, [token])
        assert reply.status == 403
    await app.ask("GET", f"{path}?tenant=globex", [reader])
    await app.ask("GET", path)
    await app.ask("GET", path, [bearer("a.b.c")])

    text = await scrape(app)

    denied = "gl_secrets_access_denied_total"
    assert value(text, denied, reason="permission") == 3
    assert value(text, denied, reason="tenant") == 1
    assert value(text, denied, reason="token") == 2
    assert value(text, denied, reason="policy") == 0
    assert value(text, "gl_secrets_denied_principals") == 2


async def test_an_operation_that_a_bearer_may_not_do_is_counted_as_denied(
    app: InProcess, issuer: Issuer, path: str
) -> None:
    """As one that the library denies is: dashboards and alerts ask there. What is allowed, and what
    is no operation on secrets, adds none.
    """
    operations = "gl_secrets_operations_total"
    reader = bearer(issuer.tenant("acme", "secrets:read"))
    before = await scrape(app)

    await app.ask("DELETE", path, [reader])
    await app.ask("GET", f"{path}?tenant=globex", [reader])
    await app.ask("GET", path, [reader])
    status = await app.ask("GET", "status", [reader])

    after = await scrape(app)
    assert status.status == 403
    grown = {
        operation: value(after, operations, operation=operation, result="denied")
        - value(before, operations, operation=operation, result="denied")
        for operation in ("delete", "read")
    }
    assert grown == {"delete": 1, "read": 1}
    total = value(after, operations, result="denied") - value(before, operations, result="denied")
    assert total == 2


async def test_what_vaults_policy_forbids_is_told_apart(
    vault_server: Any, mount: str, api_config: Any, issuer: Issuer, path: str
) -> None:
    """The bearer may, and the service's token may not: that is the operator's to mend."""
    rules = f'path "{mount}/*" {{ capabilities = ["create", "read", "update", "list"] }}\n'
    rules += f'path "{mount}/data/tenants/globex/*" {{ capabilities = ["deny"] }}'
    await vault_server.request("PUT", "sys/policies/acl/narrow", {"policy": rules})
    _, made = await vault_server.request("POST", "auth/token/create", {"policies": ["narrow"]})
    config = service_config_for(vault_server, mount)
    auth = replace(config.auth, token=type(config.auth.token)(made["auth"]["client_token"]))
    async with in_process(replace(config, auth=auth), api_config) as app:
        reply = await app.ask("GET", path, [bearer(issuer.tenant("globex"))])

        text = await scrape(app)

    assert reply.status == 403
    assert value(text, "gl_secrets_access_denied_total", reason="policy") == 1


async def test_limits_are_told_by_whose(
    vault_server: Any, mount: str, api_config: Any, issuer: Issuer, path: str
) -> None:
    """A principal's, a path's, and an address's, be it of refused bearers or of probes; a bearer
    that the limit has answered is no denial as well.
    """
    once = {
        name: RatePolicy(name=name.replace("_", "-"), quota=1, window=3600)
        for name in ("read", "rotate_path", "probe", "failed_auth")
    }
    config = replace(api_config, rate_limits=replace(api_config.rate_limits, **once))
    async with in_process(service_config_for(vault_server, mount), config) as app:
        token = bearer(issuer.tenant("acme"))
        for method, where, headers in (
            ("GET", path, [token]),
            ("POST", f"rotate/{path}", [token]),
            ("GET", "health", []),
            ("GET", path, []),
        ):
            replies = [await app.ask(method, where, headers) for _ in range(2)]
            assert replies[1].status == 429, where

        text = await scrape(app)

    limited = "gl_secrets_rate_limited_total"
    assert value(text, limited, scope="principal") == 1
    assert value(text, limited, scope="path") == 1
    assert value(text, limited, scope="address") == 2
    assert value(text, "gl_secrets_access_denied_total", reason="token") == 1


async def test_a_scrape_of_much_is_quick_and_has_no_series_more(
    app: InProcess, issuer: Issuer, path: str
) -> None:
    """With 10,000 secrets of 100 tenants in the cache the series are those that one secret had, and
    the quickest of five scrapes takes less than 100 ms.
    """
    token = bearer(issuer.tenant("acme"))
    assert (await app.ask("POST", path, [token, JSON], BODY)).status == 201
    assert (await app.ask("GET", path, [token])).status == 200
    cache = app.state["service"].cache
    [secret] = [each.value for each in cache._held._entries.values() if each.value is not None]
    while "gl_secrets_rotation_stuck" not in await scrape(app):
        pass
    before = {(each.name, *sorted(each.labels.items())) for each in samples(await scrape(app))}

    async def load() -> Any:
        return secret

    for number in range(10_000):
        key = (("tenant", f"t{number % 100}"), f"canary-{number}", None)
        await cache.get(key, load)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        text = await scrape(app)
        took.append(time.perf_counter() - began)

    assert value(text, "gl_secrets_cache_entries") > 10_000
    assert {(each.name, *sorted(each.labels.items())) for each in samples(text)} == before
    assert "canary-" not in text
    assert min(took) < 0.1
    app.state["service"].tally.operations["read", "canary-1", "ok"] += 1
    control = {(each.name, *sorted(each.labels.items())) for each in samples(await scrape(app))}
    assert len(control - before) == 1


async def test_every_metric_of_a_scrape_is_in_the_reference(
    app: InProcess, issuer: Issuer, path: str
) -> None:
    """Names and labels of the running service, gauges of live parts among them, are in the page."""
    await app.ask("GET", path, [bearer(issuer.tenant("acme"))])
    page = (ROOT / "docs/reference/metrics.md").read_text("utf-8")
    known = {
        name: labels
        for line in page.splitlines()
        if line.startswith("| `gl_")
        for name, _, labels, *_ in rows(f"| a |\n|---|\n{line}\n")
    }
    text = await scrape(app)
    while "gl_secrets_rotation_stuck" not in text:
        text = await scrape(app)

    for sample in samples(text):
        if not sample.name.startswith("gl_"):
            continue
        name = re.sub(r"_(bucket|sum|count)$", "", sample.name)
        labels = ", ".join(sorted(sample.labels.keys() - {"le"})) or "none"
        assert known.get(name) == labels, sample
    assert value(text, "gl_secrets_catalogue_up") == 1
    assert value(text, "gl_secrets_rotation_stuck", step="retire") == 0
