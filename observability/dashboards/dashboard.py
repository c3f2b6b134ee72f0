"""The dashboard, put together from its rows: as Grafana's JSON, and as Kubernetes takes it.

Classic JSON and not schema v2: Grafana 10 to 13 read it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from observability.alert_rules import LINKS
from observability.dashboards import (
    api,
    cache,
    eso,
    leases_and_auth,
    operations,
    overview,
    rotation,
    vault,
)
from observability.dashboards.choosing import links, marks, variables
from observability.dashboards.parts import Row
from observability.yaml_files import dump, load

__all__ = ["TITLE", "config_map", "rows", "text"]

TITLE: Final = "GreenLang secrets"


def rows() -> Sequence[Row]:
    """Return the rows, from above: what is asked first at night comes first."""
    return (
        overview.row(),
        vault.row(),
        operations.row(),
        cache.row(),
        leases_and_auth.row(),
        rotation.row(),
        eso.row(),
        api.row(),
    )


def text() -> str:
    """Return the dashboard as JSON that Grafana imports; nobody edits it there."""
    made = builders.Dashboard(TITLE).uid(load(LINKS)["dashboard"]).readonly()
    made = made.tags(["greenlang", "secrets", "vault"]).timezone("browser")
    made = made.time("now-3h", "now").refresh("30s").tooltip(models.DashboardCursorSync.CROSSHAIR)
    made = made.variables(list(variables())).annotations(list(marks()))
    made = made.links(list(links()))
    for row in rows():
        made = made.with_row(builders.Row(row.title).id(row.id))
        for panel in row.panels:
            made = made.with_panel(panel)
    encoded = json.dumps(made.build(), cls=JSONEncoder, indent=2, ensure_ascii=False)
    return f"{encoded}\n"


def config_map() -> str:
    """Return the dashboard as a ConfigMap that Grafana's sidecar finds by its label."""
    return dump(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "greenlang-secrets-dashboard",
                "labels": {
                    "app.kubernetes.io/name": "greenlang-secrets",
                    "app.kubernetes.io/component": "monitoring",
                    "grafana_dashboard": "1",
                },
                "annotations": {"grafana_folder": "Security"},
            },
            "data": {"secrets.json": text()},
        },
        source="observability/dashboards/",
    )
