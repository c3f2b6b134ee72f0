"""An HTTP server in a thread that answers by a function: for what has no real server here."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Respond = Callable[[Asked], tuple[int, str, bytes]]
"""Returns status, content type and body."""


@dataclass
class Stub:
    """The requests seen, in order, and what answers the next one."""

    respond: Respond
    addr: str = ""
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def stub(respond: Respond, *, tls: ssl.SSLContext | None = None) -> Iterator[Stub]:
    """Yield a server on a free loopback port; every connection serves one request."""
    state = Stub(respond)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            asked = Asked(
                self.command, self.path, dict(self.headers.items()), self.rfile.read(length)
            )
            state.asked.append(asked)
            status, content_type, body = state.respond(asked)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815  the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as its base has it
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        state.addr = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
