"""The ExternalSecrets as shipped, for a Vault elsewhere: only its address and its CA are others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

__all__ = ["NAMESPACES", "SHIPPED_SERVER", "namespaces", "write_overlay"]

SECRETS = Path(__file__).resolve().parents[2] / "k8s" / "external-secrets"
SHIPPED_SERVER = "https://vault.vault.svc.cluster.local:8200"
NAMESPACES = ("external-secrets", "greenlang", "monitoring", "vault")
_WITH_CA = ("external-secrets", "greenlang")
"""Where the manifests look for the ConfigMap `vault-ca`."""
_PLACES = {
    "ClusterSecretStore": "/spec/provider/vault/server",
    "SecretStore": "/spec/provider/vault/server",
    "VaultDynamicSecret": "/spec/provider/server",
}


def write_overlay(folder: Path, server: str, ca: str) -> Path:
    """Write the overlay into a folder of its own below `folder`, and return that.

    Args:
        folder: anywhere.
        server: the address of Vault as the operator reaches it.
        ca: PEM of the authority that its certificate is of.
    """
    overlay = folder / "overlay"
    overlay.mkdir()
    (overlay / "ca.crt").write_text(ca)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        # kustomize takes no absolute path for this.
        "resources": [os.path.relpath(SECRETS, overlay.resolve())],
        "configMapGenerator": [
            {
                "name": "vault-ca",
                "namespace": namespace,
                "options": {"disableNameSuffixHash": True},
                "files": ["ca.crt"],
            }
            for namespace in _WITH_CA
        ],
        "patches": [
            {
                "target": {"kind": kind},
                "patch": yaml.safe_dump([{"op": "replace", "path": path, "value": server}]),
            }
            for kind, path in _PLACES.items()
        ],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return overlay


def namespaces() -> list[dict[str, Any]]:
    """Return the namespaces of all manifests; greenlang is restricted, as the how-to says."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {
                    f"pod-security.kubernetes.io/{mode}": "restricted"
                    for mode in ("enforce", "warn")
                    if name == "greenlang"
                },
            },
        }
        for name in NAMESPACES
    ]
