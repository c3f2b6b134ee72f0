from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.policy import backoff, due_at, missed, overlap_of
from greenlang_secrets.rotation_model import RotationKind, RotationPolicy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INTERVAL = st.floats(min_value=60.0, max_value=365 * 86400.0)
DIGEST = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)


@given(interval=INTERVAL, digest=DIGEST)
def test_a_rotation_is_due_within_a_twentieth_of_its_interval(interval, digest):
    """Every replica comes to the same moment, 5 % early or late at most."""
    due = due_at(NOW, interval, digest)

    assert due == due_at(NOW, interval, digest)
    assert 0.9499 * interval <= (due - NOW).total_seconds() <= 1.0501 * interval


@given(attempts=st.integers(min_value=0, max_value=10_000), jitter=st.floats(0.0, 1.0))
def test_waits_after_failures_grow_from_a_minute_to_an_hour(attempts, jitter):
    """They are never shorter than three quarters of a minute, and never longer than an hour."""
    wait = backoff(attempts, jitter, RotationConfig())

    assert 45.0 <= wait <= 3600.0
    assert backoff(attempts + 1, jitter, RotationConfig()) >= wait
    assert attempts < 7 or wait >= 2700.0


@given(interval=INTERVAL, late=st.floats(min_value=-1e6, max_value=1e8))
def test_missed_runs_are_those_after_the_one_that_is_made_up_for(interval, late):
    """What is due now was missed no time, and what is not due neither."""
    times = missed(NOW, interval, NOW + timedelta(seconds=late))

    assert times >= 0
    assert (times == 0) == (late < interval) or abs(late - interval) < 1e-3
    assert times * interval <= max(0.0, late) + 1e-3


@given(gap=st.floats(1.0, 1e5), overlap=st.none() | st.floats(0.0, 1e6))
def test_an_overlap_is_never_shorter_than_the_gap(gap, overlap):
    """Whatever a policy says that was set under another gap."""
    policy = RotationPolicy(kind=RotationKind.MANUAL, interval=1e7, overlap=overlap)

    assert overlap_of(policy, gap) == max(gap, overlap or 0.0)
