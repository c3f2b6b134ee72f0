from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from greenlang_secrets.lifetime import Step, Term, next_step

TTL = st.floats(min_value=1.0, max_value=24 * 3600.0)
CHANCE = st.floats(min_value=0.0, max_value=1.0, exclude_max=True)


def attempts(
    ttl: float,
    chance: float,
    *,
    begins: float = 0.0,
    ends: float = math.inf,
    plan: Callable[[Term, float, float], Step] = next_step,
) -> tuple[int, float | None]:
    """Play a term under an outage from `begins` to `ends`: each attempt inside it fails after all the
    time it may take. Return how many were made before the term's end, and when one succeeded.
    """
    term = Term(granted_at=0.0, duration=ttl, wanted=ttl, renewable=True)
    now, made = 0.0, 0
    while True:
        step = plan(term, now, chance)
        now = max(now, step.at)
        if now >= term.ends_at:
            return made, None
        made += 1
        if not begins <= now < ends:
            return made, now
        now += step.within
        if now >= term.ends_at:
            return made, None
        term = term.failed(now)


@given(ttl=TTL, chance=CHANCE, begins=st.floats(min_value=0.0, max_value=1.0))
def test_three_attempts_fit_before_the_end(ttl, chance, begins):
    """Whatever the term and the outage, and though each attempt takes all its time, there are three
    before the end: it is planned from what is left.
    """
    made, succeeded = attempts(ttl, chance, begins=begins * ttl * 0.6)

    assert succeeded is not None or made >= 3


@given(ttl=TTL, chance=CHANCE, share=st.floats(min_value=0.0, max_value=1.0))
def test_outage_that_leaves_time_is_survived(ttl, chance, share):
    """An outage that ends while three quarters of the last third are gone, or earlier, costs no
    term that lives seconds: some attempt comes after it and before the end.
    """
    third = ttl / 3
    ends = ttl - third + share * 0.75 * third

    _, succeeded = attempts(ttl, chance, ends=ends)

    assert succeeded is not None


def test_planning_from_the_advertised_length_would_fail():
    """The control: retries after two thirds of the term's own length are too late for it."""

    def advertised(term: Term, now: float, chance: float) -> Step:
        step = next_step(term, now, chance)
        return replace(step, at=max(step.at, term.failed_at + term.duration * 2 / 3))

    made, succeeded = attempts(60.0, 0.5, ends=41.0, plan=advertised)

    assert (made, succeeded) == (1, None)
    assert attempts(60.0, 0.5, ends=41.0)[1] is not None


@given(ttl=TTL, chance=CHANCE)
def test_first_attempt_is_at_two_thirds_or_somewhat_earlier(ttl, chance):
    """Chance moves it forward by a tenth at most, and never back."""
    step = next_step(Term(granted_at=5.0, duration=ttl, wanted=ttl, renewable=True), 5.0, chance)

    assert 0.6 * ttl <= step.at - 5.0 + 1e-6
    assert step.at - 5.0 <= ttl * 2 / 3 + 1e-6


@given(ttl=TTL, chance=CHANCE, failures=st.integers(min_value=1, max_value=10_000))
def test_no_attempt_follows_at_once(ttl, chance, failures):
    """After a failure there is a wait, before the end and after it, for ever."""
    term = Term(granted_at=0.0, duration=ttl, wanted=ttl, renewable=True, failures=failures)
    for failed_at in (ttl * 0.7, ttl, ttl * 2):
        late = Term(
            granted_at=0.0,
            duration=ttl,
            wanted=ttl,
            renewable=True,
            failures=term.failures,
            failed_at=failed_at,
        )

        assert next_step(late, failed_at, chance).at - failed_at >= 0.02 - 1e-9
