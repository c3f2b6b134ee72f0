from __future__ import annotations

from greenlang_secrets.cache_entries import StaleAge


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
