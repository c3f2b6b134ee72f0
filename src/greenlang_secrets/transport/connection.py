"""One connection: it is given a request, and gives the reply. One at a time."""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from greenlang_secrets.transport.replies import BadReply, Reply, ReplyReader

__all__ = ["Connection", "ConnectionLost"]

_Context = ssl.SSLContext | None


class ConnectionLost(OSError):
    """The peer ended the connection in the middle of a reply, or before it."""


class Connection(asyncio.Protocol):
    """A connection that is open.

    Attributes:
        context: what its TLS was made with; None without TLS.
        idle_since: the loop's seconds at which it was last put aside.
        lost: done once nothing of it is left.
    """

    def __init__(self, context: _Context) -> None:
        self.context = context
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._reader = ReplyReader()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = self._silence = self._heard_at = 0.0

    @property
    def usable(self) -> bool:
        """Whether it may be asked."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def asked(self) -> bool:
        """Whether a reply is waited for."""
        return self._waiter is not None

    async def ask(self, request: bytes, *, deadline: float, silence: float) -> Reply:
        """Send a request and return its reply, by the loop's time `deadline` and never `silence`
        seconds after the last octet.

        Where it raises, and when the caller is cancelled, the connection is closed: what it would
        give next belongs to this request.

        Raises:
            TimeoutError: one of the two has passed.
            BadReply: what came is no reply.
            OSError: the connection was lost.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionLost
        loop = self._loop
        self._waiter = waiter = loop.create_future()
        self._reader = ReplyReader()
        self._deadline, self._silence, self._heard_at = deadline, silence, loop.time()
        transport.write(request)
        self._watch()
        keeps = False
        try:
            reply: Reply = await waiter
            keeps = reply.keeps
        finally:
            self._waiter = None
            if not keeps:
                self.abort()
        return reply

    def abort(self) -> None:
        """Close it at once, without a word."""
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------ time

    def _watch(self) -> None:
        """See that the timer is due when the request is, or before.

        One that is due before stays from request to request, and looks when it fires: to set and
        cancel one for each costs more than to send it.
        """
        due = min(self._deadline, self._heard_at + self._silence)
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if self._loop.time() < min(self._deadline, self._heard_at + self._silence):
            self._watch()
            return
        waiter.set_exception(TimeoutError())

    # ------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take a part of the reply; what nobody asked for ends the connection."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            self.abort()
            return
        self._heard_at = self._loop.time()
        try:
            reply = self._reader.feed(data)
        except BadReply as error:
            waiter.set_exception(error)
            return
        if reply is not None:
            waiter.set_result(reply)

    def eof_received(self) -> None:
        """A body may last until here."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            reply = self._reader.end()
            if reply is not None:
                waiter.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and say so to who waits."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(exc or ConnectionLost())
        if not self.lost.done():
            self.lost.set_result(None)
