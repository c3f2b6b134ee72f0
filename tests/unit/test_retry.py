from __future__ import annotations

import pytest

from greenlang_secrets.retry import Backoff, RetryBudget


def drawing(*values: float):
    """A source of random numbers that gives these."""
    return iter(values).__next__


# ---------------------------------------------------------------- backoff


def test_waits_double_up_to_a_second():
    """The longest possible waits double from 50 ms and stay at one second."""
    backoff = Backoff(lambda: 1.0)

    waits = [backoff.next() for _ in range(8)]

    assert waits == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0])


def test_wait_is_drawn_between_nothing_and_the_ceiling():
    """Full jitter: any part of the ceiling may be drawn."""
    backoff = Backoff(drawing(0.5, 0.25, 0.75))

    waits = [backoff.next() for _ in range(3)]

    assert waits == pytest.approx([0.025, 0.025, 0.15])


def test_who_nobody_waits_for_may_take_longer():
    """First and longest wait can be said: a watch in the background begins at half a second."""
    backoff = Backoff(lambda: 1.0, first=0.5, longest=3.0)

    waits = [backoff.next() for _ in range(5)]

    assert waits == pytest.approx([0.5, 1.0, 2.0, 3.0, 3.0])


def test_wait_is_never_quite_nothing():
    """A millisecond at least passes, so that a failing loop cannot spin."""
    assert Backoff(lambda: 0.0).next() == 0.001


@pytest.mark.parametrize("asked", [0.0, 0.5, 7.0])
def test_server_is_given_the_wait_it_asks_for(asked):
    """A `Retry-After` wins over our own wait, be it shorter or longer."""
    assert Backoff(lambda: 1.0).next(asked) == asked


def test_asked_wait_counts_as_a_step():
    """After a wait that the server asked for, ours goes on one step further."""
    backoff = Backoff(lambda: 1.0)
    backoff.next(0.0)

    assert backoff.next() == pytest.approx(0.1)


# ---------------------------------------------------------------- budget


def spent() -> RetryBudget:
    budget = RetryBudget()
    while budget.withdraw():
        pass
    return budget


def test_quiet_client_has_ten_retries_in_reserve():
    """Ten retries are there from the start; the eleventh is refused."""
    budget = RetryBudget()

    granted = [budget.withdraw() for _ in range(11)]

    assert granted == [True] * 10 + [False]


def test_nine_requests_earn_no_retry():
    """Fewer than ten requests do not pay for a retry."""
    budget = spent()

    for _ in range(9):
        budget.deposit()

    assert budget.withdraw() is False


def test_ten_requests_earn_one_retry():
    """One request in ten may be a retry."""
    budget = spent()

    for _ in range(10):
        budget.deposit()

    assert [budget.withdraw(), budget.withdraw()] == [True, False]


def test_refused_retry_costs_nothing():
    """Asking in vain does not use up what is being saved."""
    budget = spent()
    for _ in range(20):
        budget.withdraw()
    for _ in range(11):
        budget.deposit()

    assert budget.withdraw() is True


def test_reserve_does_not_grow_without_end():
    """After a long calm there are ten retries, not thousands."""
    budget = RetryBudget()
    for _ in range(10_000):
        budget.deposit()

    granted = [budget.withdraw() for _ in range(11)]

    assert granted == [True] * 10 + [False]


def test_long_failure_adds_a_tenth_of_the_load():
    """If every request fails and wants a retry, one in ten is granted one in the long run."""
    budget = spent()
    granted = 0

    for _ in range(1000):
        budget.deposit()
        granted += budget.withdraw()

    assert granted == 100
