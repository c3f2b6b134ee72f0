"""What somebody has who installed the wheel and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

from contracts.markdown import ROOT
from support.distributions import Environment, done

CORE = {
    "aiohappyeyeballs",
    "anyio",
    "greenlang-secrets",
    "idna",
    "opentelemetry-api",
    "typing-extensions",
}


def test_the_core_is_small(empty: Environment) -> None:
    """Without extras come AnyIO, OpenTelemetry's API, who connects, and what these need."""
    listed = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"

    found = {name.lower().replace("_", "-") for name in empty.run("python", "-c", listed).split()}

    assert found <= CORE
    assert {"aiohappyeyeballs", "anyio", "greenlang-secrets", "opentelemetry-api"} <= found


def test_the_package_imports_with_its_core_alone(empty: Environment) -> None:
    """Every public name is there without an extra, from the environment and not from the tree."""
    program = (
        "import greenlang_secrets as gs\n"
        "from greenlang_secrets import SecretsService\n"
        "for name in gs.__all__: getattr(gs, name)\n"
        "print(gs.__file__)"
    )

    said = empty.run("python", "-W", "error", "-c", program)

    assert said.startswith(str(empty.folder))


def test_a_missing_extra_is_named(empty: Environment) -> None:
    """The command line and the servers say which extra brings what they lack."""
    server = (
        "import asyncio\n"
        "from greenlang_secrets.testing import OpenBaoServer\n"
        "asyncio.run(OpenBaoServer().start())"
    )

    assert "'greenlang-secrets[cli]'" in empty.run("greenlang-secrets", "status", code=2)
    assert "'greenlang-secrets[testing]'" in empty.run("python", "-c", server, code=1)


def test_a_strict_consumer_type_checks(empty: Environment, tmp_path: Path) -> None:
    """What users type passes ``mypy --strict`` against the installed wheel, as it does in the tree."""
    consumer = tmp_path / "consumer.py"
    consumer.write_text((ROOT / "tests" / "typing" / "api.py").read_text("utf-8"), "utf-8")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache"]

    said = done([*mypy, "--python-executable", empty.python, consumer], cwd=tmp_path)

    assert said == "Success: no issues found in 1 source file\n"


def test_a_wrong_consumer_does_not(empty: Environment, tmp_path: Path) -> None:
    """The control: without our types a misuse would pass as Any."""
    consumer = tmp_path / "consumer.py"
    consumer.write_text("import greenlang_secrets as gs\nx: int = gs.SecretValue('t').reveal()\n")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache"]

    said = done([*mypy, "--python-executable", empty.python, consumer], cwd=tmp_path, code=1)

    assert 'expression has type "str", variable has type "int"' in said
