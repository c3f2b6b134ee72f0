"""The client of the service under test: as little work a request as asyncio allows.

Connections that stay open, each with one request under way, over a bare protocol: no HTTP library
stands between the figure and the server. It costs a tenth of what it asks for; how busy it was is
told, because a client at its limit would measure itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from benchmarks.machine import cpu_clock

__all__ = ["Load", "Loaded", "request", "settled"]

_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_TIMEOUT: Final = 60.0  # seconds of one load at most
_LOOK: Final = 0.05  # seconds between two looks whether a server is idle
_IDLE: Final = 0.1  # of that time, with CPU: what a service does when nobody asks
_SETTLES: Final = 15.0  # seconds a server has for it
_SHOWN: Final = 300  # octets of an answer that was not expected


def request(
    url: str, *, headers: dict[str, str] | None = None, method: str = "GET", body: bytes = b""
) -> bytes:
    """Return a request's octets; the URL's path and query are what is asked for."""
    where = urlsplit(url)
    target = f"{where.path}?{where.query}" if where.query else where.path
    lines = [f"{method} {target} HTTP/1.1", f"Host: {where.netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load gave.

    Attributes:
        latencies: seconds of each request.
        client_cpu, server_cpu: CPU seconds; the server's until it was idle again, so with what it
            does after an answer.
    """

    seconds: float
    latencies: Sequence[float]
    client_cpu: float
    server_cpu: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    @property
    def client_busy(self) -> float:
        """The share of the time in which the client had work: at 1 it is measured itself."""
        return self.client_cpu / self.seconds

    @property
    def server_us(self) -> float:
        """Microseconds of the server's CPU a request."""
        return self.server_cpu / len(self.latencies) * 1e6


async def settled(pids: Sequence[int]) -> None:
    """Wait until servers are idle: what one has left to do must not fall into another's turn."""
    clocks = [cpu_clock(pid) for pid in pids]
    ends = time.perf_counter() + _SETTLES
    before = sum(clock() for clock in clocks)
    quiet = 0
    while quiet < 2 and time.perf_counter() < ends:  # twice, for a batch may be yet to come
        await asyncio.sleep(_LOOK)
        now = sum(clock() for clock in clocks)
        quiet = quiet + 1 if now - before < _LOOK * _IDLE else 0
        before = now


class _Connection(asyncio.Protocol):
    """Asks, and asks again when answered, for as long as there is something to ask."""

    def __init__(self, load: _Running) -> None:
        self._load = load
        self._got = b""
        self._needs = 0
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer, which in general is all of it."""
        got = self._got + data if self._got else data
        if not self._needs:
            end = got.find(_END_OF_HEAD)
            if end < 0:
                self._got = got
                return
            self._needs = end + 4 + self._length(got[: end + 2])
        if len(got) < self._needs:
            self._got = got
            return
        self._got, self._needs = b"", 0
        self._load.latencies.append(time.perf_counter() - self._sent_at)
        self._next()

    def _length(self, head: bytes) -> int:
        if head[9:12] not in self._load.expected:
            self._load.fail(RuntimeError(f"answered {head[:_SHOWN]!r}"))
            return 0
        lower = head.lower()
        begin = lower.find(_LENGTH)
        return 0 if begin < 0 else int(lower[begin + len(_LENGTH) : lower.index(b"\r", begin)])

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail, if there was still something to come."""
        if not self._load.done.done():
            self._load.fail(exc or ConnectionResetError("the server closed the connection"))

    def _next(self) -> None:
        message = self._load.take()
        if message is None:
            return
        self._sent_at = time.perf_counter()
        self._transport.write(message)  # type: ignore[attr-defined]  # it is a transport of TCP


class _Running:
    """A load under way."""

    def __init__(
        self, make: Callable[[int], bytes], times: int, expected: frozenset[bytes]
    ) -> None:
        self.latencies: list[float] = []
        self.expected = expected
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._make = make
        self._times = times
        self._taken = 0

    def take(self) -> bytes | None:
        """Return what to ask next; None when all is asked."""
        if self._taken < self._times:
            self._taken += 1
            return self._make(self._taken - 1)
        if len(self.latencies) == self._times and not self.done.done():
            self.done.set_result(None)
        return None

    def fail(self, error: Exception) -> None:
        """End with an error."""
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A load of one server.

    Attributes:
        url: whose host and port are connected to.
        make: gives the octets of each request, by its number.
        pids: the processes whose CPU time counts as the server's.
        connections: how many requests are under way at a time.
        expected: statuses that are right.
    """

    url: str
    make: Callable[[int], bytes]
    pids: Sequence[int]
    connections: int = 16
    expected: frozenset[bytes] = frozenset({b"200"})

    async def run(self, times: int) -> Loaded:
        """Ask `times` times.

        Raises:
            RuntimeError: an answer was another than expected.
            TimeoutError: it took more than a minute.
        """
        where = urlsplit(self.url)
        loop = asyncio.get_running_loop()
        clocks = [cpu_clock(pid) for pid in self.pids]
        running = _Running(self.make, times, self.expected)
        served, spent = sum(clock() for clock in clocks), time.process_time()
        begun = time.perf_counter()
        transports = []
        try:
            for _ in range(min(self.connections, times)):
                transport, _ = await loop.create_connection(
                    lambda: _Connection(running), where.hostname, where.port
                )
                transports.append(transport)
            async with asyncio.timeout(_TIMEOUT):
                await running.done
            seconds, client_cpu = time.perf_counter() - begun, time.process_time() - spent
            await settled(self.pids)
            return Loaded(
                seconds=seconds,
                latencies=running.latencies,
                client_cpu=client_cpu,
                server_cpu=sum(clock() for clock in clocks) - served,
            )
        finally:
            for transport in transports:
                transport.close()
