from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from greenlang_secrets.transport.connection import Connection, ConnectionLost
from greenlang_secrets.transport.replies import BadReply, Reply
from support.scripted import DROP, HANG, Scripted, answer, scripted

GET = b"GET /v1/x HTTP/1.1\r\nHost: vault\r\n\r\n"
GOOD = answer(200, b"{}")


@asynccontextmanager
async def connected(vault: Scripted) -> AsyncIterator[Connection]:
    host, port = vault.addr.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(None), host, int(port))
    try:
        yield connection
    finally:
        connection.abort()
        await connection.lost


async def ask(connection: Connection, *, within: float = 5.0, silence: float = 2.0) -> Reply:
    deadline = asyncio.get_running_loop().time() + within
    return await connection.ask(GET, deadline=deadline, silence=silence)


async def test_connection_is_asked_again_and_again():
    """One request after the other, each with its own reply."""
    async with scripted(GOOD, answer(404, b"{}"), GOOD) as vault, connected(vault) as connection:
        statuses = [(await ask(connection)).status for _ in range(3)]

        assert statuses == [200, 404, 200]
        assert connection.usable
        assert not connection.asked


@pytest.mark.parametrize("limits", [{"within": 0.1}, {"silence": 0.1}], ids=["deadline", "silence"])
async def test_mute_peer_ends_in_time(limits):
    """Either limit ends the wait, and with it the connection: its reply may still come."""
    async with scripted(HANG) as vault, connected(vault) as connection:
        with pytest.raises(TimeoutError):
            await ask(connection, **limits)

        assert not connection.usable


async def test_nearer_limit_of_a_later_request_counts():
    """A timer that an earlier request has set is not what a later one waits for."""
    loop = asyncio.get_running_loop()
    async with scripted(GOOD, HANG) as vault, connected(vault) as connection:
        await ask(connection)
        begun = loop.time()
        with pytest.raises(TimeoutError):
            await ask(connection, within=0.1)

        assert 0.09 <= loop.time() - begun < 1.0


async def test_reply_that_drips_is_waited_for_until_the_deadline():
    """Each octet ends a silence, and none moves the deadline."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Semaphore(0)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for octet in GOOD * 2:
            if not reader.at_eof() and not writer.is_closing():
                writer.write(bytes([octet]))
                await asyncio.sleep(0.02)
        writer.close()
        gone.release()

    listener = await asyncio.start_server(drip, "127.0.0.1", 0)
    vault = Scripted([], addr=f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    async with listener:
        async with connected(vault) as connection:
            assert (await ask(connection, silence=0.5)).status == 200
        async with connected(vault) as connection:
            begun = loop.time()
            with pytest.raises(TimeoutError):
                await ask(connection, within=0.3, silence=0.2)
            assert 0.29 <= loop.time() - begun < 1.5
        for _ in range(2):
            await gone.acquire()


async def test_timer_of_an_idle_connection_does_nothing():
    """What a request has set fires once after it, and leaves the connection as it is."""
    async with scripted(GOOD) as vault, connected(vault) as connection:
        await ask(connection, silence=0.05)
        while connection._timer is not None:
            await asyncio.sleep(0.01)

        assert (await ask(connection)).status == 200


@pytest.mark.parametrize(
    ("step", "error"),
    [(DROP, ConnectionLost), (GOOD[:-1], TimeoutError), (b"SSH-2.0\r\n", BadReply)],
    ids=["dropped", "cut", "other"],
)
async def test_reply_that_is_none_ends_the_connection(step, error):
    """Nothing that comes later may be taken for the next reply."""
    async with scripted(step) as vault, connected(vault) as connection:
        with pytest.raises(error):
            await ask(connection, silence=0.2)

        assert not connection.usable
        with pytest.raises(ConnectionLost):
            await ask(connection)


async def test_body_may_end_with_the_connection():
    """Without a length the end of the connection is the end of the body."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n{}")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    vault = Scripted([], addr=f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    async with listener, connected(vault) as connection:
        reply = await ask(connection)

        assert (reply.body, reply.keeps) == (b"{}", False)
        assert not connection.usable


async def test_cancelled_caller_ends_the_connection():
    """The reply that would come is nobody's."""
    async with scripted(HANG) as vault, connected(vault) as connection:
        asking = asyncio.ensure_future(ask(connection))
        while not vault.requests:
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

        assert not connection.usable


async def test_octets_that_nobody_asked_for_end_the_connection():
    """An idle connection says nothing; one that does is out of step."""
    async with scripted(GOOD) as vault, connected(vault) as connection:
        await ask(connection)
        connection.data_received(GOOD)

        assert not connection.usable
