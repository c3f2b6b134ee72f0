"""Who reads a rotated secret over HTTP is a consumer of it."""

from __future__ import annotations

import pytest

from api.conftest import service_config_for
from api.in_process import in_process
from greenlang_secrets.paths import Tenant, TenantId
from greenlang_secrets.rotation_model import ConsumerKind

ACME = Tenant(TenantId("acme"))
JSON = (b"content-type", b"application/json")


@pytest.fixture
async def app(vault_server, mount, api_config):
    async with in_process(service_config_for(vault_server, mount), api_config) as app:
        yield app


async def test_a_reader_of_a_rotated_secret_is_noted(app, issuer, path):
    """Its principal and the newest version that it was told of, by a value or a 304, are noted; a
    read of a version asked for by number, of metadata, and of what is not rotated is not.
    """
    bearer = (b"authorization", b"Bearer " + issuer.tenant("acme", sub="bob").encode())
    rotated, other = f"{path}/rotated", f"{path}/other"
    for where in (rotated, other):
        for method, value in (("POST", b"1"), ("PUT", b"2")):
            body = b'{"data":{"k":"%b"}}' % value
            assert (await app.ask(method, where, [bearer, JSON], body)).status < 300
    consumers = app.state["service"].consumers
    consumers.rotated = frozenset({("acme", rotated)})

    async def seen(method, target, *headers):
        assert (await app.ask(method, target, [bearer, *headers])).status in {200, 304}
        return [
            (each.scope, each.path, each.kind, each.principal, each.version)
            for each in consumers.reports()
        ]

    assert await seen("GET", other) == []
    assert await seen("GET", f"{rotated}?version=1") == []
    assert await seen("HEAD", rotated) == []
    noted = [(ACME, rotated, ConsumerKind.REST, "bob", 2)]
    assert await seen("GET", rotated) == noted
    consumers.rotated = frozenset()
    assert consumers.reports() == []
    consumers.rotated = frozenset({("acme", rotated)})
    assert await seen("GET", rotated, (b"if-none-match", b'"2"')) == noted
