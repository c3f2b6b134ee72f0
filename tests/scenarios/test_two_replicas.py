"""Two processes of the service, one PostgreSQL, one Valkey: to a caller they are one."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from api.conftest import mount_kv
from api.issuer import AUDIENCE, ISSUER, Issuer
from api.live import Api
from support.catalogues import in_postgres
from support.zygote import Zygote, kill

Start = Callable[..., Awaitable[tuple[int, Api]]]

ALONE = (
    "GREENLANG_SECRETS_DATABASE_URL=",
    "GREENLANG_SECRETS_DATABASE_PASSWORD_FILE=",
    "GREENLANG_SECRETS_RATE_LIMIT_URL=",
)
"""What takes from a replica what it shares with others, but for Vault."""


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def start(
    vault_server: Any, postgres_server: Any, valkey_server: Any, tmp_path: Path, issuer: Issuer
) -> AsyncIterator[Start]:
    """Starts a replica, with an audit log of its own."""
    async with in_postgres(postgres_server) as place:
        await place.migrate()
        password = tmp_path / "password"
        password.write_text(place.config.password.reveal())
        own = {k: v for k, v in os.environ.items() if not k.startswith(("VAULT_", "BAO_", "GREEN"))}
        environment = own | {
            "VAULT_ADDR": vault_server.addr,
            "VAULT_TOKEN": vault_server.root_token,
            "GREENLANG_SECRETS_KV_MOUNT": await mount_kv(vault_server),
            "GREENLANG_SECRETS_TENANT_TOKEN_ROLE": "none",
            "GREENLANG_SECRETS_DATABASE_URL": place.config.shown.replace(":***", ""),
            "GREENLANG_SECRETS_DATABASE_PASSWORD_FILE": str(password),
            "GREENLANG_SECRETS_DATABASE_TIMEOUT_SECONDS": "10",
            "GREENLANG_SECRETS_RATE_LIMIT_URL": valkey_server.url,
            "GREENLANG_SECRETS_RATE_LIMIT_READ": "30/1h",
            "GREENLANG_SECRETS_RATE_LIMIT_WRITE": "off",
            "GREENLANG_SECRETS_JWT_ISSUER": ISSUER,
            "GREENLANG_SECRETS_JWT_AUDIENCE": AUDIENCE,
            "GREENLANG_SECRETS_JWT_JWKS_FILE": str(issuer.write(tmp_path / "jwks.json")),
        }
        async with Zygote.open(environment, tmp_path / "log") as zygote:

            async def start(name: str, *variables: str) -> tuple[int, Api]:
                state = f"GREENLANG_SECRETS_STATE_DIR={tmp_path / name}"
                pid, url = await zygote.serve(tmp_path / f"{name}.url", state, *variables)
                return pid, Api(url)

            yield start


async def allowed(replicas: list[Api], token: str, count: int) -> int:
    """How many of so many reads, by turns, are let through."""
    replies = [
        await replicas[number % len(replicas)].ask("GET", "r/none", token)
        for number in range(count)
    ]
    assert {reply.status for reply in replies} <= {404, 429}
    return sum(reply.status != 429 for reply in replies)


@pytest.mark.timeout(180)
async def test_replicas_share_limits_changes_keys_and_cursors(start: Start, issuer: Issuer) -> None:
    """One limit for both; what one writes the other reads at once, though it had the old value in
    its cache; a repetition gets the first answer elsewhere, also when the first replica is gone.
    """
    pid, one = await start("one")
    _, other = await start("other")
    _, alone = await start("alone", *ALONE)
    token = issuer.tenant("acme", sub="writer")
    readers = [issuer.tenant("acme", sub=f"reader-{number}") for number in range(20)]

    # Limits: as many as one may, or a few more, for a replica that a busy Valkey keeps waiting
    # counts by itself for a moment. The control is a replica that always does.
    assert 30 <= await allowed([one, other], issuer.tenant("acme", sub="many"), 80) < 45
    assert await allowed([one, alone], issuer.tenant("acme", sub="others"), 80) >= 60

    # Changes: the control is a replica that does not hear of them, and keeps the old value.
    await one.ask("POST", "r/a", token, json={"data": {"k": "0"}})
    for replica in (one, other, alone):
        assert (await replica.ask("GET", "r/a", readers[0])).json["version"] == 1
    for version in range(2, 12):
        await one.ask("PUT", "r/a", token, json={"data": {"k": str(version)}})
        began = time.monotonic()
        for reader in readers:
            if (seen := (await other.ask("GET", "r/a", reader)).json["version"]) == version:
                break
            await asyncio.sleep(0.02)
        assert (seen, time.monotonic() - began < 5) == (version, True)
    assert (await alone.ask("GET", "r/a", readers[0])).json["version"] == 1

    # Keys of repetition, and cursors.
    key = {"Idempotency-Key": "once"}
    first = await one.ask("POST", "r/b", token, json={"data": {"k": "v"}}, headers=key)
    page = await one.ask("GET", "?prefix=r/&limit=1", token)
    kill(pid)
    again = await other.ask("POST", "r/b", token, json={"data": {"k": "v"}}, headers=key)
    mismatch = await other.ask("POST", "r/b", token, json={"data": {"k": "w"}}, headers=key)
    anew = await alone.ask("POST", "r/b", token, json={"data": {"k": "v"}}, headers=key)
    rest = await other.ask("GET", f"?prefix=r/&limit=1&after={page.json['next']}", token)

    assert (first.status, "Idempotent-Replay" in first.headers) == (201, False)
    assert (again.status, again.headers["Idempotent-Replay"]) == (201, "true")
    assert again.body == first.body
    assert (mismatch.status, mismatch.code) == (422, "idempotency_mismatch")
    assert (anew.status, anew.code) == (409, "secret_exists")  # the control
    assert [item["path"] for item in page.json["items"] + rest.json["items"]] == ["r/a", "r/b"]
