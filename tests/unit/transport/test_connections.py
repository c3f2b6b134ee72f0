from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from greenlang_secrets.background import Supervisor
from greenlang_secrets.transport import connections as module
from greenlang_secrets.transport.connection import Connection, ConnectionLost
from greenlang_secrets.transport.connections import Connections, Origin
from support.certificates import self_signed
from support.scripted import HANG, answer, scripted

GET = b"GET /v1/x HTTP/1.1\r\nHost: vault\r\n\r\n"
GOOD = answer(200, b"{}")


@asynccontextmanager
async def opened(**settings: float) -> AsyncIterator[Connections]:
    async with Supervisor() as supervisor:
        connections = Connections(**{"connect_timeout": 1.0, **settings}, supervisor=supervisor)
        try:
            yield connections
        finally:
            await connections.close()


async def status(connection: Connection) -> int:
    loop = asyncio.get_running_loop()
    return (await connection.ask(GET, deadline=loop.time() + 5, silence=2.0)).status


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("http://127.0.0.1:8200", Origin("127.0.0.1", 8200, "127.0.0.1:8200", tls=False)),
        ("https://Vault.internal/", Origin("vault.internal", 443, "vault.internal", tls=True)),
        ("http://vault", Origin("vault", 80, "vault", tls=False)),
        ("https://[::1]:8200", Origin("::1", 8200, "[::1]:8200", tls=True)),
        (
            "http://tür.example:1",
            Origin("xn--tr-xka.example", 1, "xn--tr-xka.example:1", tls=False),
        ),
    ],
)
def test_origin_of_an_address(address, origin):
    """Where to connect to, and what a request names: an IPv6 address in brackets, a name in ASCII,
    a port that was given.
    """
    assert Origin.of(address) == origin


async def test_connection_is_kept_for_the_next_request():
    """What was used last is used first, and by one at a time."""
    async with scripted(GOOD) as vault, opened() as connections:
        origin = Origin.of(vault.addr)
        one, two = [await connections.dialled(origin, None) for _ in range(2)]
        assert [await status(each) for each in (one, two)] == [200, 200]
        for each in (one, two):
            connections.keep(origin, each)

        assert connections.kept(origin, None) is two
        assert connections.kept(origin, None) is one
        assert connections.kept(origin, None) is None


async def test_connection_that_has_ended_is_not_used():
    """Neither one that ends while it is idle, nor one that has ended before."""
    async with scripted(GOOD) as vault, opened() as connections:
        origin = Origin.of(vault.addr)
        idle, ended = [await connections.dialled(origin, None) for _ in range(2)]
        connections.keep(origin, idle)
        for each in (idle, ended):
            each.abort()
            await each.lost
        connections.keep(origin, ended)

        assert connections.kept(origin, None) is None


async def test_other_certificates_take_other_connections(tmp_path):
    """After the files have changed no request goes over a connection that was made with the old."""
    pem = self_signed(tmp_path, "vault")
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(pem.cert, pem.key)
    before, now = [ssl.create_default_context(cafile=str(pem.cert)) for _ in range(2)]
    async with scripted(GOOD, tls=serving) as vault, opened() as connections:
        origin = Origin.of(vault.addr)
        connection = await connections.dialled(origin, before)
        assert await status(connection) == 200
        connections.keep(origin, connection)

        assert connections.kept(origin, now) is None
        await asyncio.wait_for(connection.lost, 2)


async def test_idle_connections_are_closed(monkeypatch):
    """After half a minute without a request; those used since are kept."""
    monkeypatch.setattr(module, "KEPT_FOR", 0.3)
    async with scripted(GOOD) as vault, opened() as connections:
        origin = Origin.of(vault.addr)
        old, used = [await connections.dialled(origin, None) for _ in range(2)]
        connections.keep(origin, old)
        connections.keep(origin, used)
        used.idle_since += 0.2  # as if it had been used since

        await asyncio.wait_for(old.lost, 2)
        assert used.usable
        await asyncio.wait_for(used.lost, 2)
        assert connections._tidying is None


async def test_all_is_closed_at_the_end():
    """Idle or in use, nothing is left open, and who waits is told."""
    async with scripted(HANG) as vault, opened() as connections:
        origin = Origin.of(vault.addr)
        busy, idle = [await connections.dialled(origin, None) for _ in range(2)]
        connections.keep(origin, idle)
        asking = asyncio.ensure_future(status(busy))
        while not vault.requests:
            await asyncio.sleep(0.01)
        assert connections.in_use == 1

        await connections.close()

        with pytest.raises(ConnectionLost):
            await asking
        assert busy.lost.done()
        assert idle.lost.done()


async def test_ipv6_is_spoken():
    """An address in brackets is an address of its own kind."""
    listener = await asyncio.start_server(lambda _, writer: writer.close(), "::1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, opened() as connections:
        connection = await connections.dialled(Origin.of(f"http://[::1]:{port}"), None)
        await asyncio.wait_for(connection.lost, 2)


async def test_peer_that_does_not_finish_the_handshake_ends_in_time(tmp_path):
    """Connecting includes TLS: a peer that accepts and is mute costs the connect timeout."""
    async with scripted(HANG) as vault, opened(connect_timeout=0.1) as connections:
        origin = Origin.of(vault.addr.replace("http://", "https://"))
        with pytest.raises(TimeoutError):
            await connections.dialled(origin, ssl.create_default_context())


class Names:
    """Stands for the system's resolver.

    Attributes:
        asked: look-ups so far.
        gate: what they wait for.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked = 0
        self.gate = asyncio.Event()

    async def getaddrinfo(self, *_: object, **__: object) -> list[object]:
        self.asked += 1
        await self.gate.wait()
        # Nobody listens at the first, as where IPv6 leads nowhere.
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, self.port))
            for host in ("127.0.0.3", "127.0.0.1")
        ]


@pytest.fixture
async def names(monkeypatch):
    listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    names = Names(listener.sockets[0].getsockname()[1])
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo)
    async with listener:
        yield names


async def test_name_is_looked_up_once_for_all_who_need_it(names):
    """Fifty connections at the same time ask once, and those after them not at all; an address
    that refuses is followed by the next.
    """
    async with opened() as connections:
        origin = Origin.of(f"http://vault.internal:{names.port}")
        dialling = [asyncio.ensure_future(connections.dialled(origin, None)) for _ in range(50)]
        while not names.asked:
            await asyncio.sleep(0)
        dialling[0].cancel()
        names.gate.set()
        made = await asyncio.gather(*dialling, return_exceptions=True)
        again = await connections.dialled(origin, None)

        assert names.asked == 1
        assert isinstance(made[0], asyncio.CancelledError)
        assert all(isinstance(each, Connection) for each in (*made[1:], again))


async def test_look_up_that_is_ended_by_the_close_is_a_lost_connection(names):
    """Its waiters were not cancelled, so they are not told that they were."""
    async with Supervisor() as supervisor:
        connections = Connections(connect_timeout=1.0, supervisor=supervisor)
        origin = Origin.of(f"http://vault.internal:{names.port}")
        dialling = asyncio.ensure_future(connections.dialled(origin, None))
        while not names.asked:
            await asyncio.sleep(0)

    with pytest.raises(ConnectionLost):
        await dialling
