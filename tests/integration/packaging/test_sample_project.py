"""The sample project of the guide on testing, as somebody has it who has just installed it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contracts.markdown import ROOT
from support.distributions import Environment

SAMPLE = ROOT / "examples" / "testing"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sample, away from the tree, and no server but its own."""
    for name in ("VAULT_ADDR", "VAULT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(SAMPLE, tmp_path / "payments", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "payments"


def test_the_sample_project_passes(testing: Environment, project: Path) -> None:
    """With the extra `testing` alone it passes: seeds, rotation, a seal, a proxy, a failover."""
    said = testing.run("python", "-m", "pytest", "-q", "-W", "error", project)

    assert "6 passed" in said


def test_the_sample_project_can_fail(testing: Environment, project: Path) -> None:
    """The control: an app that does not read a refused key anew fails its test of a rotation."""
    app = project / "payments.py"
    app.write_text(app.read_text("utf-8").replace("fresh=True", "fresh=False"), "utf-8")

    said = testing.run(
        "python", "-m", "pytest", "-q", project / "tests" / "test_payments.py", code=1
    )

    assert "FAILED" in said
    assert "test_a_rotated_key_is_read_anew" in said
    assert "1 failed, 2 passed" in said
