"""Request bodies: what is refused, with which code, and where it points."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from api.issuer import Issuer
from api.live import BASE, Api


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, [("#/data", "missing")]),
        ({"data": None}, [("#/data", "missing")]),
        ({"data": []}, [("#/data", "not_an_object")]),
        ({"data": {"n": 1}}, [("#/data/n", "not_a_string")]),
        ({"data": {"a/b~": None}}, [("#/data/a~1b~0", "not_a_string")]),
        ({"data": {"k": "v"}, "cas": 1}, [("#/cas", "unknown_member")]),
        ({"data": {"k": "v"}, "type": "other"}, [("#/type", "unknown_type")]),
        ({"data": {"k": "v"}, "type": ["generic"]}, [("#/type", "unknown_type")]),
        ({"data": {"k": "v"}, "custom_metadata": 1}, [("#/custom_metadata", "not_an_object")]),
        ({"data": {"k": "v"}, "custom_metadata": None}, [("#/custom_metadata", "not_an_object")]),
        (
            {"data": {"x": 1}, "custom_metadata": {"y": 2}},
            [("#/data/x", "not_a_string"), ("#/custom_metadata/y", "not_a_string")],
        ),
        ({"data": {"": "v"}}, [("#/data", "invalid")]),
        ({"data": {"k": "\ud800"}}, [("#/data/k", "invalid")]),
        (
            {"data": {"k": "v"}, "custom_metadata": {"type": "x"}},
            [("#/custom_metadata", "invalid")],
        ),
        ([], [("#", "not_an_object")]),
    ],
)
async def test_what_does_not_fit_is_pointed_at(
    body: Any, errors: list[tuple[str, str]], api: Api, issuer: Issuer, path: str
) -> None:
    """422 with every place that is wrong; nothing is written."""
    token = issuer.tenant("acme")

    reply = await api.ask("POST", path, token, json=body)

    assert (reply.status, reply.code) == (422, "invalid_body")
    assert [(error["pointer"], error["code"]) for error in reply.json["errors"]] == errors
    assert (await api.ask("GET", path, token)).status == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"data":{"k":NaN}}',
        b'\xef\xbb\xbf{"data":{}}',
        '{"data":{}}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"data":' + b"1" * 5000 + b"}",
    ],
)
async def test_what_is_not_json_is_refused(
    body: bytes, api: Api, issuer: Issuer, path: str
) -> None:
    """400, also for what Python's parser would let pass or trip over."""
    reply = await api.ask(
        "POST",
        path,
        issuer.tenant("acme"),
        body=body,
        headers={"Content-Type": "application/json"},
    )

    assert (reply.status, reply.code) == (400, "invalid_json")


