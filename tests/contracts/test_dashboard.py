"""The dashboard is what its builders make, asks for what there is, and explains itself."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import combinations
from typing import Any

import pytest
import yaml

from contracts.exported import complaints
from contracts.markdown import ROOT, rows, section
from observability.alert_rules import ALERTS, LINKS, alerting
from observability.dashboards import dashboard
from observability.dashboards.reading import Cell, ReadPanel, document, panels
from observability.preview.exceptions import EXCEPTIONS, WITHOUT_WATCH
from observability.yaml_files import load

ROWS = ["Overview", "Vault", "Operations", "Cache", "Leases and auth", "Rotation", "ESO", "API"]
DASHBOARD = document()
PAGE = (ROOT / "docs" / "reference" / "dashboard.md").read_text("utf-8")


def drawn(read: Mapping[str, Any] = DASHBOARD) -> list[ReadPanel]:
    """Return the panels without the headings of rows."""
    return [panel for panel in panels(read) if panel.kind != "row"]


@cache
def runbooks_of_alerts() -> Mapping[str, str]:
    """Return where the runbook of each alert is."""
    base = load(LINKS)["runbooks"]
    return {rule["alert"]: f"{base}/{rule['alert']}" for rule in alerting(load(ALERTS))}


def faults(read: Mapping[str, Any]) -> list[str]:
    """Return what Grafana or a reader would stumble over."""
    return [*_clashes(read), *(fault for panel in drawn(read) for fault in _silent(panel))]


def _clashes(read: Mapping[str, Any]) -> Iterator[str]:
    ids = Counter(panel.id for panel in panels(read))
    titles = Counter(panel.title for panel in drawn(read))
    yield from (f"the id {id_} twice" for id_, times in ids.items() if times > 1)
    yield from (f"the title {title} twice" for title, times in titles.items() if times > 1)
    for one, other in combinations(panels(read), 2):
        if _overlap(one.cell, other.cell):
            yield f"{one.title} overlaps {other.title}"
    for panel in panels(read):
        if panel.cell.x + panel.cell.width > 24:
            yield f"{panel.title} leaves the grid"


def _overlap(one: Cell, other: Cell) -> bool:
    beside = one.x + one.width <= other.x or other.x + other.width <= one.x
    below = one.y + one.height <= other.y or other.y + other.height <= one.y
    return not beside and not below


def _silent(panel: ReadPanel) -> Iterator[str]:
    sources = [panel.json["datasource"], *(each["datasource"] for each in panel.json["targets"])]
    if any(source != {"type": "prometheus", "uid": "${datasource}"} for source in sources):
        yield f"{panel.title} has a data source of its own"
    if not panel.json["fieldConfig"]["defaults"].get("unit"):
        yield f"{panel.title} has no unit"
    if not panel.json["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        yield f"{panel.title} has no thresholds"
    if panel.id // 100 != ROWS.index(panel.row) + 1:
        yield f"{panel.title} has an id of another row"
    shows, _, rest = panel.json["description"].partition("\n\n**Normal:** ")
    normal, _, runbooks = rest.partition("\n\n**Runbook:** ")
    if not (shows and normal):
        yield f"{panel.title} does not say what it shows and what is normal"
    named = re.findall(r"\[(\w+)\]\((\S+)\)", runbooks)
    if not named or any(runbooks_of_alerts().get(name) != url for name, url in named):
        yield f"{panel.title} leads to no runbook of an alert"


def test_the_committed_files_are_what_the_builders_make() -> None:
    """Making the dashboard anew changes neither its JSON nor its ConfigMap."""
    committed = (ROOT / "observability" / "dashboards" / "secrets.json").read_text("utf-8")
    config_map = (ROOT / "k8s" / "monitoring" / "grafana-dashboard.yaml").read_text("utf-8")

    assert committed == dashboard.text()
    assert config_map == dashboard.config_map()


def test_the_sidecar_gets_the_same_dashboard() -> None:
    """The ConfigMap has the label that Grafana's sidecar looks for, a folder, and the very JSON."""
    made = yaml.safe_load(dashboard.config_map())

    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert made["metadata"]["annotations"] == {"grafana_folder": "Security"}
    assert made["data"] == {"secrets.json": dashboard.text()}


def test_rows_and_panels_are_those_that_were_asked_for() -> None:
    """The rows stand in their order, and each has panels; there are 24 at least."""
    titles = [panel.title for panel in panels(DASHBOARD) if panel.kind == "row"]
    filled = {panel.row for panel in drawn()}

    assert titles == ROWS
    assert filled == set(ROWS)
    assert len(drawn()) >= 24


def test_the_dashboard_is_found_by_links_and_changed_by_nobody() -> None:
    """Its uid is fixed, it cannot be edited in the browser, and no variable asks for a tenant."""
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    marks = [annotation["name"] for annotation in DASHBOARD["annotations"]["list"]]

    assert DASHBOARD["uid"] == "gl-secrets"
    assert DASHBOARD["editable"] is False
    assert names == [
        "datasource",
        "environment",
        "namespace",
        "instance",
        "secret_type",
        "operation",
        "quantile",
    ]
    assert marks == ["Rotations", "Deployments", "Firing alerts"]
    assert DASHBOARD["links"]


