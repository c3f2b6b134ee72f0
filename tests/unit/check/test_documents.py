"""YAML with line numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlang_secrets.check.documents import NotYaml, documents

FILE = Path("a.yaml")


def test_each_value_knows_its_line() -> None:
    """Documents, items of a List and lines of a block are counted from the file's first line."""
    text = "kind: A\n---\nkind: PodList\nitems:\n- kind: B\n  text: |\n    one\n---\n"

    a, b, nothing = documents(FILE, text)

    assert (a.kind, a.value.at("kind").line) == ("A", 1)
    assert (b.kind, b.value.at("text").line, b.value.at("text").text) == ("B", 7, "one\n")
    assert (nothing.kind, nothing.place(9).object) == ("", "")
    assert list(documents(FILE, "# nothing")) == []


@pytest.mark.parametrize(("text", "line"), [("a: b\nc: [", 3), ("a: b\nc: &x\n  - *x", 2)])
def test_what_cannot_be_read_is_told_by_line(text: str, line: int) -> None:
    """The error has the line, and no text, which may be a secret."""
    with pytest.raises(NotYaml) as raised:
        list(documents(FILE, text))

    assert raised.value.line == line
    assert str(raised.value) == "not readable as YAML"


def test_a_stray_byte_is_told_by_its_file() -> None:
    """A text that breaks before any line is one on its first."""
    with pytest.raises(NotYaml) as raised:
        list(documents(FILE, "a: \x00", first_line=7))

    assert raised.value.line == 7
