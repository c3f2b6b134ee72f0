"""A proxy in front of a Vault that misbehaves on request: what networks and dying servers do.

Owns the connections and the faults; where a message ends is left to `framing`.
The server behind it stays as it is: what has reached it took effect.
"""

import asyncio
import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal, Self, assert_never
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from greenlang_secrets.testing import framing
from greenlang_secrets.testing.framing import HEAD_OCTETS, Message
from greenlang_secrets.testing.process import HOST, ServerError

__all__ = ["Fault", "FaultProxy", "SeenRequest"]

_GARBAGE = b"\x16\x03\x01\x02\x00 this is no HTTP \x00\xff\r\n\r\n"  # begins like TLS
# 64 MiB, more than anyone should keep of an answer of Vault, as the white space before its JSON.
_HUGE_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_HUGE_CHUNK = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
_HUGE_CHUNKS = 1024
_HUGE_END = b"2\r\n{}\r\n0\r\n\r\n"


class Fault(enum.Enum):
    """What happens to a request, and so what its sender sees."""

    PASS = "pass"  # noqa: S105  no password
    """Nothing: the bytes pass unchanged."""
    DELAY = "delay"
    """The server has done it at once; its answer comes `seconds` later."""
    SLOW_DRIP = "slow_drip"
    """The server has done it; its answer comes octet by octet, `seconds` apart."""
    DROP_RESPONSE = "drop_response"
    """The server has done it; the connection ends (FIN) without an octet of the answer."""
    DROP_HALF = "drop_half"
    """The server has done it; half the answer comes, its head included, then a reset (RST)."""
    FIN_MID_BODY = "fin_mid_body"
    """The server has done it; head and half the body come, then an orderly end (FIN)."""
    RESET = "reset"
    """The connection is reset (RST); the server has not seen the request."""
    BLACK_HOLE = "black_hole"
    """Nothing comes, and the connection stays; the server has not seen the request."""
    GARBAGE = "garbage"
    """Octets that are no HTTP, then the end (FIN); the server has not seen the request."""
    HUGE = "huge"
    """A 200 with 64 MiB of JSON, in chunks; the server has not seen the request."""


