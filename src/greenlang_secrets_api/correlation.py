"""The outermost layer: the request's id, headers of every answer, the access log, and the
one place where an exception becomes a problem.

Pure ASGI. A log line names the route's kind and never the path; an exception of nobody's
own is logged by its class and place, without its text and without locals.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greenlang_secrets.errors import SecretsError
from greenlang_secrets_api.answers import Header
from greenlang_secrets_api.logs import place_of
from greenlang_secrets_api.problems import ProblemError, problem_answer

__all__ = ["COMMON_HEADERS", "Correlation", "RequestInfo", "request_info"]

_log: Final = logging.getLogger("greenlang_secrets_api")
_access: Final = logging.getLogger("greenlang_secrets_api.access")

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")
_INFO: Final = "greenlang_secrets_api.info"

COMMON_HEADERS: Final[tuple[Header, ...]] = (
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
    (b"vary", b"Authorization"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""On every answer, errors among them: a cache in between must keep none of it."""


@dataclass(slots=True)
class RequestInfo:
    """What is known of a request beside the scope, for its log line and problems."""

    request_id: str
    kind: str = "other"
    limits: tuple[Header, ...] = ()


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
        began = time.perf_counter()
        info = scope[_INFO] = RequestInfo(_request_id(scope["headers"]))
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                request_id = (b"x-request-id", info.request_id.encode())
                message["headers"] = [
                    *message["headers"],
                    *COMMON_HEADERS,
                    *info.limits,
                    request_id,
                ]
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
            if self._access_log:
                _access.info(
                    "http.request",
                    extra={
                        "kind": info.kind,
                        "method": scope["method"],
                        "status": status,
                        "duration": round(time.perf_counter() - began, 6),
                        "request_id": info.request_id,
                    },
                )


def _request_id(headers: list[Header]) -> str:
    found = [value for name, value in headers if name == b"x-request-id"]
    if len(found) == 1 and _REQUEST_ID.match(found[0]):
        return found[0].decode()
    return secrets.token_hex(16)


def _report(error: Exception, info: RequestInfo) -> None:
    """Log what failed and where, without the error's text, which may quote anything."""
    _log.error(
        "http.failed",
        extra={"error": type(error).__name__, "at": place_of(error), "request_id": info.request_id},
    )
