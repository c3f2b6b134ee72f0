"""The row Rotation: what was rotated, what is due, and what does not go on.

Every replica tells of all rotations, so these queries take the smallest or largest and no sums;
only counters, which each process counts for itself, are summed.
"""

from __future__ import annotations

from observability.dashboards.parts import (
    EXTERNAL,
    OURS,
    About,
    Column,
    Query,
    Row,
    bars,
    lines,
    tabular,
)

__all__ = ["row"]

_TYPES = f'{EXTERNAL},secret_type=~"$secret_type"'


def row() -> Row:
    """Return the row."""
    events = bars(
        About(
            id=601,
            title="Rotation events",
            shows="Rotations that ended (success, conflict, skipped), and attempts that failed, by type.",
            normal="success, as often as policies say.",
            runbooks=("RotationFailed",),
            unit="short",
        ),
        Query(
            f'sum by (secret_type, status) (increase(gl_secrets_rotation_total{{{OURS},secret_type=~"$secret_type"}}[$__rate_interval])) > 0',
            "{{secret_type}}: {{status}}",
        ),
        colours={
            ".*: success": "green",
            ".*: failure": "red",
            ".*: conflict": "orange",
            ".*: skipped": "blue",
        },
    )
    age = tabular(
        About(
            id=602,
            title="Age against policy",
            shows="Of each type: when the next rotation is due (below 0 it is late), how long the oldest success is ago, and how many are under way.",
            normal="Due in more than 0.",
            runbooks=("RotationOverdue", "RotationFailed"),
            unit="s",
            width=16,
        ),
        Column(
            title="Due in",
            expression=f"min by (secret_type) (gl_secrets_rotation_due_timestamp_seconds{{{_TYPES}}}) - time()",
            unit="s",
            steps=((-1e9, "red"), (0, "green")),
        ),
        Column(
            title="Last success ago",
            expression=f"time() - min by (secret_type) (gl_secrets_rotation_last_success_timestamp_seconds{{{_TYPES}}})",
            unit="s",
        ),
        Column(
            title="Under way",
            expression=f"max by (secret_type) (gl_secrets_rotation_in_progress{{{_TYPES}}})",
        ),
        by={"secret_type": "Type"},
    )
    overdue = lines(
        About(
            id=603,
            title="Rotation overdue",
            shows="For how long the longest overdue rotation of each type is due.",
            normal="0; some minutes while one is tried again.",
            runbooks=("RotationOverdue",),
            unit="s",
        ),
        Query(
            f"max by (secret_type) (gl_secrets_rotation_overdue_seconds{{{_TYPES}}})",
            "{{secret_type}}",
        ),
        steps=((900, "red"),),
    )
    duration = lines(
        About(
            id=604,
            title="Duration P95 and stuck steps",
            shows="How long rotations take from begin to promotion, and rotations whose step does not go on, by step.",
            normal="Seconds; nothing stuck.",
            runbooks=("RotationStuck",),
            unit="s",
        ),
        Query(
            f"histogram_quantile(0.95, sum by (le) (increase(gl_secrets_rotation_duration_seconds_bucket{{{OURS}}}[1h])))",
            "P95 of the last hour",
        ),
        Query(f"max by (step) (gl_secrets_rotation_stuck{{{EXTERNAL}}})", "stuck: {{step}}"),
        colours={"stuck: .*": "red"},
        units={"stuck: .*": "short"},
    )
    behind = lines(
        About(
            id=605,
            title="Consumers behind",
            shows="Consumers that do not use the new version yet, by type; the old credential is retired when none is left, or its overlap is over.",
            normal="Rises with a promotion and falls to 0 within minutes.",
            runbooks=("RotationStuck", "RotationOverdue"),
            unit="short",
        ),
        Query(
            f"max by (secret_type) (gl_secrets_rotation_consumers_behind{{{_TYPES}}})",
            "{{secret_type}}",
        ),
    )
    return Row(id=600, title="Rotation", panels=(events, age, overdue, duration, behind))
