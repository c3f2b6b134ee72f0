"""Cursors come back as they were given, and to where they came from."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlang_secrets.paths import PLATFORM, Tenant, TenantId
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets_api.cursors import Cursors
from greenlang_secrets_api.problems import ProblemError

KEY = SecretValue("k" * 32)
ACME = Cursors(KEY, Tenant(TenantId("acme")), "a/")
CURSOR = ACME.seal("a/b")


@given(st.text(max_size=512).filter(lambda text: len(text.encode("utf-8", "ignore")) <= 512))
def test_a_cursor_gives_back_what_was_sealed(after):
    """Whatever a listing ends with comes back, as far as it can be written down."""
    try:
        after.encode()
    except UnicodeEncodeError:
        return
    assert ACME.open(ACME.seal(after)) == after


@pytest.mark.parametrize(
    "other",
    [
        Cursors(KEY, Tenant(TenantId("globex")), "a/"),
        Cursors(KEY, PLATFORM, "a/"),
        Cursors(KEY, Tenant(TenantId("acme")), "a"),
        Cursors(KEY, Tenant(TenantId("acme")), "a/b/"),
        Cursors(SecretValue("l" * 32), Tenant(TenantId("acme")), "a/"),
    ],
    ids=["tenant", "platform", "listing", "prefix", "key"],
)
def test_a_cursor_of_elsewhere_is_refused(other):
    """Each of tenant, listing and key is part of what is signed."""
    with pytest.raises(ProblemError, match="invalid_cursor"):
        other.open(CURSOR)


def test_every_altered_cursor_is_refused():
    """No character can be changed, added or left out, not even one that decodes alike."""
    altered = [CURSOR[:i] + c + CURSOR[i + 1 :] for i in range(len(CURSOR)) for c in "Aa0_-="]
    altered += [CURSOR[:-1], CURSOR + "A", CURSOR + "=", " " + CURSOR, CURSOR + "\n", ""]
    altered += ["é", "A" * 2000, base64.urlsafe_b64encode(b"\xff" * 40).decode()]
    for cursor in altered:
        if cursor != CURSOR:
            with pytest.raises(ProblemError, match="invalid_cursor"):
                ACME.open(cursor)
    assert ACME.open(CURSOR) == "a/b"
