from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from greenlang_secrets.cache_entries import Flight, StaleAge
from greenlang_secrets.errors import VaultUnavailable


def test_without_stale_values_there_is_no_age():
    """Nothing was served stale."""
    assert StaleAge().age(1000.0) == 0.0


def test_oldest_value_counts():
    """Of two that are served the one that was asked for first, in whatever order."""
    age = StaleAge()
    age.note(900.0, 1000.0)
    age.note(800.0, 1001.0)
    age.note(950.0, 1002.0)

    assert age.age(1010.0) == 210.0


def test_value_that_is_no_longer_served_is_forgotten():
    """Two minutes after the last one at the latest: the outage is over."""
    age = StaleAge()
    age.note(800.0, 1000.0)

    assert age.age(1119.0) == 319.0
    assert age.age(1120.0) == 0.0


def test_oldest_of_the_minute_before_counts_on():
    """A new minute does not begin with a younger age; the one after it does."""
    age = StaleAge()
    age.note(800.0, 1000.0)
    age.note(900.0, 1060.0)
    assert age.age(1061.0) == 261.0

    age.note(900.0, 1120.0)

    assert age.age(1121.0) == 221.0


def test_gap_forgets_both():
    """What was served before a quiet time is of another outage."""
    age = StaleAge()
    age.note(800.0, 1000.0)
    age.note(1200.0, 1210.0)

    assert age.age(1211.0) == 11.0


# ---------------------------------------------------------------- flights


def flight_of(load: Coroutine[None, None, str]) -> Flight[str]:
    flight: Flight[str] = Flight()
    flight.task = asyncio.ensure_future(load)
    flight.task.add_done_callback(flight.over)
    return flight


async def arrives() -> str:
    return "v1"


async def test_who_comes_after_the_landing_is_told_as_well():
    """Such as a caller that found the flight in the same turn of the loop in which it landed."""
    flight = flight_of(arrives())
    await flight.task

    assert await flight.landing() == "v1"


@pytest.mark.parametrize("tells", [True, False])
async def test_waiter_that_was_cancelled_is_left_alone(tells):
    """The others are told all the same, whether by the load itself or by the end of its task."""
    flight = flight_of(arrives())
    gone, stays = flight.landing(), flight.landing()
    gone.cancel()

    if tells:
        flight.land("v1")
        assert stays.done()

    assert await stays == "v1"
    assert gone.cancelled()


async def test_each_waiter_gets_an_error_of_its_own():
    """One traceback each; what is no error of ours, a bug, is the same for all."""

    async def fails(error: Exception) -> str:
        raise error

    for error, same in ((VaultUnavailable("sealed"), False), (ZeroDivisionError(), True)):
        flight = flight_of(fails(error))
        one, gone, other = flight.landing(), flight.landing(), flight.landing()
        gone.cancel()

        told = await asyncio.gather(one, other, return_exceptions=True)

        assert [type(each) for each in told] == [type(error)] * 2
        assert (told[0] is told[1]) is same
        assert gone.cancelled()


async def test_load_that_is_cancelled_before_it_began_is_told():
    """With the service, say: nobody waits for ever."""
    flight = flight_of(arrives())
    waiter = flight.landing()
    flight.task.cancel()

    with pytest.raises(RuntimeError, match="closed during this read"):
        await waiter
    with pytest.raises(RuntimeError, match="closed during this read"):
        await flight.landing()
