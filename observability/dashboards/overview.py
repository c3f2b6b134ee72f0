"""The row Overview: whether there is anything to do, and how long there is time for it."""

from __future__ import annotations

from observability.dashboards.parts import (
    EXTERNAL,
    OURS,
    About,
    Column,
    Query,
    Row,
    dial,
    number,
    tabular,
)

__all__ = ["row"]

HOUR = 3_600
MINUTE = 60


def row() -> Row:
    """Return the row."""
    firing = tabular(
        About(
            id=101,
            title="Firing alerts",
            shows="Alerts of this service that fire, by name and severity; how often, over nodes and secrets.",
            normal="The Watchdog alone. It always fires: without it nobody would hear of the others.",
            runbooks=("SecretsTargetDown", "SecretsMetricsAbsent"),
            unit="short",
            width=24,
            height=5,
        ),
        Column(
            title="Firing",
            # An alert on something that is missing has no labels of where it is missing.
            expression='count by (alertname, severity) (ALERTS{service="secrets",alertstate="firing",environment=~"$environment|"})',
        ),
        by={"alertname": "Alert", "severity": "Severity"},
    )
    vault = number(
        About(
            id=102,
            title="Vault health",
            shows="Whether any node answers, and whether the canary, a real request every 15 s, works: a node may be healthy and refuse every request, with a full audit disk.",
            normal="Both up.",
            runbooks=("VaultUnavailable", "VaultSealed", "VaultCanaryFailing"),
            unit="short",
            width=4,
            height=4,
        ),
        Query(f"max(gl_vault_up{{{OURS}}})", "any node"),
        Query(f"min(gl_vault_canary_success{{{OURS}}})", "canary"),
        words={0: ("down", "red"), 1: ("up", "green")},
    )
    replicas = number(
        About(
            id=103,
            title="Replicas by version",
            shows="Processes of the service that are scraped, by version.",
            normal="As many as are wanted; two versions only while one is rolled out.",
            runbooks=("SecretsTargetDown",),
            unit="short",
            width=4,
            height=4,
        ),
        Query(f"count by (service_version) (target_info{{{OURS}}})", "{{service_version}}"),
    )
    available = number(
        About(
            id=104,
            title="Availability 1h",
            shows="The share of operations in the last hour that did not fail by our or Vault's fault. What callers got wrong, and stale answers, are no failures.",
            normal="99.9 % and more.",
            runbooks=("SecretsOperationFailures", "SecretsErrorBudgetBurn"),
            unit="percentunit",
            width=4,
            height=4,
        ),
        Query('1 - max(gl_secrets:errors:ratio_rate1h{environment=~"$environment"})'),
        steps=((0.0, "red"), (0.999, "green")),
    )
    budget = dial(
        About(
            id=105,
            title="Error budget left 30d",
            shows="What is left of the 0.1 % of operations that may fail in 30 days.",
            normal="Above a quarter. Below 0 the goal of 99.9 % is missed.",
            runbooks=("SecretsErrorBudgetBurn",),
            unit="percentunit",
            width=4,
            height=4,
        ),
        Query('1 - max(gl_secrets:errors:ratio_rate30d{environment=~"$environment"}) / 0.001'),
        steps=((-1000.0, "red"), (0.0, "orange"), (0.25, "green")),
        low=0,
        high=1,
    )
    lease = number(
        About(
            id=106,
            title="Shortest lease",
            shows="How long the lease that ends first is still good, the service's own login among them.",
            normal="Above 15 min: a lease of 1 h is renewed with 20 min left.",
            runbooks=("LeaseExpiringCritical",),
            unit="s",
            width=4,
            height=4,
        ),
        Query(f"min(gl_vault_lease_ttl_seconds{{{OURS}}})"),
        steps=((-1.0, "red"), (5 * MINUTE, "orange"), (15 * MINUTE, "green")),
    )
    certificate = number(
        About(
            id=107,
            title="Next certificate expiry",
            shows="How long the certificate that ends first is still good, of those that are rotated here.",
            normal="Above a quarter of its life, where it is renewed at the latest. Colours are for the shortest in use, 72 h: 18 h are a quarter.",
            runbooks=("CertificateExpiring", "CertificateExpiringCritical"),
            unit="s",
            width=4,
            height=4,
        ),
        Query(f"min(gl_certificate_expiry_timestamp_seconds{{{EXTERNAL}}}) - time()"),
        steps=((-1e9, "red"), (4 * HOUR, "orange"), (18 * HOUR, "green")),
    )
    return Row(
        id=100,
        title="Overview",
        panels=(vault, replicas, available, budget, lease, certificate, firing),
    )
