from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SAMPLE = Path(__file__).parents[3] / "examples" / "testing"


def _run(folder: Path, *options: str) -> str:
    """Run the sample's tests as its user does, from a folder of their own."""
    project = folder / "payments"
    shutil.copytree(SAMPLE, project, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *options],
        cwd=project,
        env={name: value for name, value in os.environ.items() if name[:6] != "VAULT_"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_sample_project_passes(tmp_path: Path) -> None:
    """The sample of the guide passes as it is: seeds, rotation, a sealed Vault, a proxy, a failover."""
    said = _run(tmp_path)

    assert "6 passed" in said
