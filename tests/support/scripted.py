"""A server that plays a script: for answers that no real Vault gives on demand."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HANG = object()
"""Accept the request and say nothing."""

DROP = object()
"""Accept the request and close the connection."""


def answer(
    status: int, body: bytes = b"", *, content_type: str = "application/json", extra: str = ""
) -> bytes:
    """A whole HTTP answer."""
    head = (
        f"HTTP/1.1 {status} Scripted\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body


@dataclass
class Scripted:
    """The requests seen, and the answers still to give; the last one is repeated. An answer may
    be a function of the request's head.
    """

    script: list[object]
    addr: str = ""
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None

    def _next(self) -> object:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (
                        int(line.split(":")[1])
                        for line in head.split("\r\n")
                        if line.lower().startswith("content-length:")
                    ),
                    0,
                )
                self.bodies.append(await reader.readexactly(length))
                self.heads.append(head)
                self.requests.append(" ".join(head.split(" ", 2)[:2]))
                self.on_request()
                step = self._next()
                if callable(step):
                    step = step(head)
                if step is HANG:
                    await reader.read()  # until the client goes away
                    return
                if step is DROP:
                    return
                assert isinstance(step, bytes)
                writer.write(step)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def scripted(*script: object, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Yield a server on a free loopback port that plays `script`."""
    server = Scripted(list(script))
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0, limit=2**20, ssl=tls)
    server.addr = f"{'https' if tls else 'http'}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
