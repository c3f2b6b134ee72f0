"""The use of a cluster by one test: empty before, and, if it is somebody's, empty afterwards."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.cluster_vault import REVIEWER
from support.eso_operator import definitions
from support.operator_overlay import NAMESPACES, namespaces
from support.real_kubernetes import RealKubernetes

__all__ = ["condition", "until", "used"]

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
_GONE = 120.0  # seconds for a namespace to go, with all that is in it


@asynccontextmanager
async def used(cluster: RealKubernetes) -> AsyncIterator[None]:
    """Have the namespaces of the manifests and the operator's kinds in it.

    A cluster that has any of them is refused: they are somebody's, and would be deleted.
    """
    crds = definitions(Path(os.environ["ESO_CRDS"]))
    names = [each["metadata"]["name"] for each in crds]
    places = [f"/api/v1/namespaces/{name}" for name in NAMESPACES]
    places += [f"{_DEFINITIONS}/{name}" for name in names]
    there = [place for place in places if (await cluster.ask("GET", place))[0] != 404]
    assert not there, f"the cluster is in use, name another; it has {', '.join(there)}"
    try:
        await cluster.kubectl.apply([*namespaces(), *crds])
        await cluster.kubectl.run(
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            *(f"crd/{name}" for name in names),
        )
        yield
    finally:
        if not cluster.is_ours:
            await _emptied(cluster, [*reversed(places), f"{_BINDINGS}/{REVIEWER}"])


async def _emptied(cluster: RealKubernetes, places: list[str]) -> None:
    for place in places:
        await cluster.ask("DELETE", place)

    async def gone() -> bool:
        return all([(await cluster.ask("GET", place))[0] == 404 for place in places])

    await until(gone, _GONE)


async def until(met: Any, seconds: float) -> None:
    """Wait for a condition, an async function."""
    async with asyncio.timeout(seconds):
        while not await met():
            await asyncio.sleep(0.1)


def condition(manifest: dict[str, Any], type_: str) -> str:
    """Return a condition of an object: True, False or Unknown, with the reason and message."""
    for each in manifest.get("status", {}).get("conditions", []):
        if each["type"] == type_:
            return f"{each['status']} {each.get('reason', '')}: {each.get('message', '')}"
    return "Unknown"
