"""The catalogue's database dies, hangs and comes back; the service goes on without it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from greenlang_secrets import SecretType, Tenant, TenantId
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.errors import CatalogueUnavailable
from greenlang_secrets.testing import PostgresServer
from support.audit_records import audit_log, event
from support.catalogues import Place, in_postgres
from support.certificates import self_signed
from support.tls_front import tls_front

ACME = Tenant(TenantId("acme"))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KILLS = int(os.environ.get("GREENLANG_SECRETS_TEST_SHIPPING_KILLS", "8"))


@pytest.fixture
async def server() -> AsyncIterator[PostgresServer]:
    """A PostgreSQL of this test's own, to be mistreated, which keeps what it has written."""
    async with PostgresServer() as server:
        yield server


@pytest.fixture
async def place(server: PostgresServer) -> AsyncIterator[Place]:
    """A catalogue in it."""
    async with in_postgres(server) as place:
        await place.migrate()
        yield replace(place, config=replace(place.config, timeout=2.0))


async def usable(catalogue: Catalogue) -> None:
    while not (await catalogue.health()).usable:
        await asyncio.sleep(0.02)


async def failure(catalogue: Catalogue) -> float:
    """Return how many seconds it took to hear that the database is away."""
    began = time.monotonic()
    with pytest.raises(CatalogueUnavailable):
        await catalogue.index.count(ACME)
    return time.monotonic() - began


async def test_a_mute_database_costs_one_deadline(
    server: PostgresServer, place: Place, supervisor: Supervisor
) -> None:
    """With the server frozen, callers wait for 2 s at most, those after them not at all; once it
    goes on, the catalogue does so by itself.
    """
    async with Catalogue.open(place.config, supervisor) as catalogue:
        await catalogue.index.count(ACME)
        await server.pause()
        try:
            first = await asyncio.gather(*(failure(catalogue) for _ in range(20)))
            later = [await failure(catalogue) for _ in range(50)]
        finally:
            await server.resume()

        await usable(catalogue)

        assert max(first) < 3.0
        assert sorted(later)[25] < 0.05
        assert await catalogue.index.count(ACME) == 0


async def test_a_database_that_was_killed_is_used_again(
    server: PostgresServer, place: Place, supervisor: Supervisor
) -> None:
    """After a kill -9 and a restart the catalogue goes on by itself, with what it had; changes
    told meanwhile are in the index then.
    """
    async with Catalogue.open(place.config, supervisor) as catalogue:
        await catalogue.index.wrote(
            ACME, "before", version=1, type=SecretType.GENERIC, state="live", at=NOON
        )
        await server.kill()
        assert await failure(catalogue) < 3.0
        catalogue.updates.wrote(
            ACME, "meanwhile", version=1, type=SecretType.GENERIC, state="live", at=NOON
        )
        await server.start()

        await catalogue.updates.written()

        page = await catalogue.index.page(ACME)
        assert [item.path for item in page.items] == ["before", "meanwhile"]


async def test_a_catalogue_opens_without_its_database(
    server: PostgresServer, place: Place, supervisor: Supervisor
) -> None:
    """A database that is away keeps nothing from opening, and is used when it comes."""
    await server.kill()
    async with Catalogue.open(place.config, supervisor) as catalogue:
        health = await catalogue.health()
        assert (health.usable, health.obstacle, health.gaps) == (False, "unreachable", None)
        await server.start()

        await usable(catalogue)

        assert await catalogue.index.count(ACME) == 0


async def test_a_rotated_password_is_picked_up(
    place: Place, supervisor: Supervisor, tmp_path: Path
) -> None:
    """The password is read for each new connection, so a rotation needs no restart; as long as
    the file is behind, the catalogue says that the login is refused.
    """
    file = tmp_path / "password"
    await asyncio.to_thread(file.write_text, "first\n")
    await place.rows(f"ALTER ROLE {place.app_role} PASSWORD 'first'")
    config = replace(place.config, password=None, password_file=file)
    terminate = (
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{place.app_role}'"
    )
    async with Catalogue.open(config, supervisor) as catalogue:
        await catalogue.index.count(ACME)
        await place.rows(f"ALTER ROLE {place.app_role} PASSWORD 'second'")
        await place.rows(terminate)
        while (await catalogue.health()).obstacle != "login_refused":
            await asyncio.sleep(0.02)

        await asyncio.to_thread(file.write_text, "second\n")
        await usable(catalogue)

        assert await catalogue.index.count(ACME) == 0


