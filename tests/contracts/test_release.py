"""The changelog has the form of Keep a Changelog, and all versions are one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from itertools import pairwise

import pytest

from contracts.markdown import ROOT
from greenlang_secrets.version import __version__

KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""Sections of a version, in the order in which Keep a Changelog names them."""

# MAJOR.MINOR.PATCH as in Semantic Versioning; `.devN` is what the main branch is called between two.
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(\.dev\d+)?")
_RELEASE = re.compile(r"## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})")
_IMAGE = re.compile(r"greenlang/greenlang-secrets:(\S+)")


def complaints(text: str, version: str) -> Iterator[str]:
    """Yield what is wrong with a changelog, at the side of the version that the code has."""
    lines = text.splitlines()
    heads = [line for line in lines if line.startswith("## ")]
    if not lines or lines[0] != "# Changelog":
        yield "the title is not Changelog"
    if not heads or heads[0] != "## [Unreleased]":
        yield "the first section is not Unreleased"
    releases = []
    for head in heads[1:]:
        if (found := _RELEASE.fullmatch(head)) is None:
            yield f"no version with its day: {head}"
        else:
            releases.append((_parts(found[1]), date.fromisoformat(found[2])))
    for (newer, day), (older, earlier) in pairwise(releases):
        if newer <= older or day < earlier:
            yield f"not newest first: {newer}"
    yield from _sections(lines)
    newest = releases[0][0] if releases else (0, 0, 0)
    if ".dev" in version and _parts(version) <= newest:
        yield f"{version} is not what comes after {newest}"
    if ".dev" not in version and _parts(version) != newest:
        yield f"{version} has no section"


def _sections(lines: list[str]) -> Iterator[str]:
    kinds: list[str] = []
    inside = False
    for line in lines:
        if line.startswith("## "):
            kinds, inside = [], True
        elif line.startswith("### "):
            kinds.append(line.removeprefix("### "))
            if kinds[-1] not in KINDS or kinds != sorted(set(kinds), key=_place):
                yield f"not a kind of change, or not in its place: {line}"
        elif inside and line and not line.startswith(("- ", "  ", "[")):
            yield f"neither an item nor the rest of one: {line}"
        elif inside and line and not kinds:
            yield f"an item of no kind: {line}"


def _place(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:3]))


def test_the_changelog_has_its_form() -> None:
    """Unreleased first, then versions with their day, newest first, changes by kind."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")

    assert list(complaints(text, __version__)) == []


GOOD = """# Changelog

## [Unreleased]

### Added

- A thing
  of two lines.

## [0.2.0] - 2026-02-01

### Changed

- A thing.

### Fixed

- A thing.

## [0.1.0] - 2026-01-01
"""


@pytest.mark.parametrize("version", ["0.2.0", "0.3.0.dev0", "1.0.0.dev3"])
def test_a_changelog_in_form_raises_no_alarm(version: str) -> None:
    """The newest release, and what is worked on after it, go with the changelog."""
    assert list(complaints(GOOD, version)) == []


@pytest.mark.parametrize(
    ("old", "new", "version"),
    [
        ("# Changelog\n", "# Changes\n", "0.2.0"),
        ("## [Unreleased]", "## [Next]", "0.2.0"),
        ("[0.1.0] - 2026-01-01", "[0.1.0]", "0.2.0"),
        ("[0.1.0] - 2026-01-01", "[0.1.0] - 2026-03-01", "0.2.0"),
        ("[0.1.0] -", "[0.3.0] -", "0.2.0"),
        ("### Added", "### Improved", "0.2.0"),
        ("### Fixed", "### Added", "0.2.0"),
        ("### Added\n", "", "0.2.0"),
        ("- A thing.\n\n### Fixed", "A thing.\n\n### Fixed", "0.2.0"),
        ("", "", "0.2.1"),
        ("", "", "0.2.0.dev1"),
    ],
)
def test_a_changelog_out_of_form_is_found(old: str, new: str, version: str) -> None:
    """The control: each rule complains of what breaks it."""
    assert list(complaints(GOOD.replace(old, new, 1), version)) != []


def test_the_version_is_semantic() -> None:
    """The version is MAJOR.MINOR.PATCH, or the next one's `.devN`."""
    assert VERSION.fullmatch(__version__)


@pytest.mark.parametrize("version", ["1.0", "01.0.0", "1.0.0rc1", "1.0.0.dev", "v1.0.0"])
def test_another_version_is_not(version: str) -> None:
    """The control: what is none does not pass for one."""
    assert not VERSION.fullmatch(version)


def test_the_version_stands_in_one_place() -> None:
    """The build reads it from `version.py`, and images are tagged with the release it leads to."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    tags = {
        tag
        for path in (ROOT / "k8s").rglob("*")
        if path.is_file()
        for tag in _IMAGE.findall(path.read_text("utf-8"))
    }

    assert 'dynamic = ["version"]' in project
    assert 'path = "src/greenlang_secrets/version.py"' in project
    assert tags == {".".join(map(str, _parts(__version__)))}
