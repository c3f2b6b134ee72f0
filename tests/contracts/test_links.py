"""Every link leads somewhere, every test that a page names exists, and every page is found."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from contracts.inventory import variables_in_source, vault_variables
from contracts.markdown import ROOT, anchors, links, pages
from greenlang_secrets_api.problem_table import PROBLEMS

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_NAMED_LINK = re.compile(r"\[`(test_\w+)`\]\((tests/[^)]+)\)")
_FILE = re.compile(r"`((?:src|tests|docs|benchmarks)/[\w./-]*[\w/])`")
_VARIABLE = re.compile(r"\b(GREENLANG_SECRETS_[A-Z_]+[A-Z]|VAULT_[A-Z_]+[A-Z])\b")

ELSEWHERE = {
    "GREENLANG_SECRETS_DEV_DIR",
    "GREENLANG_SECRETS_FILES",
    "GREENLANG_SECRETS_TEST_POSTGRES_URL",
}
"""Variables of the command line and the pytest plugin, which have pages of their own."""

_SIZE = re.compile(r'environ\.get\("(GREENLANG_SECRETS_TEST_[A-Z_]+)"')
"""How a scenario reads the variable that makes it longer."""


def broken(page: Path, text: str) -> list[str]:
    """Return what `text`, which stands at `page`, points at that does not exist."""
    found = [target for target in links(text) if _leads_nowhere(page, target)]
    named = _TEST.findall(text) + [(path, name) for name, path in _NAMED_LINK.findall(text)]
    found += [f"{path}::{name}" for path, name in named if name not in _tests_of(ROOT / path)]
    found += [
        name
        for name in _FILE.findall(text)
        if "NAME" not in name and not (ROOT / name).exists() and not (page.parent / name).exists()
    ]
    found += sorted(set(_VARIABLE.findall(text)) - _variables())
    return found


def _leads_nowhere(page: Path, target: str) -> bool:
    if target.startswith("https://"):
        return False
    name, _, anchor = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.exists():
        return True
    return bool(anchor) and anchor not in anchors(file.read_text("utf-8"))


@cache
def _tests_of(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@cache
def _variables() -> set[str]:
    rows = variables_in_source() | vault_variables()
    return {row[0] for row in rows} | ELSEWHERE | sizes()


def sizes() -> set[str]:
    """Return the variables that make scenarios longer."""
    scenarios = (ROOT / "tests").rglob("*.py")
    return {name for path in scenarios for name in _SIZE.findall(path.read_text("utf-8"))}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_points_at_exists(page: Path) -> None:
    """Links, anchors, files, tests and variables that a page names are there."""
    assert broken(page, page.read_text("utf-8")) == []


def test_every_size_of_a_scenario_is_explained() -> None:
    """CONTRIBUTING names each variable that makes a scenario longer."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")

    assert sizes() - set(_VARIABLE.findall(text)) == set()
    assert sizes()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[x](docs/nowhere.md)", "docs/nowhere.md"),
        ("[x](CONTRIBUTING.md#nowhere)", "CONTRIBUTING.md#nowhere"),
        ("[x](#nowhere)", "#nowhere"),
        ("`tests/unit/test_cache.py::test_nothing`", "tests/unit/test_cache.py::test_nothing"),
        ("[`test_nothing`](tests/unit/test_cache.py)", "tests/unit/test_cache.py::test_nothing"),
        ("`src/greenlang_secrets/nothing.py`", "src/greenlang_secrets/nothing.py"),
        ("set VAULT_NOTHING", "VAULT_NOTHING"),
    ],
)
def test_what_leads_nowhere_is_found(text: str, complaint: str) -> None:
    """The control: each kind of reference is followed."""
    assert broken(ROOT / "README.md", text) == [complaint]


def test_every_page_can_be_found() -> None:
    """From the README, by links alone, a reader reaches every page."""
    reached: set[Path] = set()
    to_read = [ROOT / "README.md"]
    while to_read:
        page = to_read.pop()
        if page in reached:
            continue
        reached.add(page)
        for target in links(page.read_text("utf-8")):
            file = (page.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.exists():
                to_read.append(file)

    assert set(pages()) - reached == set()
    assert len(reached) > len(PROBLEMS)  # the control: it did follow links