async def test_a_slow_statement_is_ended_by_the_server(
    place: Place, supervisor: Supervisor
) -> None:
    """A statement that waits for a lock fails within the deadline, and does not make the whole
    database look away.
    """
    admin = await asyncpg.connect(place.admin_url)
    async with Catalogue.open(place.config, supervisor) as catalogue:
        await catalogue.index.count(ACME)
        transaction = admin.transaction()
        await transaction.start()
        await admin.execute("LOCK TABLE secrets IN ACCESS EXCLUSIVE MODE")
        try:
            assert await failure(catalogue) < 3.0
        finally:
            await transaction.rollback()
            await admin.close()

        await usable(catalogue)
        assert await catalogue.index.count(ACME) == 0


async def test_tls_is_what_the_url_says(
    server: PostgresServer, place: Place, supervisor: Supervisor, tmp_path: Path
) -> None:
    """With verify-full the connection is encrypted and the server's certificate verified; the
    control: another authority's is not believed.
    """
    ours, other = (self_signed(tmp_path, name) for name in ("ours", "other"))
    async with tls_front(server.port, ours) as front:
        seen = {}
        for name, pem in (("ours", ours), ("other", other)):
            query = {"sslmode": "verify-full", "sslrootcert": str(pem.cert)}
            url = place.config.url.set(port=front.port).update_query_dict(query)
            async with Catalogue.open(replace(place.config, url=url), supervisor) as catalogue:
                seen[name] = (await catalogue.health()).usable

    assert seen == {"ours": True, "other": False}
    assert front.encrypted > 0


_SHIP = """
import asyncio, sys
from pathlib import Path
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue, CatalogueConfig

async def main():
    config = CatalogueConfig.of(sys.stdin.readline().strip())
    async with Supervisor() as supervisor, Catalogue.open(config, supervisor) as catalogue:
        catalogue.ship(Path(sys.argv[1]))
        print("shipping", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def _shipper(place: Place, path: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SHIP, str(path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(place.login(place.app_role or "").encode() + b"\n")
    await process.stdin.drain()
    await process.stdout.readline()
    return process


@pytest.mark.timeout(240)
async def test_kills_lose_and_double_nothing(
    server: PostgresServer, place: Place, tmp_path: Path
) -> None:
    """The shipping process is killed at moments of its work, the database too, and the log is
    rotated; in the end every record of the log is in the catalogue, once.
    """
    path = tmp_path / "audit.jsonl"
    written = 0
    async with audit_log(path) as log:
        for turn in range(KILLS):
            for _ in range(20):
                await log.write(*(event(written + number) for number in range(1, 51)))
                written += 50
            process = await _shipper(place, path)
            try:
                before = await _count(place)
                while await _count(place) == before:  # in the midst of its work
                    await asyncio.sleep(0.001)
                if turn % 3 == 1:
                    await server.kill()
                    await server.start()
                if turn % 3 == 2:
                    await asyncio.to_thread(path.rename, tmp_path / f"audit.jsonl.{turn}")
                    log.reopen()
            finally:
                process.send_signal(signal.SIGKILL)
                await process.wait()
        process = await _shipper(place, path)
        try:
            while await _count(place) < written:
                await asyncio.sleep(0.05)
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()

    rows = await place.rows("SELECT id, seq FROM audit_events ORDER BY seq")
    files = await asyncio.to_thread(lambda: sorted(tmp_path.glob("audit.jsonl*")))
    ids = {}
    for file in files:
        if file.suffix != ".head":
            for line in (await asyncio.to_thread(file.read_text)).splitlines():
                record = json.loads(line)
                ids[record["seq"]] = record["id"]
    assert {seq: id_ for id_, seq in rows} == ids
    assert len(rows) == written == len(ids)


async def _count(place: Place) -> int:
    [(count,)] = await place.rows("SELECT count(*) FROM audit_events")
    return int(count)
