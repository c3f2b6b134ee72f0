"""TLS before a PostgreSQL that was built without it: the server's side of an SSLRequest."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from support.certificates import Pem

_SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # PostgreSQL, "Message Formats": SSLRequest


class TlsFront:
    """Ends TLS for clients, and passes on what they say.

    Attributes:
        port: where it listens.
        encrypted: connections whose handshake succeeded.
    """

    def __init__(self) -> None:
        self.port = 0
        self.encrypted = 0


@asynccontextmanager
async def tls_front(port: int, pem: Pem) -> AsyncIterator[TlsFront]:
    """Stand before the server on `port` with a certificate; who does not ask for TLS is refused."""
    front = TlsFront()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    await asyncio.to_thread(context.load_cert_chain, pem.cert, pem.key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(8) == _SSL_REQUEST:
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(context)
                front.encrypted += 1
                inner, outer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_pass(reader, outer), _pass(inner, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    front.port = server.sockets[0].getsockname()[1]
    async with server:
        yield front


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
    writer.close()
