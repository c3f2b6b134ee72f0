"""`examples/worker`, with accounts of a real database engine that end every two seconds."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import greenlang_secrets as gs
from support.database import CUT_OFF, DatabaseEngine, database_engine
from support.example import EXAMPLES, Example, environment, running
from support.pool_load import until

KEY = "example/signing"
KEYS = ["first-signing-key", "second-signing-key"]


@pytest.fixture
async def engine(vault_server, postgres_server) -> AsyncIterator[DatabaseEngine]:
    async with database_engine(vault_server, postgres_server) as engine:
        await engine.role(ttl="2s", max_ttl="2s", at_end=CUT_OFF)
        yield engine


@pytest.fixture
async def env(
    config: gs.SecretsServiceConfig, secrets: gs.SecretsService, engine, postgres_server
) -> dict[str, str]:
    """The worker's settings, with what they name in place."""
    place = {
        "username": "nobody",
        "password": "none",
        "host": postgres_server.host,
        "port": str(postgres_server.port),
        "database": "postgres",
    }
    await secrets.create("example/database", place, type=gs.SecretType.DATABASE)
    await secrets.create(KEY, {"api_key": KEYS[0]})
    return environment(
        config,
        DATABASE_SECRET="example/database",
        DATABASE_MOUNT=engine.mount,
        DATABASE_ROLE="app",
        SIGNING_KEY_SECRET=KEY,
        REPORT_SECONDS="0.05",
    )


def reports(example: Example) -> list[dict[str, Any]]:
    """Return what it has reported; a line that is none fails the test."""
    return [json.loads(line) for line in example.lines]


def rightly_signed(report: dict[str, Any]) -> bool:
    plain = {key: report[key] for key in ("account", "sessions")}
    key = KEYS[report["key_version"] - 1].encode()
    text = json.dumps(plain, sort_keys=True).encode()
    return hmac.compare_digest(hmac.digest(key, text, hashlib.sha256).hex(), report["signature"])


async def test_works_on_while_accounts_end_and_the_key_changes(
    env, secrets, engine, tmp_path: Path
):
    """Four accounts and two keys later every report has come and is rightly signed; SIGTERM ends it
    with 0, and its account with it. No key is printed.
    """
    worker = str(EXAMPLES / "worker" / "worker.py")
    async with running(worker, env=env, folder=tmp_path) as example:

        async def reports_of(accounts: int, version: int) -> bool:
            assert example.process.returncode is None, example.output
            told = reports(example)
            enough = len({each["account"] for each in told}) >= accounts
            return enough and told[-1]["key_version"] == version

        await until(lambda: reports_of(2, 1), within=60)
        await secrets.put(KEY, {"api_key": KEYS[1]})
        await until(lambda: reports_of(4, 2), within=60)
        example.process.send_signal(signal.SIGTERM)
        code = await example.ends()

    assert code == 0, example.output
    assert all(map(rightly_signed, reports(example)))
    assert not any(key in example.output for key in KEYS)

    async def dropped() -> bool:
        return await engine.leases() == []

    await until(dropped)


async def test_control_a_report_that_was_changed_is_not_rightly_signed():
    """The control: a signature is of one report."""
    report = {"account": "a", "sessions": 1, "key_version": 1}
    text = json.dumps({"account": "a", "sessions": 1}, sort_keys=True).encode()
    report["signature"] = hmac.digest(KEYS[0].encode(), text, hashlib.sha256).hex()

    assert rightly_signed(report)
    assert not rightly_signed({**report, "sessions": 2})


async def test_ends_at_once_without_its_key(env, secrets, tmp_path: Path):
    """A key that is not there is told at the start, by its path, with an exit code."""
    await secrets.delete(KEY)
    worker = str(EXAMPLES / "worker" / "worker.py")
    async with running(worker, env=env, folder=tmp_path) as example, asyncio.timeout(30):
        code = await example.ends()

    assert code == 1
    assert "SecretDeleted" in example.output
    assert KEY in example.output
