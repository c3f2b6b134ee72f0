"""The outermost layer: the request's id, headers of every answer, the access log, and the
one place where an exception becomes a problem.

Pure ASGI. A log line has the route's template and never the path; an exception of nobody's
own is logged by its class and place, without its text and without locals.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greenlang_secrets.errors import SecretsError
from greenlang_secrets_api.answers import Header
from greenlang_secrets_api.http_metrics import OUTSIDE
from greenlang_secrets_api.logs import place_of
from greenlang_secrets_api.problems import ProblemError, problem_answer

__all__ = ["COMMON_HEADERS", "NOTHING_SHOWN", "Correlation", "RequestInfo", "request_info"]

_log: Final = logging.getLogger("greenlang_secrets_api")
_access: Final = logging.getLogger("greenlang_secrets_api.access")

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")
_TRACEPARENT: Final = re.compile(
    rb"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}"
    rb"(?P<more>-.*)?\Z"
)
_INFO: Final = "greenlang_secrets_api.info"

COMMON_HEADERS: Final[tuple[Header, ...]] = (
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
    (b"vary", b"Authorization"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""On every answer, errors among them: a cache in between must keep none of it."""

NOTHING_SHOWN: Final[Header] = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'",
)
"""On every answer that has no policy of its own, as a page that shows something has."""


@dataclass(slots=True)
class RequestInfo:
    """What is known of a request beside the scope, for its log line, problems and audit records.

    Attributes:
        request_id: the caller's `X-Request-ID`, or one made here.
        trace_id: that of the caller's `traceparent`.
        address: the IP address it came from, once `Dispatch` has looked.
        began: `time.perf_counter` at its beginning.
        route: the template of its target; never the path.
        headers: what the answer carries besides its own, whatever comes of the request.
        timed: whether its duration says something of an endpoint: it reached one, and was not
            held back because its caller wished so.
    """

    request_id: str
    trace_id: str | None = None
    address: str = ""
    began: float = field(default_factory=time.perf_counter)
    route: str = "other"
    headers: tuple[Header, ...] = ()
    timed: bool = False


def request_info(scope: Scope) -> RequestInfo:
    """Return what `Correlation` put into the scope."""
    info: RequestInfo = scope[_INFO]
    return info


class Correlation:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp, *, access_log: bool = True) -> None:
        self._app = app
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other scopes pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        info = scope[_INFO] = RequestInfo(
            _request_id(scope["headers"]),
            trace_id=_trace_id(scope["headers"]),
        )
        metrics = scope["state"]["metrics"].http
        metrics.in_flight += 1
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], *info.headers, *COMMON_HEADERS]
                headers.append((b"x-request-id", info.request_id.encode()))
                if not any(name == NOTHING_SHOWN[0] for name, _ in message["headers"]):
                    headers.append(NOTHING_SHOWN)
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001  # the edge: every error becomes a problem here
            if status:  # too late to say anything else; the server closes the connection
                _report(error, info)
                raise ConnectionAbortedError from None
            if not isinstance(error, ProblemError | SecretsError):
                _report(error, info)
            await problem_answer(error, info.request_id).send(send_with_headers)
        finally:
            seconds = time.perf_counter() - info.began
            if info.route == "other" and scope["path"] in OUTSIDE:
                info.route = scope["path"]
            metrics.in_flight -= 1
            metrics.ended(scope["method"], info.route, status, seconds if info.timed else None)
            if self._access_log:
                _access.info(
                    "http.request",
                    extra={
                        "route": info.route,
                        "method": scope["method"],
                        "status": status,
                        "duration": round(seconds, 6),
                        "request_id": info.request_id,
                        "trace_id": info.trace_id,
                    },
                )


def _request_id(headers: list[Header]) -> str:
    found = [value for name, value in headers if name == b"x-request-id"]
    if len(found) == 1 and _REQUEST_ID.match(found[0]):
        return found[0].decode()
    return secrets.token_hex(16)


def _trace_id(headers: list[Header]) -> str | None:
    """W3C Trace Context, 3.2: one header, of which later versions only add to the end."""
    found = [value for name, value in headers if name == b"traceparent"]
    match = _TRACEPARENT.match(found[0]) if len(found) == 1 else None
    if match is None or match["version"] == b"ff" or match["trace"] == b"0" * 32:
        return None
    if match["span"] == b"0" * 16 or (match["version"] == b"00" and match["more"]):
        return None
    return match["trace"].decode()


def _report(error: Exception, info: RequestInfo) -> None:
    """Log what failed and where, without the error's text, which may quote anything."""
    _log.error(
        "http.failed",
        extra={"error": type(error).__name__, "at": place_of(error), "request_id": info.request_id},
    )
