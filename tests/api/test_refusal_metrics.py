"""Denied principals: counted once each, for five minutes, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from greenlang_secrets_api import refusal_metrics
from greenlang_secrets_api.metrics import Metrics
from greenlang_secrets_api.refusal_metrics import RefusalMetrics


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refusals(clock: Clock) -> Iterator[RefusalMetrics]:
    metrics = Metrics()
    yield RefusalMetrics(metrics.provider, clock=clock)
    metrics.provider.shutdown()


def told(refusals: RefusalMetrics) -> float:
    [observation] = refusals._principals(None)  # type: ignore[arg-type]
    return observation.value


def test_a_principal_counts_once_and_for_five_minutes(
    refusals: RefusalMetrics, clock: Clock
) -> None:
    """From its last denial on; the number falls by itself, when nobody is denied any more."""
    refusals.denied("permission", "a")
    clock.now += 200
    refusals.denied("policy", "a")
    refusals.denied("tenant", "b")
    assert told(refusals) == 2

    clock.now += 299
    assert told(refusals) == 2
    clock.now += 2
    assert told(refusals) == 0


def test_nobody_is_no_principal(refusals: RefusalMetrics) -> None:
    """A refused bearer names nobody."""
    refusals.denied("token")

    assert told(refusals) == 0


def test_memory_of_denied_principals_is_bounded(
    refusals: RefusalMetrics, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """Whoever makes up principals fills no memory, and who is over is forgotten."""
    monkeypatch.setattr(refusal_metrics, "MOST_REMEMBERED", 3)
    for number in range(10):
        refusals.denied("permission", number)
    assert told(refusals) == 3
    assert list(refusals._denied) == [7, 8, 9]

    clock.now += 301
    refusals.denied("permission", "new")

    assert list(refusals._denied) == ["new"]
