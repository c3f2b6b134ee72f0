"""Messages that do not arrive: each time something may have been missed, everything is read anew."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

import greenlang_secrets as gs
from greenlang_secrets.invalidation import Invalidation, InvalidationConfig
from greenlang_secrets.invalidation import notices as notices_module
from greenlang_secrets.invalidation.notices import CHANNEL
from greenlang_secrets.testing import PostgresServer

QUICK = InvalidationConfig(revalidate_every=0.2, audit_poll_every=0.02)

Connect = Callable[[], Awaitable[asyncpg.Connection]]
Replicas = Callable[..., contextlib.AbstractAsyncContextManager["Replica"]]


class Replica:
    def __init__(self, service: gs.SecretsService, heard: Invalidation) -> None:
        self.service = service
        self.heard = heard

    @property
    def listening(self) -> bool:
        return self.heard.feed is not None and self.heard.feed.listening

    async def value(self, path: str = "x") -> str:
        return (await self.service.get(path))["k"].reveal()

    async def comes_to(self, expected: str, path: str = "x") -> None:
        async with asyncio.timeout(20):
            while await self.value(path) != expected:
                await asyncio.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def hold(other: Replica, value: str, path: str = "x", *, written_by: Replica) -> None:
    """Have a replica hold what another has written, and nothing on its way that would change it."""
    before = other.heard.revalidation.stats().paths
    await written_by.service.put(path, {"k": value})
    await until(lambda: other.heard.revalidation.stats().paths > before)
    assert await other.value(path) == value


@pytest.fixture
async def postgres() -> AsyncIterator[PostgresServer]:
    """A PostgreSQL of this test's own, to be mistreated."""
    async with PostgresServer() as server:
        yield server


@pytest.fixture
def connect(postgres) -> Connect:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(postgres.url, ssl=False)

    return connect


@pytest.fixture
def replica(opened, vault, connect) -> Replicas:
    """Open a service that holds what it has read for an hour."""

    @contextlib.asynccontextmanager
    async def replica(hears: InvalidationConfig = QUICK) -> AsyncIterator[Replica]:
        config = gs.SecretsServiceConfig(addresses=(vault.addr,))
        told = not hears.vault_audit_logs
        async with (
            opened(fresh_for=3600, stale_for=7200) as service,
            Invalidation.open(
                service.followers, config, hears=hears, connect=connect if told else None
            ) as heard,
        ):
            one = Replica(service, heard)
            await until(lambda: one.listening or not told)
            yield one

    return replica


@pytest.fixture
def deaf_to_gaps(monkeypatch) -> None:
    """Without the defence: nothing is read anew when a message may have been missed."""
    monkeypatch.setattr(
        "greenlang_secrets.invalidation.revalidation.Revalidation.everything", lambda *_: None
    )


async def end_connections(postgres: PostgresServer) -> None:
    admin = await asyncpg.connect(postgres.url, ssl=False)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    await admin.close()


# ---------------------------------------------------------------- the connection


async def test_nothing_stays_old_though_connections_are_ended_during_writes(replica, postgres):
    """Connections are ended all the time while one replica writes; in the end all is new on the
    other.
    """
    paths = [f"p/{number}" for number in range(40)]
    async with replica() as one, replica() as other:
        for path in paths:
            await hold(other, "old", path, written_by=one)

        async def write() -> None:
            for path in paths:
                await one.service.put(path, {"k": "new"})

        writing = asyncio.create_task(write())
        while not writing.done():
            await end_connections(postgres)
            await asyncio.sleep(0.05)
        await writing

        for path in paths:
            await other.comes_to("new", path)


@pytest.mark.usefixtures("deaf_to_gaps")
async def test_without_reading_anew_what_was_missed_stays_old(replica, vault, postgres):
    """The control: what was told while the connection was away is missed for good."""
    async with replica() as one, replica() as other:
        await hold(other, "old", written_by=one)
        await hold(other, "old", "y", written_by=one)
        assert other.heard.feed is not None
        other.heard.feed._connect = refuse  # it stays away until told otherwise
        before = one.heard.revalidation.stats()
        await end_connections(postgres)
        await until(lambda: not other.listening)
        await until(lambda: one.listening)
        await one.service.put("x", {"k": "new"})
        await until(lambda: one.heard.feed is not None and one.heard.feed._told_at is None)
        await until(lambda: not one.heard.feed._outbox)

        other.heard.feed._connect = one.heard.feed._connect
        await until(lambda: other.listening)
        await one.service.put("y", {"k": "new"})
        await other.comes_to("new", "y")

        assert await other.value() == "old"
        assert one.heard.revalidation.stats() == before


async def refuse() -> asyncpg.Connection:
    raise ConnectionRefusedError


