"""TLS on loopback in which each side tells which certificate the other one has shown."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cryptography import x509

import greenlang_secrets as gs

__all__ = ["mutual_server", "serial_of", "shown_by"]


def serial_of(certificate: gs.TlsCertificate) -> int:
    """Return a certificate's serial number."""
    return x509.load_pem_x509_certificate(certificate.certificate.encode()).serial_number


def _serial_of_peer(writer: asyncio.StreamWriter) -> int:
    octets = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(octets).serial_number


@asynccontextmanager
async def mutual_server(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Yield the port of a server that answers each request with the serial number of the client's
    certificate; with ``/close`` it closes the connection after the answer.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                while (await reader.readline()).strip():
                    pass
                body = str(_serial_of_peer(writer)).encode()
                close = b"connection: close\r\n" if b"/close" in line else b""
                head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n" % len(body)
                writer.write(head + close + b"\r\n" + body)
                await writer.drain()
                if close:
                    break
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def shown_by(port: int, context: ssl.SSLContext) -> int:
    """Return the serial number that a server shows on a new connection."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    try:
        return _serial_of_peer(writer)
    finally:
        writer.close()
        await writer.wait_closed()
