"""An HTTP/1.1 reply, put together from the octets that come: strict, bounded, and without a socket.

It takes what RFC 9112 lets a server say to a client that asks for nothing special, and refuses
what readers of HTTP disagree about: bare line feeds, folded lines, a length beside a transfer
coding, two lengths. Vault and whatever stands before it send neither.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MAX_RESPONSE", "BadReply", "Reply", "ReplyReader", "ReplyTooLarge"]

MAX_RESPONSE: Final = 4 * 1024 * 1024
"""Octets of an answer read at most: raft keeps values under 1 MiB, lists are longer."""

_MAX_HEAD: Final = 64 * 1024
"""Octets of a head or trailer. Vault's heads have some 300."""

_MAX_INTERIM: Final = 8
"""Interim replies before the real one; Vault sends none."""

_MAX_CHUNK_LINE: Final = 1024

_TEXT: Final = rb"[\t\x20-\x7e\x80-\xff]*+"
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_LINES: Final = rb"((?:" + _TOKEN + rb":" + _TEXT + rb"\r\n)*+)\r\n"
_HEAD: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: " + _TEXT + rb")?\r\n" + _LINES)
_FIELDS: Final = re.compile(_LINES)
_FIELD: Final = re.compile(r"([^:]++):[\t ]*+([^\r]*+)\r\n")
_LENGTH: Final = re.compile(r"[0-9]{1,12}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[\t ]*+;" + _TEXT + rb")?\r\n")

_BEGINNING: Final = b"HTTP/1."
_END: Final = b"\r\n\r\n"


class BadReply(Exception):
    """What came is no reply of HTTP/1.1; its text is nowhere in here."""


class ReplyTooLarge(BadReply):
    """The body is longer than `MAX_RESPONSE`."""


class Reply:
    """A reply.

    Attributes:
        fields: the header's, by their names in lower case; of several with one name the last.
        body: decoded from chunks, and from no other coding.
        keeps: whether the connection may be asked again.
    """

    __slots__ = ("body", "fields", "keeps", "status")

    def __init__(self, status: int, fields: dict[str, str], *, keeps: bool) -> None:
        self.status = status
        self.fields = fields
        self.keeps = keeps
        self.body = b""


