"""The row Operations: what is asked, how it ends, and how long Vault takes."""

from __future__ import annotations

from observability.dashboards.parts import EXTERNAL, OURS, About, Query, Row, heat, lines

__all__ = ["row"]

_CHOSEN = f'{OURS},secret_type=~"$secret_type",operation=~"$operation"'
_FAILED = 'result=~"unavailable|timeout|error"'
_OF_VAULT = f'{OURS},operation=~"$operation"'
# A rotation, a certificate and a login take as long as the other side does.
_SLOW_BY_NATURE = 'operation!~"rotate|issue|login"'


def row() -> Row:
    """Return the row."""
    rate = lines(
        About(
            id=301,
            title="Rate by operation",
            shows="Operations on secrets each second, those answered from the cache among them; without those that nobody does.",
            normal="Follows the load; reads are nearly all of it.",
            runbooks=("SecretsOperationFailures", "RateLimitStorm"),
            unit="ops",
        ),
        Query(
            f"sum by (operation) (rate(gl_secrets_operations_total{{{_CHOSEN}}}[$__rate_interval])) > 0",
            "{{operation}}",
        ),
    )
    results = lines(
        About(
            id=302,
            title="Results",
            shows="How operations end. unavailable, timeout and error are ours or Vault's fault, the others the caller's; stale is an answer from memory while Vault is away.",
            normal="ok, with some not_found.",
            runbooks=("SecretsOperationFailures", "ServingStaleSecrets"),
            unit="ops",
        ),
        Query(
            f"sum by (result) (rate(gl_secrets_operations_total{{{_CHOSEN}}}[$__rate_interval]))",
            "{{result}}",
        ),
        stacked=True,
        colours={
            "ok": "green",
            "stale": "yellow",
            "not_found": "blue",
            "conflict|invalid": "orange",
            "denied|rate_limited": "purple",
            "unavailable|timeout|error": "red",
        },
    )
    failures = lines(
        About(
            id=303,
            title="Failure ratio",
            shows="The share of operations that fail by our or Vault's fault.",
            normal="0. An alert fires when it is above 1 % over 5 minutes, for 3 minutes.",
            runbooks=("SecretsOperationFailures", "SecretsErrorBudgetBurn"),
            unit="percentunit",
        ),
        Query(
            f"sum(rate(gl_secrets_operations_total{{{_CHOSEN},{_FAILED}}}[$__rate_interval]))"
            f" / sum(rate(gl_secrets_operations_total{{{_CHOSEN}}}[$__rate_interval]))",
            "failed",
        ),
        steps=((0.01, "red"),),
        colours={"failed": "orange"},
    )
    percentiles = lines(
        About(
            id=304,
            title="Vault latency P50/P95/P99",
            shows="How long operations take that go to Vault. Reads from the cache are not in it: at 99 % of hits they would be the P99.",
            normal="P99 below 100 ms.",
            runbooks=("VaultHighLatency", "SecretsLatencyBudgetBurn"),
            unit="s",
        ),
        *(
            Query(
                f"histogram_quantile({quantile}, sum by (le) (rate(gl_secrets_operation_duration_seconds_bucket{{{_OF_VAULT}}}[$__rate_interval])))",
                name,
            )
            for quantile, name in ((0.5, "P50"), (0.95, "P95"), (0.99, "P99"))
        ),
        steps=((0.1, "red"),),
        colours={"P50": "green", "P95": "orange", "P99": "purple"},
    )
    heatmap = heat(
        About(
            id=305,
            title="Latency heatmap",
            shows="How many of the operations that go to Vault take how long.",
            normal="One band. Two bands are two kinds of work, or a node that is slower than the others.",
            runbooks=("VaultHighLatency",),
            unit="s",
        ),
        Query(
            f"sum by (le) (increase(gl_secrets_operation_duration_seconds_bucket{{{_OF_VAULT}}}[$__rate_interval]))",
            "{{le}}",
        ),
    )
    slow = lines(
        About(
            id=306,
            title="Slower than 100 ms",
            shows="The share of operations that go to Vault and take longer than 100 ms, by operation; without rotations, certificates and logins.",
            normal="Below 1 %.",
            runbooks=("VaultHighLatency", "SecretsLatencyBudgetBurn"),
            unit="percentunit",
        ),
        Query(
            f'1 - sum by (operation) (rate(gl_secrets_operation_duration_seconds_bucket{{{_OF_VAULT},{_SLOW_BY_NATURE},le="0.1"}}[$__rate_interval]))'
            f" / sum by (operation) (rate(gl_secrets_operation_duration_seconds_count{{{_OF_VAULT},{_SLOW_BY_NATURE}}}[$__rate_interval]))",
            "{{operation}}",
        ),
        steps=((0.01, "red"),),
    )
    denied = lines(
        About(
            id=307,
            title="Denied and rate-limited",
            shows="Requests that were refused: 401 and 403 by reason, 429 by whose limit it was, and what Vault's own quotas refused. Who it was stands in the audit log.",
            normal="Near 0. A steep rise of denied ones is a wrong deployment or somebody who tries doors.",
            runbooks=("SecretAccessDenied", "RateLimitStorm", "VaultQuotaRejections"),
            unit="ops",
            width=12,
        ),
        Query(
            f"sum by (reason) (rate(gl_secrets_access_denied_total{{{OURS}}}[$__rate_interval]))",
            "denied: {{reason}}",
        ),
        Query(
            f"sum by (scope) (rate(gl_secrets_rate_limited_total{{{OURS}}}[$__rate_interval]))",
            "limited: {{scope}}",
        ),
        Query(
            f"sum(rate(vault_quota_rate_limit_violation{{{EXTERNAL}}}[$__rate_interval]))",
            "Vault's quotas",
        ),
    )
    by_type = lines(
        About(
            id=308,
            title="Denied by secret type",
            shows="Operations that permissions in the library or Vault's policies forbid, by the type of the secret, in 5 minutes. What the service refuses by the bearer's permissions is among them; refused bearers themselves are in the panel beside.",
            normal="Below 10, where an alert fires.",
            runbooks=("SecretAccessDenied",),
            unit="short",
            width=12,
        ),
        Query(
            f'sum by (secret_type) (increase(gl_secrets_operations_total{{{_CHOSEN},result="denied"}}[5m]))',
            "{{secret_type}}",
        ),
        steps=((10, "red"),),
    )
    return Row(
        id=300,
        title="Operations",
        panels=(rate, results, failures, percentiles, heatmap, slow, denied, by_type),
    )
