"""Running the application: uvicorn with uvloop and httptools, bounded and quiet.

uvicorn's own access log prints paths, so it is off (`Correlation` has one). What of a
request an application never sees is decided here: absolute-form targets and fragments,
which uvicorn cuts down to the path, headers without end, and ones that never end.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Final

import anyio
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import ConfigurationError, SecretsError
from greenlang_secrets_api.app import create_app
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.correlation import COMMON_HEADERS, NOTHING_SHOWN
from greenlang_secrets_api.draining import Draining, draining_of
from greenlang_secrets_api.hardening import allow_connections, deny_memory
from greenlang_secrets_api.logs import configure_logging, place_of
from greenlang_secrets_api.overload import REQUEST_DEADLINE
from greenlang_secrets_api.problems import ProblemError, problem_answer

__all__ = ["DEFAULT_PORT", "ApiServer", "bind", "serve"]

_log: Final = logging.getLogger("greenlang_secrets_api")

DEFAULT_PORT: Final = 8750
EXIT_USAGE: Final = 2  # what a shell expects of wrong settings

HEAD_LIMIT: Final = 64 * 1024  # octets of target and headers, beyond which nothing is kept
HEAD_TIMEOUT: Final = 10.0  # seconds from a request's first octet to the end of its headers
GRACE: Final = REQUEST_DEADLINE + 1.0
"""Seconds for requests under way at the end: whoever came last gets its answer."""
LAST_WORDS: Final = 2.0  # seconds for what a request that is cut off must still write down
CLOSING: Final = 36.0
"""Seconds to end a step of a rotation (20, and 5 to write it down), to flush, to revoke tokens and
to let go of everything else (10).
"""
BACKLOG: Final = 2048
"""Connections that the kernel keeps until they are accepted (or net.core.somaxconn, if less)."""
_POLL: Final = 0.02  # seconds


class StrictProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with one spelling of a target and an end to every header."""

    _head_size = 0
    _headers_too_large = False
    _in_head = False
    _head_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Take octets; a head that they leave open has a clock of its own from then on."""
        super().data_received(data)
        if self._in_head and self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self._give_up)

    def on_message_begin(self) -> None:
        """Begin with a request's head."""
        super().on_message_begin()
        self._head_size = 0
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._grow(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        size = len(name) + len(value) + 4  # ": " and the end of the line
        self._headers_too_large = self._head_size + size > HEAD_LIMIT
        self._grow(size)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Refuse what is not origin-form, or names a fragment.

        uvicorn would cut ``http://elsewhere/api/v1/secrets/a`` and ``/api/v1/secrets/a#b``
        down to ``/api/v1/secrets/a`` (seen on uvicorn 0.54, test_raw_targets.py), so that a
        proxy that checks paths, and we, would read different targets.
        """
        self._stop_clock()
        if not self.url.startswith(b"/") or b"#" in self.url:
            raise ValueError("not origin-form")  # httptools turns it into a 400
        super().on_headers_complete()
        if draining_of(self.app_state).begun and self.cycle is not None:
            self.cycle.keep_alive = False  # the client's next request goes elsewhere

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock with the connection."""
        self._stop_clock()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP in the form of all our answers, and close."""
        del msg
        self._stop_clock()
        if self.transport.is_closing():
            return
        request_id = secrets.token_hex(16)
        answer = problem_answer(
            ProblemError("headers_too_large")
            if self._headers_too_large
            else ProblemError("invalid_request", errors=[{"code": "malformed"}]),
            request_id,
        )
        body = answer.body or b""
        headers = (
            *answer.headers,
            *COMMON_HEADERS,
            NOTHING_SHOWN,
            (b"x-request-id", request_id.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        )
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}".encode()
        lines = [b"HTTP/1.1 " + status, *(b": ".join(header) for header in headers)]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.transport.close()

    def _grow(self, octets: int) -> None:
        self._head_size += octets
        if self._head_size > HEAD_LIMIT:
            raise ValueError("the head is too large")

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.close()

    def _stop_clock(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class ApiServer(uvicorn.Server):
    """A server on a bound socket; tells when it answers, and ends in peace on SIGTERM."""

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        *,
        on_ready: Callable[[str], None] | None = None,
        drain_for: float = 0.0,
    ) -> None:
        self._app = app
        self._listener = listener
        self._on_ready = on_ready
        self._drain_for = drain_for
        self._draining = Draining()
        self.failure: SecretsError | None = None
        super().__init__(
            uvicorn.Config(
                self._guarded,
                http=StrictProtocol,
                loop="uvloop",
                ws="none",
                lifespan="on",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=True,
                backlog=BACKLOG,
            )
        )

    @property
    def url(self) -> str:
        """Where it listens, with the port it really has."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop; the socket is closed at the end."""
        try:
            await super().serve(sockets or [self._listener])
        finally:
            self._listener.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the application, then listen, then say so."""
        self._draining.tell(self.lifespan.state)
        await super().startup(sockets)
        # What is there now stays: a full collection that walks it halts all requests meanwhile.
        gc.collect()
        gc.freeze()
        if self.started and self._on_ready is not None:
            self._on_ready(self.url)

    async def main_loop(self) -> None:
        """Serve; when told to stop, be unready and serve on for `drain_for` seconds.

        Whoever sends requests here needs that time to notice.
        """
        await super().main_loop()
        self._draining.begin()
        ends_at = anyio.current_time() + self._drain_for
        ticks = 0
        while anyio.current_time() < ends_at and not self.force_exit:
            await anyio.sleep(0.1)
            ticks += 1
            await self.on_tick(ticks)  # it keeps the Date header

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, let requests end, then close the application.

        In place of uvicorn's, which closes the application while those it has just cancelled
        still run, and waits for that without end. Here requests that take longer than `GRACE`
        are cut off (their clients see the connection close), have `LAST_WORDS` for what must
        be written down, and only then the application is closed, within `CLOSING`.
        """
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if not await self._ended(within=GRACE):
            _log.warning("service.cut_off", extra={"requests": len(self.server_state.tasks)})
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            for task in list(self.server_state.tasks):
                task.cancel()
            await self._ended(within=LAST_WORDS)
        if not self.force_exit:
            with anyio.move_on_after(CLOSING) as closing:
                await self.lifespan.shutdown()
            if closing.cancelled_caught:
                _log.warning("service.not_closed", extra={"seconds": CLOSING})

    async def _ended(self, *, within: float) -> bool:
        """Wait until no request runs and no connection is open; a second Ctrl-C does not wait."""
        with anyio.move_on_after(within):
            while self.server_state.connections or self.server_state.tasks:
                if self.force_exit:
                    return False
                await anyio.sleep(_POLL)
            return True
        return False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that was obeyed is not raised anew: exit code 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _guarded(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass on what is to be answered; the lifespan is opened with care."""
        if scope["type"] != "lifespan":
            return self._app(scope, receive, send)
        return self._opened(scope, receive, send)

    async def _opened(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep a failure to open for `serve`, which says it in one sentence.

        Starlette would send it on as a formatted traceback, and uvicorn log that.
        """

        async def without_traceback(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                message = {"type": message["type"], "message": ""}
            await send(message)

        try:
            await self._app(scope, receive, without_traceback)
        except SecretsError as error:
            self.failure = error
        except Exception as error:
            _log.error(  # without the traceback, which may quote anything
                "service.failed", extra={"error": type(error).__name__, "at": place_of(error)}
            )
            raise


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound, and not yet listening; port 0 takes a free one.

    Raises:
        ConfigurationError: the port is taken, or the address is none of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise ConfigurationError(
            f"The host is {host!r}, which is no address of this machine; use 127.0.0.1 or 0.0.0.0."
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ConfigurationError(_bind_refusal(host, port, error.errno)) from None
    listener.setblocking(False)
    return listener


def _bind_refusal(host: str, port: int, number: int | None) -> str:
    where = f"Port {port} on {host}"
    if number == errno.EADDRINUSE:
        return (
            f"{where} is in use; stop what listens there, or choose another with --port "
            "(0 takes a free one)."
        )
    if number == errno.EACCES:
        return f"{where} needs a privilege this process lacks; choose one from 1024 on."
    return f"{where} cannot be listened on; use an address of this machine."


def serve(
    *,
    service_config: SecretsServiceConfig | None = None,
    api_config: ApiConfig | None = None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    on_ready: Callable[[str], None] | None = None,
) -> int:
    """Run the service until SIGTERM or SIGINT, and return the exit code: 0, or 2 if it could
    not begin, with one sentence on stderr that says why.

    Before anything else the process closes its memory to others: see `deny_memory`.

    `on_ready` is called with the URL once requests are answered.
    """
    configure_logging()
    deny_memory()
    allow_connections()
    try:
        api_config = api_config or ApiConfig.from_env()
        app = create_app(service_config=service_config, api_config=api_config)
        server = ApiServer(app, bind(host, port), on_ready=on_ready, drain_for=api_config.drain_for)
    except ConfigurationError as error:
        return _complain(error)
    try:
        server.run()
    except SystemExit:  # uvicorn's way to say that the lifespan failed
        if server.failure is None:
            raise
    return 0 if server.failure is None else _complain(server.failure)


def _complain(error: SecretsError) -> int:
    sys.stderr.write(f"error: {error}\n")
    return EXIT_USAGE
