"""What wheel and sdist hold."""

from __future__ import annotations

import re
import subprocess
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

from contracts.markdown import ROOT
from greenlang_secrets.version import __version__
from support.distributions import Built, build

INFO = f"greenlang_secrets-{__version__}.dist-info"


def _of_wheel(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def _of_sdist(path: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(path) as sdist:
        for member in sdist.getmembers():
            file = sdist.extractfile(member)
            found[member.name.partition("/")[2]] = b"" if file is None else file.read()
    return found


def test_the_wheel_holds_the_packages_and_nothing_else(built: Built) -> None:
    """Every file of both packages that git knows is in the wheel, and of the rest only metadata."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    source = {name.removeprefix("src/") for name in listed.stdout.split()}

    held = set(_of_wheel(built.wheel))

    assert {name for name in held if not name.startswith(INFO)} == source
    assert {"greenlang_secrets/py.typed", "greenlang_secrets_api/py.typed"} <= held
    assert {f"{INFO}/{name}" for name in ("METADATA", "RECORD", "licenses/LICENSE")} <= held


def test_the_metadata_says_what_it_is(built: Built) -> None:
    """Version, licence, typing and the core requirements stand in the metadata."""
    metadata = message_from_bytes(_of_wheel(built.wheel)[f"{INFO}/METADATA"])

    core = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]

    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert [name.partition(">")[0] for name in core] == [
        "aiohappyeyeballs",
        "anyio",
        "opentelemetry-api",
    ]
    assert "testing" in metadata.get_all("Provides-Extra", [])


def test_no_file_names_this_machine(built: Built) -> None:
    """Neither of the two has a path of the machine on which it was built."""
    places = [re.escape(str(place)) for place in (ROOT, Path.home()) if place != Path("/")]
    machine = re.compile(rf"(?<![\w.~}}…-])(?:{'|'.join(places)})/")

    held = {**_of_wheel(built.wheel), **_of_sdist(built.sdist)}

    found = [name for name, text in held.items() if machine.search(text.decode("utf-8", "replace"))]
    assert found == []


def test_the_sdist_builds_the_same_wheel(built: Built, tmp_path: Path) -> None:
    """Who builds from the sdist has the wheel that we release, octet by octet of each file."""
    with tarfile.open(built.sdist) as sdist:
        sdist.extractall(tmp_path, filter="data")
    [tree] = tmp_path.iterdir()

    build(tree, tmp_path / "dist", "-t", "wheel")

    [wheel] = (tmp_path / "dist").glob("*.whl")
    assert wheel.name == built.wheel.name
    assert _of_wheel(wheel) == _of_wheel(built.wheel)


def test_the_sdist_can_be_tested(built: Built) -> None:
    """The sdist has the tests, the documentation and the lock, so that a packager can run them."""
    held = set(_of_sdist(built.sdist))

    assert {
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "examples/testing/payments.py",
        "pyproject.toml",
        "requirements/dev.txt",
        "tests/conftest.py",
    } <= held
    assert not {name for name in held if "__pycache__" in name or name.endswith(".pyc")}
