from __future__ import annotations

import base64
import json

import pytest

from greenlang_secrets.transport import written as module
from greenlang_secrets.transport.written import REMEMBERED_FOR, Written, lag_wait


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written(clock) -> Written:
    return Written(clock=clock)


def index(value: int, cluster: str = "c") -> str:
    """An index as OpenBao 2.7.2 writes it."""
    state = {"cluster": cluster, "value": str(value)}
    return base64.b64encode(json.dumps(state).encode()).decode()


def test_place_that_was_not_written_has_nothing_to_wait_for(written):
    """A read of another place asks for no index."""
    written.note(("secret", "a", "b"), index(1))

    assert not written.recently(("secret", "a", "c"))
    assert written.index(("secret", "a", "c")) is None
    assert written.index(("secret", "a", "b", "below")) is None


def test_write_counts_for_the_folders_above_it(written):
    """A listing must show what was created below it."""
    written.note(("secret", "a", "b"), index(1))

    assert written.index(("secret", "a", "b")) == index(1)
    assert written.index(("secret", "a")) == index(1)
    assert written.index(("secret",)) == index(1)


def test_older_answer_that_comes_later_is_no_step_back(written):
    """Two writes may be answered in the other order; the newer state is asked for."""
    written.note(("secret", "a"), index(11))
    written.note(("secret", "a"), index(10))

    assert written.index(("secret", "a")) == index(11)


@pytest.mark.parametrize(
    "later", [index(1, "other"), "opaque", "bm8ganNvbg==", base64.b64encode(b"[]").decode()]
)
def test_index_that_cannot_be_compared_replaces_the_one_before(written, later):
    """Another cluster's, or another server's of unknown form: the last to come counts."""
    written.note(("secret", "a"), index(11))

    written.note(("secret", "a"), later)

    assert written.index(("secret", "a")) == later


def test_write_without_an_index_is_remembered_all_the_same(written):
    """A server that gives none, or a lost answer: the place was written, and an index stays."""
    written.note(("secret", "a"), None)
    assert written.recently(("secret", "a"))
    assert written.index(("secret", "a")) is None

    written.note(("secret", "a"), index(3))
    written.note(("secret", "a"), None)
    assert written.index(("secret", "a")) == index(3)


def test_write_is_forgotten_after_a_while(written, clock):
    """No standby is a minute behind."""
    written.note(("secret", "a"), index(1))
    clock.now += REMEMBERED_FOR

    assert not written.recently(("secret", "a"))
    assert written.index(("secret", "a")) is None


def test_places_are_bounded(written, monkeypatch):
    """The ones written longest ago go first; a folder stays as long as things below it do."""
    monkeypatch.setattr(module, "MAX_PLACES", 3)
    for name in ("a", "b", "c"):
        written.note(("secret", name), index(1))

    assert [written.recently(("secret", name)) for name in ("a", "b", "c")] == [False, True, True]
    assert written.recently(("secret",))


def test_waits_for_a_lag_are_short():
    """25, 50 and 100 ms, then 100 again: never the second that the server asks for."""
    assert [lag_wait(times) for times in range(5)] == [0.025, 0.05, 0.1, 0.1, 0.1]
