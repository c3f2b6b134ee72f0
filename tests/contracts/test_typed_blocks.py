"""The Python of the pages is typed as the library is: a name or an argument that is not there,
or is of another type, is an error of mypy, also where no example runs into it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from contracts.markdown import ROOT, Block, blocks, pages

_HEAD = """\
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-any-generics
# mypy: no-warn-return-any, no-warn-unreachable, allow-redefinition-new, local-partial-types
# mypy: disable-error-code="no-redef,import-untyped"
"""
_TOGETHER = """\
import asyncio
import greenlang_secrets as gs

async def page(secrets: gs.SecretsService) -> None:
"""
"""What the blocks of a page have, which run in one namespace and await at their top level."""

_ERROR = re.compile(r"(?P<file>\w+)\.py:\d+: error: (?P<error>.*)")


def python_of(page: Path) -> list[Block]:
    """Return the Python blocks of a page."""
    return [block for block in blocks(page.read_text("utf-8")) if block.language == "python"]


def modules(found: list[Block]) -> list[str]:
    """Return the modules that a page's blocks are: one of all, and one of each test."""
    together = [block for block in found if "def test_" not in block.text]
    alone = [block for block in found if "def test_" in block.text]
    body = "".join(textwrap.indent(block.text, "    ") for block in together)
    body = re.sub(r"^( +)global ", r"\1nonlocal ", body, flags=re.MULTILINE)
    return [
        *([f"{_HEAD}{_TOGETHER}{body}"] if together else []),
        *(f"{_HEAD}{block.text}" for block in alone),
    ]


def errors(sources: dict[str, str], folder: Path) -> dict[str, list[str]]:
    """Return what mypy has against modules, by their names, with the settings of the project."""
    for name, text in sources.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")),
            *("--cache-dir", str(ROOT / ".mypy_cache"), "--no-error-summary"),
            *(str(folder / f"{name}.py") for name in sources),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr or done.stdout
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if error := _ERROR.search(line):
            found.setdefault(error["file"], []).append(error["error"])
    assert done.returncode == 0 or found, done.stdout
    return found


def named(page: Path) -> str:
    """Return a module's name for a page."""
    return re.sub(r"\W", "_", page.relative_to(ROOT).with_suffix("").as_posix())


@pytest.mark.timeout(600)  # without what mypy remembers it reads all that the library imports
def test_every_python_block_is_typed(tmp_path: Path) -> None:
    """Mypy has nothing against any page, and finds what is wrong with a page that is."""
    sources = {
        f"{named(page)}_{number}": text
        for page in pages()
        for number, text in enumerate(modules(python_of(page)))
    }
    wrong = {
        "control_name": 'await secrets.get_al("a")\n',
        "control_argument": 'await secrets.get("a", max_age="5")\n',
        "control_option": 'await secrets.get("a", maximum_age=5)\n',
        "control_none": "(await secrets.get_or_none('a')).version\n",
    }
    controls = {name: modules([Block("python", text, 1)])[0] for name, text in wrong.items()} | {
        "control_test": modules(
            [Block("python", "import greenlang_secrets as gs\ndef test_a(): gs.fly\n", 1)]
        )[0]
    }

    found = errors(sources | controls, tmp_path)

    assert {name: each for name, each in found.items() if name not in controls} == {}
    assert found.keys() == controls.keys()
    assert len(sources) > 15
