"""What a reader chooses from (variables), sees marked (annotations) and goes to from here (links).

There is no variable for tenants, since no metric has a label for them: who did what stands in the
audit log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from observability.alert_rules import LINKS
from observability.dashboards.parts import DATASOURCE, EXTERNAL, OURS
from observability.yaml_files import load

__all__ = ["links", "marks", "variables"]

_OPERATIONS: Final = "gl_secrets_operations_total"
_DOCS: Final = "https://github.com/greenlang/greenlang-secrets/blob/main/docs"


def variables() -> Sequence[Builder[models.VariableModel]]:
    """Return the variables, each depending on those before it."""
    source = builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
    quantile = builders.CustomVariable("quantile").label("Quantile").values("0.5,0.95,0.99")
    return (
        source,
        _labels("environment", _OPERATIONS),
        _labels("namespace", f'{_OPERATIONS}{{environment=~"$environment"}}'),
        _labels("instance", f"{_OPERATIONS}{{{EXTERNAL}}}"),
        _labels("secret_type", f"{_OPERATIONS}{{{EXTERNAL}}}"),
        _labels("operation", f"{_OPERATIONS}{{{EXTERNAL}}}"),
        quantile.current(models.VariableOption(selected=True, text="0.95", value="0.95")),
    )


def _labels(name: str, series: str) -> builders.QueryVariable:
    """Return a variable with the values of a label; all of them at first, also those to come."""
    query: dict[str, object] = {
        "query": f"label_values({series}, {name})",
        "refId": f"variable-{name}",
    }
    variable = builders.QueryVariable(name).label(name.replace("_", " ").capitalize())
    variable = variable.datasource(DATASOURCE).query(query).multi(multi=True)
    variable = variable.include_all(include_all=True).all_value(".*")
    variable = variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable = variable.sort(models.VariableSort.ALPHABETICAL_ASC)
    return variable.current(models.VariableOption(selected=True, text="All", value="$__all"))


def marks() -> Sequence[Builder[models.AnnotationQuery]]:
    """Return what is marked in every panel."""
    rotated = f'sum by (secret_type) (changes(gl_secrets_rotation_total{{{OURS},status="success"}}[1m])) > 0'
    # A new container has a new instance: its start is seen by its age, and not by a change.
    started = f'(time() - process_start_time_seconds{{{OURS},job="greenlang-secrets"}}) < 60'
    firing = 'ALERTS{service="secrets",alertstate="firing",severity=~"critical|warning",environment=~"$environment|"}'
    return (
        _marked("Rotations", rotated, "blue"),
        _marked("Deployments", started, "purple"),
        _marked("Firing alerts", firing, "red"),
    )


def _marked(name: str, expression: str, colour: str) -> builders.AnnotationQuery:
    query = builders.AnnotationQuery().name(name).datasource(DATASOURCE).enable(enable=True)
    return query.icon_color(colour).expr(expression)


def links() -> Sequence[Builder[models.DashboardLink]]:
    """Return where a reader goes from here."""
    pages = {
        "Runbooks": load(LINKS)["runbooks"],
        "What the panels show": f"{_DOCS}/reference/dashboard.md",
        "Metrics": f"{_DOCS}/reference/metrics.md",
        "Audit log": f"{_DOCS}/reference/audit.md",
    }
    return [_link(title, url) for title, url in pages.items()]


def _link(title: str, url: str) -> builders.DashboardLink:
    link = builders.DashboardLink(title).url(url).type(models.DashboardLinkType.LINK)
    return link.icon("doc").target_blank(target_blank=True)
