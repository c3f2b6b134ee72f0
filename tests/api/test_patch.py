"""PATCH: some keys change, the others stay (RFC 7396)."""

from __future__ import annotations

import json

import pytest

MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
async def token(api, issuer, path):
    """A tenant's bearer, whose secret at `path` has two keys."""
    token = issuer.tenant("acme")
    body = {"data": {"stays": "1", "goes": "2"}, "custom_metadata": {"owner": "billing"}}
    assert (await api.ask("POST", path, token, json=body)).status == 201
    return token


async def patched(api, path, token, data, **headers):
    """Send a patch of `data`."""
    body = json.dumps({"data": data}).encode()
    return await api.ask("PATCH", path, token, body=body, headers={**MERGE, **headers})


async def test_keys_are_set_removed_and_left(api, token, path):
    """A string sets a key, null removes it, and what is not named stays."""
    reply = await patched(api, path, token, {"new": "3", "goes": None})

    assert (reply.status, reply.json["version"], reply.headers["ETag"]) == (200, 2, '"2"')
    now = (await api.ask("GET", path, token)).json
    assert now["data"] == {"stays": "1", "new": "3"}
    assert now["custom_metadata"] == {"owner": "billing"}


async def test_a_version_may_be_demanded(api, token, path):
    """`If-Match` is CAS here too."""
    good = await patched(api, path, token, {"k": "v"}, **{"If-Match": '"1"'})
    late = await patched(api, path, token, {"k": "w"}, **{"If-Match": '"1"'})

    assert (good.status, late.status, late.code) == (200, 412, "version_conflict")
    assert late.json["current_version"] == 2


async def test_what_is_not_there_cannot_be_patched(api, token, path):
    """A patch makes no secret."""
    reply = await patched(api, f"{path}-none", token, {"k": "v"})

    assert (reply.status, reply.code) == (404, "secret_not_found")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"data":{"k":1}}', "#/data/k"),
        (b'{"data":null}', "#/data"),
        (b"{}", "#/data"),
        (b'{"data":{},"type":"api_key"}', "#/type"),
        (b'{"data":[]}', "#/data"),
        (b"[]", "#"),
    ],
)
async def test_a_patch_that_does_not_fit_is_pointed_at(api, token, path, body, pointer):
    """The place is named, and the value not repeated."""
    reply = await api.ask("PATCH", path, token, body=body, headers=MERGE)

    assert (reply.status, reply.code) == (422, "invalid_body")
    assert pointer in [error["pointer"] for error in reply.json["errors"]]


async def test_each_method_takes_its_own_media_type(api, token, path):
    """A patch as plain JSON, and JSON as a patch, are both refused."""
    body = b'{"data":{"k":"v"}}'

    as_json = await api.ask(
        "PATCH", path, token, body=body, headers={"Content-Type": "application/json"}
    )
    as_patch = await api.ask("PUT", path, token, body=body, headers=MERGE)

    assert [reply.status for reply in (as_json, as_patch)] == [415, 415]
