"""Every alert fires on what it is for, is silent in its trap, and leads to help."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.exported import complaints
from contracts.markdown import ROOT, rows, section
from contracts.promql import grouped
from contracts.rules import (
    FOLDER,
    WITHIN,
    alerts,
    expressions,
    names,
    run,
    seconds,
    windows,
    write_yaml,
)
from observability import alert_rules, render
from observability.alert_rules import ALERTS, LINKS, RECORDING, LinkError, alerting, linked
from observability.yaml_files import load

RENDERED = FOLDER / "prometheus" / "rules"
CASES = sorted((FOLDER / "alerts").glob("*.test.yaml"))
SCRAPE_INTERVAL = 15
"""Seconds, as observability/prometheus/prometheus.yaml has it."""
ALWAYS_FIRES = {"Watchdog"}
PAGE = (ROOT / "docs" / "reference" / "alerts.md").read_text("utf-8")


# ---------------------------------------------------------------- promtool


def test_promtool_finds_no_fault_in_the_rules() -> None:
    """Prometheus takes the rules, as they are written by hand and as they are made from that."""
    checked = run("promtool", "check", "rules", ALERTS, RECORDING, *RENDERED.glob("*.yaml"))

    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count("SUCCESS") == 4


def test_promtool_finds_a_broken_rule(tmp_path: Path) -> None:
    """The control: a query without its bracket is refused."""
    rules = load(ALERTS)
    rules["groups"][0]["rules"][0]["expr"] = "max by (environment (gl_vault_up)"
    broken = write_yaml(tmp_path / "alerts.rules.yaml", rules)

    checked = run("promtool", "check", "rules", broken)

    assert checked.returncode != 0
    assert "VaultSealed" in checked.stderr


@pytest.mark.timeout(WITHIN + 20)
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_every_case_holds(path: Path) -> None:
    """Alerts fire and stay silent as the cases say, with these labels and these words."""
    tested = run("promtool", "test", "rules", path)

    assert tested.returncode == 0, tested.stdout + tested.stderr


def sealed_cases(folder: Path, rules: list[dict[str, Any]]) -> int:
    """Run the cases of the first alert on these rules, and return promtool's exit code."""
    # All as text: 0x20 is twenty zeros to promtool, and thirty-two to YAML.
    text = (FOLDER / "alerts" / "alerts.test.yaml").read_text("utf-8")
    cases = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  it makes text and nothing else
    write_yaml(folder / "alerts.rules.yaml", {"groups": [{"name": "g", "rules": rules}]})
    document = {
        "rule_files": ["alerts.rules.yaml"],
        "evaluation_interval": cases["evaluation_interval"],
        "tests": [case for case in cases["tests"] if case["name"].startswith("VaultSealed ")],
    }
    return run("promtool", "test", "rules", write_yaml(folder / "test.yaml", document)).returncode


