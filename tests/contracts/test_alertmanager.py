"""Who is told of what, how soon, and what is not told twice."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from contracts.markdown import ROOT, rows, section
from contracts.rules import FOLDER, alerts, names, run, seconds, write_yaml
from observability.alert_rules import LINKS
from observability.routes import (
    ALERTMANAGER,
    SECRET,
    Matcher,
    alertmanager_config,
    inhibited,
    matches,
)
from observability.yaml_files import load

CONFIG = load(ALERTMANAGER)
ROUTES = load(FOLDER / "alertmanager" / "routes.test.yaml")
PROMETHEUS = FOLDER / "prometheus" / "prometheus.yaml"
PAGE = (ROOT / "docs" / "reference" / "alerts.md").read_text("utf-8")
TOLD_WITHIN = 300
"""Seconds from the condition of a critical alert to its message: the product's promise."""


def row_id(row: Mapping[str, Any]) -> str:
    """Return what a row of the table is about, in a word."""
    labels = row["labels"]
    return "-".join(labels.get(name, "") for name in ("alertname", "severity", "environment"))


# ---------------------------------------------------------------- routes


def test_alertmanager_takes_the_configuration() -> None:
    """Alertmanager would start with it."""
    checked = run("amtool", "check-config", ALERTMANAGER)

    assert checked.returncode == 0, checked.stderr
    assert f"{len(CONFIG['receivers'])} receivers" in checked.stdout


def test_a_broken_configuration_is_found(tmp_path: Path) -> None:
    """The control: a route to nobody is refused."""
    broken = copy.deepcopy(CONFIG)
    broken["route"]["routes"][1]["receiver"] = "nobody"

    checked = run("amtool", "check-config", write_yaml(tmp_path / "a.yaml", broken))

    assert checked.returncode != 0
    assert 'undefined receiver "nobody"' in checked.stdout


