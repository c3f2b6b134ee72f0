"""A tracer provider that keeps its spans, in place of the process's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@contextmanager
def recorded() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    """Record spans in the block; a process's own provider can be set once only."""
    provider, kept = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with patch.object(trace, "get_tracer_provider", return_value=provider):
        yield provider, kept
