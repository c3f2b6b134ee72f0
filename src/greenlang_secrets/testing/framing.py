"""As much of HTTP/1.1's framing (RFC 9112) as tells one message on a connection from the next.

Owns no meaning: heads and bodies are kept as they came.
"""

import asyncio
from dataclasses import dataclass

__all__ = ["HEAD_OCTETS", "Message", "request", "response"]

HEAD_OCTETS = 2**20  # far more than Vault takes: refusing a head is the server's to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as it came; `last` when its connection ends with it."""

    start: str
    head: bytes
    body: bytes
    last: bool


async def request(reader: asyncio.StreamReader) -> Message | None:
    """Return a client's next request; None when it closes instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as cut:
        if cut.partial:
            raise
        return None
    start, fields = _parsed(head)
    body = await _body(reader, fields)
    last = start.endswith("HTTP/1.0") or "close" in fields.get("connection", "")
    return Message(start=start, head=head, body=body, last=last)


async def response(reader: asyncio.StreamReader, *, to: str) -> Message:
    """Return the whole answer to a request of the method `to`, with the 1xx before it."""
    head, status = b"", "100"
    while status.startswith("1"):
        part = await reader.readuntil(b"\r\n\r\n")
        head += part
        start, fields = _parsed(part)
        status = start.split(" ")[1]
    last = start.startswith("HTTP/1.0") or "close" in fields.get("connection", "")
    if to == "HEAD" or status in {"204", "304"}:
        body = b""
    elif "content-length" in fields or "transfer-encoding" in fields:
        body = await _body(reader, fields)
    else:
        body, last = await reader.read(), True
    return Message(start=start, head=head, body=body, last=last)


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    start, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return start, {name.lower(): value.strip().lower() for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
    """Return a body as on the wire: of a known length, in chunks, or none."""
    if "chunked" not in fields.get("transfer-encoding", ""):
        return await reader.readexactly(int(fields.get("content-length", "0")))
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        body += line
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        body += await reader.readexactly(size + 2)
    while line != b"\r\n":  # the trailer
        line = await reader.readuntil(b"\r\n")
        body += line
    return body
