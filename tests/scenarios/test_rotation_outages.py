"""Targets and answers that are away in mid-rotation, and what servers write down of it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath
from greenlang_secrets.rotation.scram import scram_verifier
from greenlang_secrets.rotation_model import RotationOutcome
from greenlang_secrets.testing import Fault, FaultProxy, PostgresServer
from support.rotated import Logins, Rotated, Stage
from support.rotators import Line, Rotators

AWAY = float(os.environ.get("GREENLANG_SECRETS_TEST_ROTATION_AWAY_SECONDS", "6"))

measured = logging.getLogger("measured")


@pytest.fixture
async def own_postgres() -> AsyncIterator[PostgresServer]:
    """A PostgreSQL of the test's own, to be killed."""
    async with PostgresServer() as server:
        yield server


def finished(told: list[Line]) -> bool:
    return any(line.what == "finish after" for line in told)


@pytest.mark.timeout(180 + 2 * AWAY)
@pytest.mark.parametrize("before", ["apply", "verify", "retire"])
async def test_database_that_is_away_in_mid_rotation(
    rotators: Rotators, own_postgres: PostgresServer, stage: Stage, tmp_path: Path, before: str
) -> None:
    """It dies before a step that needs it: the step is tried until it is back, and the rotation
    ends by itself; what is stored works whenever there is a server to try it on.
    """
    secret = await stage.database(own_postgres, "db/main")
    go_on = tmp_path / "go-on"
    pid = await rotators.start(**secret.job, rotate=1, wait=(before, "before", str(go_on)))
    await rotators.until(
        pid, lambda told: any(line.what == f"{before} before" for line in told), within=60
    )
    assert await secret.stored_works()

    await own_postgres.kill()
    go_on.touch()
    loop = asyncio.get_running_loop()
    back = loop.time() + AWAY
    while loop.time() < back:
        with pytest.raises(OSError, match="Connect call failed"):
            await secret.stored_works()
        await asyncio.sleep(0.1)
    failed = [line for line in rotators.told(pid) if line.what == f"{before} failed"]
    await own_postgres.start()
    async with Logins(stage.service, [secret]) as logins:
        await rotators.until(pid, finished, within=60)

    measured.info(
        "away for %g s before %s: %d attempts, %d logins, %d failed",
        *(AWAY, before, len(failed), logins.count, len(logins.failures)),
    )
    assert failed
    assert {line.error for line in failed} <= {"target_unavailable"}
    assert logins.failures == []
    assert (await secret.stored()).version == 2
    (run,) = await secret.history()
    assert (run.outcome, run.version) == (RotationOutcome.SUCCESS, 2)


@pytest.mark.timeout(120)
async def test_promotion_whose_answer_is_lost_is_done_once(
    rotators: Rotators, stage: Stage, valkey_server: Any
) -> None:
    """Vault has the new version, and the answer never comes: it is found to be done, not repeated,
    and no failure is told.
    """
    secret = await stage.cache(valkey_server, "cache/main")
    place = KvPath.of(stage.mount, PLATFORM, SecretPath.parse(secret.path))
    wire = f"{stage.mount}/data/{'/'.join(place.segments)}"
    async with FaultProxy(stage.vault.addr) as proxy, Logins(stage.service, [secret]) as logins:
        proxy.inject(Fault.DROP_RESPONSE, times=1, method="POST", path_prefix=wire)
        proxy.inject(Fault.DROP_RESPONSE, times=1, method="PUT", path_prefix=wire)
        pid = await rotators.start(**{**secret.job, "addr": proxy.addr}, rotate=1)
        await rotators.until(pid, finished, within=60)
        dropped = [seen for seen in proxy.requests if seen.fault is Fault.DROP_RESPONSE]
        writes = [seen for seen in proxy.requests if seen.path == wire and seen.method != "GET"]

    told = rotators.told(pid)
    assert (len(dropped), dropped[0].path) == (1, wire)
    assert len(writes) <= 2  # the second one names the same version, and is refused
    assert [line.what for line in told if line.what.startswith("promote")] == [
        "promote before",
        "promote after",
    ]
    assert not [line for line in told if line.what.endswith("failed")]
    assert (await secret.stored()).version == 2
    (run,) = await secret.history()
    assert (run.outcome, run.version, run.error_code) == (RotationOutcome.SUCCESS, 2, None)
    assert await secret.stored_works()
    assert logins.failures == []


async def _log_everything(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        for setting in (
            "log_statement = 'all'",
            "log_min_duration_statement = 0",
            "log_parameter_max_length = -1",
            "log_parameter_max_length_on_error = -1",
            "log_min_messages = 'debug1'",
            "log_min_error_statement = 'debug1'",
        ):
            await connection.execute(f"ALTER SYSTEM SET {setting}")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


async def _values(secret: Rotated, version: int) -> list[str]:
    """Return the password of a version, and what the server keeps of it in place of it."""
    client = secret.service.client
    place = KvPath.of(secret.job["mount"], PLATFORM, SecretPath.parse(secret.path))
    data = (await client.kv(PLATFORM).read(place, version=version)).data
    user, password = data["username"].reveal(), data["password"].reveal()
    kept = await secret.target.sql(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{user}'")
    assert kept.startswith("SCRAM-SHA-256$")
    return [password, kept, kept.split("$")[-1], *kept.split("$")[-1].split(":")]


@pytest.mark.timeout(120)
async def test_no_password_in_the_log_of_the_database(
    rotators: Rotators, own_postgres: PostgresServer, stage: Stage
) -> None:
    """A server that logs all statements with their parameters has neither the new password nor what
    it keeps of it in its log after two rotations; one that an administrator sets by hand is there.
    """
    secret = await stage.database(own_postgres, "db/main")
    await _log_everything(own_postgres)
    pid = await rotators.start(**secret.job, rotate=1)
    await rotators.until(pid, finished, within=60)
    await rotators.kill(pid)
    hidden = await _values(secret, 2)
    other = await rotators.start(**secret.job, rotate=1)
    await rotators.until(other, finished, within=60)
    hidden += await _values(secret, 3)
    verifier = scram_verifier((await secret.stored()).data["password"]).reveal()
    planted = [f"ALTER ROLE {secret.target.a} PASSWORD '{text}'" for text in ("planted", verifier)]
    await secret.target.sql(*planted, "SELECT 1")

    log = await asyncio.to_thread(own_postgres.log_file.read_text)

    assert log.count("gls_fence") >= 4  # it does log what is done
    assert [text for text in hidden if text in log] == []
    assert "'planted'" in log
    assert verifier in log
