"""Runs schemathesis, all checks on, as a process of its own, and tells what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Fuzzed:
    """What a run found.

    Attributes:
        cases: requests made from the document.
        failures: what each check that failed says, and where.
        warnings: operations by the warning they gave.
    """

    exit_code: int
    cases: int
    failures: list[Any]
    errors: list[Any]
    warnings: dict[str, Any]
    output: str


def fuzz(
    document: str,
    *,
    url: str,
    bearer: str,
    folder: Path,
    cases: int,
    seed: int,
    allowed: str = "everything",
    options: tuple[str, ...] = (),
    shown: bool = False,
) -> Fuzzed:
    """Send what `document` (an address or a file) allows and forbids to the service at `url`.

    `cases` is the most for each operation in each phase; `shown` passes the progress on.
    """
    report = folder / "report.json"
    command = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", str(HERE / "schemathesis.toml")),
        *("run", document, "--url", url, "--checks", "all"),
        *("--max-examples", str(cases), "--seed", str(seed)),
        *("--report", "json", "--report-json-path", str(report)),
        *options,
    ]
    environ = {
        **os.environ,
        "PYTHONPATH": str(HERE.parent),
        "FUZZ_URL": url,
        "FUZZ_BEARER": bearer,
        "FUZZ_ALLOWED": allowed,
    }
    output = None if shown else subprocess.PIPE
    ran = subprocess.run(
        command, env=environ, cwd=folder, stdout=output, stderr=output, text=True, check=False
    )
    text = "" if shown else f"{ran.stdout}\n{ran.stderr}"
    assert report.exists(), text
    said = json.loads(report.read_text("utf-8"))
    return Fuzzed(
        exit_code=ran.returncode,
        cases=said["test_cases"]["generated"],
        failures=said["failures"],
        errors=said["errors"],
        warnings={name: where for name, where in said["warnings"].items() if where},
        output=text,
    )
