"""The index of secrets, and where it lacks something."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from greenlang_secrets.catalogue.migrations.row_security import secure
from greenlang_secrets.catalogue.tables import Moment, tenant_text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "secrets",
        sa.Column("tenant_id", tenant_text(63), nullable=False),
        sa.Column("path", tenant_text(512), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
        sa.Column("indexed_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "path", name=op.f("pk_secrets")),
        sa.CheckConstraint("tenant_id <> ''", name=op.f("ck_secrets_tenant_id_is_not_empty")),
        sa.CheckConstraint(
            "state IN ('live', 'deleted', 'destroyed', 'gone')", name=op.f("ck_secrets_state")
        ),
        comment="The index: which secrets there are, as Vault said when it was last asked.",
    )
    secure("secrets")
    op.create_table(
        "index_gaps",
        sa.Column("tenant_id", tenant_text(63), nullable=False),
        sa.Column("since", Moment, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_index_gaps")),
        comment="Scopes whose index lacks writes, until they are rebuilt.",
    )


def downgrade() -> None:
    """Drop them; a rebuild brings the index back."""
    op.drop_table("index_gaps")
    op.drop_table("secrets")
