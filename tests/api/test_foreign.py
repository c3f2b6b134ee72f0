"""What another tenant has cannot be told from what nobody has: by answer, header, or time."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from api.conftest import service_config_for
from api.in_process import Headers, InProcess, in_process
from api.issuer import Issuer
from api.live import Reply
from greenlang_secrets_api.config import ApiConfig

PAIRS = 50
"""Paths of the other tenant, each beside one that nobody has."""

TIMED = 1000
"""Timed requests of each kind."""

BODY = b'{"data": {"k": "v"}}'
REQUESTS = (
    ("GET", "", b""),
    ("GET", "?version=1", b""),
    ("GET", "?fresh=true", b""),
    ("HEAD", "", b""),
    ("PUT", "", BODY),
    ("DELETE", "", b""),
    ("DELETE", "?versions=1", b""),
    ("GET", "/versions", b""),
    ("POST", "/undelete", b'{"version": 1}'),
)
"""What may be asked of a secret, but for making one."""

EXISTING = [f"foreign/{number:03}/secret" for number in range(PAIRS)]
MISSING = [f"foreign/{number:03}/absent" for number in range(PAIRS)]


def sent_by(token: str) -> Headers:
    return [
        (b"authorization", b"Bearer " + token.encode()),
        (b"content-type", b"application/json"),
        (b"x-request-id", b"the-same"),
    ]


def seen(reply: Reply) -> tuple[int, list[tuple[str, str]], bytes]:
    """All that a caller gets; only a server adds `Date`."""
    return reply.status, sorted(reply.headers.items()), reply.body


@pytest.fixture
async def app(
    vault_server: Any, mount: str, api_config: ApiConfig, issuer: Issuer
) -> AsyncIterator[InProcess]:
    """The service, and secrets of tenant globex, one of them in its cache."""
    async with in_process(service_config_for(vault_server, mount), api_config) as app:
        headers = sent_by(issuer.tenant("globex"))
        for path in EXISTING:
            assert (await app.ask("POST", path, headers, BODY)).status in {201, 409}
            assert (await app.ask("GET", path, headers)).status == 200
        yield app


def auc(ones: Sequence[float], others: Sequence[float]) -> float:
    """How often one of the ones is greater than one of the others: 0.5 tells nothing, 1 all."""
    ranked = sorted([(value, True) for value in ones] + [(value, False) for value in others])
    ranks = sum(rank for rank, (_, is_one) in enumerate(ranked, 1) if is_one)
    area = (ranks - len(ones) * (len(ones) + 1) / 2) / (len(ones) * len(others))
    return max(area, 1 - area)


async def times(
    app: InProcess, headers: Headers, existing: Sequence[str], missing: Sequence[str], count: int
) -> tuple[list[float], list[float]]:
    """Seconds of GETs of both kinds, in random order, after some that do not count."""
    dice = random.Random(20261125)  # noqa: S311  an order, no secret
    order = [True, False] * count
    dice.shuffle(order)
    taken: dict[bool, list[float]] = {True: [], False: []}
    for number, exists in enumerate([True, False] * 50 + order):
        path = dice.choice(existing if exists else missing)
        began = time.perf_counter()
        await app.ask("GET", path, headers)
        if number >= 100:
            taken[exists].append(time.perf_counter() - began)
    return taken[True], taken[False]


async def answers(
    app: InProcess, headers: Headers, request: tuple[str, str, bytes], query: str = ""
) -> list[tuple[int, list[tuple[str, str]], bytes]]:
    """What comes for each path of both kinds, in turn."""
    method, rest, body = request
    return [
        seen(await app.ask(method, path + rest + query, headers, body))
        for pair in zip(EXISTING, MISSING, strict=True)
        for path in pair
    ]


async def test_another_tenant_named_answers_the_same_and_asks_vault_nothing(
    app: InProcess, issuer: Issuer, vault_server: Any
) -> None:
    """Byte for byte, headers too, for what it has and what it lacks, whatever is asked."""
    headers = sent_by(issuer.tenant("acme"))
    mark = await vault_server.audit_mark()

    for request in REQUESTS:
        query = "&tenant=globex" if "?" in request[1] else "?tenant=globex"
        got = await answers(app, headers, request, query)
        assert {status for status, _, _ in got} == {403}, request
        assert all(answer == got[0] for answer in got), request

    assert await vault_server.audit_requests(mark) == []


async def test_anothers_path_at_home_answers_as_if_nobody_had_it(
    app: InProcess, issuer: Issuer, vault_server: Any, mount: str
) -> None:
    """The same relative path is another secret: what is asked of Vault lies in the caller's own
    prefix, though the other one's value is in the cache.
    """
    headers = sent_by(issuer.tenant("acme"))
    mark = await vault_server.audit_mark()

    for request in REQUESTS:
        got = await answers(app, headers, request)
        assert {status for status, _, _ in got} == {404}, request
        assert all(answer == got[0] for answer in got), request

    asked = {path for _, path in await vault_server.audit_requests(mark)}
    asked -= {"auth/token/lookup-self"}
    assert asked
    assert {path.split("/")[0] for path in asked} == {mount}
    assert {tuple(path.split("/")[2:4]) for path in asked} == {("tenants", "acme")}


async def test_own_existing_is_told_from_own_missing(app: InProcess, issuer: Issuer) -> None:
    """The control: to their owner the two kinds of path answer differently."""
    headers = sent_by(issuer.tenant("globex"))

    one = seen(await app.ask("GET", EXISTING[0], headers))
    other = seen(await app.ask("GET", MISSING[0], headers))

    assert (one[0], other[0]) == (200, 404)


@pytest.mark.timeout(180)
async def test_time_does_not_tell_what_another_tenant_has(app: InProcess, issuer: Issuer) -> None:
    """Named or at home, the times of both kinds lie so that a guess by them is hardly better than
    one by a coin; of one's own secrets they tell.
    """
    acme, globex = sent_by(issuer.tenant("acme")), sent_by(issuer.tenant("globex"))
    named = [[f"{path}?tenant=globex" for path in paths] for paths in (EXISTING, MISSING)]

    by_name = auc(*await times(app, acme, *named, TIMED))
    at_home = auc(*await times(app, acme, EXISTING, MISSING, TIMED // 2))
    own = auc(*await times(app, globex, EXISTING, MISSING, 100))

    assert by_name <= 0.6
    assert at_home <= 0.6
    assert own > 0.75  # the control: a hit in the cache is seen