def routed(labels: Mapping[str, str], receiver: str) -> int:
    """Return amtool's exit code for an alert that this receiver should get."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    options = (f"--config.file={ALERTMANAGER}", f"--verify.receivers={receiver}")
    return run("amtool", "config", "routes", "test", *options, *pairs).returncode


@pytest.mark.parametrize("row", ROUTES, ids=row_id)
def test_an_alert_reaches_who_should_have_it(row: Mapping[str, Any]) -> None:
    """An alert with these labels goes to this receiver, and to no other."""
    assert routed(row["labels"], row["receiver"]) == 0


def test_a_wrong_receiver_is_found() -> None:
    """The control: amtool says when an alert goes elsewhere."""
    assert routed(ROUTES[0]["labels"], "slack") != 0


def test_the_table_of_routes_reaches_every_receiver() -> None:
    """Each receiver has a row, and there are eight at least."""
    assert {row["receiver"] for row in ROUTES} == {each["name"] for each in CONFIG["receivers"]}
    assert len(ROUTES) >= 8


def test_every_alert_is_routed_by_its_severity() -> None:
    """In production who is woken for an alert is decided by its severity alone."""
    woken = {"critical": "pagerduty", "warning": "slack", "info": "slack"}
    labels = {
        (rule["alert"], rule["labels"]["severity"])
        for rule in alerts()
        if rule["alert"] != "Watchdog"
    }
    wrong = [
        name
        for name, severity in sorted(labels)
        if _receiver({"alertname": name, "severity": severity, "environment": "prod"})
        != woken[severity]
    ]

    assert wrong == []


def _receiver(labels: Mapping[str, str], route: Mapping[str, Any] = CONFIG["route"]) -> str:
    for child in route.get("routes", []):
        if matches(child["matchers"], labels):
            return _receiver(labels, child)
    receiver: str = route["receiver"]
    return receiver


@pytest.mark.parametrize("row", ROUTES, ids=row_id)
def test_matchers_are_read_as_alertmanager_reads_them(row: Mapping[str, Any]) -> None:
    """Our reading of the matchers, which inhibition is tested by, sends alerts where amtool does."""
    assert _receiver(row["labels"]) == row["receiver"]


def test_a_matcher_that_cannot_be_read_is_refused() -> None:
    """What is no matcher is an error, and not one that matches nothing."""
    assert Matcher.parse('a!="b"').matches({})
    assert not Matcher.parse('a!~"b|"').matches({})
    with pytest.raises(ValueError, match="no matcher"):
        Matcher.parse("a=b")


# ---------------------------------------------------------------- receivers


def secrets_in(value: Any, name: str = "") -> Iterator[str]:
    """Yield the names under which a secret stands in the file itself."""
    match value:
        case dict():
            for key, each in value.items():
                yield from secrets_in(each, key)
        case list():
            for each in value:
                yield from secrets_in(each, name)
        case _ if name in {"routing_key", "service_key", "api_url", "credentials", "password"}:
            yield name


def test_keys_stand_in_files() -> None:
    """No key, and no address that is one, is in the configuration."""
    assert list(secrets_in(CONFIG)) == []
    assert list(secrets_in({"receivers": [{"routing_key": "x"}]})) == ["routing_key"]  # the control


def test_pagerduty_gets_what_who_is_woken_needs() -> None:
    """The event has a severity, a class and a component, and leads to runbook and dashboard."""
    [config] = next(
        each["pagerduty_configs"] for each in CONFIG["receivers"] if each["name"] == "pagerduty"
    )
    links = {link["text"]: link["href"] for link in config["links"]}

    assert config["routing_key_file"] == "/etc/alertmanager/secrets/pagerduty-routing-key"
    assert config["severity"] == "critical"
    assert config["class"] == "{{ .GroupLabels.alertname }}"
    assert config["component"] == "{{ .CommonLabels.service }}"
    assert links == {
        "Runbook": "{{ .CommonAnnotations.runbook_url }}",
        "Dashboard": "{{ .CommonAnnotations.dashboard_url }}",
    }


def test_links_are_the_same_for_a_whole_message() -> None:
    """Alerts of one message share their name and environment, so that its links are not empty."""
    groupings = [CONFIG["route"], *CONFIG["route"]["routes"]]

    assert CONFIG["route"]["group_by"] == ["alertname", "environment"]
    assert [each for each in groupings[1:] if "group_by" in each] == []


# ---------------------------------------------------------------- inhibition


def alert(name: str, severity: str = "critical", **labels: str) -> dict[str, str]:
    """Return the labels of an alert in production."""
    return {
        "alertname": name,
        "severity": severity,
        "service": "secrets",
        "environment": "prod",
        **labels,
    }


SEALED = alert("VaultSealed", extent="cluster")
NODE = alert("VaultSealed", extent="node", node="bao-1:8200")


@pytest.mark.parametrize(
    ("muted", "firing"),
    [
        (alert("SecretsOperationFailures"), SEALED),
        (alert("VaultUnavailable", extent="cluster"), SEALED),
        (alert("VaultHighLatency", "warning", operation="read"), SEALED),
        (alert("LeaseExpiringCritical", secret_type="database"), SEALED),
        (alert("RotationFailed", secret_type="database"), SEALED),
        (alert("ESOSyncFailed", secret="shop/database"), SEALED),
        (alert("SecretsErrorBudgetBurn", window="1h"), SEALED),
        (alert("VaultNoActiveNode"), alert("VaultUnavailable", extent="cluster")),
        (alert("VaultNodeDown", "warning", node="bao-1:8200"), NODE),
        (
            alert("SecretsErrorBudgetBurn", "warning", window="3d"),
            alert("SecretsErrorBudgetBurn", window="1h"),
        ),
        (
            alert("CertificateExpiring", "warning", certificate="web"),
            alert("CertificateExpiringCritical", certificate="web"),
        ),
        (alert("SecretsMetricsAbsent"), alert("SecretsTargetDown")),
    ],
    ids=lambda labels: labels["alertname"],
)
def test_what_follows_from_another_alert_is_not_told(
    muted: dict[str, str], firing: dict[str, str]
) -> None:
    """The cause is told and its consequence is not; alone the consequence is told."""
    rules = CONFIG["inhibit_rules"]

    assert inhibited(muted, [muted, firing], rules) != []
    assert inhibited(firing, [muted, firing], rules) == []
    assert inhibited(muted, [muted], rules) == []


@pytest.mark.parametrize(
    ("told", "firing"),
    [
        # the full disk may be why Vault is away, and an expiring certificate does not wait
        (alert("AuditLogFailing"), SEALED),
        (alert("CertificateExpiringCritical", certificate="web"), SEALED),
        (alert("SecretAccessDenied", "warning", secret_type="generic"), SEALED),
        (alert("SecretsTargetDown"), SEALED),
        (alert("Watchdog", "none"), SEALED),
        # one node of several explains nothing but itself
        (alert("SecretsOperationFailures"), NODE),
        (alert("VaultUnavailable", extent="cluster"), NODE),
        (alert("VaultNodeDown", "warning", node="bao-2:8200"), NODE),
        # nor does what is elsewhere
        (alert("SecretsOperationFailures", environment="staging"), SEALED),
        (
            alert("CertificateExpiring", "warning", certificate="other"),
            alert("CertificateExpiringCritical", certificate="web"),
        ),
        (alert("VaultSealed", extent="cluster"), alert("VaultUnavailable", extent="cluster")),
        (alert("VaultHighLatency", "warning"), alert("SecretsOperationFailures")),
    ],
    ids=lambda labels: f"{labels['alertname']}-{labels['environment']}",
)
def test_what_does_not_follow_is_told(told: dict[str, str], firing: dict[str, str]) -> None:
    """An alert that another one does not explain is told beside it."""
    assert inhibited(told, [told, firing], CONFIG["inhibit_rules"]) == []


def test_inhibition_names_alerts_that_there_are() -> None:
    """No rule is about an alert that nobody fires, and every consequence is one of ours."""
    texts = [
        text
        for rule in CONFIG["inhibit_rules"]
        for text in (*rule["source_matchers"], *rule["target_matchers"])
    ]
    named = {
        name
        for matcher in map(Matcher.parse, texts)
        if matcher.name == "alertname"
        for name in matcher.value.split("|")
    }

    assert named - names() == set()
    assert {"VaultSealed", "ESOStale"} <= named  # the control


def test_no_two_alerts_mute_each_other() -> None:
    """Of two alerts that fire at once at least one is told."""
    known = [
        alert(
            rule["alert"],
            rule["labels"]["severity"],
            **{name: value for name, value in rule["labels"].items() if name != "severity"},
        )
        for rule in alerts()
    ]
    rules = CONFIG["inhibit_rules"]
    both = [
        (one["alertname"], other["alertname"])
        for one in known
        for other in known
        if inhibited(one, [other], rules) and inhibited(other, [one], rules)
    ]

    assert both == []


# ---------------------------------------------------------------- how soon


def lag(rule: Mapping[str, Any], prometheus: Mapping[str, Any]) -> float:
    """Return the seconds from an alert's condition to its message to PagerDuty, at most."""
    page = next(each for each in CONFIG["route"]["routes"] if each["receiver"] == "pagerduty")
    parts = [
        prometheus["global"]["scrape_interval"],
        prometheus["global"]["evaluation_interval"],
        rule.get("for", "0s"),
        page["group_wait"],
    ]
    return sum(seconds(part) for part in parts)


