"""What is known of a request beside its scope, from its headers on."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from greenlang_secrets.identifiers import new_id
from greenlang_secrets_api.answers import Header
from greenlang_secrets_api.endpoints import Noted

__all__ = ["Parent", "RequestInfo"]

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")
_TRACEPARENT: Final = re.compile(
    rb"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})"
    rb"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?\Z"
)


class Parent(NamedTuple):
    """The caller's span, as its `traceparent` names it, each part in hexadecimal."""

    trace_id: str
    span_id: str
    flags: str


@dataclass(slots=True)
class RequestInfo:
    """What is known of a request beside the scope, for its log line, problems and audit records.

    Attributes:
        request_id: the caller's `X-Request-ID`, or one made here.
        parent: the caller's span.
        trace_id: that of the caller's `traceparent`, else that of the request's own span.
        address: the IP address it came from, once `Dispatch` has looked.
        began: `time.perf_counter` at its beginning.
        route: the template of its target; never the path.
        headers: what the answer carries besides its own, whatever comes of the request.
        timed: whether its duration says something of an endpoint: it reached one, and was not
            held back because its caller wished so.
        noted: what its endpoint notes, once it has found one.
    """

    request_id: str
    parent: Parent | None = None
    trace_id: str | None = None
    address: str = ""
    began: float = field(default_factory=time.perf_counter)
    route: str = "other"
    headers: tuple[Header, ...] = ()
    timed: bool = False
    noted: Noted | None = None

    @classmethod
    def of(cls, headers: list[Header]) -> RequestInfo:
        """Return what the headers of a request tell."""
        parent = _parent(headers)
        return cls(
            _request_id(headers),
            parent=parent,
            trace_id=None if parent is None else parent.trace_id,
        )


def _request_id(headers: list[Header]) -> str:
    found = [value for name, value in headers if name == b"x-request-id"]
    if len(found) == 1 and _REQUEST_ID.match(found[0]):
        return found[0].decode()
    return new_id()


def _parent(headers: list[Header]) -> Parent | None:
    """W3C Trace Context, 3.2: one header, of which later versions only add to the end."""
    found = [value for name, value in headers if name == b"traceparent"]
    match = _TRACEPARENT.match(found[0]) if len(found) == 1 else None
    if match is None or match["version"] == b"ff" or match["trace"] == b"0" * 32:
        return None
    if match["span"] == b"0" * 16 or (match["version"] == b"00" and match["more"]):
        return None
    return Parent(match["trace"].decode(), match["span"].decode(), match["flags"].decode())
