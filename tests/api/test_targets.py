"""The one parser of request targets: every row of the table of ambiguous targets, and its inverse."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from greenlang_secrets.errors import InvalidPath, ReservedName
from greenlang_secrets.paths import RESERVED_FIRST, RESERVED_LAST
from greenlang_secrets_api.targets import (
    METHODS,
    PREFIX,
    Kind,
    Target,
    is_ours,
    is_plain,
    methods,
    parse,
    render,
)


def target(below: str | bytes) -> Target:
    octets = below.encode() if isinstance(below, str) else below
    return parse(PREFIX.encode() + octets)


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ("", Target(Kind.LIST)),
        ("/", Target(Kind.LIST)),
        ("/a", Target(Kind.SECRET, "a")),
        ("/database/postgresql", Target(Kind.SECRET, "database/postgresql")),
        ("/a/health", Target(Kind.SECRET, "a/health")),
        ("/versions/a", Target(Kind.SECRET, "versions/a")),
        ("/healthy", Target(Kind.SECRET, "healthy")),
        ("/a/versions", Target(Kind.VERSIONS, "a")),
        ("/a/b/undelete", Target(Kind.UNDELETE, "a/b")),
        ("/rotate/a/b", Target(Kind.ROTATE, "a/b")),
        ("/rotation/status", Target(Kind.ROTATION_STATUS)),
        ("/rotation/schedule", Target(Kind.ROTATION_SCHEDULE)),
        ("/rotation/schedule/a/b", Target(Kind.ROTATION_SCHEDULE, "a/b")),
        ("/health", Target(Kind.HEALTH)),
        ("/status", Target(Kind.STATUS)),
    ],
)
def test_each_kind_has_its_place(below: str, expected: Target) -> None:
    """A target is told by its first and its last segment."""
    assert target(below) == expected


@pytest.mark.parametrize(
    "below",
    [
        "/versions",
        "/undelete",
        "/stats",
        "/rotate",
        "/rotation",
        "/rotation/other",
        "/rotation/status/a",
        "/health/a",
        "/status/a",
        "/stats/a",
        "/health/versions",
        "/a/versions/versions",
        "/a/undelete/versions",
        "/rotate/a/versions",
        "/rotate/rotate/a",
        "/rotate/versions",
        "/rotation/schedule/a/undelete",
        "/rotation/schedule/health",
    ],
)
def test_a_reserved_word_where_it_means_nothing_is_refused(below: str) -> None:
    """A reserved word names a target of its own, or nothing at all."""
    with pytest.raises(ReservedName):
        target(below)


@pytest.mark.parametrize(
    "below",
    [
        *("/a%2Fversions", "/rotation%2Fstatus", "/a%2F..%2Fb", "/a%2fb", "/%61", "/a%", "/a%zz"),
        *("/a%00", "/a%2e", "/%2e%2e/a", "/a%25", "/a%252e", "/a%ff", "/heal%74h", "/a/%76ersions"),
        *("/a//versions", "//health", "//a", "/a/", "/a/versions/", "/health/", "/rotate/", "//"),
        *("/.", "/..", "/a/../b", "/a/./b", "/.a", "/-a", "/_a", "/a:rotate", "/a b", "/a\\b"),
        *("/a;b", "/a,b", "/a+b", "/a~b", "/a*", "/a|b", '/a"b', "/a\n", "/a\0"),
        *("/" + "a" * 129, "/" + "/".join(["a"] * 17), "/" + "/".join(["a" * 100] * 6)),
        *(b"/\xc3\xa9", b"/a\xff", "/rotation/schedule/", "/rotate//a"),
    ],
)
def test_what_is_outside_the_grammar_is_refused(below: str | bytes) -> None:
    """Nothing is cleaned: one secret has one spelling."""
    with pytest.raises(InvalidPath):
        target(below)


@pytest.mark.parametrize(
    ("raw", "ours", "plain"),
    [
        (b"/api/v1/secrets", True, True),
        (b"/api/v1/secrets/a", True, True),
        (b"/api/v1/secretsa", False, True),
        (b"/livez", False, True),
        (b"/api/v1/secrets%2Fa", False, False),
        (b"//api/v1/secrets/a", False, False),
        (b"/api//v1/secrets/a", False, False),
        (b"/api/./v1/secrets/a", False, False),
        (b"/x/../api/v1/secrets/a", False, False),
        (b"/api/v1/%73ecrets/a", False, False),
        (b"/api/v1\\secrets/a", False, False),
        (b"*", False, False),
        (b"/livez\n", False, False),
    ],
)
def test_only_one_spelling_of_the_prefix_is_ours(raw: bytes, ours: bool, plain: bool) -> None:  # noqa: FBT001
    """Another spelling of the prefix is neither ours nor anybody's."""
    assert (is_ours(raw), is_plain(raw)) == (ours, plain)


def test_every_kind_has_methods() -> None:
    """The table is complete, and the schedule's methods depend on whether one is named."""
    assert set(METHODS) == set(Kind)
    assert methods(Target(Kind.ROTATION_SCHEDULE)) == ("GET",)
    assert methods(Target(Kind.ROTATION_SCHEDULE, "a")) == ("PUT", "DELETE")
    assert methods(Target(Kind.SECRET, "a")) == ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


SEGMENT = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
WORDS = st.sampled_from(sorted(RESERVED_FIRST | RESERVED_LAST | {"schedule"}))
PATHS = st.lists(SEGMENT | WORDS, min_size=1, max_size=6).map("/".join)


@given(PATHS)
def test_what_is_parsed_renders_to_what_was_parsed(path: str) -> None:
    """`render(parse(x)) == x` for everything that parses."""
    raw = f"{PREFIX}/{path}"
    try:
        parsed = parse(raw.encode())
    except InvalidPath:
        assume(False)

    assert render(parsed) == raw


@given(st.sampled_from(Kind), PATHS)
def test_what_is_rendered_parses_to_what_was_rendered(kind: Kind, path: str) -> None:
    """`parse(render(x)) == x` for every target that can be."""
    first, last = path.partition("/")[0], path.rpartition("/")[2]
    assume(first not in RESERVED_FIRST and last not in RESERVED_LAST)
    without_path = {Kind.LIST, Kind.ROTATION_STATUS, Kind.HEALTH, Kind.STATUS}
    wanted = Target(kind, None if kind in without_path else path)

    assert parse(render(wanted).encode()) == wanted


@given(st.binary(max_size=60))
def test_no_octets_escape_the_grammar(octets: bytes) -> None:
    """Whatever comes, the answer is a target in the grammar or `InvalidPath`."""
    try:
        parsed = target(b"/" + octets)
    except InvalidPath:
        return

    assert octets == b"" or render(parsed).encode() == PREFIX.encode() + b"/" + octets