async def test_what_was_told_while_it_was_away_is_seen_after_its_return(replica, postgres):
    """With the defence, the same comes out well."""
    async with replica() as one, replica() as other:
        await hold(other, "old", written_by=one)
        assert one.heard.feed is not None
        assert other.heard.feed is not None
        other.heard.feed._connect = refuse
        await end_connections(postgres)
        await until(lambda: not other.listening)
        await until(lambda: one.listening)
        await one.service.put("x", {"k": "new"})
        await until(lambda: one.heard.feed is not None and not one.heard.feed._outbox)

        other.heard.feed._connect = one.heard.feed._connect

        await other.comes_to("new")


async def test_database_killed_and_started_again(replica, postgres):
    """What is written while the database is away is seen when it is back."""
    async with replica() as one, replica() as other:
        await hold(other, "old", written_by=one)
        await postgres.kill()
        await until(lambda: not one.listening and not other.listening)

        await one.service.put("x", {"k": "new"})
        assert await other.value() == "old"
        await postgres.start()

        await other.comes_to("new")
        await until(lambda: one.listening and other.listening)
        await one.service.put("x", {"k": "newer"})
        await other.comes_to("newer")


async def test_service_opens_while_the_database_is_away(opened, vault, postgres, connect):
    """A database that cannot be reached keeps nobody from reading; it is used when it is there."""
    await postgres.kill()
    config = gs.SecretsServiceConfig(addresses=(vault.addr,))
    async with (
        opened() as service,
        Invalidation.open(service.followers, config, hears=QUICK, connect=connect) as heard,
    ):
        await service.put("x", {"k": "1"})
        assert (await service.get("x"))["k"].reveal() == "1"
        assert heard.feed is not None
        assert not heard.feed.listening

        await postgres.start()

        await until(lambda: heard.feed is not None and heard.feed.listening)


async def test_connection_that_leads_nowhere_is_noticed(replica, postgres, monkeypatch):
    """A connection that stays open and is mute is given up within ten seconds, and replaced."""
    async with replica() as one, replica() as other:
        await hold(other, "old", written_by=one)
        admin = await asyncpg.connect(postgres.url, ssl=False)
        rows = await admin.fetch(
            "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        stopped = [row["pid"] for row in rows]
        assert len(stopped) == 2
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(10):
                await until(lambda: not other.listening)
                await until(lambda: one.listening and other.listening)
            await one.service.put("x", {"k": "new"})
            await other.comes_to("new")
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            await admin.close()


async def test_connection_that_hears_nothing_is_noticed(replica, postgres, connect, monkeypatch):
    """Where what we tell does not come back, as behind a pooler that shares connections, the
    connection is replaced again and again, and it is said.
    """
    monkeypatch.setattr(notices_module, "_DEADLINE", 0.2)
    monkeypatch.setattr(notices_module, "_BEAT", 0.1)
    async with replica() as one:
        assert one.heard.feed is not None

        class Deaf:
            """A connection on which nothing comes in."""

            def __init__(self, connection: asyncpg.Connection) -> None:
                self.connection = connection

            async def add_listener(self, *_: object) -> None:
                """Listen to nothing."""

            def __getattr__(self, name: str) -> object:
                return getattr(self.connection, name)

        async def deaf() -> Deaf:
            return Deaf(await connect())

        assert one.heard.feed._lost == ""
        one.heard.feed._connect = deaf
        begun = one.heard.revalidation.stats().everything
        await end_connections(postgres)

        await until(lambda: one.heard.feed is not None and one.heard.feed._lost == "TimeoutError")
        await until(lambda: one.heard.revalidation.stats().everything > begun + 1)


# ---------------------------------------------------------------- the others


async def test_replica_that_falls_silent_may_have_written(replica, connect, vault, monkeypatch):
    """A replica that died between its write and its message has told nobody: its silence is a
    reason to read everything anew.
    """
    monkeypatch.setattr(notices_module, "_SILENT", 1.0)
    monkeypatch.setattr(notices_module, "_BEAT", 0.2)
    async with replica() as one:
        await one.service.put("x", {"k": "old"})
        assert await one.value() == "old"
        dying = await connect()
        fields = {"kind": "alive", "origin": "d" * 16, "seq": 3}
        payload = json.dumps({**fields, "tenant": None, "path": None, "version": None})
        await dying.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)
        assert one.heard.feed is not None
        await until(lambda: "d" * 16 in one.heard.feed._replicas)

        await vault.request("POST", "secret/data/greenlang/x", {"data": {"k": "new"}})
        await dying.close()

        await one.comes_to("new")
        assert "d" * 16 not in one.heard.feed._replicas


