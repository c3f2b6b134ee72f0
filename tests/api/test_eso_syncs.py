"""What counts as a sync, as a failure, and as the same object."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenlang_secrets_api.eso_objects import SyncStatus
from greenlang_secrets_api.eso_syncs import EsoSyncs, Watched

OK = SyncStatus(label="a/db", uid="1", refreshed_at=100.0, ready=True, failure=None)
FAILED = replace(OK, ready=False, failure=("Error", "t1"))


def counted(*states: SyncStatus) -> tuple[int, int]:
    """Successes and failures of one object that went through these states."""
    syncs, watched = EsoSyncs(10), Watched()
    for state in states:
        syncs.see(state, watched)
    [each] = syncs.counted()
    return each.success, each.failure


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([OK], (0, 0)),
        ([FAILED], (0, 0)),
        ([OK, OK], (0, 0)),
        ([OK, replace(OK, refreshed_at=115.0)], (1, 0)),
        ([OK, replace(OK, refreshed_at=400.0)], (1, 0)),
        ([replace(OK, refreshed_at=None), OK], (1, 0)),
        ([OK, replace(OK, refreshed_at=None)], (0, 0)),
        ([OK, replace(OK, refreshed_at=90.0)], (0, 0)),
        ([OK, replace(OK, refreshed_at=90.0), replace(OK, refreshed_at=95.0)], (1, 0)),
        ([OK, FAILED], (0, 1)),
        ([OK, FAILED, FAILED], (0, 1)),
        ([OK, FAILED, replace(FAILED, failure=("Other", "t1"))], (0, 2)),
        ([OK, FAILED, replace(FAILED, failure=("Error", "t2"))], (0, 2)),
        ([OK, FAILED, OK, FAILED], (0, 2)),
        ([OK, replace(FAILED, refreshed_at=115.0)], (1, 1)),
        ([OK, replace(OK, refreshed_at=115.0), replace(OK, uid="2", refreshed_at=130.0)], (0, 0)),
    ],
)
def test_a_sync_is_what_lies_between_two_states(
    states: list[SyncStatus], expected: tuple[int, int]
) -> None:
    """A time that moves forward is a success, a new failure is one; all in a gap are one of each,
    and a controller's clock that was set back counts again from there.
    """
    assert counted(*states) == expected


def test_a_state_is_not_told_long_after_the_watch_was_lost() -> None:
    """For three minutes the last one known is; then the counts alone are, until the watch stands."""
    now = [1000.0]
    syncs, watched = EsoSyncs(10, clock=lambda: now[0]), Watched()
    syncs.see(OK, watched)

    told = []
    for lost_at, at in ((None, 5000.0), (5000.0, 5179.0), (5000.0, 5180.0), (None, 5181.0)):
        watched.lost_at, now[0] = lost_at, at
        told.append((len(syncs.current()), len(syncs.counted())))

    assert told == [(1, 1), (1, 1), (0, 1), (1, 1)]


def test_a_list_drops_what_its_own_watch_has_seen() -> None:
    """Objects of another namespace's watch stay."""
    syncs, here, there = EsoSyncs(10), Watched(), Watched()
    for label in ("a/one", "a/two"):
        syncs.see(replace(OK, label=label), here)
    syncs.see(replace(OK, label="b/one"), there)

    syncs.keep_only({"a/two"}, here)

    assert [each.status.label for each in syncs.counted()] == ["a/two", "b/one"]


def test_two_watches_that_are_alike_are_two() -> None:
    """A watch is itself, and not what it says of itself."""
    syncs, here, there = EsoSyncs(10), Watched(), Watched()
    syncs.see(OK, here)

    syncs.keep_only((), there)

    assert len(syncs.counted()) == 1


def test_no_more_are_kept_than_allowed() -> None:
    """One that is known is followed; a new one has no room until another goes."""
    syncs, watched = EsoSyncs(1), Watched()
    other = replace(OK, label="a/other")

    kept = [syncs.see(status, watched) for status in (OK, other, OK)]
    syncs.forget("a/db")
    syncs.forget("a/db")

    assert kept == [True, False, True]
    assert syncs.see(other, watched)
