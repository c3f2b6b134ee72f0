"""Requests as metrics: how many, how long, and how many now; by template, and never by path.

All in plain integers: those of requests are read by observable counters, and those of durations
by a collector of Prometheus' own client, since OpenTelemetry has no asynchronous histogram. One
`record` of the SDK's took 15 microseconds by itself, and five times that between requests, when
none of it is in the processor's caches any more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from greenlang_secrets_api.targets import METHODS, ROUTES, Kind

__all__ = ["OUTSIDE", "UNMATCHED", "HttpMetrics", "named"]

UNMATCHED: Final = "unmatched"
"""The route of a target that none answers to, or that is outside the grammar of paths."""

OUTSIDE: Final = ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs")
"""The routes outside the prefix."""

_OTHER: Final = "OTHER"
"""A method that the route does not have, whichever it is: who asks must not make series."""

_ENDPOINTS: Final = tuple(
    (method, ROUTES[kind]) for kind, methods in METHODS.items() for method in methods
)
_PAIRS: Final = frozenset(
    (*_ENDPOINTS, *((method, route) for route in OUTSIDE for method in ("GET", "HEAD")))
)
_ROUTES: Final = frozenset(route for _, route in _PAIRS)
_SEED: Final = tuple(
    (method, route, status)
    for method, route in _ENDPOINTS
    if route != ROUTES[Kind.HEALTH]
    for status in (500, 503)
)
"""Present with 0 from the start: a failure is rare, and its first must show in `increase()`."""

_NO_ANSWER: Final = 499
"""The `status` of a request that was left or cut off before its answer began."""

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
"""Seconds. A cached read takes 0.5 to 2 ms, most of it the audit record's; 0.1 is where alerts
begin, and 10 where a request ends (`overload.REQUEST_DEADLINE`). Each bound is a series for each
endpoint, so there are few."""


def named(method: str, route: str) -> tuple[str, str]:
    """Return the method and the route as they are told: each from a closed set."""
    if (method, route) in _PAIRS:
        return method, route
    return _OTHER, route if route in _ROUTES else UNMATCHED


_BOUNDS: Final = (*map(floatToGoString, BUCKETS), "+Inf")


@dataclass(slots=True)
class _Durations:
    """Of one endpoint: how many lasted up to each bound and no less, and their sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * len(_BOUNDS))
    sum: float = 0.0


class HttpMetrics(Collector):
    """Counts the requests of one application, and gives a meter provider the instruments.

    Attributes:
        in_flight: requests under way, long polls among them.
    """

    def __init__(self, provider: MeterProvider) -> None:
        self.in_flight = 0
        self._requests: Counter[tuple[str, str, int]] = Counter(dict.fromkeys(_SEED, 0))
        meter = provider.get_meter("greenlang_secrets")
        meter.create_observable_counter(
            "gl_http_requests",
            callbacks=[self._counted],
            unit="{request}",
            description="Requests that were answered, or left before.",
        )
        meter.create_observable_gauge(
            "gl_http_requests_in_flight",
            callbacks=[lambda _: [Observation(self.in_flight)]],
            unit="{request}",
            description="Requests under way, long polls among them.",
        )
        self._durations: dict[tuple[str, str], _Durations] = {}

    def ended(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Count a request that has ended; `seconds` is None where its time says nothing.

        Args:
            method: as the caller wrote it.
            route: a template, or anything else for `UNMATCHED`.
            status: 0 if no answer was begun.
            seconds: from its beginning to its answer's end.
        """
        method, route = named(method, route)
        self._requests[method, route, status or _NO_ANSWER] += 1
        if seconds is not None and method is not _OTHER:
            durations = self._durations.get((method, route))
            if durations is None:
                durations = self._durations[method, route] = _Durations()
            durations.counts[bisect_left(BUCKETS, seconds)] += 1
            durations.sum += seconds

    def collect(self) -> Iterable[Metric]:
        """Return the durations; a scrape calls this from a thread."""
        family = HistogramMetricFamily(
            "gl_http_request_duration_seconds",
            "How long endpoints took, without answers held back at a caller's wish.",
            labels=("method", "route"),
        )
        for labels, durations in dict(self._durations).items():
            counts = accumulate(durations.counts)  # buckets of Prometheus hold those below, too
            buckets = [(bound, float(count)) for bound, count in zip(_BOUNDS, counts, strict=True)]
            family.add_metric(labels, buckets, sum_value=durations.sum)
        return (family,)

    def _counted(self, _: CallbackOptions) -> Iterable[Observation]:
        for (method, route, status), count in dict(self._requests).items():
            labels = {"method": method, "route": route, "status": str(status)}
            yield Observation(count, labels)
