"""Policies: what is read, what is refused, and which block decides."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlang_secrets.check.policies import NotAPolicy, deciding, parse

FILE = Path("api.hcl")

SEGMENTS = st.text("abc-_.", min_size=1, max_size=6)
PATHS = st.lists(SEGMENTS | st.just("+"), min_size=1, max_size=5).map("/".join)
CAPABILITIES = st.lists(
    st.sampled_from(["create", "read", "update", "list"]), min_size=1, unique=True
)


@given(
    st.lists(
        st.tuples(
            PATHS,
            st.booleans(),
            CAPABILITIES,
            st.sampled_from(["", "# why", "// why", "/* why */"]),
        )
    )
)
def test_what_is_written_is_read(blocks) -> None:
    """Paths, capabilities and the line of each block come back from any policy."""
    text, expected, line = "", [], 1
    for prefix, star, capabilities, comment in blocks:
        path = prefix + "/*" * star
        listed = ", ".join(f'"{capability}"' for capability in capabilities)
        text += f'{comment}\npath "{path}" {{\n  capabilities = [{listed},]\n}}\n\n'
        expected.append((path, line + 1, capabilities))
        line += 5

    found = parse(FILE, text).grants

    assert [(grant.path, grant.line, list(grant.capabilities)) for grant in found] == expected


@given(st.text('pathc{}[]=",#/* \n\\"0', max_size=40))
def test_anything_else_is_refused(text: str) -> None:
    """Any text is read or refused with a line of it; nothing else happens."""
    line = 1
    try:
        parse(FILE, text)
    except NotAPolicy as error:
        line = error.line

    assert 1 <= line <= text.count("\n") + 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('\npaht "a" { capabilities = ["read"] }', 2),
        ("path a { }", 1),
        ('path "a" [', 1),
        ('path "a" {}', 1),
        ('path "a" {\n capabilitys = ["read"] }', 2),
        ('path "a" {\n capabilities ["read"] }', 2),
        ('path "a" {\n capabilities = [\n"raed"] }', 3),
        ('path "a" {\n capabilities = ["read" "list"] }', 2),
        ('path "a" {\n allowed_parameters = {"a" = [}\n}', 2),
        ('path "a" {\n allowed_parameters = {"a" = []', 2),
        ('path "a" {\n allowed_parameters = }', 2),
        ('path "a" { capabilities = ["read"] } !', 1),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, line: int) -> None:
    """What Vault would refuse, or silently ignore, is no policy."""
    with pytest.raises(NotAPolicy) as raised:
        parse(FILE, text)

    assert raised.value.line == line


def test_parameters_are_passed_over() -> None:
    """What narrows a block is for the server to judge."""
    found = parse(
        FILE,
        'path "a" {\n allowed_parameters = { "x" = [] }\n control_group {\n factor "b" {} }\n'
        ' min_wrapping_ttl = 10\n "capabilities" = ["read"]\n}',
    )

    assert [list(grant.capabilities) for grant in found.grants] == [["read"]]


def test_a_comment_is_for_the_blocks_that_follow_at_once() -> None:
    """A blank line ends it, and `used by` exempts those, or the whole file at its head."""
    rules = 'path "{}" {{\n  capabilities = ["read"]\n}}\n'
    text = "\n# used by: us\n" + rules.format("a/*") + rules.format("b") + "\n" + rules.format("c")

    found = parse(FILE, text)

    assert [grant.exempt for grant in found.grants] == [True, True, False]
    assert not found.used_by
    assert parse(FILE, "# Used by: the Job.\n\n" + text).used_by


@pytest.mark.parametrize(
    ("path", "decides"),
    [
        ("a/b/c", "a/b/c"),
        ("a/b/d", "a/b/*"),
        ("a/x/c", "a/+/c"),
        ("a/x/d", "a/*"),
        ("b", None),
    ],
)
def test_the_most_specific_block_decides(path: str, decides: str | None) -> None:
    """As Vault has it: an exact path, then the pattern whose wildcard comes last."""
    patterns = ["a/*", "a/+/c", "a/b/*", "a/b/c"]
    text = "".join(f'path "{pattern}" {{ capabilities = ["read"] }}\n' for pattern in patterns)

    found = deciding(parse(FILE, text).grants, path)

    assert [grant.path for grant in found] == ([decides] if decides else [])
