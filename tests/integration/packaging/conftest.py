from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.markdown import ROOT
from support.distributions import Built, Environment, build, done

LOCKED = ROOT / "requirements" / "dev.txt"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Wheel and sdist of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel=wheel, sdist=sdist)


@pytest.fixture(scope="session")
def empty(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An environment with the wheel and its core requirements, from the index of this machine."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    uv = Path(sys.executable).parent / "uv"
    done([uv, "venv", "--quiet", "--python", sys.executable, folder], cwd=folder.parent)
    python = folder / "bin" / "python"
    done([uv, "pip", "install", "--python", python, "-c", LOCKED, built.wheel], cwd=folder)
    yield Environment(folder=folder)
    shutil.rmtree(folder)
