"""The order of checks: each request fails for its first reason, and only then meets Vault."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from api.issuer import EVERYTHING, Issuer
from api.live import BASE, Api
from greenlang_secrets_api.targets import METHODS, PREFIX, Kind, Target, methods, render

JSON = {"Content-Type": "application/json"}
HTML = {"Accept": "text/html"}
TARGETS = [
    Target(Kind.LIST),
    Target(Kind.SECRET, "t/order"),
    Target(Kind.VERSIONS, "t/order"),
    Target(Kind.UNDELETE, "t/order"),
    Target(Kind.ROTATE, "t/order"),
    Target(Kind.ROTATION_STATUS),
    Target(Kind.ROTATION_SCHEDULE),
    Target(Kind.ROTATION_SCHEDULE, "t/order"),
    Target(Kind.HEALTH),
    Target(Kind.STATUS),
]
VERBS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")

READ, LIST, WRITE, ADMIN, ROTATE = EVERYTHING
SUFFICIENT = {
    (Kind.LIST, "GET"): {READ, LIST},
    (Kind.SECRET, "GET"): {READ},
    (Kind.SECRET, "HEAD"): {READ},
    (Kind.SECRET, "POST"): {WRITE},
    (Kind.SECRET, "PUT"): {WRITE},
    (Kind.SECRET, "PATCH"): {WRITE},
    (Kind.SECRET, "DELETE"): {ADMIN},
    (Kind.VERSIONS, "GET"): {READ},
    (Kind.UNDELETE, "POST"): {ADMIN},
    (Kind.ROTATE, "POST"): {ROTATE},
    (Kind.ROTATION_STATUS, "GET"): {READ, ROTATE},
    (Kind.ROTATION_SCHEDULE, "GET"): {READ, ROTATE},
    (Kind.ROTATION_SCHEDULE, "PUT"): {ROTATE},
    (Kind.ROTATION_SCHEDULE, "DELETE"): {ROTATE},
    (Kind.STATUS, "GET"): {ADMIN},
}


async def test_each_check_comes_before_the_next(
    api: Api, issuer: Issuer, vault_server: Any
) -> None:
    """A request that is wrong in every way fails for the first, then the second, and so on."""
    reader, writer = issuer.tenant("acme", READ), issuer.tenant("acme", WRITE)
    large = {"X-Filler": "x" * 7000, "X-More": "y" * 7000, "X-Rest": "z" * 7000}
    mark = await vault_server.audit_mark()

    steps = [
        (await api.ask("PUT", "a//b", headers=large, body=b"x"), 431, "headers_too_large"),
        (await api.ask("PUT", "a//b", body=b"x" * 800_000), 413, "too_large"),
        (await api.ask("PUT", "a//b?x=1", body=b"x"), 401, "invalid_token"),
        (await api.ask("PUT", "a//b?x=1", reader, body=b"x"), 400, "invalid_path"),
        (await api.ask("TRACE", "a/b?x=1", reader, body=b"x"), 405, "method_not_allowed"),
        (await api.ask("PUT", "a/b?x=1", reader, body=b"x"), 400, "invalid_request"),
        (await api.ask("PUT", "a/b?tenant=globex", writer, body=b"x"), 403, "permission_denied"),
        (await api.ask("PUT", "a/b", reader, body=b"x"), 403, "permission_denied"),
        (await api.ask("PUT", "a/b", writer, body=b"x", headers=HTML), 406, "not_acceptable"),
        (await api.ask("PUT", "a/b", writer, body=b"x"), 415, "unsupported_media_type"),
        (await api.ask("PUT", "a/b", writer, body=b"x", headers=JSON), 400, "invalid_json"),
        (await api.ask("PUT", "a/b", writer, json={}), 422, "invalid_body"),
    ]

    assert [(reply.status, reply.code) for reply, _, _ in steps] == [
        (status, code) for _, status, code in steps
    ]
    asked = await vault_server.audit_requests(mark)
    asked_for = [where for _, where in asked if where.startswith("kv-")]
    assert [where for where in asked_for if "/_service/" not in where] == []  # but its own keys


async def test_the_control_reaches_vault(
    api: Api, issuer: Issuer, vault_server: Any, path: str
) -> None:
    """The same witness sees the request that passes every check."""
    mark = await vault_server.audit_mark()

    reply = await api.ask("PUT", path, issuer.tenant("acme", WRITE), json={"data": {"k": "v"}})

    assert reply.status == 404
    asked = await vault_server.audit_requests(mark)
    assert [where for _, where in asked if where.endswith(path)] != []


@pytest.mark.parametrize("target", TARGETS, ids=render)
async def test_every_kind_has_its_methods_and_no_others(
    target: Target, api: Api, issuer: Issuer
) -> None:
    """405 with `Allow` for every other method; without a bearer it is not even said."""
    token = issuer.tenant("acme")
    allowed = methods(target)

    for verb in VERBS:
        reply = await api.ask(verb, render(target), token)
        if verb in allowed:
            assert reply.status != 405, verb
        else:
            assert (reply.status, reply.headers["Allow"]) == (405, ", ".join(allowed)), verb
        if target.kind is not Kind.HEALTH:
            assert (await api.ask(verb, render(target))).status == 401, verb


async def test_every_permission_opens_what_it_should(api: Api, issuer: Issuer) -> None:
    """Every endpoint under all 32 subsets of permissions: 403 unless one suffices."""
    subsets = [set(c) for size in range(6) for c in combinations(EVERYTHING, size)]
    assert {(kind, verb) for kind, verbs in METHODS.items() for verb in verbs} == {
        *SUFFICIENT,
        (Kind.HEALTH, "GET"),
        (Kind.HEALTH, "HEAD"),
    }

    for granted in subsets:
        token = issuer.sign(issuer.claims(permissions=sorted(granted)))
        for target in TARGETS:
            for verb in methods(target):
                if target.kind is Kind.HEALTH:
                    continue
                reply = await api.ask(verb, render(target), token)
                may = bool(SUFFICIENT[target.kind, verb] & granted)
                assert (reply.status != 403) == may, (verb, target, granted)


@pytest.mark.parametrize(
    "query", ["vesion=1", "version=1&version=2", "fresh=yes", "fresh", "fields=", "x=%ff", "%00=1"]
)
async def test_a_query_is_taken_literally(query: str, api: Api, issuer: Issuer) -> None:
    """A typo, a twin or a wrong shape is 400: it must not read another version instead."""
    reply = await api.ask("GET", f"t/query?{query}", issuer.tenant("acme"))

    assert (reply.status, reply.code) == (400, "invalid_request")


async def test_a_problem_names_a_parameter_but_repeats_no_value(api: Api, issuer: Issuer) -> None:
    """The name of a typo is repeated; what looks like a value is not."""
    token = issuer.tenant("acme")

    typo = await api.ask("GET", "t/query?vesion=1", token)
    pasted = await api.ask("GET", "t/query?hunter2-Secret=1", token)

    assert typo.json["errors"] == [{"parameter": "vesion", "code": "unknown"}]
    assert b"hunter2" not in pasted.body


async def test_every_answer_carries_the_common_headers(api: Api, issuer: Issuer) -> None:
    """Nothing is kept by a cache in between; the request's id comes back, or is made."""
    token = issuer.tenant("acme")
    sent = {"X-Request-ID": "req-1.2_3"}

    for reply in (
        await api.ask("GET", "", token, headers=sent),
        await api.ask("GET", "t/none", token, headers=sent),
        await api.ask("GET", "a//b", token, headers=sent),
        await api.ask("GET", "t/none", headers=sent),
        await api.ask("GET", "/livez", headers=sent),
        await api.ask("GET", "/nowhere", headers=sent),
        await api.ask("POST", "/livez", headers=sent),
    ):
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Pragma"] == "no-cache"
        assert reply.headers["Vary"] == "Authorization"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert reply.headers["X-Request-ID"] == "req-1.2_3"
        assert "Server" not in reply.headers
        assert "Date" in reply.headers
        if reply.status >= 400:
            assert reply.json["request_id"] == "req-1.2_3"
    made = await api.ask("GET", "/livez", headers={"X-Request-ID": "a b"})
    assert len(made.headers["X-Request-ID"]) == 32


async def test_unauthenticated_is_told_how(api: Api) -> None:
    """401 with the scheme; with a wrong bearer also with the error's name."""
    none = await api.ask("GET", "t/a")
    wrong = await api.ask("GET", "t/a", "nonsense")

    assert (none.status, none.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert wrong.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert {**none.json, "request_id": ""} == {**wrong.json, "request_id": ""}


async def test_elsewhere_is_not_found(api: Api) -> None:
    """Outside the prefix there are the probes and metrics; the rest is a 404 problem."""
    for where in ("/", "/api/v1", "/api/v1/secretsa", "/livez/", "/api/v1/secret"):
        reply = await api.ask("GET", where)
        assert (reply.status, reply.code) == (404, "not_found")
    assert (await api.ask("POST", "/livez")).code == "method_not_allowed"
    assert PREFIX == BASE
