"""The connections to Vault's nodes: dialled, kept for the next request, and closed when idle.

How many there are at most is not decided here: `places` bounds the requests under way, and each
has one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohappyeyeballs

from greenlang_secrets.background import Supervisor
from greenlang_secrets.transport.connection import Connection, ConnectionLost

__all__ = ["Connections", "Origin"]

_Context = ssl.SSLContext | None
_Addresses = Sequence[aiohappyeyeballs.AddrInfoType]

KEPT_FOR: Final = 30.0
"""Seconds a connection is kept that nobody uses; Vault closes it after 300."""

NAMES_FOR: Final = 30.0
"""Seconds for which is remembered where a name leads."""

_NEXT_AFTER: Final = 0.25
"""Seconds until the next address of a name is tried as well (RFC 8305, 5)."""

_KEEPALIVE: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3))
"""A peer that vanished is noticed 19 s after its last octet, and not after Linux's two hours."""

_CLOSE_WITHIN: Final = 1.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a node listens.

    Attributes:
        named: host and port as a request names them.
    """

    host: str
    port: int
    named: str
    tls: bool

    @classmethod
    def of(cls, address: str) -> Origin:
        """Return that of a base URL."""
        parts = urlsplit(address)
        host, tls = _ascii(parts.hostname or ""), parts.scheme == "https"
        within = f"[{host}]" if ":" in host else host
        return cls(
            host=host,
            port=parts.port or (443 if tls else 80),
            named=within if parts.port is None else f"{within}:{parts.port}",
            tls=tls,
        )


class Connections:
    """Connections by origin."""

    def __init__(self, *, connect_timeout: float, supervisor: Supervisor) -> None:
        """`connect_timeout` is in seconds, and for one connection with its TLS."""
        self._connect_timeout = connect_timeout
        self._supervisor = supervisor
        self._open: set[Connection] = set()
        self._idle: dict[Origin, list[Connection]] = {}
        self._tidying: asyncio.TimerHandle | None = None
        self._names: dict[Origin, tuple[float, _Addresses]] = {}
        self._lookups: dict[Origin, asyncio.Task[_Addresses]] = {}

    @property
    def in_use(self) -> int:
        """How many wait for a reply."""
        return sum(connection.asked for connection in self._open)

    def kept(self, origin: Origin, context: _Context) -> Connection | None:
        """Return a connection that was used before, the last one first; None if there is none.

        Those made with other certificates than `context` has are closed.
        """
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.context is context and connection.usable:
                return connection
            connection.abort()
        return None

    def keep(self, origin: Origin, connection: Connection) -> None:
        """Keep a connection for the next request, if it can be used again."""
        if not connection.usable:
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._tidying is None:
            self._tidying = loop.call_later(KEPT_FOR, self._tidy)

    def _tidy(self) -> None:
        """Close what was idle for too long."""
        loop = asyncio.get_running_loop()
        self._tidying = None
        oldest = loop.time() - KEPT_FOR
        for idle in self._idle.values():
            for connection in idle:
                if connection.idle_since <= oldest:
                    connection.abort()
            idle[:] = [connection for connection in idle if connection.usable]
        since = min((c.idle_since for idle in self._idle.values() for c in idle), default=None)
        if since is not None:
            self._tidying = loop.call_at(since + KEPT_FOR, self._tidy)

    async def dialled(self, origin: Origin, context: _Context) -> Connection:
        """Return a new connection, over TLS with `context` if the origin wants that.

        A cancelled call leaves none behind.

        Raises:
            ssl.SSLError: the handshake failed, or the certificate is not the origin's.
            OSError: nobody listens there, or the name leads nowhere.
            TimeoutError: it took too long.
        """
        loop = asyncio.get_running_loop()
        addresses = await self._addresses(origin)
        async with asyncio.timeout(self._connect_timeout):
            peer = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_NEXT_AFTER, socket_factory=_socket
            )
            _, connection = await loop.create_connection(
                lambda: Connection(context),
                sock=peer,
                ssl=context if origin.tls else None,
                server_hostname=origin.host if origin.tls else None,
            )
        self._open.add(connection)
        connection.lost.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    async def _addresses(self, origin: Origin) -> _Addresses:
        """Where the origin's name leads; those who ask at the same time share one look-up."""
        until, addresses = self._names.get(origin, (0.0, ()))
        if asyncio.get_running_loop().time() < until:
            return addresses
        lookup = self._lookups.get(origin)
        if lookup is None:
            lookup = self._supervisor.spawn(self._look_up(origin), name="vault.name")
            self._lookups[origin] = lookup
            lookup.add_done_callback(lambda _: self._lookups.pop(origin, None))
        await asyncio.wait({lookup})
        if lookup.cancelled():
            raise ConnectionLost  # the transport is being closed
        return lookup.result()

    async def _look_up(self, origin: Origin) -> _Addresses:
        loop = asyncio.get_running_loop()
        addresses: _Addresses = _literal(origin) or await loop.getaddrinfo(
            origin.host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        self._names[origin] = (loop.time() + NAMES_FOR, addresses)
        return addresses

    async def close(self) -> None:
        """Close all connections, and wait until they are gone; 1 s at most."""
        if self._tidying is not None:
            self._tidying.cancel()
            self._tidying = None
        self._idle.clear()
        going = [connection.lost for connection in self._open]
        for connection in tuple(self._open):
            connection.abort()
        if going:
            await asyncio.wait(going, timeout=_CLOSE_WITHIN)


def _ascii(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode()


def _literal(origin: Origin) -> _Addresses | None:
    """The address itself where it is one, which needs no thread; None for a name."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    with suppress(socket.gaierror):
        return socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM, flags=flags)
    return None


def _socket(info: aiohappyeyeballs.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):  # macOS has other names for some
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
