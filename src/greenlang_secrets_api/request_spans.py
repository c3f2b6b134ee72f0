"""The span of a request below the prefix: a child of the caller's, named by the route's template.

What a caller writes stands in none of it: not the path, the query or the `Host`, and a method
that the route does not have is OTHER.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)

from greenlang_secrets.telemetry import type_label
from greenlang_secrets.tracing import tracer
from greenlang_secrets_api.http_metrics import named
from greenlang_secrets_api.request_info import Parent, RequestInfo

__all__ = ["describe", "request_span"]

_FLAGS: Final = 0x03
"""Sampled, and that the trace's id is random (W3C Trace Context Level 2, 3.2.2.5); others mean nothing yet."""


@contextmanager
def request_span(info: RequestInfo, *, passes_on: bool) -> Iterator[Span]:
    """Make the span, and let it be the current one in the block; `info.trace_id` is its trace's then.

    Without a provider there is none; where traces are passed on to Vault (`passes_on`), the
    caller's span stands in its place.
    """
    found = tracer()
    if found is not None:
        above = Context() if info.parent is None else _below(info.parent, Context())
        with found.start_as_current_span(
            "request",  # its route is known later
            context=above,
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            info.trace_id = f"{span.get_span_context().trace_id:032x}"
            yield span
    elif passes_on and info.parent is not None:
        token = context.attach(_below(info.parent))
        try:
            yield INVALID_SPAN
        finally:
            context.detach(token)
    else:
        yield INVALID_SPAN


def describe(span: Span, info: RequestInfo, method: str, status: int, code: str | None) -> None:
    """Say what the request was and how it ended; `code` is its problem's, if that is the answer."""
    if not span.is_recording():
        return
    method, route = named(method, info.route)
    span.update_name(f"{method} {route}")
    span.set_attribute("http.request.method", method)
    if status:
        span.set_attribute("http.response.status_code", status)
    if info.noted is not None:
        span.set_attribute("greenlang.secrets.operation", info.noted.action.value)
        if info.noted.secret_type is not None:
            label = type_label(info.noted.secret_type)
            span.set_attribute("greenlang.secrets.secret_type", label)
    if status >= 500:
        span.set_status(StatusCode.ERROR, code)


def _below(parent: Parent, within: Context | None = None) -> Context:
    """The context of the caller's span, which is sampled or not as the caller says."""
    remote = SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(parent.flags, 16) & _FLAGS),
    )
    return trace.set_span_in_context(NonRecordingSpan(remote), within)
