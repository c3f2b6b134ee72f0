from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider

from greenlang_secrets.access import Action
from greenlang_secrets.errors import VaultUnavailable
from greenlang_secrets.telemetry import Instruments, Operation, Tally, asked_vault, duration, timed


def recorded(collected: Any) -> dict[str, int]:
    """How many of each operation were recorded."""
    data = collected.reader.get_metrics_data()
    return {
        point.attributes["operation"]: point.count
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "gl_secrets_operation_duration"
        for point in metric.data.data_points
    }


def test_what_asked_vault_is_recorded_once(collected):
    """The histogram has it under its operation, however often it was sent."""
    with Tally().counting(Action.CREATE):
        asked_vault()
        asked_vault()

    assert recorded(collected) == {"create": 1}


def test_what_asked_nobody_is_not_recorded(collected):
    """The control: counted all the same, and a hit would hide what is slow."""
    tally = Tally()
    with tally.counting(Action.CREATE):
        pass

    assert recorded(collected) == {}
    assert tally.totals() == {("create", "generic", "ok"): 1}


def test_failure_is_recorded_as_well(collected):
    """What takes long and fails is what an alert on latency is for."""

    def log_in() -> None:
        with Tally().counting(Operation.LOGIN):
            asked_vault()
            raise VaultUnavailable("timeout")

    with pytest.raises(VaultUnavailable):
        log_in()

    assert recorded(collected) == {"login": 1}


def test_what_is_timed_inside_is_left_to_itself(collected):
    """A read that waits for a load is not recorded beside that load."""
    with Tally().counting(Action.UPDATE), timed(Action.READ):
        asked_vault()

    assert recorded(collected) == {"read": 1}


def test_outer_operation_goes_on_after_the_inner_one(collected):
    """What the outer one sends afterwards is its own."""
    with Tally().counting(Action.UPDATE):
        with timed(Action.READ):
            pass
        asked_vault()

    assert recorded(collected) == {"update": 1}


async def test_task_of_an_operation_speaks_for_it(collected):
    """An attempt runs in a task of its own, and is the operation's all the same."""

    async def attempt() -> None:
        asked_vault()

    with Tally().counting(Action.DELETE):
        await asyncio.gather(attempt())

    assert recorded(collected) == {"delete": 1}


def test_asking_outside_of_an_operation_is_nobodys(collected):
    """The probes of nodes, say: nothing is recorded, and nothing is raised."""
    asked_vault()

    assert recorded(collected) == {}


def test_bounds_are_those_of_the_page(collected):
    """Floats from a millisecond to ten seconds; the alert's threshold is one of them."""
    with Tally().counting(Action.CREATE):
        asked_vault()

    data = collected.reader.get_metrics_data()
    [point] = next(
        metric.data.data_points
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "gl_secrets_operation_duration"
    )
    bounds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
    assert tuple(point.explicit_bounds) == bounds
    assert {type(bound) for bound in point.explicit_bounds} == {float}


def test_provider_that_is_gone_is_not_recorded_to():
    """Who drops a meter provider pays for it no longer."""
    gc.collect()  # those of tests before
    before = duration._histograms
    provider = NoOpMeterProvider()
    Instruments(provider)
    assert len(duration._histograms) == len(before) + 1

    del provider
    gc.collect()

    assert duration._histograms == before


def test_provider_of_the_sdk_that_is_gone_is_not_recorded_to(collected):
    """The SDK's instruments do not keep their provider, or it would be recorded to for ever."""
    before = duration._histograms
    other = type(collected)()
    other.provider.shutdown()
    assert len(duration._histograms) == len(before) + 1

    del other
    gc.collect()

    assert duration._histograms == before
