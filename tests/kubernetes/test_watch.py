"""The watch of ExternalSecrets on a real Kubernetes API server, with the shipped role."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from greenlang_secrets_api.eso_api import Trouble
from greenlang_secrets_api.eso_config import EsoConfig, WatchPace
from greenlang_secrets_api.eso_watch import EsoWatch
from greenlang_secrets_api.metrics import Metrics
from support.real_kubernetes import RealKubernetes, real_kubernetes

MANIFEST = Path(__file__).resolve().parents[2] / "k8s/monitoring/eso-watch-rbac.yaml"
GROUP = "external-secrets.io"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
KINDS = {
    "externalsecrets": ("ExternalSecret", "v1"),
    "pushsecrets": ("PushSecret", "v1alpha1"),
}
SPECS: dict[str, Any] = {
    "externalsecrets": {"secretStoreRef": {"name": "none"}, "target": {"creationPolicy": "None"}},
    "pushsecrets": {
        "secretStoreRefs": [{"name": "none"}],
        "selector": {"secret": {"name": "none"}},
    },
}


def definition(resource: str) -> dict[str, Any]:
    """A definition of the kind that takes anything, for a cluster without the operator."""
    kind, version = KINDS[resource]
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": resource, "singular": kind.lower(), "kind": kind},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": anything},
                }
            ],
        },
    }


@asynccontextmanager
async def prepared(server: RealKubernetes) -> AsyncIterator[str]:
    """Yield a namespace of this test's own with the service account, and the kinds served."""
    namespace = f"greenlang-eso-{secrets.token_hex(4)}"
    made = []
    for resource in KINDS:
        status, _ = await server.ask("POST", DEFINITIONS, definition(resource))
        assert status in {201, 409}
        if status == 201:
            made.append(f"{DEFINITIONS}/{resource}.{GROUP}")
    await server.must("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    made.append(f"/api/v1/namespaces/{namespace}")
    try:
        await server.must(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts",
            {"metadata": {"name": "greenlang-secrets"}},
        )
        for resource in KINDS:
            async with asyncio.timeout(30):
                while (await server.ask("GET", place(resource, namespace)))[0] != 200:
                    await asyncio.sleep(0.1)
        yield namespace
    finally:
        for path in reversed(made):
            await server.ask("DELETE", path)


def place(resource: str, namespace: str, name: str = "") -> str:
    path = f"/apis/{GROUP}/{KINDS[resource][1]}/namespaces/{namespace}/{resource}"
    return f"{path}/{name}" if name else path


@asynccontextmanager
async def role(server: RealKubernetes, namespace: str) -> AsyncIterator[None]:
    """Apply the shipped manifest, under names of this test's own."""
    objects = {each["kind"]: each for each in yaml.safe_load_all(MANIFEST.read_text("utf-8"))}
    for each in objects.values():
        each["metadata"]["name"] = namespace
    objects["ClusterRoleBinding"]["roleRef"]["name"] = namespace
    objects["ClusterRoleBinding"]["subjects"][0]["namespace"] = namespace
    paths = {kind: f"{RBAC}/{kind.lower()}s" for kind in objects}
    try:
        for kind, each in objects.items():
            await server.must("POST", paths[kind], each)
        yield
    finally:
        for path in paths.values():
            await server.ask("DELETE", f"{path}/{namespace}")


async def make(server: RealKubernetes, resource: str, namespace: str) -> None:
    kind, version = KINDS[resource]
    await server.must(
        "POST",
        place(resource, namespace),
        {
            "apiVersion": f"{GROUP}/{version}",
            "kind": kind,
            "metadata": {"name": "db"},
            "spec": SPECS[resource],
        },
    )


async def note(
    server: RealKubernetes, resource: str, namespace: str, at: str, ready: str = "True"
) -> None:
    """Write a status as the operator does."""
    condition = {"type": "Ready", "status": ready, "reason": "R", "lastTransitionTime": at}
    await server.must(
        "PATCH",
        place(resource, namespace, "db") + "/status",
        {"status": {"refreshTime": at, "conditions": [condition]}},
        merge=True,
    )


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_real_api_server_is_watched(tmp_path: Path) -> None:
    """Denied without the role; with it each sync of both kinds is counted, a watch that ends goes
    on, and what is deleted goes. An operator that runs there may add counts of its own.
    """
    async with real_kubernetes(tmp_path) as server, prepared(server) as namespace:
        token = tmp_path / "token"
        asked = await server.must(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/greenlang-secrets/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        )
        token.write_text(asked["status"]["token"])
        config = EsoConfig(
            enabled=True,
            api_url=server.url,
            token_file=token,
            ca_file=server.ca_file,
            pace=WatchPace(first_wait=0.1, longest_wait=0.5, watch_for=2.0, steady=0.5),
        )
        labels = {
            "externalsecrets": f"{namespace}/db",
            "pushsecrets": f"{namespace}/push/db",
        }
        metrics = await asyncio.to_thread(Metrics)
        async with EsoWatch.open(config, metrics) as watch:
            assert watch is not None

            def syncs(resource: str) -> tuple[int, int]:
                for each in watch.syncs.counted():
                    if each.status.label == labels[resource]:
                        return each.success, each.failure
                return -1, -1

            await until(lambda: watch.errors[Trouble.DENIED] >= 2)
            assert not watch.connected
            async with role(server, namespace):
                await until(lambda: watch.connected)
                for resource in KINDS:
                    await make(server, resource, namespace)
                    await until(lambda resource=resource: syncs(resource) >= (0, 0))
                    await note(server, resource, namespace, "2026-11-26T01:00:00Z")
                    await until(lambda resource=resource: syncs(resource)[0] >= 1)
                    await asyncio.wait_for(_outlive(watch), 30)
                    await note(server, resource, namespace, "2026-11-26T01:00:15Z", "False")
                    await until(lambda resource=resource: min(syncs(resource)) >= 1)
                    await server.must("DELETE", place(resource, namespace, "db"))
                    await until(lambda resource=resource: syncs(resource) == (-1, -1))

                assert watch.connected
        await metrics.close()


async def _outlive(watch: EsoWatch) -> None:
    """Wait until each watch has ended once, as it was asked to after two seconds, and stands."""
    opened = [each._opened_at for each in watch._places]
    while any(
        each._opened_at in {at, float("inf")}
        for each, at in zip(watch._places, opened, strict=True)
    ):
        await asyncio.sleep(0.05)
