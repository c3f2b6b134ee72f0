"""How the service says how it is: probes, health, status, metrics; on a Vault that fails."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from api.conftest import mount_kv, service_config_for
from api.issuer import Issuer
from api.live import Api, Reply, running
from greenlang_secrets.config import CacheConfig, SecretsServiceConfig
from greenlang_secrets_api.config import ApiConfig


async def until(
    ask: Callable[[], Awaitable[Reply]], met: Callable[[Reply], bool], within: float = 10.0
) -> Reply:
    """Ask until the answer is so; health is kept for a second."""
    async with asyncio.timeout(within):
        while True:
            reply = await ask()
            if met(reply):
                return reply
            await asyncio.sleep(0.05)


async def test_health_is_one_word_to_everybody(api: Api, issuer: Issuer) -> None:
    """No bearer, a wrong one or one without `secrets:admin`: the status, and nothing else."""
    for token in (None, "nonsense", issuer.tenant("acme", "secrets:read")):
        reply = await api.ask("GET", "health", token)
        assert (reply.status, reply.json) == (200, {"status": "ok"})
    head = await api.ask("HEAD", "health")

    assert (head.status, head.body) == (200, b"")
    assert (await api.ask("GET", "health?tenant=acme")).status == 400


async def test_health_tells_an_administrator_more(api: Api, issuer: Issuer) -> None:
    """What Vault says of itself; no address."""
    reply = await api.ask("GET", "health", issuer.tenant("acme", "secrets:admin"))

    vault = reply.json["vault"]
    assert (vault["initialized"], vault["sealed"], vault["standby"]) == (True, False, False)
    assert vault["version"]
    assert abs(vault["clock_skew"]) < 5
    assert b"127.0.0.1" not in reply.body


async def test_status_tells_of_the_cache(api: Api, issuer: Issuer, path: str) -> None:
    """Counts, build and uptime, for an administrator of the platform."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "v"}})
    await api.ask("GET", path, token)
    await api.ask("GET", path, token)

    status = await api.ask("GET", "status", issuer.platform("secrets:admin"))

    cache = status.json["cache"]
    assert cache.keys() == {"entries", "bytes", "hits", "misses", "stale_served"}
    assert cache["hits"] >= 1
    assert cache["entries"] >= 1
    assert status.json["build"]["version"]
    assert status.json["uptime"] > 0


async def test_status_tells_a_tenant_nothing_of_others(api: Api, issuer: Issuer) -> None:
    """What is counted is counted for all, so a tenant's administrator does not see it."""
    status = await api.ask("GET", "status", issuer.tenant("acme", "secrets:admin"))

    assert status.json.keys() == {"build", "uptime"}


async def test_probes_and_metrics_need_no_bearer(api: Api) -> None:
    """`/livez`, `/readyz`, and a scrape with the library's counters and the process' own."""
    live, ready = await api.ask("GET", "/livez"), await api.ask("GET", "/readyz")
    scrape = await api.ask("GET", "/metrics")

    assert (live.status, live.json) == (200, {"status": "ok"})
    assert (ready.status, ready.json) == (200, {"status": "ok"})
    assert scrape.status == 200
    assert scrape.headers["Content-Type"].startswith("text/plain; version=")
    text = scrape.body.decode()
    for name in ("gl_secrets_operations_total{", "gl_secrets_cache_hits_total", "python_info"):
        assert re.search(rf"^{re.escape(name)}", text, re.MULTILINE), name
    assert "otel_scope" not in text
    assert "process_resident_memory_bytes" in text


async def test_no_path_tenant_or_value_is_in_a_scrape(api: Api, issuer: Issuer, path: str) -> None:
    """Labels are closed sets."""
    await api.ask("POST", path, issuer.tenant("acme"), json={"data": {"k": "hunter2"}})

    scrape = await api.ask("GET", "/metrics")

    for leak in (path.encode(), b"acme", b"hunter2"):
        assert leak not in scrape.body


async def test_a_thousand_probes_ask_vault_once(api: Api, vault_server: Any) -> None:
    """Health is kept for a second and asked by one flight: nobody loads Vault through it."""
    mark = await vault_server.audit_mark()

    replies = await asyncio.gather(*(api.ask("GET", where) for where in ["health", "/readyz"] * 50))

    assert {reply.status for reply in replies} == {200}
    lists = [where for op, where in await vault_server.audit_requests(mark) if op == "list"]
    assert len(lists) <= 3


async def test_a_sealed_vault(
    new_vault_server: Callable[..., Awaitable[Any]], api_config: ApiConfig, issuer: Issuer
) -> None:
    """What was read is served stale and says so; what was not is 503 with Retry-After; the
    process lives, is not ready, and comes back by itself.
    """
    server = await new_vault_server()
    config = service_config_for(server, await mount_kv(server))
    token = issuer.tenant("acme")
    with running(replace_cache(config), api_config) as api:
        await api.ask("POST", "a", token, json={"data": {"k": "v"}})
        await api.ask("GET", "a", token)

        await server.seal()

        stale = await api.ask("GET", "a", token)
        unknown = await api.ask("GET", "b", token)
        listing = await api.ask("GET", "", token)
        degraded = await until(
            lambda: api.ask("GET", "health"), lambda r: r.json != {"status": "ok"}
        )
        ready = await api.ask("GET", "/readyz")
        live = await api.ask("GET", "/livez")
        write = await api.ask("PUT", "a", token, json={"data": {"k": "w"}})

        await server.unseal()
        back = await until(lambda: api.ask("GET", "/readyz"), lambda r: r.status == 200)

    assert (stale.status, stale.json["data"]) == (200, {"k": "v"})
    assert stale.headers["X-Secret-Stale"] == "true"
    for reply in (unknown, listing, write):
        assert (reply.status, reply.code, reply.json["reason"]) == (
            503,
            "vault_unavailable",
            "sealed",
        )
        assert int(reply.headers["Retry-After"]) >= 1
        assert reply.json["retryable"] is True
    assert (degraded.status, degraded.json) == (200, {"status": "degraded"})
    assert (ready.status, live.status, back.status) == (503, 200, 200)


async def test_a_vault_that_is_gone(
    new_vault_server: Callable[..., Awaitable[Any]], api_config: ApiConfig, issuer: Issuer
) -> None:
    """With an empty cache the service is down, and still tells who may not from who may."""
    server = await new_vault_server()
    config = service_config_for(server, await mount_kv(server))
    with running(config, api_config) as api:
        assert (await api.ask("GET", "b", issuer.tenant("acme"))).status == 404
        await server.kill()

        gone = await api.ask("GET", "a", issuer.tenant("acme"))
        denied = await api.ask("GET", "a", issuer.tenant("acme", "secrets:write"))
        down = await until(lambda: api.ask("GET", "health"), lambda r: r.status == 503)
        detail = await api.ask("GET", "health", issuer.platform())

    assert (gone.status, gone.code, gone.json["reason"]) == (503, "vault_unavailable", "network")
    assert denied.status == 403
    assert down.json == {"status": "down"}
    assert detail.json["vault"]["reachable"] is False
    assert b"127.0.0.1" not in gone.body + detail.body


def replace_cache(config: SecretsServiceConfig) -> SecretsServiceConfig:
    """The same settings, with values fresh for no time: each read asks Vault."""
    return replace(config, cache=CacheConfig(fresh_for=0.0, stale_for=300.0))
