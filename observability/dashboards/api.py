"""The row API: its requests, and the process that answers them."""

from __future__ import annotations

from observability.dashboards.parts import OURS, About, Query, Row, lines

__all__ = ["row"]

_PROCESS = f'{OURS},job="greenlang-secrets"'


def row() -> Row:
    """Return the row."""
    requests = lines(
        About(
            id=801,
            title="Requests by route",
            shows="HTTP requests each second, by method and route.",
            normal="Follows the load.",
            runbooks=("RateLimitStorm",),
            unit="reqps",
        ),
        Query(
            f"sum by (method, route) (rate(gl_http_requests_total{{{OURS}}}[$__rate_interval])) > 0",
            "{{method}} {{route}}",
        ),
    )
    statuses = lines(
        About(
            id=802,
            title="Requests by status",
            shows="HTTP requests each second, by status.",
            normal="2xx. 5xx are ours; 499 is a caller that was gone before the answer.",
            runbooks=("SecretsOperationFailures", "SecretAccessDenied"),
            unit="reqps",
        ),
        Query(
            f"sum by (status) (rate(gl_http_requests_total{{{OURS}}}[$__rate_interval])) > 0",
            "{{status}}",
        ),
        stacked=True,
        colours={"2..": "green", "3..": "blue", "4..": "yellow", "5..": "red"},
    )
    latency = lines(
        About(
            id=803,
            title="Request latency by route",
            shows="How long requests take, by route, at the chosen quantile. Long polls are not in it.",
            normal="A cached read takes 0.5 to 2 ms, a change as long as Vault and the audit log's disk.",
            runbooks=("VaultHighLatency", "EventLoopBlocked"),
            unit="s",
        ),
        Query(
            f"histogram_quantile($quantile, sum by (le, method, route) (rate(gl_http_request_duration_seconds_bucket{{{OURS}}}[$__rate_interval])))",
            "{{method}} {{route}}",
        ),
        steps=((0.1, "red"),),
    )
    flight = lines(
        About(
            id=804,
            title="Requests in flight",
            shows="Requests under way by replica, long polls among them.",
            normal="Tens; beyond 512 requests are refused at once (503, overloaded).",
            runbooks=("EventLoopBlocked", "VaultHighLatency"),
            unit="short",
        ),
        Query(f"sum by (instance) (gl_http_requests_in_flight{{{OURS}}})", "{{instance}}"),
        steps=((512, "red"),),
    )
    lag = lines(
        About(
            id=805,
            title="Event-loop lag",
            shows="How late the event loop was at most in the last 15 to 30 s, by replica: for as long nothing was answered.",
            normal="Below 50 ms.",
            runbooks=("EventLoopBlocked",),
            unit="s",
        ),
        Query(f"max by (instance) (gl_event_loop_lag_seconds{{{OURS}}})", "{{instance}}"),
        steps=((0.1, "orange"), (0.5, "red")),
    )
    memory = lines(
        About(
            id=806,
            title="Memory",
            shows="Resident memory by replica.",
            normal="Flat after the first hour. A steady rise is a leak.",
            runbooks=("SecretsTargetDown",),
            unit="bytes",
        ),
        Query(f"max by (instance) (process_resident_memory_bytes{{{_PROCESS}}})", "{{instance}}"),
    )
    cpu = lines(
        About(
            id=807,
            title="CPU",
            shows="Cores in use by replica. One process has one event loop, so that 1 is all it can do.",
            normal="Below 0.7; above it, more replicas.",
            runbooks=("EventLoopBlocked",),
            unit="short",
        ),
        Query(
            f"sum by (instance) (rate(process_cpu_seconds_total{{{_PROCESS}}}[$__rate_interval]))",
            "{{instance}}",
        ),
        steps=((0.7, "orange"), (1.0, "red")),
    )
    audit = lines(
        About(
            id=808,
            title="Audit queue and lost records",
            shows="Audit records that wait for the disk, by replica, and those that were lost.",
            normal="A short queue; lost ones never.",
            runbooks=("AuditLogFailing",),
            unit="short",
        ),
        Query(f"max by (instance) (gl_secrets_audit_queue_depth{{{OURS}}})", "queue: {{instance}}"),
        Query(f"sum(gl_secrets_audit_dropped_total{{{OURS}}})", "lost"),
        colours={"lost": "red"},
    )
    files = lines(
        About(
            id=809,
            title="Open files",
            shows="File descriptors in use by replica, as a share of what the process may have.",
            normal="Below a half.",
            runbooks=("SecretsTargetDown",),
            unit="percentunit",
        ),
        Query(
            f"max by (instance) (process_open_fds{{{_PROCESS}}} / process_max_fds{{{_PROCESS}}})",
            "{{instance}}",
        ),
        steps=((0.8, "red"),),
    )
    return Row(
        id=800,
        title="API",
        panels=(requests, statuses, latency, flight, lag, memory, cpu, audit, files),
    )
