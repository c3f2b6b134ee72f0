"""Our Kubernetes manifests: built by kubectl, and held against closed schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator

from contracts.markdown import ROOT
from support.kubectl import kustomize

__all__ = ["OVERLAYS", "SECRETS", "build", "complaints", "containers", "literals", "schemas"]

OVERLAYS = {"dev": "development", "staging": "staging", "prod": "production"}
SECRETS = ROOT / "k8s" / "external-secrets"

Manifest = dict[str, Any]

# Long and mixed, and no address, path, template or name of ours.
_RANDOM = re.compile(r"(?<![\w./:-])(?=\w*[0-9])(?=\w*[a-z])(?=\w*[A-Z])[\w+=]{20,}(?![\w./:-])")
_TOKEN = re.compile(
    r"\b(?:hvs|hvb|s)\.[A-Za-z0-9]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}"
)
_LOGIN = re.compile(r"://[^/\s:@{]*:[^/\s@{]+@")
_SECRET_NAME = re.compile(r"PASSWORD|TOKEN|SECRET_ID|CREDENTIAL|API_KEY|PRIVATE_KEY")


@cache
def _built(folder: Path) -> list[Manifest]:
    return kustomize(folder)


def build(folder: Path) -> list[Manifest]:
    """Return the objects that ``kubectl kustomize`` makes of a folder, to be read only."""
    return _built(folder)


@cache
def schemas() -> dict[str, Any]:
    """Return the closed schemas of kinds that are not Kubernetes' own, by version and kind."""
    found: dict[str, Any] = {}
    for path in sorted((ROOT / "tests" / "contracts" / "crds").glob("*.json")):
        found |= json.loads(path.read_text("utf-8"))
    return found


def complaints(manifest: Mapping[str, Any]) -> list[str]:
    """Return what its schema says against an object; an unknown field is refused."""
    kind = f"{manifest['apiVersion']}/{manifest['kind']}"
    if kind in schemas():
        validator = Draft202012Validator(schemas()[kind])
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]
    return list(_core_complaints(json.dumps(manifest, sort_keys=True)))


@cache  # most objects are the same in each overlay, and a schema is read anew each time
def _core_complaints(manifest: str) -> tuple[str, ...]:
    try:
        kubernetes_validate.validate(
            json.loads(manifest), kubernetes_validate.latest_version(), strict=True
        )
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return (str(getattr(error, "message", error)),)
    return ()


def containers(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an object's containers, those of its start among them."""
    if manifest["kind"] not in {"Deployment", "Job", "StatefulSet", "DaemonSet"}:
        return []
    spec = manifest["spec"]["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def literals(manifest: Mapping[str, Any]) -> list[str]:
    """Return where a secret stands in an object, or would stand in the environment."""
    found = []
    if manifest["kind"] == "Secret":
        found.append("an object of kind Secret")
    for container in containers(manifest):
        if "envFrom" in container:
            found.append("envFrom")
        for variable in container.get("env", []):
            name = variable["name"]
            if "secretKeyRef" in variable.get("valueFrom", {}):
                found.append(f"{name} from a Secret")
            if _SECRET_NAME.search(name) and not name.endswith("_FILE"):
                found.append(f"{name} in the environment")
    if manifest["kind"] == "ConfigMap" and "grafana_dashboard" in manifest["metadata"].get(
        "labels", {}
    ):
        return found
    found.extend(
        "a value that looks like a secret"
        for text in _texts(manifest)
        if _TOKEN.search(text) or _LOGIN.search(text) or _RANDOM.search(text)
    )
    return found


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
