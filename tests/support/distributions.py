"""Distributions of this tree, built and installed as users do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.markdown import ROOT

LOCKED = ROOT / "requirements" / "dev.txt"


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a release consists of."""

    wheel: Path
    sdist: Path


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A virtual environment of its own, with the wheel and nothing of the tree."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def run(self, *command: str | Path, code: int = 0) -> str:
        """Run a command of it, away from the tree, and return what it said."""
        return done([self.folder / "bin" / command[0], *command[1:]], cwd=self.folder, code=code)


def done(command: Sequence[str | Path], *, cwd: Path, code: int = 0) -> str:
    """Run a command and return what it said; the test fails with that if its code is another."""
    ended = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    said = ended.stdout + ended.stderr
    assert ended.returncode == code, f"{command[0]} ended with {ended.returncode}:\n{said}"
    return said


def build(tree: Path, into: Path, *what: str) -> None:
    """Build as a release does; the back end needs no network."""
    done([sys.executable, "-m", "hatchling", "build", "-d", into, *what], cwd=tree)


def installed(what: str, folder: Path) -> Environment:
    """Return a new environment with a wheel and what it requires, in the versions of the lock.

    They come from the index that this machine is set up with: without one it fails, and uv's own
    words say why.
    """
    uv = Path(sys.executable).parent / "uv"
    done([uv, "venv", "--quiet", "--python", sys.executable, folder], cwd=folder.parent)
    place = Environment(folder=folder)
    done([uv, "pip", "install", "--python", place.python, "-c", LOCKED, what], cwd=folder)
    return place
