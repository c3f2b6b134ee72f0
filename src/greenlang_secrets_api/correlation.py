"""The outermost layer: the request's id, headers of every answer, the access log, and the
one place where an exception becomes a problem.

Pure ASGI. A log line has the route's template and never the path; an exception of nobody's
own is logged by its class and place, without its text and without locals.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from opentelemetry.trace import INVALID_SPAN, Span
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greenlang_secrets.errors import SecretsError
from greenlang_secrets.tracing import tracer
from greenlang_secrets_api.answers import Header
from greenlang_secrets_api.http_metrics import OUTSIDE
from greenlang_secrets_api.logs import place_of
from greenlang_secrets_api.problems import ProblemError, problem_answer, problem_of
from greenlang_secrets_api.request_info import RequestInfo
from greenlang_secrets_api.request_spans import describe, request_span
from greenlang_secrets_api.targets import is_ours

__all__ = ["COMMON_HEADERS", "NOTHING_SHOWN", "Correlation", "request_info"]

_log: Final = logging.getLogger("greenlang_secrets_api")
_access: Final = logging.getLogger("greenlang_secrets_api.access")

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


def request_info(scope: Scope) -> RequestInfo:
    """Return what `Correlation` put into the scope."""
    info: RequestInfo = scope[_INFO]
    return info


class Correlation:
    """Wraps the whole application; `passes_trace` says that Vault is told of callers' spans."""

    def __init__(
        self, app: ASGIApp, *, access_log: bool = True, passes_trace: bool = False
    ) -> None:
        self._app = app
        self._access_log = access_log
        self._passes_trace = passes_trace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other scopes pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        info = scope[_INFO] = RequestInfo.of(scope["headers"])
        spans = self._passes_trace or tracer() is not None
        if not spans or not is_ours(scope["raw_path"]):
            await self._answer(info, scope, receive, send)
            return
        with request_span(info, passes_on=self._passes_trace) as span:
            await self._answer(info, scope, receive, send, span)

    async def _answer(
        self,
        info: RequestInfo,
        scope: Scope,
        receive: Receive,
        send: Send,
        span: Span = INVALID_SPAN,
    ) -> None:
        metrics = scope["state"]["metrics"].http
        metrics.in_flight += 1
        status = 0
        code: str | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], *info.headers, *COMMON_HEADERS]
                headers.append((b"x-request-id", info.request_id.encode()))
                for name, _ in message["headers"]:
                    if name == NOTHING_SHOWN[0]:
                        break
                else:
                    headers.append(NOTHING_SHOWN)
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001  # the edge: every error becomes a problem here
            code, _ = problem_of(error)
            if status:  # too late to say anything else; the server closes the connection
                _report(error, info)
                raise ConnectionAbortedError from None
            if not isinstance(error, ProblemError | SecretsError):
                _report(error, info)
            await problem_answer(error, info.request_id).send(send_with_headers)
        finally:
            metrics.in_flight -= 1
            seconds = time.perf_counter() - info.began
            if info.route == "other" and scope["path"] in OUTSIDE:
                info.route = scope["path"]
            method = scope["method"]
            metrics.ended(method, info.route, status, seconds if info.timed else None)
            describe(span, info, method, status, code)
            if self._access_log and _access.isEnabledFor(logging.INFO):
                _tell(info, method, status, seconds)


def _tell(info: RequestInfo, method: str, status: int, seconds: float) -> None:
    """Log a request; as `Logger.info` does, without looking for the line of code it comes from."""
    fields = {
        "route": info.route,
        "method": method,
        "status": status,
        "duration": round(seconds, 6),
        "request_id": info.request_id,
        "trace_id": info.trace_id,
    }
    name, level = _access.name, logging.INFO
    _access.handle(_access.makeRecord(name, level, "", 0, "http.request", (), None, extra=fields))


def _report(error: Exception, info: RequestInfo) -> None:
    """Log what failed and where, without the error's text, which may quote anything."""
    _log.error(
        "http.failed",
        extra={"error": type(error).__name__, "at": place_of(error), "request_id": info.request_id},
    )
