"""Two processes of the service on one PostgreSQL and one Valkey are one service to a caller."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from api.issuer import Issuer
from api.live import Api
from api.processes import process, started
from support.catalogues import Place, in_postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUOTA = 30


@dataclass(frozen=True)
class Replicas:
    """Both, and where they keep what they share and what they do not."""

    one: Api
    other: Api
    catalogue: Place
    audit_files: tuple[Path, Path]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(
    settings: dict[str, str],
    postgres_server: Any,
    valkey_server: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Replicas]:
    """Values are fresh for an hour: who sees a change sooner was told of it."""
    folder = tmp_path_factory.mktemp("replicas")
    async with AsyncExitStack() as stack:
        catalogue = await stack.enter_async_context(in_postgres(postgres_server))
        await catalogue.migrate()
        password_file = folder / "password"
        password_file.write_text(catalogue.config.read_password() or "")
        password_file.chmod(0o600)
        shared = {
            **settings,
            "GREENLANG_SECRETS_CACHE_FRESH_SECONDS": "3600",
            "GREENLANG_SECRETS_CACHE_STALE_SECONDS": "7200",
            "GREENLANG_SECRETS_DATABASE_URL": catalogue.config.shown,
            "GREENLANG_SECRETS_DATABASE_PASSWORD_FILE": str(password_file),
            "GREENLANG_SECRETS_RATE_LIMIT_URL": valkey_server.url,
            "GREENLANG_SECRETS_RATE_LIMIT_READ": f"{QUOTA}/1h",
        }
        apis, files = [], []
        for name in ("one", "other"):
            state = folder / name
            own = {**shared, "GREENLANG_SECRETS_STATE_DIR": str(state)}
            apis.append(await started(await stack.enter_async_context(process(own))))
            files.append(state / "audit.jsonl")
        yield Replicas(apis[0], apis[1], catalogue, (files[0], files[1]))


async def until(ask: Any, wanted: Any) -> Any:
    """Ask until the answer is as wanted, for ten seconds at most."""
    async with asyncio.timeout(10):
        while not wanted(reply := await ask()):
            await asyncio.sleep(0.02)
    return reply


async def test_a_write_on_one_is_seen_through_the_other(
    replicas: Replicas, issuer: Issuer, path: str
) -> None:
    """Long before the other's value stops being fresh; the control is what it held before."""
    writer, reader = issuer.tenant("acme", sub="writer"), issuer.tenant("acme", sub="reader")
    await replicas.one.ask("POST", path, writer, json={"data": {"k": "one"}})
    assert (await replicas.other.ask("GET", path, reader)).json["data"] == {"k": "one"}
    held = await replicas.other.ask("GET", path, reader)

    await replicas.one.ask("PUT", path, writer, json={"data": {"k": "two"}})

    seen = await until(
        lambda: replicas.other.ask("GET", path, issuer.tenant("acme", sub=secrets.token_hex(4))),
        lambda reply: reply.json["version"] == 2,
    )
    assert (held.json["version"], seen.json["data"]) == (1, {"k": "two"})


async def test_a_deletion_on_one_ends_a_long_poll_at_the_other(
    replicas: Replicas, issuer: Issuer, path: str
) -> None:
    """Who waits at one replica hears of a new version that was written at the other."""
    token = issuer.tenant("acme")
    await replicas.one.ask("POST", path, token, json={"data": {"k": "one"}})
    sent = {"If-None-Match": '"1"', "Prefer": "wait=30"}
    poll = asyncio.ensure_future(replicas.other.ask("GET", path, token, headers=sent))
    done, _ = await asyncio.wait([poll], timeout=0.1)
    assert not done

    await replicas.one.ask("PUT", path, token, json={"data": {"k": "two"}})

    reply = await asyncio.wait_for(poll, 10)
    assert (reply.status, reply.json["data"]) == (200, {"k": "two"})


async def test_limits_are_shared(replicas: Replicas, issuer: Issuer) -> None:
    """Whoever asks both in turn gets one quota in all, and what each lets through before it asks
    the store, a twentieth; another caller has its own. Unshared, each would allow the quota.
    """
    token = issuer.tenant("acme", sub=secrets.token_hex(4))

    replies = [
        await (replicas.one, replicas.other)[n % 2].ask("GET", "t/none", token)
        for n in range(2 * QUOTA)
    ]

    allowed = [reply.status for reply in replies].count(404)
    assert QUOTA <= allowed <= QUOTA + 2 * (QUOTA // 20 + 1)
    assert [reply.status for reply in replies[allowed:]] == [429] * (2 * QUOTA - allowed)
    stranger = issuer.tenant("acme", sub=secrets.token_hex(4))
    assert (await replicas.other.ask("GET", "t/none", stranger)).status == 404


async def test_a_key_is_known_to_both(replicas: Replicas, issuer: Issuer, path: str) -> None:
    """A request that is sent again to the other replica gets the answer of the first."""
    token = issuer.tenant("acme")
    sent = {"Idempotency-Key": secrets.token_hex(8)}
    body = {"data": {"k": "v"}}

    first = await replicas.one.ask("POST", path, token, json=body, headers=sent)
    again = await replicas.other.ask("POST", path, token, json=body, headers=sent)
    other = await replicas.other.ask("POST", path, token, json={"data": {"k": "w"}}, headers=sent)

    assert (first.status, again.status, again.body) == (201, 201, first.body)
    assert again.headers["Idempotent-Replay"] == "true"
    assert (other.status, other.code) == (422, "idempotency_mismatch")


async def test_a_cursor_of_one_is_good_at_the_other(
    replicas: Replicas, issuer: Issuer, path: str
) -> None:
    """The key they are signed with is Vault's, and so the same."""
    token = issuer.tenant("acme")
    for name in ("a", "b"):
        await replicas.one.ask("POST", f"{path}/{name}", token, json={"data": {"k": "v"}})

    first = await replicas.one.ask("GET", f"?prefix={path}/&limit=1", token)
    cursor = first.json["next"]
    second = await replicas.other.ask("GET", f"?prefix={path}/&limit=1&after={cursor}", token)

    assert [item["path"] for item in first.json["items"]] == [f"{path}/a"]
    assert [item["path"] for item in second.json["items"]] == [f"{path}/b"]


async def test_both_logs_arrive_in_one_catalogue(
    replicas: Replicas, issuer: Issuer, path: str
) -> None:
    """Each record of both is there once, and none is there that is in no log."""
    token = issuer.tenant("acme")
    for n, api in enumerate((replicas.one, replicas.other) * 3):
        await api.ask("POST", f"{path}/{n}", token, json={"data": {"k": "v"}})

    def logged() -> set[str]:
        lines = [line for file in replicas.audit_files for line in file.read_text().splitlines()]
        return {json.loads(line)["id"] for line in lines}

    async def copied() -> list[str]:
        return [row[0] for row in await replicas.catalogue.rows("SELECT id FROM audit_events")]

    found = await until(copied, lambda ids: set(ids) >= logged())
    assert sorted(found) == sorted(logged())
