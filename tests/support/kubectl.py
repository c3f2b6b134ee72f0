"""The kubectl that comes as a wheel, and what it makes of a folder."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

__all__ = ["KUBECTL", "Kubectl", "KubectlRefused", "kustomize"]

KUBECTL = Path(sys.executable).with_name("kubectl")
_LONGEST = 120.0  # seconds for one command


class KubectlRefused(AssertionError):
    """kubectl ended with an error; the text is what it said."""


def kustomize(folder: Path) -> list[dict[str, Any]]:
    """Return the objects that a folder is built to."""
    run = subprocess.run(
        [KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    return [each for each in yaml.safe_load_all(run.stdout) if each]


class Kubectl:
    """Commands to one cluster.

    Args:
        config: the kubeconfig file.
        folder: for what kubectl keeps between commands.
    """

    def __init__(self, config: Path, folder: Path) -> None:
        self._options = (f"--kubeconfig={config}", f"--cache-dir={folder / 'kubectl'}")

    async def run(self, *words: str | Path, objects: list[Any] | None = None) -> tuple[str, str]:
        """Return what a command writes and its warnings; `objects` are its input.

        Raises:
            KubectlRefused: it ended with an error.
        """
        environment = {name: each for name, each in os.environ.items() if name != "KUBECONFIG"}
        process = await asyncio.create_subprocess_exec(
            KUBECTL,
            *self._options,
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            async with asyncio.timeout(_LONGEST):
                said, warned = await process.communicate(yaml.safe_dump_all(objects or []).encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise KubectlRefused(f"kubectl {' '.join(map(str, words))}: {warned.decode()}")
        return said.decode(), warned.decode()

    async def apply(self, objects: list[Any], *options: str) -> tuple[str, str]:
        """Apply objects by the server's own merge, strict on unknown fields."""
        return await self.run(
            "apply", "--server-side", "--validate=strict", *options, "-f", "-", objects=objects
        )
