from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from greenlang_secrets_api.rate_policies import RatePolicy
from greenlang_secrets_api.token_bucket import Buckets, take

POLICIES = st.builds(
    lambda quota, window: RatePolicy(name="any", quota=quota, window=window),
    st.integers(1, 2000),
    st.integers(1, 3600),
)
STEPS = st.lists(
    st.tuples(st.floats(0.0, 10.0), st.integers(1, 20)), min_size=1, max_size=200
)  # seconds since the last one, and the cost
STARTS = st.floats(0.0, 1e7)  # monotonic seconds: four months


def played(
    policy: RatePolicy, start: float, steps: list[tuple[float, int]]
) -> list[tuple[float, int]]:
    """Return (when, cost) of what a bucket allowed."""
    full_at, now, allowed = start, start, []
    for pause, cost in steps:
        now += pause
        full_at, taken = take(policy, full_at, now, cost)
        if taken.allowed:
            allowed.append((now, min(cost, policy.quota)))
    return allowed


@given(POLICIES, STARTS, STEPS)
def test_no_time_allows_more_than_the_bucket_and_what_came_back(
    policy: RatePolicy, start: float, steps: list[tuple[float, int]]
) -> None:
    """Between any two moments at most the quota, and what came back meanwhile, is allowed."""
    allowed = played(policy, start, steps)

    for first, (begin, _) in enumerate(allowed):
        spent = 0
        for at, cost in allowed[first:]:
            spent += cost
            assert spent <= policy.quota + (at - begin) * policy.rate + 1e-3


@given(POLICIES, STARTS, STEPS)
def test_a_refusal_says_when_it_would_have_been_allowed(
    policy: RatePolicy, start: float, steps: list[tuple[float, int]]
) -> None:
    """After the wait that a refusal names, and not before, the same is allowed."""
    full_at, now = start, start
    for pause, cost in steps:
        now += pause
        before = full_at
        full_at, taken = take(policy, full_at, now, cost)
        if taken.allowed:
            assert taken.wait == 0.0
            continue
        assert full_at == before
        assert 0 < taken.wait <= policy.window
        assert take(policy, full_at, now + taken.wait + 1e-6, cost)[1].allowed
        assert not take(policy, full_at, now + taken.wait * 0.5, cost)[1].allowed


@given(POLICIES, STARTS, STEPS)
def test_what_remains_can_be_had_and_not_one_more(
    policy: RatePolicy, start: float, steps: list[tuple[float, int]]
) -> None:
    """The number that an answer tells is what the next request may cost."""
    full_at, now = start, start
    for pause, cost in steps:
        now += pause
        full_at, taken = take(policy, full_at, now, cost)
        assert 0 <= taken.remaining < policy.quota or not taken.allowed
        if taken.remaining:
            assert take(policy, full_at, now + 1e-6, taken.remaining)[1].allowed
        if taken.remaining + 1 <= policy.quota:
            assert not take(policy, full_at, now, taken.remaining + 1)[1].allowed


@given(POLICIES, STARTS, st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(0, 50)), max_size=300))
def test_forgetting_full_buckets_changes_no_decision(
    policy: RatePolicy, start: float, hits: list[tuple[float, int]]
) -> None:
    """A table decides for each key as if it kept every bucket for ever."""
    table, apart, now = Buckets(policy), {}, start
    for pause, key in hits:
        now += pause
        apart[key], expected = take(policy, apart.get(key, now), now)
        assert table.take(key, now) == expected


@given(st.lists(st.integers(), min_size=1, max_size=300))
def test_a_table_is_bounded(keys: list[int]) -> None:
    """More keys than fit at one moment: the least recently used are forgotten."""
    policy = RatePolicy(name="any", quota=1, window=3600)
    table = Buckets(policy, most=10)

    for key in keys:
        table.take(key, 0.0)

    assert len(table) <= 10
    assert not table.take(keys[-1], 0.0).allowed
