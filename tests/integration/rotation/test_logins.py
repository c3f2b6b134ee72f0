"""Connections to targets over TLS, and without their drivers."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from greenlang_secrets.errors import ConfigurationError, RotationFailed
from greenlang_secrets.paths import SecretPath
from greenlang_secrets.rotation.postgresql_login import PostgresqlLogin, log_in, on_postgresql
from greenlang_secrets.rotation.redis_login import RedisLogin, on_redis
from greenlang_secrets.sensitive import SecretMap
from support.certificates import Pem, self_signed
from support.tls_front import tls_front

PATH = SecretPath.parse("database/app")


@pytest.mark.parametrize(
    ("tls", "authority", "lets_in"),
    [
        ("require", None, True),
        ("verify", "its own", True),
        ("verify", "another", False),
        ("verify", None, False),
        ("disable", None, False),  # the front refuses who does not ask for TLS
    ],
)
async def test_postgresql_over_tls(
    postgres_server, tmp_path: Path, tls: str, authority: str | None, *, lets_in: bool
) -> None:
    """`verify` trusts the authority of the policy alone, `require` whoever answers."""
    pem = await asyncio.to_thread(self_signed, tmp_path, "server")
    other = await asyncio.to_thread(self_signed, tmp_path, "other")
    settings = {"tls": tls}
    if authority is not None:
        file = pem.cert if authority == "its own" else other.cert
        settings["ca"] = await asyncio.to_thread(file.read_text)
    async with tls_front(postgres_server.port, pem) as front:
        data = {
            "username": postgres_server.user,
            "password": postgres_server.password,
            "host": "127.0.0.1",
            "port": str(front.port),
        }
        login = PostgresqlLogin.of(SecretMap(data), settings, path=PATH)

        if lets_in:
            assert await on_postgresql(login, log_in, denied="target_denied") == "postgres"
            assert front.encrypted == 1
        else:
            with pytest.raises(RotationFailed) as caught:
                await on_postgresql(login, log_in, denied="target_denied")
            assert caught.value.reason == "target_unavailable"


@pytest.mark.parametrize(("authority", "lets_in"), [("its own", True), ("another", False)])
async def test_redis_over_tls(
    valkey_server, tmp_path: Path, authority: str, *, lets_in: bool
) -> None:
    """A secret that says TLS is spoken to over TLS, and the server's certificate is verified."""
    pem = await asyncio.to_thread(self_signed, tmp_path, "server")
    other = await asyncio.to_thread(self_signed, tmp_path, "other")
    file = pem.cert if authority == "its own" else other.cert
    settings = {"ca": await asyncio.to_thread(file.read_text)}
    async with plain_tls_front(valkey_server.port, pem) as port:
        data = {
            "password": valkey_server.password,
            "host": "127.0.0.1",
            "port": str(port),
            "tls": "true",
        }
        login = RedisLogin.of(SecretMap(data), settings, path=PATH)

        async def ping(server) -> bool:
            return bool(await server.ping())

        if lets_in:
            assert await on_redis(login, ping, denied="target_denied")
        else:
            with pytest.raises(RotationFailed) as caught:
                await on_redis(login, ping, denied="target_denied")
            assert caught.value.reason == "target_unavailable"


@asynccontextmanager
async def plain_tls_front(port: int, pem: Pem) -> AsyncIterator[int]:
    """End TLS before a server that speaks it from the first octet on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    await asyncio.to_thread(context.load_cert_chain, pem.cert, pem.key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pass(reader, outer), _pass(inner, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
    writer.close()


async def test_drivers_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said, and nothing is tried."""
    data = SecretMap({"username": "u", "password": "p", "host": "127.0.0.1"})
    for package in ("asyncpg", "redis"):
        monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ConfigurationError, match=r"pip install 'greenlang-secrets\[postgres\]'"):
        await on_postgresql(PostgresqlLogin.of(data, {}, path=PATH), log_in, denied="target_denied")
    with pytest.raises(ConfigurationError, match=r"pip install 'greenlang-secrets\[redis\]'"):
        await on_redis(RedisLogin.of(data, {}, path=PATH), log_in, denied="target_denied")


async def test_step_that_is_cancelled_closes_its_connection(postgres_server) -> None:
    """Who is cancelled in the middle of a statement leaves no session behind."""
    data = {
        "username": postgres_server.user,
        "password": postgres_server.password,
        "host": postgres_server.host,
        "port": str(postgres_server.port),
    }
    login = PostgresqlLogin.of(SecretMap(data), {}, path=PATH)
    began = asyncio.Event()
    pids = []

    async def stay(connection) -> None:
        pids.append(connection.get_server_pid())
        began.set()
        await asyncio.Event().wait()

    async def is_there(connection) -> bool:
        query = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
        return bool(await connection.fetchval(query, pids[0]))

    task = asyncio.ensure_future(on_postgresql(login, stay, denied="target_denied"))
    await began.wait()
    assert await on_postgresql(login, is_there, denied="target_denied")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    while await on_postgresql(login, is_there, denied="target_denied"):
        await asyncio.sleep(0.01)
