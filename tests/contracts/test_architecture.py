"""Pages that explain the project, held against what it is built from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence

import pytest

from contracts.markdown import ROOT, rows, section

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
ARCHITECTURE = (ROOT / "docs/explanation/architecture.md").read_text("utf-8")
DECISIONS = (ROOT / "docs/explanation/decisions.md").read_text("utf-8")


def layers(container: str) -> list[set[str]]:
    """Return import-linter's layers inside a package, highest first."""
    [found] = [
        contract["layers"]
        for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
        if contract.get("containers") == [container]
    ]
    return [{name.strip() for name in layer.split("|")} for layer in found]


def drawn_layers(text: str, heading: str) -> list[set[str]]:
    """Return the layers that a table of the page shows, highest first."""
    return [set(row[0].split(", ")) for row in rows(section(text, heading))]


TABLES = {
    "Modules": "greenlang_secrets",
    "Modules of vault": "greenlang_secrets.vault",
    "Modules of transport": "greenlang_secrets.transport",
    "Modules of check": "greenlang_secrets.check",
}


@pytest.mark.parametrize("heading", TABLES)
def test_modules_are_drawn_in_the_order_that_is_checked(heading: str) -> None:
    """The page shows the very layers that `make check` holds."""
    assert drawn_layers(ARCHITECTURE, heading) == layers(TABLES[heading])


@pytest.mark.parametrize("heading", TABLES)
def test_another_order_is_found(heading: str) -> None:
    """The control: two rows in the other order are not the same picture."""
    lines = ARCHITECTURE.splitlines()
    first = lines.index(f"## {heading}") + 1
    table = next(n for n in range(first, len(lines)) if lines[n].startswith("|"))
    lines[table + 2], lines[table + 3] = lines[table + 3], lines[table + 2]

    assert drawn_layers("\n".join(lines), heading) != layers(TABLES[heading])


def test_every_module_is_drawn() -> None:
    """Each module of the library stands in the page's table, and no other does."""
    package = ROOT / "src" / "greenlang_secrets"
    modules = {path.stem for path in package.iterdir() if path.suffix == ".py" or path.is_dir()} - {
        "__init__",
        "__pycache__",
        "py",
        "policies",
    }

    assert set().union(*drawn_layers(ARCHITECTURE, "Modules")) == modules


def requirements() -> set[tuple[str, str]]:
    """Return (extra or group, package) for each requirement of ours, without our own extras."""
    project = PYPROJECT["project"]
    groups = {
        "core": project["dependencies"],
        **project["optional-dependencies"],
        **PYPROJECT["dependency-groups"],
    }
    return {
        (extra, _package(requirement))
        for extra, group in groups.items()
        for requirement in group
        if _package(requirement) != project["name"]
    }


def _package(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return found[0]


def unreasoned(text: str) -> Sequence[tuple[str, str]]:
    """Return what only one of page and `pyproject.toml` names."""
    shown = {(extra, package) for extra, package, why in rows(section(text, "Dependencies")) if why}
    return sorted(shown ^ requirements())


def test_every_dependency_has_its_reason() -> None:
    """No requirement without a line that says why, and no line without its requirement."""
    assert unreasoned(DECISIONS) == []
    assert len(set(found := rows(section(DECISIONS, "Dependencies")))) == len(found)


def test_a_dependency_without_a_reason_is_found() -> None:
    """The control: a requirement whose row is missing, or says nothing, is told."""
    line = next(line for line in DECISIONS.splitlines() if line.startswith("| core | `anyio`"))

    assert unreasoned(DECISIONS.replace(line + "\n", "")) == [("core", "anyio")]
    assert unreasoned(DECISIONS.replace(line, "| core | `anyio` |  |")) == [("core", "anyio")]


def commands_apart(text: str) -> set[str]:
    """Return the targets of make that only one of CONTRIBUTING and the Makefile has."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    [phony] = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    shown = {row[0].removeprefix("make ") for row in rows(section(text, "Commands"))}
    return shown ^ (set(phony.split()) - {"help"})


def test_every_target_of_make_is_explained() -> None:
    """CONTRIBUTING lists what `make` offers, and nothing else."""
    assert commands_apart((ROOT / "CONTRIBUTING.md").read_text("utf-8")) == set()


def test_a_target_without_explanation_is_found() -> None:
    """The control: another name in the table is told, and the one it replaced."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")

    assert commands_apart(text.replace("`make bench`", "`make fly`")) == {"bench", "fly"}
