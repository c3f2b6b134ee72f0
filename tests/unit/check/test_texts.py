"""Literals, durations and metrics: what is one, and what only looks so."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlang_secrets.check.documents import documents
from greenlang_secrets.check.literals import suspicious
from greenlang_secrets.check.metrics import metrics_in, unknown_metrics
from greenlang_secrets.check.refresh import seconds, slow
from greenlang_secrets.config import Environment

# In pieces, or the scan of the tree would find them.
PLANTED = {
    "a token of Vault": "hvs" + ".CAESIJlqW9mT4kX0bYvR2nPz",
    "an access key of AWS": "AKIA" + "Q3EGRMS7N2OPLZ5T",
    "a private key": "-----BEGIN EC " + "PRIVATE KEY-----\nMHcCAQEEIBkg8n4p2JpQ",
    "a token of GitHub": "ghp" + "_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "a token of Slack": "xoxb" + "-123456789012-abcdefghijkl",
    "a key of Stripe": "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc",
    "a key of Google": "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "a JSON web token": "eyJhbGciOiJIUzI1" + ".eyJzdWIiOiJhIn0x.c2lnbmF0dXJlcw",
    "a URL with a password": "postgresql://app:" + "hunter2x@db/app",
    "a text that looks like chance": "q7Rz2VnX9bL" + "k4TfW8sGd1HyJc6MpA3",
}


@pytest.mark.parametrize("reason", PLANTED)
def test_a_planted_secret_is_found(reason: str) -> None:
    """Each kind is found, in the middle of a text."""
    text = f'value = "{PLANTED[reason]}"'

    assert reason in [found for _, found, _ in suspicious(text)]


@pytest.mark.parametrize(
    "text",
    [
        "external-secrets.io/v1alpha1/ClusterExternalSecretList",
        "vault.hashicorp.com/agent-inject-template-database-postgresql",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "postgresql://{{ .user }}:{{ .password }}@db/app",
        "GREENLANG_SECRETS_TENANT_TOKEN_ROLE",
        "PrometheusRuleGroupEvaluationFailures",
    ],
)
def test_what_only_looks_long_is_none(text: str) -> None:
    """Names, digests, templates and paths raise no alarm."""
    assert list(suspicious(text)) == []


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("15s", 15),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("500ms", 0.5),
        ("0", 0),
        ("", None),
        ("15", None),
    ],
)
def test_durations_are_those_of_go(duration: str, expected: float | None) -> None:
    """A number without a unit is none, except 0."""
    assert seconds(duration) == expected


@pytest.mark.parametrize("interval", ["0", "soon", "61s"])
def test_a_cluster_wide_secret_is_judged_too(interval: str) -> None:
    """An interval that is never, unreadable or too long is told."""
    text = f"kind: ClusterExternalSecret\nspec: {{externalSecretSpec: {{refreshInterval: {interval}}}}}"
    (document,) = documents(Path("a.yaml"), text)

    found = list(slow(document, Environment.DEVELOPMENT))

    assert [finding.rule for finding in found] == ["slow_refresh"]


def test_a_patch_without_a_source_needs_no_interval() -> None:
    """It patches something else of an ExternalSecret."""
    (document,) = documents(Path("a.yaml"), "kind: ExternalSecret\nspec: {target: {name: a}}")

    assert list(slow(document, Environment.PRODUCTION)) == []


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (a) (rate(x_total{b="y or z"}[$__rate_interval]))', ["x_total"]),
        ("a > 5m unless on (node) group_left (b) c offset 1h", ["a", "c"]),
        ("label_replace(a, 'b', \"$1\", `c`, '') # d", ["a"]),
        ("$metric + inf + 1e3", []),
    ],
)
def test_metrics_of_an_expression(expression: str, names: list[str]) -> None:
    """Functions, labels, keywords, texts, durations and variables are no metrics."""
    assert [name for name, _ in metrics_in(expression)] == names


def test_a_config_map_that_is_no_dashboard_is_left_alone() -> None:
    """What is no JSON has no expressions."""
    (document,) = documents(Path("a"), "kind: ConfigMap\ndata: {a.json: '{', b: 'expr: c'}")

    assert list(unknown_metrics(document, frozenset())) == []
