"""A real OpenBao beside a real API server: provisioned as shipped, and asking it about accounts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenlang_secrets.testing.process import free_port
from support.certificates import self_signed
from support.real_kubernetes import RealKubernetes
from support.shipped import SEEDED, desired, run_provision

__all__ = ["REVIEWER", "ClusterVault", "cluster_vault", "login_settings"]

REVIEWER = "greenlang-test-reviewer"
_AS_LONG_AS = 3600  # seconds of the reviewer's token


@dataclass(frozen=True)
class ClusterVault:
    """The server, and how the operator reaches it.

    Attributes:
        server: of greenlang_secrets.testing.
        url: with TLS.
        ca: PEM.
    """

    server: Any
    url: str
    ca: str

    async def put(self, path: str, data: dict[str, str]) -> None:
        """Write a secret below greenlang/ as an administrator."""
        status, body = await self.server.request(
            "POST", f"secret/data/greenlang/{path}", {"data": data}
        )
        assert status == 200, body

    async def get(self, path: str) -> dict[str, str] | None:
        """Return what lies below greenlang/; None for nothing."""
        status, body = await self.server.request("GET", f"secret/data/greenlang/{path}")
        return body["data"]["data"] if status == 200 else None


def tls_listener(folder: Path) -> tuple[str, str, str]:
    """Return the address, the CA and the stanza of a second listener, with TLS."""
    pem = self_signed(folder, "vault")
    port, cluster = free_port(), free_port()
    stanza = "\n".join(
        (
            'listener "tcp" {',
            f'address = "127.0.0.1:{port}"',
            f'cluster_address = "127.0.0.1:{cluster}"',
            f'tls_cert_file = "{pem.cert}"',
            f'tls_key_file = "{pem.key}"',
            "}",
        )
    )
    return f"https://127.0.0.1:{port}", pem.cert.read_text(), stanza


def login_settings(host: str, ca: str, reviewer: str) -> dict[str, Any]:
    """Return the mount's configuration: whom it asks about tokens, and as whom."""
    return {
        "kubernetes_host": host,
        "kubernetes_ca_cert": ca,
        "token_reviewer_jwt": reviewer,
        "disable_local_ca_jwt": True,
    }


async def cluster_vault(
    cluster: RealKubernetes, new_vault_server: Any, folder: Path, postgres_url: str
) -> ClusterVault:
    """Start, provision and seed an OpenBao; the namespace `vault` is there already."""
    url, ca, stanza = tls_listener(folder)
    server = await new_vault_server(extra_config=stanza)
    await run_provision(server, desired(postgres_url))
    settings = login_settings(
        cluster.url, cluster.ca_file.read_text(), await _reviewer_token(cluster)
    )
    status, body = await server.request("POST", "auth/kubernetes/config", settings)
    assert status == 204, body
    vault = ClusterVault(server, url, ca)
    await asyncio.gather(*(vault.put(path, data) for path, data in SEEDED.items()))
    return vault


async def _reviewer_token(cluster: RealKubernetes) -> str:
    """Make the account that Vault reviews tokens as, and return a token of it."""
    await cluster.kubectl.apply(
        [
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": REVIEWER, "namespace": "vault"},
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": REVIEWER},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "system:auth-delegator",
                },
                "subjects": [{"kind": "ServiceAccount", "name": REVIEWER, "namespace": "vault"}],
            },
        ]
    )
    asked = await cluster.must(
        "POST",
        f"/api/v1/namespaces/vault/serviceaccounts/{REVIEWER}/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _AS_LONG_AS},
        },
    )
    return str(asked["status"]["token"])
