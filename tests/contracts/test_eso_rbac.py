"""The role that the manifest gives is what the watch of ExternalSecrets asks for, and no more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.markdown import ROOT
from greenlang_secrets_api.eso_api import GROUP, Trouble
from greenlang_secrets_api.eso_config import EsoConfig, WatchPace
from greenlang_secrets_api.eso_watch import EsoWatch
from greenlang_secrets_api.metrics import Metrics
from support.kubernetes_api import KubernetesApi, kubernetes_api

MANIFEST = ROOT / "k8s/monitoring/eso-watch-rbac.yaml"

Right = tuple[str, str]
"""(verb, resource)"""


def objects() -> dict[str, Any]:
    """Return the manifest's objects by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(MANIFEST.read_text("utf-8"))}


def granted() -> set[Right]:
    """Return what the role allows."""
    return {
        (verb, resource)
        for rule in objects()["ClusterRole"]["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }


async def denials(rights: set[Right], folder: Path) -> int:
    """Watch with these rights until the watch stands or is denied; how often it was."""
    (folder / "token").write_text("ours")
    async with kubernetes_api() as kubernetes:
        kubernetes.rights = {"ours": rights}
        kubernetes.succeed("shop", "database", "2026-11-26T01:00:00Z")
        config = EsoConfig(
            enabled=True,
            api_url=kubernetes.url,
            token_file=folder / "token",
            pace=WatchPace(first_wait=60.0),
        )
        metrics = await asyncio.to_thread(Metrics)
        async with EsoWatch.open(config, metrics) as watch, asyncio.timeout(10):
            assert watch is not None
            while not watch.connected and not watch.errors[Trouble.DENIED]:
                await asyncio.sleep(0.01)
            seen = asked(kubernetes)
        await metrics.close()
    assert seen <= granted()
    return watch.errors[Trouble.DENIED]


def asked(kubernetes: KubernetesApi) -> set[Right]:
    """Return what was asked of the server, as RBAC calls it."""
    return {(each.verb, each.path.rpartition("/")[2]) for each in kubernetes.asked}


async def test_the_role_is_enough(tmp_path: Path) -> None:
    """With what the manifest gives, the watch stands."""
    assert await denials(granted(), tmp_path) == 0


@pytest.mark.parametrize("right", sorted(granted()), ids="-".join)
async def test_nothing_of_the_role_can_be_left_out(right: Right, tmp_path: Path) -> None:
    """The control: without any one right the watch is denied, so none is there for nothing."""
    assert await denials(granted() - {right}, tmp_path) == 1


def test_the_role_is_for_the_operators_objects_alone() -> None:
    """One group, no Secret, no write, and nothing by a wildcard."""
    [rule] = objects()["ClusterRole"]["rules"]

    assert rule == {
        "apiGroups": [GROUP],
        "resources": ["externalsecrets", "pushsecrets"],
        "verbs": ["list", "watch"],
    }


def test_the_role_is_bound_to_the_service_alone() -> None:
    """The binding names this role, and one service account."""
    role, binding = objects()["ClusterRole"], objects()["ClusterRoleBinding"]

    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": role["metadata"]["name"],
    }
    [subject] = binding["subjects"]
    assert (subject["kind"], subject["name"]) == ("ServiceAccount", "greenlang-secrets")


def test_the_right_to_nudge_is_a_role_of_its_own() -> None:
    """Patching ExternalSecrets, and nothing else, is granted by a file that no kustomization has."""
    file = ROOT / "k8s/monitoring/eso-nudge-rbac.yaml"
    role, binding = yaml.safe_load_all(file.read_text("utf-8"))
    kustomization = yaml.safe_load((ROOT / "k8s/monitoring/kustomization.yaml").read_text("utf-8"))

    assert role["rules"] == [
        {"apiGroups": [GROUP], "resources": ["externalsecrets"], "verbs": ["patch"]}
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [subject["name"] for subject in binding["subjects"]] == ["greenlang-secrets"]
    assert file.name not in kustomization["resources"]