_AfterTheServer = Literal[
    Fault.PASS,
    Fault.DELAY,
    Fault.SLOW_DRIP,
    Fault.DROP_RESPONSE,
    Fault.DROP_HALF,
    Fault.FIN_MID_BODY,
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """A request that came to the proxy; `path` is what follows ``/v1/``, as on the wire."""

    method: str
    path: str
    fault: Fault


class FaultProxy:
    """A TCP proxy on the loopback interface that lets each request pass, or fail as told.

    ``async with`` starts and stops it; so do `start` and `stop`. It runs in a thread of its own, so
    it goes on while the test's loop is blocked, gone or on virtual time (its `seconds` are real).
    Connections of clients are kept alive. Each request reaches the server on a new connection, so
    a server may restart behind it; when it gives no whole answer, the client's is reset.

    Messages are read whole before they are passed on: streams without end, upgrades and
    ``Expect: 100-continue`` are beyond it. A redirect names the server, and not the proxy.

    Args:
        target_addr: the server, like ``http://127.0.0.1:8200``, without TLS.
    """

    def __init__(self, target_addr: str) -> None:
        target = urlsplit(target_addr)
        if target.scheme != "http" or target.hostname is None:
            raise ServerError(
                f"a fault proxy needs an address like http://127.0.0.1:8200, not {target_addr}: "
                "it cannot look into TLS"
            )
        self.target_addr = target_addr
        self._target = (target.hostname, target.port or 80)
        self._lock = threading.Lock()  # of the next two: tests add, the proxy's thread takes
        self._rules: list[_Rule] = []
        self._seen: list[SeenRequest] = []
        self._running: _Running | None = None
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    def __repr__(self) -> str:
        state = f"at {self.addr}" if self._running is not None else "not running"
        return f"<FaultProxy {state} before {self.target_addr}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def addr(self) -> str:
        """The address to give to a client, like ``http://127.0.0.1:45678``."""
        return f"http://{HOST}:{self._alive().port.getsockname()[1]}"

    @property
    def requests(self) -> list[SeenRequest]:
        """Every request that came, oldest first."""
        with self._lock:
            return list(self._seen)

    def count(self, method: str = "", path_prefix: str = "") -> int:
        """Return how many requests came; an empty argument means any."""
        return sum(_matches(seen.method, seen.path, method, path_prefix) for seen in self.requests)

    def inject(
        self,
        fault: Fault,
        *,
        times: int | None = None,
        method: str = "",
        path_prefix: str = "",
        seconds: float = 0.1,
    ) -> None:
        """Let a fault happen to requests to come, which are matched as by `count`.

        Faults are a script: the one set first that matches is taken, until it is used up. So
        ``inject(Fault.PASS, times=2)`` first lets two requests pass.

        Args:
            fault: what shall happen.
            times: how many requests it takes; None for all until `clear`.
            method: the HTTP method, such as LIST; empty for any.
            path_prefix: how the path after ``/v1/`` begins.
            seconds: of `Fault.DELAY` and `Fault.SLOW_DRIP`.
        """
        rule = _Rule(
            fault=fault, left=times, method=method, path_prefix=path_prefix, seconds=seconds
        )
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        """Let requests to come pass; what happens to one already does not change."""
        with self._lock:
            self._rules.clear()

    async def start(self) -> None:
        """Listen on a port that the system chooses; `ServerError` when it does already."""
        if self._running is not None:
            raise ServerError(f"{self!r} is running already")
        # Not uvloop, whatever the policy says: its sockets cannot be told to linger.
        loop = asyncio.SelectorEventLoop()
        thread = threading.Thread(target=loop.run_forever, name="fault-proxy", daemon=True)
        self._running = _Running(loop=loop, thread=thread, port=_bound(0))
        thread.start()
        try:
            await self._in_thread(self._listen())
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Reset all connections and stop listening; nothing happens when it does not run.

        Cancellation does not stop the stopping.
        """
        if self._running is not None:
            running, self._running = self._running, None
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._end, running)

    async def refuse(self) -> None:
        """Reset all connections and refuse new ones until `accept`, as a dead server's host does."""
        await self._in_thread(self._unlisten())

    async def accept(self) -> None:
        """Take connections again after `refuse`, at the same address."""
        await self._in_thread(self._listen())

    def _alive(self) -> "_Running":
        if self._running is None:
            raise ServerError("the fault proxy is not running: await start() first")
        return self._running

    async def _in_thread(self, act: Coroutine[Any, Any, None]) -> None:
        try:
            loop = self._alive().loop
        except ServerError:
            act.close()
            raise
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(act, loop))

    def _end(self, running: "_Running") -> None:
        asyncio.run_coroutine_threadsafe(self._close(), running.loop).result()
        running.loop.call_soon_threadsafe(running.loop.stop)
        running.thread.join()
        running.loop.close()
        running.port.close()

    # From here on everything runs in the proxy's thread.

    async def _listen(self) -> None:
        if self._listener is None:
            port = self._alive().port.getsockname()[1]
            self._listener = await asyncio.start_server(
                self._serve, sock=_bound(port), limit=HEAD_OCTETS
            )

    async def _unlisten(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._writers):
            _reset(writer)

    async def _close(self) -> None:
        await self._unlisten()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)  # drained is then sent, and not merely taken
        self._writers.add(writer)
        try:
            while await self._handle_next(reader, writer):
                pass
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            _reset(writer)  # the server has died, the client has gone, or it was no HTTP
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _handle_next(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Treat one request as its fault wants; whether the connection goes on."""
        request = await framing.request(reader)
        if request is None:
            return False
        rule = self._take(request)
        match rule.fault:
            case Fault.RESET:
                _reset(writer)
                return False
            case Fault.BLACK_HOLE:
                while await reader.read(HEAD_OCTETS):
                    pass
                return False
            case Fault.GARBAGE:
                await _send(writer, _GARBAGE)
                return False
            case Fault.HUGE:
                for part in [_HUGE_HEAD, *[_HUGE_CHUNK] * _HUGE_CHUNKS, _HUGE_END]:
                    await _send(writer, part)
                return not request.last
            case fault:
                answer = await self._ask(request)
                goes_on = await _deliver(answer, fault, rule.seconds, writer)
                return goes_on and not request.last

    def _take(self, request: Message) -> "_Rule":
        method, path = request.start.split(" ")[:2]
        path = path.removeprefix("/v1/")
        with self._lock:
            taken = _Rule(fault=Fault.PASS)
            for rule in self._rules:
                if rule.left != 0 and _matches(method, path, rule.method, rule.path_prefix):
                    rule.left = None if rule.left is None else rule.left - 1
                    taken = rule
                    break
            self._seen.append(SeenRequest(method=method, path=path, fault=taken.fault))
        return taken

    async def _ask(self, request: Message) -> Message:
        """Return the server's whole answer to a request."""
        reader, writer = await asyncio.open_connection(*self._target, limit=HEAD_OCTETS)
        try:
            writer.write(request.head + request.body)
            return await framing.response(reader, to=request.start.split(" ")[0])
        finally:
            writer.transport.abort()


@dataclass(slots=True, kw_only=True)
class _Rule:
    fault: Fault
    left: int | None = None
    method: str = ""
    path_prefix: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    # Bound and never listening: while connections are refused, nobody else gets the port.
    port: socket.socket


def _matches(method: str, path: str, wanted: str, path_prefix: str) -> bool:
    return wanted in {"", method} and path.startswith(path_prefix)


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((HOST, port))
    return bound


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST: what a close does to one that lingers for no time."""
    with contextlib.suppress(OSError):  # it is closed already
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, octets: bytes) -> None:
    writer.write(octets)
    await writer.drain()


async def _deliver(
    answer: Message, fault: _AfterTheServer, seconds: float, writer: asyncio.StreamWriter
) -> bool:
    """Give a server's answer to the client as its fault wants; whether the connection goes on."""
    octets = answer.head + answer.body
    match fault:
        case Fault.PASS:
            await _send(writer, octets)
        case Fault.DELAY:
            await anyio.sleep(seconds)
            await _send(writer, octets)
        case Fault.SLOW_DRIP:
            for octet in octets:
                await _send(writer, bytes([octet]))
                await anyio.sleep(seconds)
        case Fault.DROP_RESPONSE:
            return False
        case Fault.DROP_HALF:
            await _send(writer, octets[: len(octets) // 2])
            _reset(writer)
            return False
        case Fault.FIN_MID_BODY:
            await _send(writer, answer.head + answer.body[: len(answer.body) // 2])
            return False
        case _:
            assert_never(fault)
    return not answer.last
