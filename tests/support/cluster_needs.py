"""What the tests on a real Kubernetes API server need, and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["BINARIES", "CONFIRMED", "message", "missing"]

BINARIES = ("etcd", "kube-apiserver")
CONFIRMED = "throwaway"
"""What GREENLANG_SECRETS_TEST_CLUSTER must say: objects are applied to the cluster, and deleted."""


def missing(environ: Mapping[str, str]) -> list[str]:
    """Return a line for each thing that is not there, with the variable that names it."""
    return [*_api_server(environ), *_operator(environ)]


def message(environ: Mapping[str, str]) -> str | None:
    """Return what to tell whoever runs the tests; None if everything is there."""
    lines = missing(environ)
    if not lines:
        return None
    return "\n  ".join(("`make test-k8s` tested nothing. It needs:", *lines))


def _api_server(environ: Mapping[str, str]) -> list[str]:
    assets, config = environ.get("KUBEBUILDER_ASSETS"), environ.get("KUBECONFIG")
    if assets:
        absent = [name for name in BINARIES if not _is_program(Path(assets) / name)]
        if not absent:
            return []
        return [
            (
                f"KUBEBUILDER_ASSETS: its folder has no program {' and no '.join(absent)}; "
                "`setup-envtest use -p path` fetches both and prints the folder"
            )
        ]
    if not config:
        return [
            (
                "KUBEBUILDER_ASSETS: a folder with etcd and kube-apiserver, which "
                "`setup-envtest use -p path` fetches and prints; or KUBECONFIG: a file whose current "
                "context is an administrator of a cluster to throw away"
            )
        ]
    found = []
    if not Path(config).is_file():
        found.append("KUBECONFIG: it is to name one file, and there is none")
    if environ.get("GREENLANG_SECRETS_TEST_CLUSTER") != CONFIRMED:
        found.append(
            f"GREENLANG_SECRETS_TEST_CLUSTER={CONFIRMED}: says that objects may be applied to the "
            "cluster of KUBECONFIG, and deleted; it is to have no operator and none of our namespaces"
        )
    return found


def _operator(environ: Mapping[str, str]) -> list[str]:
    binary, crds = environ.get("ESO_BINARY"), environ.get("ESO_CRDS")
    found = []
    if not (binary and _is_program(Path(binary))):
        found.append(
            "ESO_BINARY: the program external-secrets, of a release of the External Secrets "
            "Operator (2.9 is what the manifests are for)"
        )
    if not (crds and Path(crds).exists()):
        found.append(
            "ESO_CRDS: the operator's CustomResourceDefinitions, of the same release: its file "
            "external-secrets.yaml, or the folder config/crds/bases of its source"
        )
    return found


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
