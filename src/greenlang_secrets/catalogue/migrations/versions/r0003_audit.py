"""The copy of the audit log, and how far it was shipped."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from greenlang_secrets.catalogue.migrations.row_security import drop_purge, purge_expired, secure
from greenlang_secrets.catalogue.tables import Moment, tenant_text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "audit_events",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("chain", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("tenant_id", tenant_text(63), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("operation_id", sa.String(32), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("principal", sa.Text),
        sa.Column("principal_tenant", sa.String(63)),
        sa.Column("path", sa.Text),
        sa.Column("version", sa.BigInteger),
        sa.Column("status", sa.BigInteger),
        sa.Column("code", sa.String(64)),
        sa.Column("seconds", sa.Float(53)),
        sa.Column("cache", sa.String(16)),
        sa.Column("request_id", sa.Text),
        sa.Column("trace_id", sa.String(32)),
        sa.Column("source_address", sa.String(64)),
        sa.Column("reason", sa.Text),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
        sa.CheckConstraint("tenant_id <> ''", name=op.f("ck_audit_events_tenant_id_is_not_empty")),
        comment="The copy of the audit log, until each record's retention is over.",
    )
    op.create_index(
        op.f("ix_audit_events_tenant_id_at_chain_seq_id"),
        "audit_events",
        ["tenant_id", "at", "chain", "seq", "id"],
    )
    op.create_index(op.f("ix_audit_events_expires_at"), "audit_events", ["expires_at"])
    secure("audit_events", ("SELECT", "INSERT"))
    purge_expired("audit_events")
    op.create_table(
        "audit_chains",
        sa.Column("chain", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hmac", sa.String(128), nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("device", sa.BigInteger, nullable=False),
        sa.Column("inode", sa.BigInteger, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("pk_audit_chains")),
        comment="How far each audit log was shipped.",
    )


def downgrade() -> None:
    """Drop them; the log itself is on the service's disk."""
    op.drop_table("audit_chains")
    drop_purge("audit_events")
    op.drop_table("audit_events")
