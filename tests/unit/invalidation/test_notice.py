from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlang_secrets.invalidation.notice import MAX_OCTETS, Kind, Notice
from greenlang_secrets.paths import PLATFORM, SecretPath, Tenant, TenantId

ORIGIN = "0123456789abcdef"
CHANGED = {
    "kind": "changed",
    "origin": ORIGIN,
    "seq": 7,
    "tenant": "acme",
    "path": "a/b",
    "version": 3,
}


@given(
    st.sampled_from([PLATFORM, Tenant(TenantId("acme"))]),
    st.sampled_from(["a", "a/b", "/".join(["x" * 31] * 16)]),
    st.integers(min_value=1, max_value=1 << 62),
    st.none() | st.integers(min_value=1, max_value=1 << 62),
)
def test_notice_is_read_as_it_was_sent(scope, path, seq, version):
    """A notice of any secret fits into a payload, and comes back the same."""
    notice = Notice(
        kind=Kind.CHANGED,
        origin=ORIGIN,
        seq=seq,
        scope=scope,
        path=SecretPath.parse(path),
        version=version,
    )

    payload = notice.payload()

    assert len(payload) <= MAX_OCTETS
    assert Notice.parse(payload) == notice


def test_longest_notice_fits():
    """The longest path and tenant make a payload that PostgreSQL takes."""
    notice = Notice(
        kind=Kind.CHANGED,
        origin=ORIGIN,
        seq=(1 << 63) - 1,
        scope=Tenant(TenantId("a" * 63)),
        path=SecretPath.parse("/".join(["x" * 31] * 16)),
        version=(1 << 63) - 1,
    )

    assert len(notice.payload().encode()) < 1000


@pytest.mark.parametrize("kind", [Kind.EVERYTHING, Kind.ALIVE, Kind.LEFT])
def test_notices_about_no_path(kind):
    """The other kinds name no secret."""
    notice = Notice(kind=kind, origin=ORIGIN, seq=0)

    assert Notice.parse(notice.payload()) == notice


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "greenlang",
        "[]",
        "null",
        "{}",
        "[" * 5000,
        json.dumps({**CHANGED, "more": 1}),
        json.dumps({key: value for key, value in CHANGED.items() if key != "version"}),
        json.dumps({**CHANGED, "kind": "erased"}),
        json.dumps({**CHANGED, "kind": ["changed"]}),
        json.dumps({**CHANGED, "kind": "alive"}),
        json.dumps({**CHANGED, "path": None}),
        json.dumps({**CHANGED, "path": "../x"}),
        json.dumps({**CHANGED, "path": 5}),
        json.dumps({**CHANGED, "tenant": "A"}),
        json.dumps({**CHANGED, "tenant": ["acme"]}),
        json.dumps({**CHANGED, "origin": "x"}),
        json.dumps({**CHANGED, "origin": 5}),
        json.dumps({**CHANGED, "seq": -1}),
        json.dumps({**CHANGED, "seq": True}),
        json.dumps({**CHANGED, "seq": 1.5}),
        json.dumps({**CHANGED, "seq": 1 << 63}),
        json.dumps({**CHANGED, "version": "3"}),
        json.dumps(CHANGED) + " " * MAX_OCTETS,
    ],
)
def test_what_is_no_notice_is_none(payload):
    """Anything else than a whole notice of the known form is told apart, and raises nothing."""
    assert Notice.parse(payload) is None


def test_the_form_that_is_varied_above_is_a_notice():
    """The control: unchanged, it is one."""
    assert Notice.parse(json.dumps(CHANGED)) is not None


@given(st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_no_text_raises(payload):
    """A forged payload is refused quietly, whatever it is."""
    assert Notice.parse(payload) is None