@pytest.mark.parametrize(
    "body", [b'{"data":{"k":"1","k":"2"}}', b'{"data":{"k":"1"},"data":{"k":"2"}}']
)
async def test_a_member_that_is_there_twice_is_refused(
    body: bytes, api: Api, issuer: Issuer, path: str
) -> None:
    """Which of the two was meant cannot be known."""
    reply = await api.ask(
        "POST",
        path,
        issuer.tenant("acme"),
        body=body,
        headers={"Content-Type": "application/json"},
    )

    assert (reply.status, reply.code) == (422, "invalid_body")
    assert reply.json["errors"] == [{"pointer": "#", "code": "duplicate_member"}]


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 201),
        ("Application/JSON; charset=UTF-8", 201),
        ("application/json; charset=latin-1", 415),
        ("application/merge-patch+json", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
async def test_only_json_is_taken(
    media_type: str, status: int, api: Api, issuer: Issuer, path: str
) -> None:
    """415 for every other media type."""
    reply = await api.ask(
        "POST",
        path,
        issuer.tenant("acme"),
        body=b'{"data":{"k":"v"}}',
        headers={"Content-Type": media_type},
    )

    assert reply.status == status


@pytest.mark.parametrize(
    ("coding", "status"), [("gzip", 415), ("br, gzip", 415), ("identity", 201)]
)
async def test_a_coded_body_is_refused(
    coding: str, status: int, api: Api, issuer: Issuer, path: str
) -> None:
    """Nobody would decode it, so what is stored would be another text than what was meant."""
    reply = await api.ask(
        "POST",
        path,
        issuer.tenant("acme"),
        json={"data": {"k": "v"}},
        headers={"Content-Encoding": coding},
    )

    assert reply.status == status


async def test_a_body_without_a_media_type_is_refused(api: Api, issuer: Issuer, path: str) -> None:
    """It is not guessed."""
    head = (
        f"POST {BASE}/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {issuer.tenant('acme')}\r\nContent-Length: 2\r\n\r\n{{}}"
    )

    answer = await api.raw(head.encode())

    assert answer.startswith(b"HTTP/1.1 415 ")


async def test_large_bodies(api: Api, issuer: Issuer, path: str) -> None:
    """Just under 768 KiB is stored; more is 413, declared or not, and so are 257 keys."""
    token = issuer.tenant("acme")
    fits = {"data": {"k": "x" * (768 * 1024 - 100)}}
    too_large = json.dumps({"data": {"k": "x" * 768 * 1024}}).encode()

    async def chunks() -> Any:
        for at in range(0, len(too_large), 65536):
            yield too_large[at : at + 65536]

    stored = await api.ask("POST", path, token, json=fits)
    declared = await api.ask(
        "PUT", path, token, body=too_large, headers={"Content-Type": "application/json"}
    )
    chunked = await api.ask(
        "PUT", path, token, body=chunks(), headers={"Content-Type": "application/json"}
    )
    keys = await api.ask("PUT", path, token, json={"data": {f"k{n}": "" for n in range(257)}})

    assert stored.status == 201
    assert (await api.ask("GET", path, token)).json["data"] == fits["data"]
    for reply in (declared, chunked, keys):
        assert (reply.status, reply.code) == (413, "too_large")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"version": 0},
        {"version": True},
        {"version": "1"},
        {"version": 1.5},
        {"versions": []},
        {"versions": 1},
        {"versions": [1, -1]},
        {"versions": [1] * 101},
        {"version": 1, "versions": [1]},
        {"version": 1, "other": 1},
    ],
)
async def test_undelete_names_versions(body: Any, api: Api, issuer: Issuer, path: str) -> None:
    """Either `version` or `versions`, whole numbers from 1 on."""
    reply = await api.ask("POST", f"{path}/undelete", issuer.tenant("acme"), json=body)

    assert (reply.status, reply.code) == (422, "invalid_body")


async def test_a_whole_number_is_one_however_it_is_written(
    api: Api, issuer: Issuer, path: str
) -> None:
    """JSON has numbers only: ``1.0`` is the version 1."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "v"}})
    await api.ask("DELETE", path, token)

    reply = await api.ask("POST", f"{path}/undelete", token, json={"versions": [1.0, 1]})

    assert (reply.status, reply.json["restored"]) == (200, [1])


@pytest.mark.parametrize("member", ["data", "type", "custom_metadata"])
async def test_null_is_not_what_was_left_out(
    member: str, api: Api, issuer: Issuer, path: str
) -> None:
    """A member of null is refused where it stands, and nothing is written."""
    token = issuer.tenant("acme")

    reply = await api.ask("POST", path, token, json={"data": {"k": "v"}, member: None})

    assert (reply.status, reply.code) == (422, "invalid_body")
    assert [error["pointer"] for error in reply.json["errors"]] == [f"#/{member}"]
    assert (await api.ask("GET", path, token)).status == 404


async def test_metadata_that_vault_would_refuse(api: Api, issuer: Issuer, path: str) -> None:
    """What is not printable is the caller's mistake (422), and not Vault's refusal (502)."""
    body = {"data": {"k": "v"}, "custom_metadata": {"-\u00cd\u0088": "\u00ca"}}

    reply = await api.ask("POST", path, issuer.tenant("acme"), json=body)

    assert (reply.status, reply.code) == (422, "invalid_body")


async def test_more_than_a_hundred_versions_are_refused(
    api: Api, issuer: Issuer, path: str
) -> None:
    """Counted as they are named, so that the limit does not depend on what is named twice."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json={"data": {"k": "v"}})

    many = await api.ask("DELETE", f"{path}?versions={','.join(['1'] * 101)}", token)
    most = await api.ask("DELETE", f"{path}?versions={','.join(['1'] * 100)}", token)

    assert (many.status, many.code) == (400, "invalid_version")
    assert most.status == 204


async def test_a_body_that_does_not_come_is_given_up(api: Api, issuer: Issuer, path: str) -> None:
    """The caller who closes in the middle leaves nothing behind, and others are served."""
    token = issuer.tenant("acme")
    url_head = (
        f"POST {BASE}/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 50\r\n\r\n{{"
    )
    host, port = api.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(url_head.encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    assert (await api.ask("GET", path, token)).status == 404