async def test_replica_that_leaves_in_order_is_no_reason(replica):
    """A replica that closes says so, after what it had left to tell."""
    async with replica() as one:
        await one.service.put("x", {"k": "old"})
        async with replica() as other:
            assert await one.value() == "old"
            assert one.heard.feed is not None
            await until(lambda: len(one.heard.feed._replicas) == 1)
            before = one.heard.revalidation.stats().everything
            await other.service.put("x", {"k": "new"})

        await one.comes_to("new")
        await until(lambda: not one.heard.feed._replicas)
        assert one.heard.revalidation.stats().everything == before


async def test_crowd_of_forged_replicas_is_bounded(replica, connect, monkeypatch):
    """More names than there can be replicas do not fill the memory."""
    monkeypatch.setattr(notices_module, "_REPLICAS", 10)
    async with replica() as one:
        forger = await connect()
        fields = {"kind": "alive", "seq": 3, "tenant": None, "path": None, "version": None}
        before = one.heard.revalidation.stats().everything
        for number in range(20):
            payload = json.dumps({**fields, "origin": f"{number:016x}"})
            await forger.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)
        await forger.close()

        await until(lambda: one.heard.revalidation.stats().everything > before)
        assert one.heard.feed is not None
        assert len(one.heard.feed._replicas) <= 10


# ---------------------------------------------------------------- the audit file


@pytest.fixture
def tails(vault) -> InvalidationConfig:
    return InvalidationConfig(
        vault_audit_logs=(vault.audit_file,), audit_poll_every=0.02, revalidate_every=0.2
    )


@pytest.fixture
def write(vault) -> Callable[..., Awaitable[None]]:
    """Write behind the service's back."""

    async def write(value: str, path: str = "x") -> None:
        status, _ = await vault.request(
            "POST", f"secret/data/greenlang/{path}", {"data": {"k": value}}
        )
        assert status == 200

    return write


async def test_log_that_is_rotated_by_renaming_is_followed(replica, vault, write, tails):
    """Before the rename, between it and the signal, and after: every write is seen, and nothing
    else is read anew.
    """
    await write("1")
    async with replica(tails) as one:
        await until(lambda: one.heard.tails[0].following)
        assert await one.value() == "1"
        before = one.heard.revalidation.stats().everything

        for number in range(2, 8, 2):
            vault.audit_file.rename(vault.audit_file.with_suffix(f".{number}"))
            await write(str(number))
            await one.comes_to(str(number))
            os.kill(vault.pid, signal.SIGHUP)
            await until(vault.audit_file.exists)
            await write(str(number + 1))
            await one.comes_to(str(number + 1))

        assert one.heard.revalidation.stats().everything == before


async def test_log_that_is_copied_and_truncated_is_followed(replica, vault, write, tails):
    """`copytruncate` may lose lines: everything is read anew, and later writes are seen."""
    await write("1")
    async with replica(tails) as one:
        await until(lambda: one.heard.tails[0].following)
        assert await one.value() == "1"
        before = one.heard.revalidation.stats().everything

        shutil.copy(vault.audit_file, vault.audit_file.with_suffix(".1"))
        os.truncate(vault.audit_file, 0)

        await until(lambda: one.heard.revalidation.stats().everything > before)
        await write("2")
        await one.comes_to("2")


@pytest.mark.parametrize("garbage", [b"garbage\n", b'{"time":"\n', b"x" * (3 << 20) + b"\n"])
async def test_line_that_cannot_be_read_has_everything_read_anew(
    replica, vault, write, tails, garbage
):
    """Whatever stood in it, what is held is asked for again; the lines after it are read."""
    await write("1")
    async with replica(tails) as one:
        await until(lambda: one.heard.tails[0].following)
        assert await one.value() == "1"
        before = one.heard.revalidation.stats().everything

        await asyncio.to_thread(append, vault.audit_file, garbage)

        await until(lambda: one.heard.revalidation.stats().everything > before)
        await write("2")
        await one.comes_to("2")


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


async def test_log_that_is_not_there_is_waited_for(replica, vault, write, caplog):
    """A missing file is said once, keeps nobody from reading, and is followed when it is there."""
    later = vault.audit_file.with_name("later.log")
    hears = InvalidationConfig(vault_audit_logs=(later,), audit_poll_every=0.01)
    await write("1")
    async with replica(hears) as one:
        assert await one.value() == "1"
        await until(lambda: "vault_audit.missing" in caplog.messages)
        await asyncio.to_thread(os.link, vault.audit_file, later)
        await until(lambda: one.heard.tails[0].following)
        assert await one.value() == "1"

        await write("2")

        await one.comes_to("2")
    assert caplog.messages.count("vault_audit.missing") == 1
