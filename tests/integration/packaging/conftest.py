from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from contracts.markdown import ROOT
from support.distributions import Built, Environment, build, installed


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
    yield installed(str(built.wheel), folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def testing(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """The same with the extra `testing`, and with nothing else that our own tests have."""
    folder = tmp_path_factory.mktemp("testing") / "venv"
    yield installed(f"{built.wheel}[testing]", folder)
    shutil.rmtree(folder)
