"""Spans to an OTLP receiver over HTTP, if OpenTelemetry's own variables ask for it; see
`docs/how-to/trace.md`. There are no settings of ours beside them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio
import anyio.to_thread
from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import ProxyTracerProvider

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.version import __version__

__all__ = ["exporting", "is_wanted"]

FLUSH_WITHIN: Final = 3.0
"""Seconds at the end for what was not yet sent; a receiver that is away must not hold us up."""

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

_log: Final = logging.getLogger("greenlang_secrets_api")


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Return whether the variables ask for spans: an endpoint is named, or the exporter is.

    Raises:
        ConfigurationError: they ask for an exporter or a protocol that there is not.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    named = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if named == "none" or (not named and not any(environ.get(name) for name in _ENDPOINTS)):
        return False
    if named not in {"", "otlp"}:
        raise ConfigurationError(f"OTEL_TRACES_EXPORTER is {named!r}; use otlp or none.")
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        raise ConfigurationError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; use http/protobuf, whose port is "
            "usually 4318."
        )
    return True


@asynccontextmanager
async def exporting(environ: Mapping[str, str] | None = None) -> AsyncIterator[None]:
    """Set the process's tracer provider, if that is asked for and none is set, and send its spans
    until the end; the last of them within 3 s, or not at all.

    A process has one provider: once it is closed, another application in it makes no spans.

    Raises:
        ConfigurationError: as `is_wanted`, or the extra ``otlp`` is not installed.
    """
    environ = os.environ if environ is None else environ
    if not is_wanted(environ) or not isinstance(trace.get_tracer_provider(), ProxyTracerProvider):
        yield
        return
    # In a thread: it imports an HTTP client, and resource detectors wait for locks.
    provider = await anyio.to_thread.run_sync(_provider, environ)
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        await _shut_down(provider)


def _provider(environ: Mapping[str, str]) -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  an extra
            OTLPSpanExporter,
        )
    except ModuleNotFoundError:
        raise ConfigurationError(
            "The OTEL_* variables ask for spans over OTLP, and the exporter is not installed; "
            "pip install 'greenlang-secrets[otlp]', or set OTEL_TRACES_EXPORTER=none."
        ) from None
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  goes with it

    attributes = {SERVICE_NAME: "greenlang-secrets", SERVICE_VERSION: __version__}
    named = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if environ.get("OTEL_SERVICE_NAME") or f"{SERVICE_NAME}=" in named:
        del attributes[SERVICE_NAME]  # what is given here would win over the variables
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


async def _shut_down(provider: TracerProvider) -> None:
    """Send what is left. The SDK would wait up to 30 s, in a thread that keeps a process alive."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def work() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # the loop has gone without us
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=work, name="trace-export-end", daemon=True).start()
    with anyio.move_on_after(FLUSH_WITHIN, shield=True) as waited:
        await done.wait()
    if waited.cancelled_caught:
        _log.warning("trace.not_flushed", extra={"seconds": FLUSH_WITHIN})
