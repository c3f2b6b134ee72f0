"""Pictures are what their texts say, and name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from contracts.markdown import ROOT
from documentation.drawing import PICTURES, draw, read

of_each = pytest.mark.parametrize(
    ("source", "picture"), PICTURES.items(), ids=[path.stem for path in PICTURES]
)


@of_each
def test_a_picture_is_what_its_text_says(source: Path, picture: Path) -> None:
    """The SVG in the tree is the one that the text gives: `python -m documentation.drawing`."""
    assert picture.read_text("utf-8") == draw(source.read_text("utf-8"))


@of_each
def test_another_text_is_another_picture(source: Path, picture: Path) -> None:
    """The control: a box with another title, and an arrow less, are seen."""
    text = source.read_text("utf-8")
    *others, last = text.strip().splitlines()

    assert draw("\n".join(others)) != picture.read_text("utf-8")
    assert draw(text.replace("SecretCache", "SecretCash")) != picture.read_text("utf-8")
    assert "->" in last


@of_each
def test_a_picture_is_alone(source: Path, picture: Path) -> None:
    """It is XML that loads nothing, with a box for each line of its text."""
    text = source.read_text("utf-8")
    svg = ET.fromstring(picture.read_text("utf-8"))  # noqa: S314  our own
    boxes = [each for each in svg.iter() if each.get("class") == "box"]

    assert len(boxes) == len(read(text).boxes) > 5
    assert [each for each in svg.iter() if any("href" in name for name in each.attrib)] == []
    assert "url(http" not in picture.read_text("utf-8")


@of_each
def test_a_picture_names_what_there_is(source: Path, picture: Path) -> None:
    """Each title that looks like a class is one of the library."""
    titles = {box.title for box in read(source.read_text("utf-8")).boxes.values()}
    named = {name for title in titles for name in re.findall(r"\b[A-Z]\w+[a-z][A-Z]\w+", title)}
    sources = (ROOT / "src" / "greenlang_secrets").rglob("*.py")
    classes = {
        name
        for path in sources
        for name in re.findall(r"^class (\w+)", path.read_text("utf-8"), re.MULTILINE)
    }

    assert named - {"OpenBao"} - classes == set()
    assert named & classes


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a box", "neither a row nor a box nor an arrow"),
        ("row\n a | A | b\na -> c", "between what there is not"),
        ("row\n a | A | " + "long " * 100, "too long for its box"),
    ],
)
def test_a_text_that_says_nothing_is_refused(text: str, complaint: str) -> None:
    """What cannot be drawn is told, and not left out."""
    with pytest.raises(ValueError, match=complaint):
        draw(text)