def test_critical_alerts_are_told_within_five_minutes() -> None:
    """Scrape, evaluation, `for` and group_wait of a critical alert are 5 minutes together."""
    prometheus = load(PROMETHEUS)
    late = {
        rule["alert"]: lag(rule, prometheus)
        for rule in alerts()
        if rule["labels"]["severity"] == "critical" and lag(rule, prometheus) >= TOLD_WITHIN
    }

    assert late == {}
    assert lag({"for": "5m"}, prometheus) == 340  # the control
    assert lag({"for": "1m"}, prometheus) == 100


def test_the_page_adds_up_the_same_seconds() -> None:
    """The reference names the parts of the lag as the files have them, and their sum."""
    listed = {what: number for what, number, _ in rows(section(PAGE, "How soon"))}
    prometheus = load(PROMETHEUS)

    assert listed["Together"] == f"{lag({'for': '4m'}, prometheus):.0f}"
    assert listed["The condition holds"] == f"{seconds('4m'):.0f}"
    assert max(
        seconds(rule.get("for", "0s"))
        for rule in alerts()
        if rule["labels"]["severity"] == "critical"
    ) <= seconds("4m")
    assert sum(int(number) for what, number in listed.items() if what != "Together") == int(
        listed["Together"]
    )


# ---------------------------------------------------------------- Prometheus


def test_prometheus_takes_the_configuration() -> None:
    """Prometheus would start with it, and finds both files of rules."""
    checked = run("promtool", "check", "config", PROMETHEUS)

    assert checked.returncode == 0, checked.stderr
    assert "2 rule files found" in checked.stdout


def test_a_broken_scrape_configuration_is_found(tmp_path: Path) -> None:
    """The control: an interval that is no duration is refused."""
    broken = load(PROMETHEUS)
    broken["global"]["scrape_interval"] = "soon"

    assert run("promtool", "check", "config", write_yaml(tmp_path / "p.yaml", broken)).returncode


