"""Requests as metrics: how many, how long, and how many now; by template, and never by path.

Requests are counted in plain integers that observable counters read, because one `add` of the
SDK costs as much as a hundredth of a cached read. Its histogram is used all the same, since it
has no asynchronous one; `python -m benchmarks.http_edge` says what both cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

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


class HttpMetrics:
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
        self._durations = meter.create_histogram(
            "gl_http_request_duration",
            unit="s",
            description="How long endpoints took, without answers held back at a caller's wish.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )

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
            self._durations.record(seconds, {"method": method, "route": route})

    def _counted(self, _: CallbackOptions) -> Iterable[Observation]:
        for (method, route, status), count in dict(self._requests).items():
            labels = {"method": method, "route": route, "status": str(status)}
            yield Observation(count, labels)
