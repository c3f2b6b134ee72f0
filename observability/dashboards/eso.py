"""The row ESO: whether External Secrets Operator brings secrets into the clusters."""

from __future__ import annotations

from observability.dashboards.parts import EXTERNAL, About, Column, Query, Row, lines, tabular

__all__ = ["row"]

# ESO's own series have a `namespace` of the object, which a scrape renames: only where it runs is
# chosen by.
_OPERATOR = 'environment=~"$environment"'


def row() -> Row:
    """Return the row."""
    status = tabular(
        About(
            id=701,
            title="Sync status",
            shows="Every ExternalSecret and PushSecret: whether it is ready, and how long its last sync is ago.",
            normal="Ready, and synced within its refresh interval.",
            runbooks=("ESOSyncFailed", "ESOStale", "ESOWatchDisconnected"),
            unit="s",
            width=16,
        ),
        Column(
            title="Ready",
            # A replica whose watch has ended knows what was: the worse one is believed.
            expression=f"min by (secret) (gl_eso_ready{{{EXTERNAL}}})",
            words={0: ("no", "red"), 1: ("yes", "green")},
        ),
        Column(
            title="Last sync ago",
            expression=f"time() - max by (secret) (gl_eso_last_sync_timestamp_seconds{{{EXTERNAL}}})",
            unit="s",
            steps=((60, "yellow"), (300, "red")),
        ),
        by={"secret": "Secret"},
    )
    rate = lines(
        About(
            id=702,
            title="Sync rate by status",
            shows="Syncs each second, as the watcher sees them. Every replica watches: the most that one has seen is shown.",
            normal="success, as often as the refresh intervals say.",
            runbooks=("ESOSyncFailed",),
            unit="ops",
        ),
        Query(
            f"sum by (status) (max by (secret, status) (rate(gl_eso_sync_total{{{EXTERNAL}}}[5m])))",
            "{{status}}",
        ),
        colours={"success": "green", "failure": "red"},
    )
    age = lines(
        About(
            id=703,
            title="Sync age",
            shows="How long the last sync is ago, of the ten secrets with the oldest.",
            normal="Saws below the refresh interval. An alert fires at twice that, and 5 minutes at least.",
            runbooks=("ESOStale",),
            unit="s",
        ),
        Query(
            f"topk(10, time() - max by (secret) (gl_eso_last_sync_timestamp_seconds{{{EXTERNAL}}}))",
            "{{secret}}",
        ),
        steps=((300, "red"),),
    )
    watch = lines(
        About(
            id=704,
            title="Watch",
            shows="Whether each replica's watch of the cluster is connected, and what ended watches, by reason.",
            normal="1; now and then a watch ends and begins anew.",
            runbooks=("ESOWatchDisconnected",),
            unit="short",
        ),
        Query(f"min by (instance) (gl_eso_watch_connected{{{EXTERNAL}}})", "{{instance}}"),
        Query(
            f"sum by (reason) (increase(gl_eso_watch_errors_total{{{EXTERNAL}}}[$__rate_interval]))",
            "errors: {{reason}}",
        ),
        colours={"errors: .*": "red"},
    )
    operator = lines(
        About(
            id=705,
            title="Operator's own view",
            shows="ExternalSecrets by their condition Ready, as ESO itself exports it, and its failed reconciles each second. When this is there and the other panels are not, it is the watcher.",
            normal="All True.",
            runbooks=("ESOSyncFailed",),
            unit="short",
        ),
        Query(
            f'sum by (status) (externalsecret_status_condition{{{_OPERATOR},condition="Ready"}})',
            "Ready {{status}}",
        ),
        Query(
            f"sum(rate(externalsecret_sync_calls_error{{{_OPERATOR}}}[5m]))", "failed reconciles/s"
        ),
        colours={"Ready True": "green", "Ready (False|Unknown)": "red"},
    )
    return Row(id=700, title="ESO", panels=(status, rate, age, watch, operator))