def test_prometheus_scrapes_as_the_rules_count_on() -> None:
    """The jobs, intervals and target labels are those that the rules use."""
    config = load(PROMETHEUS)
    labelled = {
        job["job_name"]: set(static["labels"])
        for job in config["scrape_configs"]
        for static in job["static_configs"]
    }
    honours = {job["job_name"] for job in config["scrape_configs"] if job.get("honor_labels")}

    assert config["global"]["scrape_interval"] == "15s"
    assert config["global"]["evaluation_interval"] == "15s"
    assert labelled == {
        "greenlang-secrets": {"environment", "namespace"},
        "openbao": {"environment", "namespace"},
        "external-secrets": {"environment", "namespace"},
    }
    assert honours == {"external-secrets"}
    assert config["rule_files"] == ["rules/*.rules.yaml"]
    assert config["alerting"]["alertmanagers"]


# ---------------------------------------------------------------- the operator's object

# Fields of AlertmanagerConfig v1alpha1, as far as we use it, from its CustomResourceDefinition.
ROUTE = {"receiver", "groupBy", "groupWait", "groupInterval", "repeatInterval"}
ROUTE |= {"matchers", "continue", "routes"}
FIELDS: dict[str, set[str]] = {
    "pagerdutyConfigs": {
        "sendResolved", "routingKey", "client", "clientURL", "description", "severity", "class",
        "group", "component", "details", "pagerDutyLinkConfigs",
    },
    "slackConfigs": {
        "sendResolved", "apiURL", "channel", "color", "title", "titleLink", "text", "fallback",
        "actions",
    },
    "webhookConfigs": {"sendResolved", "url", "httpConfig"},
    "pagerDutyLinkConfigs": {"href", "alt"},
    "details": {"key", "value"},
    "actions": {"type", "text", "url"},
    "httpConfig": {"authorization"},
    "authorization": {"type", "credentials"},
    "routingKey": {"name", "key"},
    "apiURL": {"name", "key"},
    "credentials": {"name", "key"},
    "matchers": {"name", "matchType", "value"},
    "sourceMatch": {"name", "matchType", "value"},
    "targetMatch": {"name", "matchType", "value"},
    "inhibitRules": {"sourceMatch", "targetMatch", "equal"},
    "route": ROUTE,
    "routes": ROUTE,
    "receivers": {"name", "pagerdutyConfigs", "slackConfigs", "webhookConfigs"},
    "spec": {"route", "inhibitRules", "receivers"},
}  # fmt: skip


def strangers(name: str, value: Any) -> Iterator[str]:
    """Yield the fields that the operator does not know."""
    match value:
        case dict():
            yield from (f"{name}.{key}" for key in sorted(set(value) - FIELDS[name]))
            for key, each in value.items():
                yield from strangers(key, each)
        case list():
            for each in value:
                yield from strangers(name, each)


def test_the_operator_gets_the_same_routes(tmp_path: Path) -> None:
    """The AlertmanagerConfig has fields that its definition has, and sends alerts the same way."""
    made = load(write_text(tmp_path / "a.yaml", alertmanager_config()))
    spec = made["spec"]

    assert (made["apiVersion"], made["kind"]) == (
        "monitoring.coreos.com/v1alpha1",
        "AlertmanagerConfig",
    )
    assert list(strangers("spec", spec)) == []
    assert [each["name"] for each in spec["receivers"]] == [
        each["name"] for each in CONFIG["receivers"]
    ]
    assert [route["receiver"] for route in spec["route"]["routes"]] == [
        route["receiver"] for route in CONFIG["route"]["routes"]
    ]
    assert len(spec["inhibitRules"]) == len(CONFIG["inhibit_rules"])
    [own] = spec["route"]["matchers"]
    assert own == {
        "name": "service",
        "matchType": "=",
        "value": load(LINKS)["labels"]["service"],
    }


def test_the_operator_takes_keys_from_a_secret(tmp_path: Path) -> None:
    """Each file of the configuration is a key of one Kubernetes Secret."""
    text = alertmanager_config()
    made = load(write_text(tmp_path / "a.yaml", text))

    [pagerduty] = made["spec"]["receivers"][0]["pagerdutyConfigs"]
    assert pagerduty["routingKey"] == {"name": SECRET, "key": "pagerduty-routing-key"}
    assert "/etc/" not in text


def test_a_field_that_the_operator_does_not_know_is_found() -> None:
    """The control: a name in another case, and one of another place, are told."""
    spec = {"receivers": [{"pagerduty_configs": []}], "route": {"matchers": [{"text": "x"}]}}

    assert list(strangers("spec", {"receivers": spec["receivers"][:0]})) == []
    assert list(strangers("route", spec["route"])) == ["matchers.text"]
    assert next(strangers("receivers", spec["receivers"])) == "receivers.pagerduty_configs"


def write_text(path: Path, text: str) -> Path:
    """Write a text to a file, and return the file."""
    path.write_text(text, "utf-8")
    return path
