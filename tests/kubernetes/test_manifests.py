"""Every manifest, as a real API server takes it, without keeping any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.cluster_use import used
from support.kubectl import KubectlRefused, kustomize
from support.real_kubernetes import RealKubernetes, real_kubernetes

K8S = Path(__file__).resolve().parents[2] / "k8s"
FOLDERS = ("overlays/dev", "overlays/staging", "overlays/prod", "vault")


async def served(cluster: RealKubernetes) -> set[str]:
    """Return the groups of kinds that the server has."""
    groups = (await cluster.must("GET", "/apis"))["groups"]
    return {"", *(each["name"] for each in groups)}


def group(manifest: dict[str, Any]) -> str:
    """Return the group of an object's kind, empty for the core's."""
    return str(manifest["apiVersion"]).rpartition("/")[0]


@pytest.mark.timeout(600)
async def test_the_api_server_takes_every_manifest(tmp_path: Path, capsys: Any) -> None:
    """Each object of each overlay whose kind is served is taken, without a warning; the control,
    a misspelt field, is refused.
    """
    async with real_kubernetes(tmp_path) as cluster, used(cluster):
        groups = await served(cluster)
        assert "external-secrets.io" in groups
        for folder in FOLDERS:
            objects = kustomize(K8S / folder)
            taken = [each for each in objects if group(each) in groups]
            left = sorted({each["kind"] for each in objects if group(each) not in groups})

            said, warned = await cluster.kubectl.apply(taken, "--dry-run=server")

            with capsys.disabled():
                print(f"\n{folder}: {len(taken)} objects taken; no such kinds here: {left}")  # noqa: T201  what was left out is to be seen
            assert len(said.splitlines()) == len(taken)
            assert warned == ""

        objects = kustomize(K8S / "overlays/dev")
        misspelt = next(each for each in objects if each["kind"] == "ExternalSecret")
        misspelt["spec"]["refreshIntervall"] = "1m"
        with pytest.raises(KubectlRefused, match="refreshIntervall"):
            await cluster.kubectl.apply([misspelt], "--dry-run=server")
