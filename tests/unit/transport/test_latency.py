from __future__ import annotations

from greenlang_secrets.transport.latency import CEILING, FLOOR, Latency


def test_nothing_is_known_at_first():
    """Before there are enough reads to say, 200 ms are late."""
    latency = Latency()
    for _ in range(15):
        latency.record(0.001)

    assert latency.late_after == 0.2


def test_late_is_what_one_read_in_a_hundred_is():
    """The p99 of the last reads."""
    latency = Latency()
    for number in range(256):
        latency.record(number / 1000)

    assert 0.25 <= latency.late_after <= 0.255


def test_fast_reads_are_not_late_before_the_floor():
    """Milliseconds are never late."""
    latency = Latency()
    for _ in range(256):
        latency.record(0.001)

    assert latency.late_after == FLOOR


def test_slow_reads_do_not_make_late_later_than_the_ceiling():
    """However slow Vault has become, half a second is late."""
    latency = Latency()
    for _ in range(256):
        latency.record(2.0)

    assert latency.late_after == CEILING


def test_old_reads_are_forgotten():
    """What counts are the last 256."""
    latency = Latency()
    for _ in range(256):
        latency.record(2.0)
    for _ in range(256):
        latency.record(0.001)

    assert latency.late_after == FLOOR
