"""The index in the catalogue follows what callers change."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from api.conftest import service_config_for
from api.in_process import in_process
from greenlang_secrets.catalogue import CatalogueConfig
from greenlang_secrets.paths import Tenant, TenantId

ACME = Tenant(TenantId("acme"))
JSON = (b"content-type", b"application/json")


@pytest.fixture
async def app(vault_server, mount, api_config):
    async with in_process(service_config_for(vault_server, mount), api_config) as app:
        yield app


async def rows(app, prefix):
    """What the index holds below a prefix, once nothing waits."""
    catalogue = app.state["catalogue"]
    indexing = app.state["indexing"]
    while indexing.waiting:
        await asyncio.sleep(0.01)
    await catalogue.updates.written()
    page = await catalogue.index.page(ACME, prefix=prefix)
    return {item.path: (item.version, str(item.type), item.state) for item in page.items}


async def test_each_change_is_in_the_index(app, issuer, path):
    """Created, updated, deleted, restored, destroyed: version, type and state are right."""
    bearer = (b"authorization", b"Bearer " + issuer.tenant("acme").encode())
    where, seen = f"{path}/a", []

    async def step(method, target, body=b"", *headers):
        reply = await app.ask(method, target, [bearer, JSON, *headers], body)
        assert reply.status < 300, reply
        seen.append((await rows(app, path))[where])

    await step("POST", where, b'{"data":{"k":"1"},"type":"api_key"}')
    await step("PUT", where, b'{"data":{"k":"2"}}')
    await step("DELETE", where)
    await step("POST", f"{where}/undelete", b'{"version":2}')
    await step("DELETE", f"{where}?destroy=true&versions=2", b"", (b"audit-reason", b"test"))

    assert seen == [
        (1, "api_key", "live"),
        (2, "api_key", "live"),
        (2, "api_key", "deleted"),
        (2, "api_key", "live"),
        (2, "api_key", "destroyed"),
    ]


async def test_without_the_catalogue_secrets_work(vault_server, mount, api_config, issuer, path):
    """A database that cannot be used costs the index, and requests with an Idempotency-Key."""
    away = replace(api_config, catalogue=CatalogueConfig.of("postgresql://nobody@127.0.0.1:1/none"))
    bearer = (b"authorization", b"Bearer " + issuer.tenant("acme").encode())
    body = b'{"data":{"k":"1"}}'
    async with in_process(service_config_for(vault_server, mount), away) as app:
        made = await app.ask("POST", path, [bearer, JSON], body)
        read = await app.ask("GET", path, [bearer])
        keyed = await app.ask(
            "POST", f"{path}-b", [bearer, JSON, (b"idempotency-key", b"k1")], body
        )
        listed = await app.ask("GET", "?prefix=t/", [bearer])
        operator = (b"authorization", b"Bearer " + issuer.platform().encode())
        status = await app.ask("GET", "status", [operator])

    assert [reply.status for reply in (made, read, listed, status)] == [201, 200, 200, 200]
    assert (keyed.status, keyed.code) == (503, "catalogue_unavailable")
    assert f"{path}-b" not in {item["path"] for item in listed.json["items"]}
    assert status.json["catalogue"]["usable"] is False
