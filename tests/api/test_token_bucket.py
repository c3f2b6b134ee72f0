from __future__ import annotations

from greenlang_secrets_api.rate_policies import RatePolicy
from greenlang_secrets_api.token_bucket import Buckets, Taken, take

READ = RatePolicy(name="read", quota=400, window=2)


def test_a_burst_then_the_rate() -> None:
    """400 at once, then one every 5 ms."""
    full_at = 0.0
    for left in range(399, -1, -1):
        full_at, taken = take(READ, full_at, 0.0)
        assert taken == Taken(True, left, 0.0)

    full_at, refused = take(READ, full_at, 0.0)
    full_at, early = take(READ, full_at, 0.004)
    full_at, again = take(READ, full_at, 0.006)

    assert refused == Taken(False, 0, 0.005)
    assert not early.allowed
    assert again == Taken(True, 0, 0.0)


def test_a_cost_above_the_quota_counts_as_the_quota() -> None:
    """It needs a full bucket, and gets it in the end."""
    small = RatePolicy(name="small", quota=5, window=5)

    full_at, first = take(small, 0.0, 0.0, cost=10)
    _, second = take(small, full_at, 1.0, cost=10)
    _, third = take(small, full_at, 5.0, cost=10)

    assert first == Taken(True, 0, 0.0)
    assert second == Taken(False, 1, 4.0)
    assert third.allowed


def test_full_buckets_are_not_kept() -> None:
    """A thousand that came once are gone soon after their time, two for each that comes."""
    table = Buckets(READ)
    for key in range(1000):
        table.take(key, 0.0)
    assert len(table) == 1000

    for turn in range(500):
        table.take("now", 3.0 + turn)

    assert len(table) == 1
