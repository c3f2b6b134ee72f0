"""The client of services under test, against a server that says what it likes."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager

import pytest

from benchmarks.http_load import Load, request


@asynccontextmanager
async def answering(*pieces: bytes):
    """A server that answers each request with these octets, piece by piece, and counts."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                seen.append(await reader.readuntil(b"\r\n\r\n"))
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}", seen
    finally:
        server.close()


def load_of(url: str, **options) -> Load:
    """A load of one URL, served by this process."""
    message = request(f"{url}/a", headers={"X-One": "1"})
    return Load(url=url, make=lambda _: message, pids=[os.getpid()], **options)


async def test_each_request_is_asked_once_and_answered():
    """So many requests, so many latencies, whatever number of connections."""
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as (url, seen):
        found = await load_of(url, connections=4).run(50)

    assert (len(seen), len(found.latencies)) == (50, 50)
    assert seen[0].startswith(b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:")
    assert found.rate > 0


async def test_an_answer_in_pieces_is_one_answer():
    """A head and a body that come apart are put together."""
    pieces = (b"HTTP/1.1 200 OK\r\ncontent-le", b"ngth: 4\r\n\r\nab", b"cd")
    async with answering(*pieces) as (url, seen):
        found = await load_of(url, connections=1).run(10)

    assert (len(seen), len(found.latencies)) == (10, 10)


async def test_an_answer_that_is_not_expected_ends_the_load():
    """A service that refuses fast must not look fast."""
    async with answering(b"HTTP/1.1 429 Slow\r\ncontent-length: 0\r\n\r\n") as (url, _):
        with pytest.raises(RuntimeError, match="429"):
            await load_of(url).run(10)


async def test_a_server_that_hangs_up_ends_the_load():
    """A connection that is lost is an error, and not fewer requests."""
    async with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort") as (url, _):
        running = asyncio.create_task(load_of(url, connections=1).run(1))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running, 0.3)


def test_a_body_has_its_length():
    """What is written says what it is and how long."""
    found = request("http://x:1/a?b=c", method="PUT", body=b"{}")

    assert found == (
        b"PUT /a?b=c HTTP/1.1\r\nHost: x:1\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
