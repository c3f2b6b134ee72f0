from __future__ import annotations

import math

from greenlang_secrets.lifetime import Term, next_step

HOUR = Term(granted_at=100.0, duration=3600.0, wanted=3600.0, renewable=True)


def test_renewable_term_is_renewed_at_two_thirds():
    """The first step of a renewable term is a renewal, two thirds into it."""
    step = next_step(HOUR, 100.0, 0.0)

    assert (step.action, step.at) == ("renew", 2500.0)


def test_term_that_cannot_be_renewed_is_replaced_at_two_thirds():
    """Without a renewal the same moment is that of a new one."""
    step = next_step(HOUR.unrenewable(), 100.0, 0.0)

    assert (step.action, step.at) == ("replace", 2500.0)


def test_chance_moves_the_first_attempt_forward():
    """What was made together is not renewed together."""
    assert next_step(HOUR, 100.0, 0.5).at == 100.0 + 2400.0 * 0.95


def test_full_renewal_begins_a_new_term():
    """A renewal that gives all that is wanted may be renewed again."""
    renewed = HOUR.failed(2500.0).renewed(granted_at=2600.0, duration=3600.0)

    assert (renewed.ends_at, renewed.renewable, renewed.failures) == (6200.0, True, 0)


def test_cut_renewal_is_the_last_and_counted_short():
    """Less than was wanted means that the maximum is near; Vault's seconds are rounded, so the end may
    be half a second earlier than told.
    """
    cut = HOUR.renewed(granted_at=2600.0, duration=60.0)

    assert (cut.duration, cut.renewable) == (59.5, False)
    assert next_step(cut, 2600.0, 0.0).action == "replace"


def test_renewal_down_to_nothing_is_replaced_at_once():
    """A renewal at the very end may give 0 seconds, and not fewer."""
    cut = HOUR.renewed(granted_at=2600.0, duration=0.0)

    assert cut.duration == 0.0
    assert next_step(cut, 2600.0, 0.0).at == 2600.0


def test_renewal_of_nothing_by_nothing_is_the_last():
    """What was granted for 0 seconds is not renewed again and again."""
    nothing = Term(granted_at=100.0, duration=0.0, wanted=0.0, renewable=True)

    assert not nothing.renewed(granted_at=101.0, duration=0.0).renewable


def test_renewal_that_says_it_was_the_last_is_believed():
    """Vault may give all that is wanted and say that it will not do so again."""
    assert not HOUR.renewed(granted_at=1.0, duration=3600.0, renewable=False).renewable


def test_endless_term_is_left_alone():
    """A root token needs nothing."""
    endless = Term(granted_at=0.0, duration=math.inf, wanted=math.inf, renewable=False)

    assert next_step(endless, 5.0, 0.5).at == math.inf


def test_replacing_is_tried_after_two_renewals_that_failed():
    """A renewal past the maximum is answered like a failure of Vault's own."""
    actions = []
    term, now = HOUR, 2500.0
    for _ in range(4):
        actions.append(next_step(term, now, 0.0).action)
        term = term.failed(now)

    assert actions == ["renew", "renew", "replace", "replace"]


def test_waits_grow_to_thirty_seconds_while_there_is_time():
    """1 s, 2 s, 4 s …, with half of it to one and a half by chance, while much is left."""
    term, waits = HOUR, []
    for _ in range(8):
        term = term.failed(2500.0)
        waits.append(next_step(term, 2500.0, 0.5).at - 2500.0)

    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_wait_is_cut_to_a_quarter_of_what_is_left():
    """Near the end the next attempt comes while there is still time for others."""
    term = HOUR.failed(3690.0).failed(3690.0)  # 10 s are left

    assert next_step(term, 3690.0, 0.9).at == 3690.0 + 2.5


def test_attempt_may_take_a_quarter_of_what_is_left_and_five_seconds():
    """No attempt eats up the time of the next one."""
    assert next_step(HOUR, 100.0, 0.0).within == 5.0
    assert next_step(HOUR, 3696.0, 0.0).within == 1.0  # planned late: 4 s are left


def test_after_the_end_it_is_tried_on_with_growing_waits():
    """What has ended is still replaced, without hammering."""
    late = HOUR.failed(5000.0).failed(5000.0)
    step = next_step(late, 5000.0, 0.5)

    assert (step.action, step.at, step.within) == ("replace", 5002.0, 5.0)


def test_bounded_term_ends_with_what_it_hangs_on():
    """A lease ends with the token behind it, and no renewal of its own changes that."""
    bounded = HOUR.bounded(200.0, 260.0)

    assert (bounded.ends_at, bounded.renewable) == (260.0, False)
    assert next_step(bounded, 200.0, 0.0).at == 240.0
    assert HOUR.bounded(200.0, -math.inf).duration == 0.0
    assert HOUR.bounded(200.0, math.inf).ends_at == HOUR.ends_at
