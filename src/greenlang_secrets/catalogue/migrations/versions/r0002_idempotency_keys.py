"""Answers to requests with an Idempotency-Key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from greenlang_secrets.catalogue.migrations.row_security import drop_purge, purge_expired, secure
from greenlang_secrets.catalogue.tables import Moment, tenant_text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", tenant_text(63), nullable=False),
        sa.Column("principal_tenant", tenant_text(63), nullable=False),
        sa.Column("principal", tenant_text(256), nullable=False),
        sa.Column("key", tenant_text(64), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("takeovers", sa.Integer, nullable=False),
        sa.Column("lease_until", Moment, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.Text),
        sa.Column("body", sa.LargeBinary),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint(
            *("tenant_id", "principal_tenant", "principal", "key"),
            name=op.f("pk_idempotency_keys"),
        ),
        sa.CheckConstraint(
            "tenant_id <> ''", name=op.f("ck_idempotency_keys_tenant_id_is_not_empty")
        ),
        sa.CheckConstraint("state IN ('running', 'done')", name=op.f("ck_idempotency_keys_state")),
        comment="Answers to requests with an Idempotency-Key, for a day.",
    )
    op.create_index(op.f("ix_idempotency_keys_expires_at"), "idempotency_keys", ["expires_at"])
    secure("idempotency_keys")
    purge_expired("idempotency_keys")


def downgrade() -> None:
    """Drop it; a request that is sent again is then done again."""
    drop_purge("idempotency_keys")
    op.drop_table("idempotency_keys")
