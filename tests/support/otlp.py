"""A receiver of spans over OTLP/HTTP, on loopback: what an exporter sends, as it came and parsed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver:
    """What was received so far."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.bodies: list[bytes] = []

    @property
    def octets(self) -> bytes:
        """All that came, as it came."""
        return b"".join(self.bodies)

    @property
    def spans(self) -> list[Span]:
        """All spans that came."""
        return [
            span
            for resource in self._resources()
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resources(self) -> list[dict[str, str]]:
        """Of what each request's spans are."""
        return [values(each.resource.attributes) for each in self._resources()]

    def _resources(self):
        for body in tuple(self.bodies):
            yield from ExportTraceServiceRequest.FromString(body).resource_spans


def values(attributes) -> dict[str, str | int]:
    """Return attributes by their keys."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def receiver(status: int = 200) -> Iterator[Receiver]:
    """Run a receiver that answers each request with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                found.bodies.append(body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
