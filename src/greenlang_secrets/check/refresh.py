"""How soon a change in Vault arrives: refresh intervals against the environment's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from greenlang_secrets.check.documents import Document, NotYaml, Value, documents
from greenlang_secrets.check.findings import Finding
from greenlang_secrets.config import Environment

__all__ = ["environment_of", "seconds", "slow"]

_FOLDERS: Final = {
    "dev": Environment.DEVELOPMENT,
    "development": Environment.DEVELOPMENT,
    "staging": Environment.STAGING,
    "prod": Environment.PRODUCTION,
    "production": Environment.PRODUCTION,
}
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")


def environment_of(file: Path) -> Environment:
    """Return the environment of a file's nearest folder that is named for one.

    What lies in none is for all, and must be fast enough for development, the slowest.
    """
    for part in reversed(file.parts[:-1]):
        if part in _FOLDERS:
            return _FOLDERS[part]
    return Environment.DEVELOPMENT


def seconds(duration: str) -> float | None:
    """Return the seconds of a duration of Go, such as ``1m30s``; None if it is none."""
    if duration in {"0", ""}:
        return 0.0 if duration else None
    parts = _PART.findall(duration)
    if "".join(number + unit for number, unit in parts) != duration:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def slow(document: Document, environment: Environment) -> Iterator[Finding]:
    """Yield what refreshes more seldom than the environment asks.

    An ExternalSecret of a generator alone is left out: each refresh makes a new lease, so its
    interval follows the lease's. Patches of kustomize are read too.
    """
    if document.kind == "Kustomization":
        yield from _patches(document, environment)
    elif document.kind == "ExternalSecret":
        yield from _external_secret(document, document.value.at("spec"), environment)
    elif document.kind == "ClusterExternalSecret":
        spec = document.value.at("spec", "externalSecretSpec")
        yield from _external_secret(document, spec, environment)
    for operation in document.value.items:
        if operation.at("path").text.endswith("/refreshInterval"):
            yield from _judge(document, operation.at("value"), environment)


def _patches(document: Document, environment: Environment) -> Iterator[Finding]:
    for patch in document.value.at("patches").items:
        text = patch.at("patch")
        try:
            for inner in documents(document.file, text.text, first_line=text.line):
                yield from slow(inner, environment)
        except NotYaml as error:
            yield Finding(
                rule="invalid_file",
                place=document.place(error.line),
                what="the patch cannot be read as YAML",
                fix="Correct it: it was not checked.",
            )


def _external_secret(
    document: Document, spec: Value, environment: Environment
) -> Iterator[Finding]:
    sources = spec.at("dataFrom").items
    reads = bool(spec.at("data").items) or any(
        not source.at("sourceRef", "generatorRef").members for source in sources
    )
    if sources and not reads:
        return
    policy = spec.at("refreshPolicy")
    if policy.text not in {"", "Periodic"}:
        yield Finding(
            rule="slow_refresh",
            place=document.place(policy.line),
            what=f"refreshPolicy {policy.text} never looks at Vault again",
            fix="Use Periodic, with a refreshInterval.",
        )
    elif "refreshInterval" in spec.members:
        yield from _judge(document, spec.at("refreshInterval"), environment)
    elif reads:
        yield Finding(
            rule="slow_refresh",
            place=document.place(spec.line),
            what="has no refreshInterval, so the operator's hour is taken",
            fix=f"Set refreshInterval to {environment.defaults.eso_refresh:g}s or less.",
        )


def _judge(document: Document, value: Value, environment: Environment) -> Iterator[Finding]:
    most = environment.defaults.eso_refresh
    found = seconds(value.text)
    if found is None or not 0 < found <= most:
        yield Finding(
            rule="slow_refresh",
            place=document.place(value.line),
            what=f"refreshInterval {value.text} is not within the {most:g} s of {environment.value}",
            fix=f"Set it to {most:g}s or less.",
        )
