"""How secrets are rotated: policies, wake-ups, the history, and who uses what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from greenlang_secrets.catalogue.migrations.row_security import drop_purge, purge_expired, secure
from greenlang_secrets.catalogue.tables import Moment, tenant_text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _policies()
    _clock()
    _history()
    _consumers()


def downgrade() -> None:
    """Drop them. What a rotation needs to go on is in its record in Vault; policies are not."""
    drop_purge("rotation_consumers")
    op.drop_table("rotation_consumers")
    drop_purge("rotation_history")
    op.drop_table("rotation_history")
    op.drop_table("rotation_clock")
    op.drop_table("rotation_policies")


def _policies() -> None:
    op.create_table(
        "rotation_policies",
        sa.Column("tenant_id", tenant_text(63), nullable=False),
        sa.Column("path", tenant_text(512), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("secret_type", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("interval", sa.Float(53), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("overlap", sa.Float(53)),
        sa.Column("consumers_wait", sa.Float(53), nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
        sa.Column("updated_by", sa.Text, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("phase", sa.String(32), nullable=False),
        sa.Column("rotation_id", sa.String(32)),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("trigger", sa.String(16)),
        sa.Column("started_at", Moment),
        sa.Column("base_version", sa.BigInteger),
        sa.Column("version", sa.BigInteger),
        sa.Column("promoted_at", Moment),
        sa.Column("old_valid_until", Moment),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_at", Moment),
        sa.Column("last_success", Moment),
        sa.Column("next_due", Moment),
        sa.Column("wake_at", Moment),
        sa.Column("progress", sa.Text, nullable=False),
        sa.Column("not_after", Moment),
        sa.PrimaryKeyConstraint("tenant_id", "path", name=op.f("pk_rotation_policies")),
        sa.CheckConstraint(
            "tenant_id <> ''", name=op.f("ck_rotation_policies_tenant_id_is_not_empty")
        ),
        comment="How each secret is rotated, and how that stands, as its record in Vault said last.",
    )
    op.create_index(
        op.f("ix_rotation_policies_tenant_id_digest"), "rotation_policies", ["tenant_id", "digest"]
    )
    secure("rotation_policies")


def _clock() -> None:
    op.create_table(
        "rotation_clock",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("tenant_id", tenant_text(63), nullable=False),
        sa.Column("wake_at", Moment),
        sa.Column("secret_type", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("next_due", Moment),
        sa.Column("last_success", Moment),
        sa.Column("not_after", Moment),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_rotation_clock")),
        sa.CheckConstraint(
            "tenant_id <> ''", name=op.f("ck_rotation_clock_tenant_id_is_not_empty")
        ),
        comment="When each rotation is looked at next: for all tenants at once, so without a path.",
    )
    op.create_index(op.f("ix_rotation_clock_wake_at"), "rotation_clock", ["wake_at"])


def _history() -> None:
    op.create_table(
        "rotation_history",
        sa.Column("tenant_id", tenant_text(63), nullable=False),
        sa.Column("rotation_id", sa.String(32), nullable=False),
        sa.Column("path", tenant_text(512), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("secret_type", sa.String(32), nullable=False),
        sa.Column("trigger", sa.String(16), nullable=False),
        sa.Column("principal", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("ended_at", Moment),
        sa.Column("outcome", sa.String(16)),
        sa.Column("base_version", sa.BigInteger),
        sa.Column("version", sa.BigInteger),
        sa.Column("error_code", sa.String(64)),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "rotation_id", name=op.f("pk_rotation_history")),
        sa.CheckConstraint(
            "tenant_id <> ''", name=op.f("ck_rotation_history_tenant_id_is_not_empty")
        ),
        comment="Rotations that were begun, for a year.",
    )
    op.create_index(
        op.f("ix_rotation_history_tenant_id_path_started_at"),
        "rotation_history",
        ["tenant_id", "path", "started_at"],
    )
    op.create_index(op.f("ix_rotation_history_expires_at"), "rotation_history", ["expires_at"])
    secure("rotation_history", ("SELECT", "INSERT", "UPDATE"))
    purge_expired("rotation_history")


def _consumers() -> None:
    op.create_table(
        "rotation_consumers",
        sa.Column("tenant_id", tenant_text(63), nullable=False),
        sa.Column("path", tenant_text(512), nullable=False),
        sa.Column("consumer", tenant_text(512), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("lives_for", sa.Float(53), nullable=False),
        sa.Column("seen_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant_id", "path", "consumer", name=op.f("pk_rotation_consumers")
        ),
        sa.CheckConstraint(
            "tenant_id <> ''", name=op.f("ck_rotation_consumers_tenant_id_is_not_empty")
        ),
        comment="Who uses which version of a rotated secret, as long as they say so.",
    )
    op.create_index(op.f("ix_rotation_consumers_expires_at"), "rotation_consumers", ["expires_at"])
    secure("rotation_consumers", ("SELECT", "INSERT", "UPDATE"))
    purge_expired("rotation_consumers")
