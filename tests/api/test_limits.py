"""Limits as callers meet them: over HTTP, in their place among the checks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from api.conftest import UNLIMITED, service_config_for
from api.issuer import Issuer
from api.live import Api, running
from greenlang_secrets_api.addresses import parse_networks
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.rate_policies import RatePolicies, RatePolicy

LONG = 3600  # seconds: nothing comes back while a test runs


def policy(name: str, quota: int) -> RatePolicy:
    return RatePolicy(name=name, quota=quota, window=LONG)


LIMITS = RatePolicies(
    read=policy("read", 30),
    list=policy("list", 3),
    write=policy("write", 5),
    admin=policy("admin", 2),
    rotate=policy("rotate", 3),
    rotate_path=policy("rotate-path", 1),
    probe=policy("probe", 4),
    failed_auth=policy("failed-auth", 3),
)


@pytest.fixture
def limited(vault_server: Any, mount: str, api_config: ApiConfig) -> Iterator[Api]:
    config = replace(
        api_config,
        rate_limits=LIMITS,
        trusted_proxies=parse_networks("127.0.0.1", setting="X"),
    )
    with running(service_config_for(vault_server, mount), config) as api:
        yield api


def from_address(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


async def test_every_counted_answer_tells_what_is_left(
    limited: Api, issuer: Issuer, path: str
) -> None:
    """Whatever it answers: a value, not found, forbidden, a body that does not fit."""
    token, reader = issuer.tenant("acme"), issuer.tenant("acme", "secrets:read", sub="reader")

    replies = [
        await limited.ask("POST", path, token, json={"data": {"k": "v"}}),
        await limited.ask("GET", path, token),
        await limited.ask("GET", f"{path}/none", token),
        await limited.ask("PUT", path, reader, json={"data": {"k": "v"}}),
        await limited.ask("PUT", path, token, json={}),
        await limited.ask("GET", "", token),
        await limited.ask("GET", "/api/v1/secrets/health"),
    ]

    assert [(reply.status, reply.headers["RateLimit"]) for reply in replies] == [
        (201, '"write";r=4;t=2880'),
        (200, '"read";r=29;t=3480'),
        (404, '"read";r=28;t=3360'),
        (403, '"write";r=4;t=2880'),
        (422, '"write";r=3;t=2160'),
        (200, '"list";r=2;t=2400'),
        (200, '"probe";r=3;t=2700'),
    ]
    assert replies[1].headers["RateLimit-Policy"] == '"read";q=30;w=3600'


async def test_one_too_many_is_refused_before_permission_and_vault(
    limited: Api, issuer: Issuer, vault_server: Any
) -> None:
    """429 with `Retry-After`, whether it would be allowed or not; others go on."""
    nobody = issuer.sign(issuer.claims(permissions=[], sub="nobody"))
    for _ in range(3):
        assert (await limited.ask("GET", "", nobody)).status == 403
    mark = await vault_server.audit_mark()

    reply = await limited.ask("GET", "", nobody)
    grammar = await limited.ask("GET", "a//b", nobody)
    other = await limited.ask("GET", "", issuer.tenant("globex"))

    assert (reply.status, reply.code) == (429, "rate_limited")
    assert reply.headers["RateLimit"] == '"list";r=0;t=1200'
    assert reply.headers["Retry-After"] == "1200"
    assert grammar.status == 400
    assert other.status == 200
    asked = await vault_server.audit_requests(mark)
    assert [where for _, where in asked if "acme" in where] == []


async def test_a_fresh_read_counts_as_ten_over_http(limited: Api, issuer: Issuer) -> None:
    """Three of them use up thirty."""
    token = issuer.tenant("acme")

    replies = [await limited.ask("GET", "t/none?fresh=true", token) for _ in range(4)]

    assert [reply.status for reply in replies] == [404, 404, 404, 429]


async def test_a_rotation_counts_for_its_path(limited: Api, issuer: Issuer) -> None:
    """Another principal of the tenant finds the path's turn taken, and has its own otherwise."""
    first = await limited.ask("POST", "rotate/t/a", issuer.tenant("acme"))
    other = issuer.tenant("acme", sub="other")

    same = await limited.ask("POST", "rotate/t/a", other)
    elsewhere = await limited.ask("POST", "rotate/t/b", other)

    assert first.headers["RateLimit-Policy"] == '"rotate";q=3;w=3600, "rotate-path";q=1;w=3600'
    assert (first.status, same.status, elsewhere.status) == (422, 429, 422)


async def test_a_platform_principal_is_counted_in_each_tenant(limited: Api, issuer: Issuer) -> None:
    """What it uses up in one tenant it has in another, and a tenant's own has its own."""
    token = issuer.platform(sub="somebody")
    for _ in range(3):
        assert (await limited.ask("GET", "?tenant=acme", token)).status == 200

    assert (await limited.ask("GET", "?tenant=acme", token)).status == 429
    assert (await limited.ask("GET", "?tenant=globex", token)).status == 200
    assert (await limited.ask("GET", "", token)).status == 200
    namesake = issuer.tenant("acme", sub="somebody")
    assert (await limited.ask("GET", "", namesake)).status == 200


async def test_who_fails_too_often_is_told_to_wait(limited: Api, issuer: Issuer) -> None:
    """Per address: 401 three times, then 429 with a rising wait; other addresses go on."""
    here, there = from_address("198.51.100.1"), from_address("198.51.100.2")

    replies = [await limited.ask("GET", "t/a", "guess", headers=here) for _ in range(6)]
    bad_path = await limited.ask("GET", "a//b", "guess", headers=here)
    elsewhere = await limited.ask("GET", "t/a", "guess", headers=there)

    assert [reply.status for reply in replies] == [401] * 3 + [429] * 3
    assert [reply.headers.get("Retry-After") for reply in replies[3:]] == ["10", "20", "40"]
    assert bad_path.status == 429
    assert elsewhere.status == 401


async def test_a_valid_bearer_is_served_from_any_address(limited: Api, issuer: Issuer) -> None:
    """An attacker behind the same address shuts out nobody, and health answers on."""
    here = from_address("198.51.100.3")
    for _ in range(5):
        last = await limited.ask("GET", "t/a", "guess", headers=here)

    reply = await limited.ask("GET", "", issuer.tenant("acme"), headers=here)
    health = await limited.ask("GET", "/api/v1/secrets/health", "guess", headers=here)

    assert (last.status, reply.status, health.status) == (429, 200, 200)


async def test_what_a_client_says_of_its_address_does_not_help_it(
    vault_server: Any, mount: str, api_config: ApiConfig
) -> None:
    """Without a trusted proxy the header is nobody's word; the control is the test above."""
    config = replace(api_config, rate_limits=replace(UNLIMITED, failed_auth=LIMITS.failed_auth))
    with running(service_config_for(vault_server, mount), config) as api:
        replies = [
            await api.ask("GET", "t/a", "guess", headers=from_address(f"198.51.100.{number}"))
            for number in range(5)
        ]

    assert [reply.status for reply in replies] == [401] * 3 + [429] * 2


async def test_health_is_limited_by_address_and_probes_are_not(limited: Api) -> None:
    """The kubelet's probes are never refused."""
    here = from_address("198.51.100.4")

    health = [await limited.ask("GET", "/api/v1/secrets/health", headers=here) for _ in range(6)]
    probes = await asyncio.gather(*(limited.ask("GET", "/livez", headers=here) for _ in range(50)))

    assert [reply.status for reply in health] == [200] * 4 + [429] * 2
    assert {reply.status for reply in probes} == {200}
    assert "RateLimit" not in probes[0].headers
