from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakSet

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from greenlang_secrets.telemetry import Instruments, tally


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a process of its own: no tally of another test's service counts."""
    monkeypatch.setattr(tally, "live", WeakSet())
    monkeypatch.setattr(tally, "past", tally.Past())


class Collected:
    """What an exporter gets from one provider."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider(metric_readers=[self.reader], shutdown_on_exit=False)
        Instruments(self.provider)

    def points(self) -> dict[str, dict[tuple[str, ...], int | float]]:
        """The values of each instrument by its labels' values, in the order of their names."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: {
                tuple(str(value) for _, value in sorted((point.attributes or {}).items())): (
                    point.value
                )
                for point in metric.data.data_points
            }
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def operations(self, operation: str, secret_type: str, result: str) -> int | float:
        return self.points()["gl_secrets_operations"].get((operation, result, secret_type), 0)


@pytest.fixture
def collected() -> Iterator[Collected]:
    collected = Collected()
    yield collected
    collected.provider.shutdown()
