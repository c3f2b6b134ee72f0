"""The README and the tutorial, typed as they stand: in a folder, shells, and real servers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.markdown import ROOT, Block, blocks
from support.dev_run import Dev

TUTORIAL = ROOT / "docs" / "tutorial" / "first-steps.md"
API = "http://127.0.0.1:8750"
"""Where the API is for a reader; a test's is on a port of its own."""

_FILE = re.compile(r"# (\w+\.py)\n")
_LINE = 60.0  # seconds that a command may take, on a machine that is busy with other tests


class Shell:
    """A shell that a reader types into, in a folder."""

    def __init__(self, folder: Path) -> None:
        programs = Path(sys.executable).parent
        kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        self.said = folder / f"said-{len(list(folder.glob('said-*')))}"
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                ["bash", "--norc"],
                cwd=folder,
                env={**kept, "PATH": f"{programs}:{os.environ['PATH']}"},
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def types(self, line: str) -> str:
        """Type a line, and return what it says when it has ended well."""
        before = len(self.said.read_text())
        self._send(f"{line}\nprintf '\\nended %s\\n' $?\n")  # a value has no end of line
        until(lambda: re.search(r"^ended \d+$", self.said.read_text()[before:], re.MULTILINE))
        said, _, code = self.said.read_text()[before:].rstrip("\n").rpartition("\nended ")
        assert code == "0", (line, said)
        return said

    def leaves_running(self, line: str) -> None:
        """Type a line that goes on."""
        self._send(f"{line}\n")

    def ends(self) -> None:
        """Close it, as a reader does with a window."""
        with contextlib.suppress(BrokenPipeError), self.process:
            os.killpg(self.process.pid, signal.SIGKILL)

    def _send(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()


def until(condition) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + _LINE
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def said_in_order(shown: str, said: str) -> bool:
    """Say if the lines of `shown` are in what was said, one after the other."""
    lines = iter(said.splitlines())
    return all(any(line == each for each in lines) for line in shown.splitlines())


def like(shown: str, said: str) -> bool:
    """Say if a JSON document is as it is shown; `…` stands for any text."""
    wanted, found = json.loads(shown), json.loads(said)
    assert isinstance(wanted, dict)
    return _like(wanted, found)


def _like(wanted: object, found: object) -> bool:
    if isinstance(wanted, dict) and isinstance(found, dict):
        elided = "…" in wanted.values() and wanted.keys() <= found.keys()
        same = wanted.keys() == found.keys() or elided
        return same and all(_like(value, found[name]) for name, value in wanted.items())
    return wanted in ("…", found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def stack(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """What the first block of the tutorial starts, as the Makefile does, on a free port.

    The README is read first, and changes nothing; the tutorial rotates.
    """
    [first, *_] = blocks(TUTORIAL.read_text("utf-8"))
    assert first.text == 'make dev ARGS="--data-dir .dev"\n'
    assert "\n\t@exec $(BIN)/greenlang-secrets dev $(ARGS)\n" in (ROOT / "Makefile").read_text()
    run = Dev(tmp_path_factory.mktemp("dev"), "--data-dir", ".dev", cwd=folder)
    try:
        run.ready()
        yield run
    finally:
        run.finish()


@pytest.fixture
def shell(folder: Path) -> Iterator[list[Shell]]:
    shells: list[Shell] = []
    yield shells
    for each in shells:
        each.ends()


def follow(found: list[Block], folder: Path, shells: list[Shell], api: str) -> list[str]:
    """Do what the blocks of a page say, in a first shell; return what was not as shown.

    A program that is still running when its output is asked for has a shell of its own.
    """
    wrong = []
    shells.append(Shell(folder))
    said = ""
    for block in found:
        text = block.text.replace(API, api)
        if block.language == "python":
            name = _FILE.match(text)
            assert name, "a program without a name"
            (folder / name[1]).write_text(text, "utf-8")
        elif block.text == "python app.py\n":
            shells[0].leaves_running(block.text)
            shells.append(Shell(folder))
        elif block.language == "sh":
            said = "".join(shells[-1].types(line) for line in text.splitlines())
        elif (block.language == "json" and not like(block.text, said.splitlines()[-1])) or (
            block.language == "text" and not _is_said(block.text, said, shells)
        ):
            wrong.append(f"line {block.line}: {said}")
    return wrong


def _is_said(shown: str, said: str, shells: list[Shell]) -> bool:
    if said_in_order(shown, said):
        return True
    if len(shells) == 1:
        return False
    until(lambda: said_in_order(shown, shells[0].said.read_text()))
    return True


@pytest.mark.timeout(300)
def test_the_readme_does_what_it_says(stack: Dev, folder: Path, shell: list[Shell]) -> None:
    """The README's program and requests run beside `make dev`, and answer as shown."""
    [commands, *found] = blocks((ROOT / "README.md").read_text("utf-8"))
    shell.append(Shell(folder))
    token = f"TOKEN={stack.ready()['tokens']['platform-admin']}"

    assert commands.text == "make dev\nmake test\n"
    ready = [Block("sh", f". .dev/env\n{token}\n", 0)]
    assert follow([*ready, *found], folder, shell, stack.ready()["api_url"]) == []


@pytest.mark.timeout(300)
def test_the_tutorial_does_what_it_says(stack: Dev, folder: Path, shell: list[Shell]) -> None:
    """Typed as it stands, each command ends well, each output is as shown, the engine of the
    reader's program goes from one login to the other, and no query of it fails.
    """
    _, *found = blocks(TUTORIAL.read_text("utf-8"))

    wrong = follow(found, folder, shell, stack.ready()["api_url"])

    assert wrong == []
    assert [block.language for block in found].count("python") == 2
    assert "Traceback" not in shell[0].said.read_text()
    assert shell[0].said.read_text().endswith("logged in as app_a\nlogged in as app_b\n")


def test_what_is_not_said_is_found(folder: Path, shell: list[Shell]) -> None:
    """The control: a line that fails ends the page, and another output is told."""
    assert follow([Block("sh", "echo 1\n", 1), Block("text", "2\n", 2)], folder, shell, API) == [
        "line 2: 1\n"
    ]
    with pytest.raises(AssertionError):
        follow([Block("sh", "false\n", 1)], folder, shell, API)
    assert not like('{"a":"…","b":1}', '{"a":1,"b":2}')
    assert not like('{"a":1}', '{"a":1,"b":2}')
    assert not said_in_order("a\nb\n", "b\na\n")
