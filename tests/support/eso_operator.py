"""The External Secrets Operator as a process beside the API server, and what it is told."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from greenlang_secrets.testing.process import free_port
from support.real_kubernetes import Process, running

__all__ = ["definitions", "operator_command", "started_operator"]


def definitions(path: Path) -> list[dict[str, Any]]:
    """Return the CustomResourceDefinitions in a file, or in the files of a folder.

    A release's file has the operator's Deployments too, which are left out. Without its webhook
    nothing converts between versions, so a definition says that nothing has to.
    """
    files = [path] if path.is_file() else sorted((*path.rglob("*.yaml"), *path.rglob("*.yml")))
    # The loader in C: a release's file has megabytes.
    documents = [
        each for file in files for each in yaml.load_all(file.read_bytes(), yaml.CSafeLoader)
    ]
    found = [
        {**each, "spec": {**each["spec"], "conversion": {"strategy": "None"}}}
        for each in documents
        if isinstance(each, dict) and each.get("kind") == "CustomResourceDefinition"
    ]
    assert found, "ESO_CRDS: there is no CustomResourceDefinition in it"
    return found


def operator_command(binary: Path, metrics: int, live: int) -> list[str]:
    """Return how the operator is started, listening on loopback only."""
    return [
        str(binary),
        f"--metrics-addr=127.0.0.1:{metrics}",
        f"--live-addr=127.0.0.1:{live}",
        "--concurrent=4",
        "--loglevel=info",
    ]


def started_operator(stack: ExitStack, folder: Path, binary: Path, kubeconfig: Path) -> Process:
    """Start the operator; it ends with the stack."""
    command = operator_command(binary, free_port(), free_port())
    # Else it would take the service account of a pod that the tests may run in.
    return running(stack, folder, command, KUBECONFIG=str(kubeconfig.absolute()))