def test_panels_explain_themselves_and_lie_beside_each_other() -> None:
    """Ids and titles are unique, nothing overlaps, and each panel has what a reader needs."""
    assert faults(DASHBOARD) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"id": 201}, "the id 201 twice"),
        ({"title": "Hit ratio"}, "the title Hit ratio twice"),
        ({"gridPos": {"x": 1, "y": 1, "w": 4, "h": 4}}, "Vault health overlaps"),
        ({"gridPos": {"x": 22, "y": 900, "w": 4, "h": 4}}, "leaves the grid"),
        ({"datasource": {"type": "prometheus", "uid": "prod"}}, "data source of its own"),
        ({"description": "What?"}, "does not say"),
        ({"description": "It.\n\n**Normal:** 1.\n\n**Runbook:** [A](https://a/A)"}, "no runbook"),
        ({"fieldConfig": {"defaults": {"thresholds": {"steps": []}}}}, "no unit"),
        ({"id": 999}, "an id of another row"),
    ],
)
def test_a_panel_that_is_wrong_is_found(change: dict[str, Any], complaint: str) -> None:
    """The control: each fault, made in one panel, is told."""
    spoiled = copy.deepcopy(dict(DASHBOARD))
    spoiled["panels"][1].update(change)

    assert any(complaint in fault for fault in faults(spoiled))


@pytest.mark.parametrize("panel", drawn(), ids=lambda panel: panel.title)
def test_queries_ask_for_what_there_is(panel: ReadPanel) -> None:
    """Every query is PromQL, and its metrics and labels are exported by us or by those we watch."""
    found = [each for t in panel.targets for each in complaints(t.expression, t.legend)]

    assert panel.targets
    assert found == []


def test_annotations_and_variables_ask_for_what_there_is() -> None:
    """What is marked and what can be chosen is asked for by names that exist."""
    variables = [
        re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        for variable in DASHBOARD["templating"]["list"]
        if variable["type"] == "query"
    ]
    asked = [f"sum by ({match[2]}) ({match[1]})" for match in variables if match]
    marked = [annotation["expr"] for annotation in DASHBOARD["annotations"]["list"]]

    assert len(asked) == 5
    assert [each for query in [*asked, *marked] for each in complaints(query)] == []


@pytest.mark.parametrize(
    ("query", "legend", "complaint"),
    [
        ("sum(rate(x[$__rate_interval])", "", "cannot be read"),
        ("sum(gl_vault_up{node=~'$tenant'})", "", "cannot be read"),
        ("sum(gl_secrets_operation_total)", "", "no metric"),
        ('sum(gl_vault_up{tenant="a"})', "", "has no label 'tenant'"),
        ("sum by (path) (gl_vault_up)", "", "nothing has the label 'path'"),
        ("sum by (node) (gl_vault_up)", "{{state}}", "the legend names 'state'"),
    ],
)
def test_a_query_for_what_is_not_there_is_found(query: str, legend: str, complaint: str) -> None:
    """The control: broken text, unknown variables, metrics, labels and legends are told."""
    assert any(complaint in each for each in complaints(query, legend))


def test_every_alert_leads_to_a_panel() -> None:
    """The titles that alerts link to are panels of this dashboard."""
    titles = {panel.title for panel in drawn()}

    assert set(load(LINKS)["panels"].values()) - titles == set()


def described() -> list[tuple[str, ...]]:
    """Return what the reference page must say of each panel."""
    found = []
    for panel in drawn():
        shows, _, rest = panel.json["description"].partition("\n\n**Normal:** ")
        normal = rest.partition("\n\n")[0]
        found.append((str(panel.id), panel.row, panel.title, shows, normal))
    return found


def excused() -> list[tuple[str, ...]]:
    """Return what the reference page must say of queries without data."""
    titles = {panel.id: panel.title for panel in drawn()}
    return [
        (str(id_), titles[id_], letter, why.replace("`", ""))
        for (id_, letter), why in {**WITHOUT_WATCH, **EXCEPTIONS}.items()
    ]


def undescribed(page: str) -> list[tuple[str, ...]]:
    """Return what page and dashboard do not say alike."""
    shown = {*rows(section(page, "Panels")), *rows(section(page, "Panels without data"))}
    return sorted(shown ^ {*described(), *excused()})


def test_the_page_describes_every_panel() -> None:
    """The reference page says of each panel what the panel says of itself, and which may be empty."""
    assert undescribed(PAGE) == []


def test_a_panel_that_the_page_has_not_is_found() -> None:
    """The control: a panel that is not described, and an exception that is not listed, are told."""
    lines = PAGE.splitlines()
    without = [line for line in lines if not line.startswith(("| 201 |", "| 705 |"))]

    assert {row[0] for row in undescribed("\n".join(without))} == {"201", "705"}
