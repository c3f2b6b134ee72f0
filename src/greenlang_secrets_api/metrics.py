"""Metrics of the process in Prometheus' format, from an own registry and meter provider.

The library counts in plain integers and knows only OpenTelemetry's API; the SDK and the
reader are here. Rendering 200 series takes 8 ms of CPU, so it is done in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import anyio.to_thread
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from greenlang_secrets.telemetry import Instruments
from greenlang_secrets.version import __version__
from greenlang_secrets_api.audit_metrics import AuditMetrics
from greenlang_secrets_api.http_metrics import HttpMetrics
from greenlang_secrets_api.loop_lag import LoopLag
from greenlang_secrets_api.refusal_metrics import RefusalMetrics
from greenlang_secrets_api.rotation_durations import RotationDurations

__all__ = ["Metrics"]


class Metrics:
    """One registry, one meter provider, and the library's and the service's instruments on it.

    Attributes:
        http, refusals, audit, rotation, loop_lag: what is told of requests, of those turned away,
            of the audit log, of how long rotations take, and of the event loop.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._rendering = Lock()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        reader = PrometheusMetricReader(registry=self._registry, scope_info_enabled=False)
        resource = Resource.create(
            {"service.name": "greenlang-secrets", "service.version": __version__}
        )
        self.provider = MeterProvider(
            metric_readers=[reader], resource=resource, shutdown_on_exit=False
        )
        Instruments(self.provider)
        self.http = HttpMetrics(self.provider)
        self._registry.register(self.http)
        self.refusals = RefusalMetrics(self.provider)
        self.audit = AuditMetrics(self.provider)
        self.rotation = RotationDurations(self.provider)
        self.loop_lag = LoopLag(self.provider)

    @contextmanager
    def collecting(self, collector: Collector) -> Iterator[None]:
        """Show what a collector of Prometheus' own client has, until this is left: for series that
        come and go, which OpenTelemetry's SDK does not forget.
        """
        self._registry.register(collector)
        try:
            yield
        finally:
            self._registry.unregister(collector)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Return the exposition and its content type, in the format that `accept` asks for."""
        encode, content_type = choose_encoder(accept)

        def one_at_a_time() -> bytes:
            # OpenTelemetry's reader hands over its points in one queue for all who collect: of
            # two scrapes at once one could take what the other had put there.
            with self._rendering:
                return encode(self._registry)

        return await anyio.to_thread.run_sync(one_at_a_time), content_type

    async def close(self) -> None:
        """Stop collecting."""
        await anyio.to_thread.run_sync(self.provider.shutdown)
