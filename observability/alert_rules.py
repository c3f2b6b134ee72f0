"""The rules as Prometheus takes them: what is written by hand, and the links of every alert.

The source is ``alerts/*.rules.yaml``, which promtool reads as well. Labels and links that are the
same for all alerts stand in ``alerts/links.yaml`` once, and are added here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from observability.tools import ROOT
from observability.yaml_files import dump, load

__all__ = [
    "ALERTS",
    "DASHBOARD",
    "LINKS",
    "RECORDING",
    "LinkError",
    "alerting",
    "alerts_file",
    "linked",
    "panel_ids",
    "prometheus_rule",
    "recording_file",
]

FOLDER: Final = ROOT / "observability"
ALERTS: Final = FOLDER / "alerts" / "alerts.rules.yaml"
RECORDING: Final = FOLDER / "alerts" / "recording.rules.yaml"
LINKS: Final = FOLDER / "alerts" / "links.yaml"
DASHBOARD: Final = FOLDER / "dashboards" / "secrets.json"

_ENVIRONMENT: Final = "{{ or $labels.environment $externalLabels.environment }}"
"""An alert on something that is missing has no labels; then Prometheus' own say where it is."""


class LinkError(ValueError):
    """An alert has no panel, or one that is not on the dashboard; the text says which."""


def alerting(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the rules of a rules file that are alerts."""
    for group in document["groups"]:
        yield from (rule for rule in group["rules"] if "alert" in rule)


def panel_ids(path: Path = DASHBOARD) -> Mapping[str, int]:
    """Return the number of each panel of the dashboard, by its title; panels of folded rows too."""
    return {panel["title"]: panel["id"] for panel in _panels(load(path)["panels"])}


def _panels(panels: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for panel in panels:
        if panel["type"] != "row":
            yield panel
        yield from _panels(panel.get("panels", []))


def linked(
    rules: Mapping[str, Any], links: Mapping[str, Any], panels: Mapping[str, int]
) -> dict[str, Any]:
    """Return the rules with the labels and links that every alert has.

    Raises:
        LinkError: an alert has no panel (only the Watchdog needs none), or `panels` has not its.
    """
    groups = []
    for group in rules["groups"]:
        made = [
            _linked(rule, links, panels) if "alert" in rule else rule for rule in group["rules"]
        ]
        groups.append(group | {"rules": made})
    return {"groups": groups}


def _linked(
    rule: Mapping[str, Any], links: Mapping[str, Any], panels: Mapping[str, int]
) -> dict[str, Any]:
    name = rule["alert"]
    urls = {
        "runbook_url": f"{links['runbooks']}/{name}",
        "dashboard_url": _dashboard(name, links, panels),
    }
    annotations = {**rule["annotations"], **urls}
    labels = {**rule["labels"], **links["labels"]}
    return {**rule, "labels": labels, "annotations": annotations}


def _dashboard(name: str, links: Mapping[str, Any], panels: Mapping[str, int]) -> str:
    url = f"{links['grafana']}/d/{links['dashboard']}?var-environment={_ENVIRONMENT}"
    title = links["panels"].get(name)
    if title is None:
        if name == "Watchdog":
            return url
        raise LinkError(f"{name} has no panel: name one in {LINKS.relative_to(ROOT)}")
    if title not in panels:
        raise LinkError(f"{name} leads to the panel {title!r}, which the dashboard has not")
    return f"{url}&viewPanel={panels[title]}"


def _alerts() -> dict[str, Any]:
    return linked(load(ALERTS), load(LINKS), panel_ids())


def alerts_file() -> str:
    """Return the rules file of the alerts, for a Prometheus that is configured by files."""
    return dump(_alerts(), source="observability/alerts/alerts.rules.yaml")


def recording_file() -> str:
    """Return the rules file of what is recorded."""
    return dump(load(RECORDING), source="observability/alerts/recording.rules.yaml")


def prometheus_rule() -> str:
    """Return all rules as one object of the Prometheus Operator."""
    groups = [*load(RECORDING)["groups"], *_alerts()["groups"]]
    return dump(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {
                "name": "greenlang-secrets",
                "labels": {
                    "app.kubernetes.io/name": "greenlang-secrets",
                    "app.kubernetes.io/component": "monitoring",
                },
            },
            "spec": {"groups": groups},
        },
        source="observability/alerts/",
    )
