"""What a caller would take, read from its headers."""

from __future__ import annotations

import pytest

from greenlang_secrets_api.accepting import MAX_WAIT, check_accept, preferred_wait
from greenlang_secrets_api.problems import ProblemError


@pytest.mark.parametrize(
    "accept",
    [
        (),
        (b"",),
        (b"*/*",),
        (b"application/json",),
        (b"Application/JSON; charset=utf-8",),
        (b"text/html, application/*;q=0.1",),
        (b"text/html", b"*/*;q=0.001"),
        (b"*/*;q=0, application/json",),
    ],
)
def test_who_takes_json_gets_it(accept):
    """JSON is taken by name, by its type, or by a caller who takes anything or says nothing."""
    check_accept([(b"accept", value) for value in accept])


@pytest.mark.parametrize(
    "accept",
    [
        b"text/html",
        b"application/xml, image/*",
        b"application/json;q=0",
        b"*/*, application/json;q=0.000",
        b"*/*, application/*; q=0",
        b"application/jsonp",
        b"\xff\xfe",
    ],
)
def test_who_does_not_take_json_is_refused(accept):
    """A range that names JSON decides over a wider one, and q=0 means no."""
    with pytest.raises(ProblemError, match="not_acceptable"):
        check_accept([(b"accept", accept)])


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ((), 0),
        ((b"wait=30",), 30),
        ((b"respond-async, wait=5",), 5),
        ((b"return=minimal; foo, WAIT = 7 ",), 7),
        ((b"return=minimal", b"wait=3"), 3),
        ((b"wait=99999",), MAX_WAIT),
        ((b"wait=0",), 0),
        ((b"wait=-1",), 0),
        ((b"wait=soon",), 0),
        ((b"await=9",), 0),
        ((b"wait=123456",), 0),
    ],
)
def test_a_wait_is_read_where_it_can_be(prefer, seconds):
    """Up to a minute; a preference that cannot be read is none."""
    assert preferred_wait([(b"prefer", value) for value in prefer]) == seconds