@pytest.mark.parametrize(
    "change",
    [
        # the rule that is found everywhere, and fires after each unseal
        {"expr": 'vault_core_unsealed{job="openbao"} == 0'},
        {"for": "1s"},
        {"labels": {"severity": "warning", "extent": "cluster"}},
        {"annotations": {"summary": "Vault has a seal", "description": "Look."}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_case_that_does_not_hold_is_found(change: dict[str, Any], tmp_path: Path) -> None:
    """The control: another condition, time, label or word fails the cases of the alert."""
    cluster, node = load(ALERTS)["groups"][0]["rules"][:2]

    assert sealed_cases(tmp_path, [cluster, node]) == 0
    assert sealed_cases(tmp_path, [cluster | change, node]) != 0


# ---------------------------------------------------------------- alert and case


def untested(rules: Sequence[str], tests: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return which alerts have no case that fires, or none in which they stay silent."""
    fires: set[str] = set()
    silent: set[str] = set()
    for test in tests:
        expected = [(case["alertname"], case["exp_alerts"]) for case in test["alert_rule_test"]]
        fired = {name for name, found in expected if found}
        fires |= fired
        silent |= {name for name, _ in expected} - fired
    found = [f"{name} never fires" for name in sorted(set(rules) - fires)]
    found += [f"{name} is never silent" for name in sorted(set(rules) - silent - ALWAYS_FIRES)]
    return found + [f"{name} is no alert" for name in sorted((fires | silent) - set(rules))]


def the_tests() -> list[dict[str, Any]]:
    """Return the cases of every file."""
    return [test for path in CASES for test in load(path)["tests"]]


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    """No alert is without its proof, and no proof without its alert."""
    assert untested(sorted(names()), the_tests()) == []


def test_an_alert_without_its_case_is_found() -> None:
    """The control: each half of a pair is missed, and so is the alert of a case."""
    tests = the_tests()

    assert untested([*names(), "New"], tests) == ["New never fires", "New is never silent"]
    assert untested(sorted(names() - {"ESOStale"}), tests) == ["ESOStale is no alert"]


# ---------------------------------------------------------------- what every rule has


def flaws(rule: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an alert, as Prometheus gets it, lacks."""
    labels, annotations = rule["labels"], rule["annotations"]
    if labels.get("severity") not in {"critical", "warning", "info", "none"}:
        yield "severity"
    if labels.get("service") != "secrets":
        yield "service"
    yield from (name for name in ("team",) if not labels.get(name))
    yield from (name for name in ("summary", "description") if not annotations.get(name))
    if not annotations.get("runbook_url", "").endswith(f"/{rule['alert']}"):
        yield "runbook_url"
    if rule["alert"] not in ALWAYS_FIRES and not re.search(
        r"/d/gl-secrets\?var-environment=\{\{.+\}\}&viewPanel=\d+$",
        annotations.get("dashboard_url", ""),
    ):
        yield "dashboard_url"


def test_every_alert_says_how_bad_it_is_and_leads_to_help() -> None:
    """An alert has a severity, service, team, summary, description, runbook and panel."""
    found = {
        rule["alert"]: lacking
        for rule in alerting(load(RENDERED / "alerts.rules.yaml"))
        if (lacking := list(flaws(rule)))
    }

    assert found == {}


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("labels", "severity"),
        ("labels", "service"),
        ("labels", "team"),
        ("annotations", "summary"),
        ("annotations", "description"),
        ("annotations", "runbook_url"),
        ("annotations", "dashboard_url"),
    ],
)
def test_an_alert_without_one_of_these_is_found(part: str, name: str) -> None:
    """The control: each of them is missed."""
    rule = copy.deepcopy(next(alerting(load(RENDERED / "alerts.rules.yaml"))))
    del rule[part][name]

    assert list(flaws(rule)) == [name]


def test_links_are_filled_in_with_the_environment(tmp_path: Path) -> None:
    """A link opens the dashboard in the alert's environment, or in Prometheus' own."""
    vault_up = 'gl_vault_up{environment="staging",instance="api-1",node="bao-0:8200"}'
    panel = alert_rules.panel_ids()["Vault health"]
    base = "https://grafana.greenlang.io/d/gl-secrets?var-environment="
    rules = load(RENDERED / "alerts.rules.yaml")
    [rule] = [rule for rule in alerting(rules) if rule["alert"] == "VaultUnavailable"]
    absent = {**rule, "alert": "Absent", "expr": "vector(1)"}
    del absent["for"]
    group = {"name": "g", "rules": [rule, absent]}
    write_yaml(tmp_path / "rules.yaml", {"groups": [group]})

    def expected(where: Mapping[str, str], url: str) -> list[dict[str, Any]]:
        words = rule["annotations"] | {"dashboard_url": f"{base}{url}&viewPanel={panel}"}
        words["summary"] = words["summary"].replace(
            "{{ $labels.environment }}", where.get("environment", "")
        )
        return [{"exp_labels": {**rule["labels"], **where}, "exp_annotations": words}]

    cases = [
        {
            "eval_time": "2m",
            "alertname": "VaultUnavailable",
            "exp_alerts": expected({"environment": "staging"}, "staging"),
        },
        {"eval_time": "2m", "alertname": "Absent", "exp_alerts": expected({}, "prod")},
    ]
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "external_labels": {"environment": "prod"},
                "input_series": [{"series": vault_up, "values": "0x20"}],
                "alert_rule_test": cases,
            }
        ],
    }

    tested = run("promtool", "test", "rules", write_yaml(tmp_path / "test.yaml", document))

    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_an_alert_leads_to_a_panel_that_is_there() -> None:
    """A panel that is not on the dashboard, or none at all, is refused when links are made."""
    rules, links = load(ALERTS), load(LINKS)
    panels = dict(alert_rules.panel_ids())
    del panels["Vault nodes"]

    with pytest.raises(LinkError, match="VaultSealed leads to the panel 'Vault nodes'"):
        linked(rules, links, panels)
    del links["panels"]["VaultSealed"]
    with pytest.raises(LinkError, match="VaultSealed has no panel"):
        linked(rules, links, alert_rules.panel_ids())
    assert set(links["panels"]) | {"VaultSealed"} == names() - ALWAYS_FIRES


