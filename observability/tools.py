"""The real Prometheus and Alertmanager, with promtool and amtool, without installing a service.

``python -m observability.tools`` brings them into ``.tools/bin``. On Debian and its kin they are
taken out of the distribution's packages, which needs neither root nor an installed package;
elsewhere the ones on PATH serve. Only the standard library is used: `make` runs this first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["PACKAGES", "ToolError", "fetch", "tool"]

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / ".tools"

PACKAGES: Final[Mapping[str, Sequence[str]]] = {
    "prometheus": ("prometheus", "promtool"),
    "prometheus-alertmanager": ("prometheus-alertmanager", "amtool"),
}
"""Debian's packages, and the programs that are taken out of them."""

_NAMES: Final[Mapping[str, Sequence[str]]] = {
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
}
"""Programs that are named otherwise in Debian than by their authors."""

TEMPLATES: Final = "usr/share/prometheus/alertmanager"
"""Where, below the fetched folder, the texts of notifications are, which Debian's Alertmanager
does not have inside. It reads them at this path from its working directory on: see `_loosen`."""

TOOLS: Final = ("prometheus", "promtool", "alertmanager", "amtool")
WITHIN: Final = 300.0  # seconds for one command: 30 MB over a slow line


class ToolError(RuntimeError):
    """A program is not to be had; the text says what to install."""


def tool(name: str, *, folder: Path = FOLDER, path: str | None = None) -> Path:
    """Return where a program is: in ``.tools/bin``, else on PATH (None for the process's own).

    Raises:
        ToolError: it is in neither.
    """
    for candidate in _NAMES.get(name, (name,)):
        found = shutil.which(candidate, path=str(folder / "bin")) or shutil.which(
            candidate, path=path
        )
        if found is not None:
            return Path(found)
    raise ToolError(
        f"{name} is neither in .tools/bin nor on PATH. On Debian or Ubuntu `make` brings it; "
        "elsewhere install Prometheus (with promtool) and Alertmanager (with amtool)."
    )


def fetch(folder: Path = FOLDER) -> None:
    """Put the programs into ``bin`` of a folder, out of Debian's packages, where apt-get is.

    Raises:
        ToolError: apt-get does not bring them, and PATH has not all of them either.
    """
    if shutil.which("apt-get") is not None and shutil.which("dpkg") is not None:
        try:
            _unpack(folder)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            sys.stderr.write(f"apt-get did not bring Prometheus: {said.strip()}\n")
    for name in TOOLS:
        tool(name, folder=folder)


def _unpack(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        here = Path(scratch)
        here.chmod(0o755)  # apt fetches as a user of its own
        apt = _own_state(here)
        _run([*apt, "update"], here)
        _run([*apt, "download", *PACKAGES], here)
        for package in here.glob("*.deb"):
            _run(["dpkg", "-x", package.name, "unpacked"], here)
        binaries = folder / "bin"
        binaries.mkdir(exist_ok=True)
        unpacked = here / "unpacked"
        for name in [name for names in PACKAGES.values() for name in names]:
            (unpacked / "usr" / "bin" / name).replace(binaries / name)
        shutil.copytree(unpacked / TEMPLATES, folder / TEMPLATES, dirs_exist_ok=True)
        _loosen(binaries / "prometheus-alertmanager")


def _loosen(program: Path) -> None:
    """Let it read its templates below its working directory: Debian's build has an absolute path
    that only root can write to, and no option for it. The length is the same, so nothing moves.
    """
    absolute, relative = f"/{TEMPLATES}".encode(), f"{TEMPLATES}/".encode()
    content = program.read_bytes()
    program.write_bytes(content.replace(absolute, relative))


def _own_state(folder: Path) -> list[str]:
    """Return apt-get with lists of its own: the machine's may be missing, and are root's."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    options = {
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "",
        "APT::Update::Error-Mode": "any",
    }
    return ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]


def _run(command: Sequence[str], folder: Path) -> None:
    environment = os.environ | {"LC_ALL": "C"}
    subprocess.run(
        command,
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=WITHIN,
    )


if __name__ == "__main__":
    try:
        fetch()
    except ToolError as error:
        sys.exit(str(error))
