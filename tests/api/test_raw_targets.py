"""Ambiguous request targets over a raw socket: 400, never 500, never a hang, never Vault."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.issuer import Issuer
from api.live import BASE, Api

PREFIX = BASE.encode()


def request(target: bytes, token: str, method: bytes = b"GET", more: bytes = b"") -> bytes:
    return (
        method
        + b" "
        + target
        + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "
        + token.encode()
        + b"\r\n"
        + more
        + b"\r\n"
    )


TARGETS = [
    # the table of ambiguous targets in docs/reference/rest.md
    *(b"/a%2Fversions", b"/rotation%2Fstatus", b"/a%2F..%2Fb", b"/a//versions", b"//health"),
    *(b"/a/versions/", b"/a/versions/versions", b"/versions", b"/undelete"),
    # escapes, whatever they hide
    *(b"/a%00", b"/a%2e%2e/b", b"/%61", b"/a%25", b"/a%252F", b"/a%ff", b"/a%zz", b"/a%", b"%2Fa"),
    # octets that are no characters of a target
    *(b"/\x00", b"/a\x00b", b"/\xc3\xa9", b"/a\xff", b"/a\x7f", b"/a b", b"/a\tb", b"/a\\b"),
    *(b"/..", b"/../secrets/a", b"/./a", b"/a/../b", b"/a/.", b"/a;b", b'/a"b'),
    *(b"/a#b", b"#b", b"/a?version=1#b", b"/a?x=\xff", b"/a?x=\x00"),
    # too long
    *(b"/" + b"a" * 600, b"/" + b"a/" * 299 + b"a", b"/" + b"a" * 70_000),
]


@pytest.mark.parametrize("below", TARGETS, ids=lambda t: repr(t[:30]))
async def test_an_ambiguous_target_is_refused(
    below: bytes, api: Api, issuer: Issuer, vault_server: Any
) -> None:
    """400 with a bearer that may do everything, and Vault is not asked."""
    mark = await vault_server.audit_mark()

    answer = await api.raw(request(PREFIX + below, issuer.platform()))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
    assert b"cache-control: no-store" in answer
    assert b"content-security-policy: default-src 'none'" in answer
    assert b"x-request-id: " in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 400
    asked = await vault_server.audit_requests(mark)
    assert [where for _, where in asked if where.startswith("kv-")] == []


@pytest.mark.parametrize(
    "target",
    [
        b"http://elsewhere" + PREFIX + b"/a",
        b"//elsewhere" + PREFIX + b"/a",
        b"/" + PREFIX + b"/a",
        b"/api//v1/secrets/a",
        b"/api/v1/./secrets/a",
        b"/x/.." + PREFIX + b"/a",
        b"/api/v1/%73ecrets/a",
        b"/api%2Fv1/secrets/a",
        PREFIX + b"%2Fa",
        PREFIX + b"%00",
        PREFIX + b"\\a",
        b"api/v1/secrets/a",
        b"*",
        b"",
        b"?x",
        b"/\xff" + PREFIX,
    ],
    ids=repr,
)
async def test_another_spelling_of_the_prefix_is_refused(
    target: bytes, api: Api, issuer: Issuer
) -> None:
    """Absolute form, doubled slashes, dots and escapes: one way leads here, and only one."""
    answer = await api.raw(request(target, issuer.platform()))

    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET " + PREFIX + b"/a HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n", b"400"),
        (b"get " + PREFIX + b"/a HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", b"431"),
        (
            b"POST "
            + PREFIX
            + b"/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
        (
            b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n",
            b"200",
        ),
        (b"GET /livez HTTP/1.0\r\n\r\n", b"200"),
    ],
    ids=range(11),
)
async def test_what_is_not_quite_http(octets: bytes, status: bytes, api: Api) -> None:
    """Refused in our own form, or answered, and the connection ends."""
    answer = await api.raw(octets)

    assert answer.startswith(b"HTTP/1.1 " + status + b" ")


async def test_the_plain_target_passes_the_same_way(api: Api, issuer: Issuer) -> None:
    """The control: these octets with a target in the grammar are answered."""
    for target in (PREFIX, PREFIX + b"/", PREFIX + b"?limit=1"):
        answer = await api.raw(request(target, issuer.platform()))
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_pipelined_requests_are_answered_in_order(api: Api, issuer: Issuer) -> None:
    """Two requests at once on one connection, and a broken third."""
    good = request(PREFIX + b"/health", "x").replace(b"Connection: close\r\n", b"")

    answer = await api.raw(good + good + request(PREFIX + b"/a%00", issuer.platform()))

    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.count(b"HTTP/1.1 400 ") == 1
    assert answer.index(b"HTTP/1.1 400 ") > answer.rindex(b"HTTP/1.1 200 ")