class ReplyReader:
    """Reads one reply."""

    __slots__ = ("_body", "_buffer", "_chunked", "_framing", "_interim", "_left", "_reply")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._reply: Reply | None = None
        self._body = bytearray()
        self._left: int | None = None  # octets of the body or its chunk; None: until the end
        self._chunked = False
        self._framing = 0
        self._interim = 0

    def feed(self, octets: bytes) -> Reply | None:
        """Take what has come; return the reply once it is complete.

        Raises:
            BadReply: it is none, or more than one.
        """
        if self._reply is not None:
            return self._continue(octets)
        held = self._buffer
        if not held:
            # Nearly always all of a head, and of its body, comes at once.
            end = octets.find(_END)
            if end < 0:
                self._hold(octets)
                return None
            return self._begin(octets, end + 4)
        searched = max(0, len(held) - 3)
        held += octets
        end = held.find(_END, searched)
        if end < 0:
            self._hold(b"")
            return None
        self._buffer = bytearray()
        return self._begin(bytes(held), end + 4)

    def end(self) -> Reply | None:
        """Return the reply whose body lasts until its connection's end, which has come; None if
        something is missing.
        """
        reply = self._reply
        if reply is None or self._chunked or self._left is not None:
            return None
        reply.body = bytes(self._body)
        return reply

    def _hold(self, octets: bytes) -> None:
        self._buffer += octets
        start = bytes(self._buffer[: len(_BEGINNING)])
        if not _BEGINNING.startswith(start) or len(self._buffer) > _MAX_HEAD:
            raise BadReply

    def _begin(self, octets: bytes, end: int) -> Reply | None:
        """Read a head that is complete, and what follows it."""
        head = _HEAD.match(octets)
        if head is None or head.end() != end or end > _MAX_HEAD:
            raise BadReply
        minor, digits, block = head.groups()
        status = int(digits)
        if status < 200:
            return self._pass_over(status, octets[end:])
        found = _FIELD.findall(block.decode("latin-1"))
        fields = {name.lower(): value.rstrip("\t ") for name, value in found}
        if len(found) != len(fields) and _is_framed_twice(found):
            raise BadReply
        reply = Reply(status, fields, keeps=minor == b"1" and _keeps(fields.get("connection")))
        self._left = self._length(reply, minor)
        if self._left is None:
            reply.keeps = False
        elif not self._chunked and len(octets) - end == self._left:
            reply.body = octets[end:]
            return reply
        self._reply = reply
        return self._continue(octets[end:])

    def _length(self, reply: Reply, minor: bytes) -> int | None:
        """How long the body is (RFC 9112, 6.3); None if it lasts until the end."""
        coding = reply.fields.get("transfer-encoding")
        length = reply.fields.get("content-length")
        if reply.status in {204, 304}:
            return 0
        if coding is not None:
            if coding.lower() != "chunked" or length is not None or minor == b"0":
                raise BadReply
            self._chunked = True
            return 0
        if length is None:
            return None
        if _LENGTH.fullmatch(length) is None:
            raise BadReply
        if int(length) > MAX_RESPONSE:
            raise ReplyTooLarge
        return int(length)

    def _pass_over(self, status: int, rest: bytes) -> Reply | None:
        """An interim reply says nothing to us; the real one follows."""
        self._interim += 1
        if status == 101 or self._interim > _MAX_INTERIM:
            raise BadReply
        return self.feed(rest) if rest else None

    def _continue(self, octets: bytes) -> Reply | None:
        reply, body = self._reply, self._body
        assert reply is not None  # noqa: S101  for the types: there is a head by now
        if self._chunked:
            self._buffer += octets
            if not self._take_chunks(reply):
                return None
        else:
            body += octets
            left = self._left
            if left is None:
                if len(body) > MAX_RESPONSE:
                    raise ReplyTooLarge
                return None
            if len(body) < left:
                return None
            if len(body) > left:
                reply.keeps = False  # what follows was not asked for
                del body[left:]
        reply.body = bytes(body)
        return reply

    def _take_chunks(self, reply: Reply) -> bool:
        """Take the chunks that are whole; whether the last one was among them."""
        buffer, body, at = self._buffer, self._body, 0
        while (line := _CHUNK.match(buffer, at)) is not None:
            size, start = int(line[1], 16), line.end()
            if size == 0:
                del buffer[:at]
                return self._take_trailer(reply, start - at)
            if len(body) + size > MAX_RESPONSE or self._framing > MAX_RESPONSE:
                raise ReplyTooLarge
            stop = start + size
            if len(buffer) < stop + 2:
                break
            if buffer[stop : stop + 2] != b"\r\n":
                raise BadReply
            body += buffer[start:stop]
            self._framing += start - at + 2
            at = stop + 2
        if line is None and (b"\n" in buffer[at:] or len(buffer) - at > _MAX_CHUNK_LINE):
            raise BadReply
        del buffer[:at]
        return False

    def _take_trailer(self, reply: Reply, start: int) -> bool:
        """Pass over the fields after the last chunk, which could change nothing here."""
        buffer = self._buffer
        trailer = _FIELDS.match(buffer, start)
        if trailer is not None:
            reply.keeps = reply.keeps and trailer.end() == len(buffer)
            return True
        if buffer.find(_END, start - 2) >= 0 or len(buffer) - start > _MAX_HEAD:
            raise BadReply
        return False


def _is_framed_twice(found: list[tuple[str, str]]) -> bool:
    names = [name.lower() for name, _ in found]
    return names.count("content-length") > 1 or names.count("transfer-encoding") > 1


def _keeps(connection: str | None) -> bool:
    return connection is None or "close" not in connection.lower()
