"""The metrics that there are, ours and those of others, and what a query asks of them in vain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from contracts import inventory
from contracts.markdown import ROOT, rows
from contracts.promql import grouped, selected
from observability import external_metrics
from observability.alert_rules import RECORDING
from observability.dashboards.reading import put_in
from observability.yaml_files import load

SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
OF_THE_TARGET = {"environment", "namespace", "instance", "job"}
"""Labels that a scrape gives to every series."""
OF_OTHERS = {
    "ALERTS": {"alertname", "alertstate", "service", "severity"},
    # `secret` is what a rule makes of its name and namespace
    "externalsecret_status_condition": {"condition", "status", "secret"},
    "vault_quota_rate_limit_violation": {"name"},
}
"""Labels that the queries use of metrics that others export."""


@cache
def known() -> Mapping[str, set[str]]:
    """Return the labels of every metric that a query may ask for."""
    found: dict[str, set[str]] = {}
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")
    for row in rows(text):
        if row[0].startswith("gl_") and row[1] in SUFFIXES:
            labels = set() if row[2] == "none" else set(row[2].split(", "))
            for suffix in SUFFIXES[row[1]]:
                le = {"le"} if suffix == "_bucket" else set()
                found[f"{row[0]}{suffix}"] = labels | le
    for name, labels in inventory._samples():
        if not name.startswith("gl_"):
            found.setdefault(name, set()).update(labels)
    for exporter in ("openbao", "external_secrets", "prometheus"):
        for name in external_metrics.names(exporter):
            found.setdefault(name, OF_OTHERS.get(name, set()))
    for group in load(RECORDING)["groups"]:
        for rule in group["rules"]:
            found[rule["record"]] = set()
    return {name: labels | OF_THE_TARGET for name, labels in found.items()}


def complaints(query: str, legend: str = "") -> list[str]:
    """Return what is wrong with a query: text that is no PromQL, names and labels that are not."""
    try:
        expression = put_in(query, rate_interval="5m")
        asked = selected(expression)
    except (KeyError, ValueError) as error:
        return [f"cannot be read: {error}"]
    found = [f"no metric {each.name!r}" for each in asked if each.name not in known()]
    found += [
        f"{each.name} has no label {label!r}"
        for each in asked
        for label in sorted(each.labels - known().get(each.name, each.labels))
    ]
    for labels, below in grouped(expression):
        there = set().union(*(known().get(each.name, labels) for each in below))
        found += [f"nothing has the label {label!r}" for label in sorted(labels - there)]
    kept = set().union(*(labels for labels, _ in grouped(expression)))
    named = set(re.findall(r"{{(\w+)}}", legend))
    return found + [f"the legend names {label!r}, which is gone" for label in sorted(named - kept)]
