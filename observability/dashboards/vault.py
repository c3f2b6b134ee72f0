"""The row Vault: its nodes, as the service sees them and as they see themselves."""

from __future__ import annotations

from observability.dashboards.parts import EXTERNAL, OURS, About, Query, Row, lines, states

__all__ = ["row"]

_STATES = ("active", "standby", "sealed", "uninitialized", "unreachable")


def row() -> Row:
    """Return the row."""
    # A replica that sees a node worse than others do is believed: the larger number is drawn.
    seen = " or ".join(
        f'gl_vault_node_state{{{OURS},state="{state}"}} * {number}'
        for number, state in enumerate(_STATES, 1)
    )
    nodes = states(
        About(
            id=201,
            title="Vault nodes",
            shows="What state each configured node is in, as the service sees it; the worst where replicas differ.",
            normal="One active, the others standby.",
            runbooks=("VaultSealed", "VaultUnavailable", "VaultNodeDown", "VaultNoActiveNode"),
            unit="short",
            width=24,
            height=6,
        ),
        Query(f"max by (node) ({seen})", "{{node}}"),
        words={
            1: ("active", "green"),
            2: ("standby", "blue"),
            3: ("sealed", "red"),
            4: ("uninitialized", "purple"),
            5: ("unreachable", "dark-red"),
        },
    )
    transport = lines(
        About(
            id=202,
            title="In-flight, retries, circuit",
            shows="Requests to Vault under way, requests sent again each second by reason, and nodes that are not asked because they failed (circuit open).",
            normal="A few under way, retries only while a leader is elected, no open circuit.",
            runbooks=("VaultCircuitOpen", "VaultNodeDown"),
            unit="short",
        ),
        Query(f"sum(gl_vault_requests_in_flight{{{OURS}}})", "in flight"),
        Query(
            f"sum by (reason) (rate(gl_vault_request_retries_total{{{OURS}}}[$__rate_interval]))",
            "retries/s: {{reason}}",
        ),
        Query(f'max by (node) (gl_vault_circuit_state{{{OURS},state="open"}})', "open: {{node}}"),
        colours={"open: .*": "red"},
    )
    failovers = lines(
        About(
            id=203,
            title="Canary and failovers",
            shows="Whether the canary works from each replica, and how often the service went to another node.",
            normal="1 everywhere; a failover when Vault is upgraded.",
            runbooks=("VaultCanaryFailing", "VaultNoActiveNode"),
            unit="short",
        ),
        Query(f"min by (instance) (gl_vault_canary_success{{{OURS}}})", "canary: {{instance}}"),
        Query(f"sum(increase(gl_vault_failovers_total{{{OURS}}}[$__rate_interval]))", "failovers"),
        colours={"failovers": "orange"},
    )
    mean = lines(
        About(
            id=204,
            title="Server request mean",
            shows="How long Vault itself works on a request, in the mean. Its own quantiles are not shown: they are NaN whenever nothing happened for 10 s.",
            normal="A few ms. Higher here and in the latency below: Vault or its disk. Higher below alone: the network.",
            runbooks=("VaultHighLatency",),
            unit="ms",
        ),
        Query(
            f"sum by (instance) (rate(vault_core_handle_request_sum{{{EXTERNAL}}}[$__rate_interval]))"
            f" / sum by (instance) (rate(vault_core_handle_request_count{{{EXTERNAL}}}[$__rate_interval]))",
            "{{instance}}",
        ),
        steps=((100, "red"),),
    )
    leases = lines(
        About(
            id=205,
            title="Leases and irrevocable",
            shows="Leases that Vault keeps, and those that it could not revoke: their accounts are still good at the other side.",
            normal="A number that follows the load; no irrevocable one.",
            runbooks=("VaultIrrevocableLeases",),
            unit="short",
        ),
        Query(f"max(vault_expire_num_leases{{{EXTERNAL}}})", "leases"),
        Query(f"max(vault_expire_num_irrevocable_leases{{{EXTERNAL}}})", "irrevocable"),
        colours={"irrevocable": "red"},
    )
    raft = lines(
        About(
            id=206,
            title="Raft",
            shows="Active nodes, whether autopilot finds the cluster healthy, how many nodes may be lost, and how many entries the slowest node has still to apply.",
            normal="One active node, healthy 1, tolerance 1 of three nodes, a lag near 0.",
            runbooks=("VaultNoActiveNode", "VaultAutopilotUnhealthy"),
            unit="short",
        ),
        Query(f"sum(max by (instance) (vault_core_active{{{EXTERNAL}}}))", "active nodes"),
        Query(f"min(vault_autopilot_healthy{{{EXTERNAL}}})", "healthy"),
        Query(f"min(vault_autopilot_failure_tolerance{{{EXTERNAL}}})", "failure tolerance"),
        Query(
            f"max(vault_raft_storage_stats_commit_index{{{EXTERNAL}}}"
            f" - vault_raft_storage_stats_applied_index{{{EXTERNAL}}})",
            "apply lag",
        ),
        colours={"apply lag": "orange"},
    )
    audit = lines(
        About(
            id=207,
            title="Audit failures",
            shows="Audit records that Vault (its requests and responses) or the service (its log and the copy in the catalogue) could not write.",
            normal="0. Vault answers no request that it cannot record, and neither do we.",
            runbooks=("AuditLogFailing",),
            unit="short",
        ),
        Query(
            f"sum(increase(vault_audit_log_request_failure{{{EXTERNAL}}}[$__rate_interval]))",
            "Vault: requests",
        ),
        Query(
            f"sum(increase(vault_audit_log_response_failure{{{EXTERNAL}}}[$__rate_interval]))",
            "Vault: responses",
        ),
        Query(
            f"sum by (sink) (increase(gl_secrets_audit_write_failures_total{{{OURS}}}[$__rate_interval]))",
            "ours: {{sink}}",
        ),
        steps=((1, "red"),),
    )
    return Row(
        id=200,
        title="Vault",
        panels=(nodes, transport, failovers, mean, leases, raft, audit),
    )