def test_windows_hold_four_scrapes() -> None:
    """No window is so short that one scrape which fails makes a hole."""
    found = {
        name: shortest
        for name, expression in expressions()
        if (shortest := min(windows(expression), default=60.0)) < 4 * SCRAPE_INTERVAL
    }

    assert found == {}
    assert windows("rate(a[30s]) + rate(b[1h30m])") == {30.0, 5400.0}  # the control


def test_rules_ask_for_what_is_exported() -> None:
    """Every metric and label of a rule is in the reference, or in a list of what others export."""
    found = {name: wrong for name, expression in expressions() if (wrong := complaints(expression))}

    assert found == {}
    assert complaints("gl_nothing_total") == ["no metric 'gl_nothing_total'"]  # the control


def mixed(expression: str) -> bool:
    """Return whether a query adds up environments: some sum of it is not by environment."""
    return any("environment" not in labels for labels, _ in grouped(expression))


def test_no_rule_adds_up_environments() -> None:
    """Every sum, minimum and maximum is by environment."""
    found = [name for name, expression in expressions() if mixed(expression)]
    bare = [
        name
        for name, expression in expressions()
        if re.search(r"\b(?:sum|min|max|count|avg|topk)\s*\(", expression)
    ]

    assert found == []
    assert bare == []
    assert mixed("sum by (node) (gl_vault_up)")  # the control
    assert not mixed("sum by (environment, node) (gl_vault_up)")


# ---------------------------------------------------------------- what is generated


def test_what_is_generated_is_up_to_date() -> None:
    """`python -m observability.render` would write nothing."""
    assert render.differing() == []
    assert render.main(["--check"]) == 0


def test_what_is_not_up_to_date_is_told_and_written(tmp_path: Path) -> None:
    """The control: a file that is missing or differs is named, and written, once."""
    outputs: dict[str, Callable[[], str]] = {"a/b.yaml": lambda: "x: 1\n"}

    assert render.differing(outputs, root=tmp_path) == ["a/b.yaml"]
    assert render.write(outputs, root=tmp_path) == ["a/b.yaml"]
    assert render.write(outputs, root=tmp_path) == []
    (tmp_path / "a" / "b.yaml").write_text("x: 2\n", "utf-8")
    assert render.differing(outputs, root=tmp_path) == ["a/b.yaml"]


def test_the_operator_gets_the_same_rules() -> None:
    """The PrometheusRule has the groups of the two files, recorded ones first."""
    rule = load(ROOT / "k8s" / "monitoring" / "prometheusrule.yaml")
    files = [load(RENDERED / f"{name}.rules.yaml") for name in ("recording", "alerts")]

    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert rule["spec"]["groups"] == [group for file in files for group in file["groups"]]


# ---------------------------------------------------------------- the reference page


def in_the_rules() -> set[tuple[str, str, str]]:
    """Return name, severity and time of every alert."""
    return {
        (rule["alert"], rule["labels"]["severity"], rule.get("for", "at once")) for rule in alerts()
    }


def on_the_page(text: str) -> list[tuple[str, ...]]:
    """Return the rows of the page's table of alerts."""
    return rows(section(text, "Alerts"))


def test_the_page_has_every_alert() -> None:
    """Name, severity and time stand in the reference as in the rules, with a meaning each."""
    listed = on_the_page(PAGE)

    assert {(name, severity, for_) for name, severity, for_, _ in listed} == in_the_rules()
    assert all(meaning.endswith(".") for *_, meaning in listed)


def test_the_page_leads_to_every_runbook() -> None:
    """Each name in the table is a link to its runbook."""
    found = re.findall(
        r"^\| \[`(\w+)`\]\(\.\./\.\./observability/runbooks/(\w+)\.md\)", PAGE, re.MULTILINE
    )

    assert {name for name, _ in found} == names()
    assert all(name == page for name, page in found)


def test_times_are_read() -> None:
    """The control: a time that is no duration is no number of seconds."""
    assert seconds("1h30m") == 5400
    with pytest.raises(AssertionError):
        seconds("soon")
