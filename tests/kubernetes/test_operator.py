"""The External Secrets Operator at work: real API server, real operator, real OpenBao."""

from __future__ import annotations

import base64
import os
import secrets
import time
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.cluster_use import condition, until, used
from support.cluster_vault import cluster_vault
from support.eso_operator import started_operator
from support.operator_overlay import write_overlay
from support.real_kubernetes import RealKubernetes, real_kubernetes
from support.shipped import SEEDED

V1 = "/apis/external-secrets.io/v1/namespaces/greenlang"
V1ALPHA1 = "/apis/external-secrets.io/v1alpha1/namespaces/greenlang"
CORE = "/api/v1/namespaces/greenlang"
COPIES = [f"greenlang-{name}-postgresql" for name in ("api", "agents", "jobs")]
"""Secrets made of database/postgresql."""

AT_START = 120.0  # seconds for all objects to be ready
FOLLOWS_WITHIN = 30.0  # seconds: what the project promises


async def not_ready(cluster: RealKubernetes) -> dict[str, str]:
    """Return what each object that is not ready says."""
    found: dict[str, str] = {}
    for place in (f"{V1}/externalsecrets", f"{V1ALPHA1}/pushsecrets"):
        items = (await cluster.must("GET", place))["items"]
        assert items, place
        for each in items:
            state = condition(each, "Ready")
            if not state.startswith("True"):
                found[f"{place.rpartition('/')[2]}/{each['metadata']['name']}"] = state
    return found


async def content(cluster: RealKubernetes, name: str) -> dict[str, str]:
    """Return what is in a Secret."""
    data = (await cluster.must("GET", f"{CORE}/secrets/{name}"))["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


async def passwords(cluster: RealKubernetes) -> set[str]:
    """Return the passwords in the copies."""
    return {(await content(cluster, name))["password"] for name in COPIES}


@asynccontextmanager
async def applied(cluster: RealKubernetes, overlay: Path, folder: Path) -> Any:
    """Apply the overlay and run the operator; it is there to clear up what it marked."""
    with ExitStack() as stack:
        operator = started_operator(
            stack, folder, Path(os.environ["ESO_BINARY"]), cluster.kubeconfig
        )
        try:
            await cluster.kubectl.run("apply", "--server-side", "-k", overlay)
            yield operator
        finally:
            if not cluster.is_ours:
                await cluster.kubectl.run("delete", "-k", overlay, "--ignore-not-found")


@pytest.mark.timeout(600)
async def test_secrets_follow_openbao_and_pushes_arrive(
    tmp_path: Path, new_vault_server: Any, postgres_server: Any, capsys: Any
) -> None:
    """Every object gets ready as shipped, a change is in each copy within 30 s, and what the
    application made is in OpenBao.
    """
    key = secrets.token_hex(16)
    changed = f"n&w/p@ss {secrets.token_hex(4)}"
    async with real_kubernetes(tmp_path) as cluster, used(cluster):
        vault = await cluster_vault(cluster, new_vault_server, tmp_path, postgres_server.url)
        overlay = write_overlay(tmp_path, vault.url, vault.ca)
        made = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "greenlang-api-session-keys", "namespace": "greenlang"},
            "stringData": {"signing-key": key},
        }
        await cluster.kubectl.apply([made])
        async with applied(cluster, overlay, tmp_path) as operator:
            waiting: dict[str, str] = {}

            async def all_ready() -> bool:
                operator.must_run()
                waiting.clear()
                waiting.update(await not_ready(cluster))
                return not waiting

            try:
                await until(all_ready, AT_START)
            except TimeoutError:
                pytest.fail(f"not ready after {AT_START:g} s: {waiting}")
            before = await passwords(cluster)
            assert before == {SEEDED["database/postgresql"]["password"]}

            began = time.monotonic()
            await vault.put(
                "database/postgresql", {**SEEDED["database/postgresql"], "password": changed}
            )

            async def followed() -> bool:
                return await passwords(cluster) == {changed}

            await until(followed, 2 * FOLLOWS_WITHIN)
            took = time.monotonic() - began
            with capsys.disabled():
                print(f"\nThe Secrets followed OpenBao after {took:.1f} s.")  # noqa: T201  the figure is wanted
            assert took <= FOLLOWS_WITHIN
            url = (await content(cluster, COPIES[0]))["url"]
            assert f":{quote(changed, safe='')}@" in url

            pushed = await vault.get("pushed/greenlang-api/session-keys")
            assert pushed == {"signing_key": key}
            certificate = (await content(cluster, "greenlang-api-mtls"))["tls.crt"]
            assert await vault.get("pushed/greenlang-api/mtls") == {"certificate": certificate}
