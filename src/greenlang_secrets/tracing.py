"""Spans through OpenTelemetry's API where a provider is set, and nothing where none is.

A span that nobody records still costs 6 microseconds, so the provider is asked first. A span
says what was done and how it ended: no path, tenant, principal, query or value is in a name, an
attribute or an event, and exceptions, whose texts and frames may quote one, are not recorded.
Nothing here is near a read that the cache answers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.environment_variables import OTEL_PYTHON_TRACER_PROVIDER
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    NoOpTracerProvider,
    ProxyTracerProvider,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    TracerProvider,
)

from greenlang_secrets.errors import SecretsError
from greenlang_secrets.version import __version__

__all__ = ["client_span", "traceparent", "tracer"]


_ask: Final = trace.get_tracer_provider
_NAMED: Final = OTEL_PYTHON_TRACER_PROVIDER in os.environ
"""Whether the API makes the provider by itself, when it is first asked for it."""


def tracer() -> Tracer | None:
    """Return the tracer of the process's provider; None while there is none, so make no span."""
    # While there is none the API looks into the environment each time, for one that it may name:
    # a twentieth of a cached read over HTTP. No public question is cheaper.
    if (
        getattr(trace, "_TRACER_PROVIDER", trace) is None
        and trace.get_tracer_provider is _ask
        and not _NAMED
    ):
        return None
    provider = trace.get_tracer_provider()
    if isinstance(provider, ProxyTracerProvider | NoOpTracerProvider):
        return None
    return _tracer_of(provider)


@lru_cache(maxsize=1)
def _tracer_of(provider: TracerProvider) -> Tracer:
    return provider.get_tracer("greenlang_secrets", __version__)


@contextmanager
def client_span(name: str, attributes: Mapping[str, str], *, roots: bool = True) -> Iterator[Span]:
    """Make a span of a request to another server, and let it be the current one in the block.

    A `SecretsError` gives it the status of an error, described by its code. Below a request
    that has ended it begins a trace of its own: what a request set going may go on for days.

    Args:
        name: the same for all requests of a kind.
        attributes: closed sets and configured names only.
        roots: False: without a request that is under way there is none.
    """
    found = tracer()
    if found is None:
        yield INVALID_SPAN
        return
    above = trace.get_current_span()
    # One that is not recorded, by its sampler's choice, stands: what is below it is not either.
    stands = above.is_recording() or (
        isinstance(above, NonRecordingSpan) and above.get_span_context().is_valid
    )
    if not stands and not roots:
        yield INVALID_SPAN
        return
    with found.start_as_current_span(
        name,
        context=None if stands else Context(),
        kind=SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except SecretsError as error:
            span.set_status(StatusCode.ERROR, error.code)
            raise


def traceparent() -> str | None:
    """Return the current span as a `traceparent` (W3C Trace Context, 3.2); None if there is none."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
