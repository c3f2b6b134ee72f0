"""Candidates in turn, and what their samples say."""

from __future__ import annotations

import pytest

from benchmarks.measuring import (
    Samples,
    Size,
    Spread,
    interleaved,
    number,
    over,
    per_call,
)


async def test_every_candidate_has_one_turn_in_each_round():
    """In each round all candidates are run once, after a turn of each that does not count."""
    turns: list[str] = []

    def candidate(name: str):
        async def run() -> float:
            turns.append(name)
            return float(len(turns))

        return run

    found = await interleaved({name: candidate(name) for name in "abc"}, 5, unit="us", tidy=list)

    rounds = [turns[begin : begin + 3] for begin in range(0, len(turns), 3)]
    assert [sorted(each) for each in rounds] == [["a", "b", "c"]] * 6
    assert {name: len(samples.values) for name, samples in found.items()} == {
        "a": 5,
        "b": 5,
        "c": 5,
    }
    assert min(min(samples.values) for samples in found.values()) == 4.0


async def test_the_order_changes_from_round_to_round():
    """No candidate always follows the same other one, whose mess it would have to bear."""
    turns: list[str] = []

    def candidate(name: str):
        async def run() -> float:
            turns.append(name)
            return 1.0

        return run

    await interleaved(
        {name: candidate(name) for name in "abcdef"}, 20, unit="us", warm=False, tidy=list
    )

    orders = {tuple(turns[begin : begin + 6]) for begin in range(0, len(turns), 6)}
    assert len(orders) > 1


async def test_a_call_is_told_in_microseconds():
    """The sample of a run is its time by its clock, divided by the calls."""
    ticks = iter([10.0, 10.5])

    async def nothing(times: int) -> None:
        assert times == 1000

    assert await per_call(nothing, 1000, clock=lambda: next(ticks))() == 500.0


def test_a_ratio_is_taken_within_its_round():
    """A slow round is slow for both, and changes no ratio."""
    samples = {
        "ours": Samples(unit="us", values=(2.0, 20.0, 2.0)),
        "base": Samples(unit="us", values=(1.0, 10.0, 1.0)),
    }

    found = over(samples, "ours", "base", target="cached-dict")

    assert found.values == (2.0, 2.0, 2.0)
    assert found.detail == "2.00 beside 1.00 us"


def test_a_gain_is_the_other_way_round():
    """Times faster: the base's time over ours."""
    samples = {
        "ours": Samples(unit="us", values=(2.0,)),
        "base": Samples(unit="us", values=(50.0,)),
    }

    assert over(samples, "ours", "base", way="gain").values == (25.0,)


def test_a_spread_has_the_quartiles_and_the_extremes():
    """The middle, the middle half, and all of it."""
    found = Spread.of([5.0, 1.0, 2.0, 4.0, 3.0])

    assert found == Spread(median=3.0, low=2.0, high=4.0, least=1.0, most=5.0)


def test_one_value_has_no_spread():
    """A figure that was taken once is told as it is."""
    assert Spread.of([7.0]) == Spread(median=7.0, low=7.0, high=7.0, least=7.0, most=7.0)


def test_a_size_scales_and_never_to_nothing():
    """A glance measures little, but measures."""
    size = Size(rounds=3, scale=0.001)

    assert (size.of(4_000), size.of(10), size.of(10, least=5)) == (4, 1, 5)
    assert (size.rounds_of(0.1), Size(rounds=9).rounds_of(0.6)) == (1, 5)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0031, "0.0031"), (1.234, "1.23"), (48.25, "48.2"), (12_345.6, "12,346")],
)
def test_numbers_have_the_digits_that_count(value, text):
    """A reader gets about three digits."""
    assert number(value) == text
