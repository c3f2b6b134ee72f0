import asyncio
import os
import pwd
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from greenlang_secrets.testing import ExternalPostgres, PostgresServer, ServerError
from greenlang_secrets.testing import postgres as postgres_module
from greenlang_secrets.testing.family import exists, family
from greenlang_secrets.testing.plugin import _running


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One server for the tests that leave it running; `postgres_server` may be somebody else's."""
    with _running(PostgresServer()) as running:
        yield running


async def _fetch(server: PostgresServer, query: str) -> object:
    connection = await asyncpg.connect(server.url, timeout=5)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def _matching(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


async def test_serves_on_tcp_with_a_password(server: PostgresServer) -> None:
    """The URL opens a superuser's session; a wrong password does not."""
    assert await _fetch(server, "select usesuper from pg_user where usename = user") is True
    assert await _fetch(server, "show fsync") == "off"

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.url.replace(server.password, "wrong"), timeout=5)


async def test_does_not_run_as_root(server: PostgresServer) -> None:
    """PostgreSQL runs as an ordinary user also when we are root."""
    owner = os.stat(f"/proc/{server.pid}").st_uid  # noqa: PTH116  no disk behind it

    assert owner != 0


async def test_keeps_its_data(tmp_path: Path) -> None:
    """Over a crash and another object, data and password stay; files are private."""
    folder = tmp_path / "postgres"
    async with PostgresServer(data_dir=folder) as server:
        password = server.password
        assert await _fetch(server, "show fsync") == "on"
        await _fetch(server, "create table kept as select 42 as answer")
        await server.kill()
        await server.start()
        assert await _fetch(server, "select answer from kept") == 42

    async with PostgresServer(data_dir=folder) as another:
        assert another.password == password
        assert await _fetch(another, "select answer from kept") == 42

    assert stat.S_IMODE((folder / "postgres.password").stat().st_mode) == 0o600
    assert not (folder / "initdb.password").exists()
    assert stat.S_IMODE(folder.stat().st_mode) & 0o066 == 0


async def test_restart_is_clean(server: PostgresServer) -> None:
    """A restart is a fast shutdown, not a crash to recover from."""
    before = len(server.log_file.read_text())

    await server.restart()

    log = server.log_file.read_text()[before:]
    assert "received fast shutdown request" in log
    assert "not properly shut down" not in log


async def test_kill_ends_every_process(server: PostgresServer) -> None:
    """After kill neither the server nor one of its children is left."""
    members = family(server.pid)
    assert len(members) > 3

    await server.kill()

    left = [pid for pid in members if exists(pid)]
    await server.start()
    assert left == []


async def test_pause_stops_open_sessions_too(server: PostgresServer) -> None:
    """A session opened before the pause gets no answer until resume, and then goes on."""
    connection = await asyncpg.connect(server.url, timeout=5)
    await server.pause()
    with pytest.raises(TimeoutError):
        await connection.fetchval("select 1", timeout=0.2)
    connection.terminate()

    await server.resume()

    assert await _fetch(server, "select 1") == 1


async def test_a_paused_server_stops(tmp_path: Path) -> None:
    """Stopping a paused server is still a fast shutdown."""
    server = PostgresServer(data_dir=tmp_path / "postgres")
    await server.start()
    log = server.log_file
    await server.pause()

    await server.stop()

    assert "database system is shut down" in log.read_text()


async def test_half_a_cluster_is_made_anew(tmp_path: Path) -> None:
    """What an interrupted initdb left does not stand in the way."""
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "rubbish").write_text("")

    async with PostgresServer(data_dir=tmp_path) as server:
        assert await _fetch(server, "select 1") == 1


async def test_a_start_cancelled_while_the_cluster_is_made_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither initdb nor the server that it runs, a grandchild of ours, goes on in the folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server = PostgresServer()
    starting = asyncio.create_task(server.start())
    while not _matching(tmp_path, "*/cluster/base/1/*"):
        await asyncio.sleep(0.005)
    members = family(server.pid)

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert len(members) > 2
    assert [member for member in members if exists(member)] == []
    assert _matching(tmp_path, "*") == []


async def test_a_failing_initdb_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An initdb that fails is an error with its exit code and output, and leaves nothing."""
    monkeypatch.setattr(postgres_module, "_USER", "pg_forbidden")
    server = PostgresServer()

    with pytest.raises(ServerError, match=r'exit code 1(?s:.*)superuser name "pg_forbidden"'):
        await server.start()

    assert not server.running


async def test_a_busy_port_is_named() -> None:
    """A fixed port in use is an error that says so."""
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]

        with pytest.raises(ServerError, match=f"PostgreSQL cannot listen on 127.0.0.1:{port}"):
            await PostgresServer(port=port).start()


async def test_the_password_is_not_in_the_repr(server: PostgresServer) -> None:
    """Printing a server shows no password; before the start there is none."""
    with pytest.raises(ServerError, match="no password before"):
        _ = PostgresServer().url

    assert server.password not in repr(server)
    assert f"{server.host}:{server.port}" in server.url
    assert server.url.startswith(f"postgresql://{server.user}:")


def test_folders_on_the_way_can_be_passed_but_not_read(tmp_path: Path) -> None:
    """A private folder gets search permission for others and nothing else."""
    inner = tmp_path / "private" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    inner.chmod(0o750)

    postgres_module._let_through(inner)

    assert stat.S_IMODE(inner.parent.stat().st_mode) == 0o701
    assert stat.S_IMODE(inner.stat().st_mode) == 0o751


def test_without_root_it_runs_as_ourselves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An ordinary user is not changed, and nobody's permissions are."""
    tmp_path.chmod(0o700)
    server = PostgresServer(data_dir=tmp_path)
    server._claim()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert server._prepare(tmp_path) == (None, 0)

    server._stop(0)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@pytest.mark.parametrize("useradd", [None, "/bin/false"])
def test_nobody_serves_where_no_user_can_be_made(
    monkeypatch: pytest.MonkeyPatch, useradd: str | None
) -> None:
    """Without useradd, or when it fails, the server runs as nobody."""
    monkeypatch.setattr(postgres_module, "_SYSTEM_USER", "greenlang_no_such_user")
    monkeypatch.setattr(postgres_module.shutil, "which", lambda *_, **__: useradd)

    assert postgres_module._ordinary_user() == pwd.getpwnam("nobody")


def test_an_external_server_is_its_url() -> None:
    """The parts of a URL are decoded, its port defaults to 5432, and its repr has no password."""
    external = ExternalPostgres("postgresql://me:p%40ss@db.example/main")

    assert (external.host, external.port) == ("db.example", 5432)
    assert (external.user, external.password) == ("me", "p@ss")
    assert "p%40ss" not in repr(external)
    assert "p@ss" not in repr(external)


def test_an_external_url_must_be_complete() -> None:
    """A URL without a password is refused, without being repeated."""
    with pytest.raises(ServerError, match="must name everything") as caught:
        ExternalPostgres("postgresql://someone@db.example/main")

    assert "someone" not in str(caught.value)
