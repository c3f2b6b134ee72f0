"""The catalogue's tables: what is kept beside Vault, and never a value.

Every row of a tenant carries `tenant_id`, in PostgreSQL behind row-level security. The
migrations make these tables; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects import postgresql

from greenlang_secrets.paths import Platform, Scope, Tenant, TenantId

__all__ = [
    "NAMING",
    "PLATFORM_ID",
    "TENANT_TABLES",
    "VERSION_TABLE",
    "Moment",
    "audit_chains",
    "audit_events",
    "idempotency_keys",
    "index_gaps",
    "metadata",
    "rotation_clock",
    "rotation_consumers",
    "rotation_history",
    "rotation_policies",
    "scope_of",
    "secrets",
    "storable",
    "tenant_id_of",
    "tenant_text",
]

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}
"""How constraints and indexes are called, so that a migration can name what it drops."""

VERSION_TABLE: Final = "catalogue_revision"
"""Alembic's table; its usual name may be another application's in the same database."""

PLATFORM_ID: Final = "@platform"
"""The platform scope's `tenant_id`. Outside the grammar of tenants, and not empty: a setting
of PostgreSQL that was set once reads as '' ever after, so an empty id would be what
connections that set none can see.
"""


def tenant_id_of(scope: Scope) -> str:
    """Return the `tenant_id` under which a scope's rows are kept."""
    return scope.key or PLATFORM_ID


def scope_of(tenant_id: str) -> Scope:
    """Return the scope that a `tenant_id` stands for."""
    return Platform() if tenant_id == PLATFORM_ID else Tenant(TenantId(tenant_id))


class Moment(TypeDecorator[datetime]):
    """A point in time: aware and in UTC on both sides; SQLite, which has none, keeps the text."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return it in UTC, without a zone for SQLite."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return it in UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def tenant_text(length: int | None = None) -> String:
    """Return the type of a text that is compared and sorted by its octets, as SQLite does and
    PostgreSQL only with the collation C; pages of both are then in the same order.
    """
    octets = postgresql.TEXT(collation="C") if length is None else postgresql.VARCHAR(length, "C")
    return String(length).with_variant(octets, "postgresql")


def storable(text: str) -> str:
    """Return a text without what PostgreSQL has no room for: NUL and lone surrogates, which a
    caller can put into a path or a reason, are spelled out.
    """
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\u0000").encode("utf-8", "backslashreplace").decode("utf-8")


metadata: Final = MetaData(naming_convention=NAMING)


def _tenant_id() -> Column[str]:
    return Column("tenant_id", tenant_text(63), nullable=False)


def _no_empty_tenant() -> CheckConstraint:
    return CheckConstraint("tenant_id <> ''", name="tenant_id_is_not_empty")


def _primary(name: str, type_: Any) -> Column[Any]:
    return Column(name, type_, primary_key=True, nullable=False)


secrets: Final = Table(
    "secrets",
    metadata,
    _primary("tenant_id", tenant_text(63)),
    _primary("path", tenant_text(512)),
    Column("version", Integer, nullable=False),
    Column("type", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("indexed_at", Moment, nullable=False),
    _no_empty_tenant(),
    CheckConstraint("state IN ('live', 'deleted', 'destroyed', 'gone')", name="state"),
    comment="The index: which secrets there are, as Vault said when it was last asked.",
)

index_gaps: Final = Table(
    "index_gaps",
    metadata,
    _primary("tenant_id", tenant_text(63)),
    Column("since", Moment, nullable=False),
    comment="Scopes whose index lacks writes, until they are rebuilt.",
)

idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    _primary("tenant_id", tenant_text(63)),
    _primary("principal_tenant", tenant_text(63)),
    _primary("principal", tenant_text(256)),
    _primary("key", tenant_text(64)),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("owner", String(32), nullable=False),
    Column("takeovers", Integer, nullable=False),
    Column("lease_until", Moment, nullable=False),
    Column("status", Integer),
    Column("headers", Text),
    Column("body", LargeBinary),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    _no_empty_tenant(),
    CheckConstraint("state IN ('running', 'done')", name="state"),
    Index(None, "expires_at"),
    comment="Answers to requests with an Idempotency-Key, for a day.",
)

audit_events: Final = Table(
    "audit_events",
    metadata,
    _primary("id", String(32)),
    Column("chain", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    _tenant_id(),
    Column("action", String(32), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("result", String(16), nullable=False),
    Column("operation_id", String(32), nullable=False),
    Column("at", Moment, nullable=False),
    Column("principal", Text),
    Column("principal_tenant", String(63)),
    Column("path", Text),
    Column("version", BigInteger),
    Column("status", BigInteger),
    Column("code", String(64)),
    Column("seconds", Float(53)),
    Column("cache", String(16)),
    Column("request_id", Text),
    Column("trace_id", String(32)),
    Column("source_address", String(64)),
    Column("reason", Text),
    Column("expires_at", Moment, nullable=False),
    _no_empty_tenant(),
    Index(None, "tenant_id", "at", "chain", "seq", "id"),
    Index(None, "expires_at"),
    comment="The copy of the audit log, until each record's retention is over.",
)

audit_chains: Final = Table(
    "audit_chains",
    metadata,
    _primary("chain", String(64)),
    Column("seq", BigInteger, nullable=False),
    Column("hmac", String(128), nullable=False),
    Column("file", Text, nullable=False),
    Column("device", BigInteger, nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("at", Moment, nullable=False),
    comment="How far each audit log was shipped.",
)

rotation_policies: Final = Table(
    "rotation_policies",
    metadata,
    _primary("tenant_id", tenant_text(63)),
    _primary("path", tenant_text(512)),
    Column("digest", String(64), nullable=False),
    Column("secret_type", String(32), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("interval", Float(53), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("overlap", Float(53)),
    Column("consumers_wait", Float(53), nullable=False),
    Column("settings", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("state", String(32), nullable=False),
    Column("phase", String(32), nullable=False),
    Column("rotation_id", String(32)),
    Column("fence", BigInteger, nullable=False),
    Column("trigger", String(16)),
    Column("started_at", Moment),
    Column("base_version", BigInteger),
    Column("version", BigInteger),
    Column("promoted_at", Moment),
    Column("old_valid_until", Moment),
    Column("attempts", Integer, nullable=False),
    Column("error_code", String(64)),
    Column("error_at", Moment),
    Column("last_success", Moment),
    Column("next_due", Moment),
    Column("wake_at", Moment),
    Column("progress", Text, nullable=False),
    Column("not_after", Moment),
    _no_empty_tenant(),
    Index(None, "tenant_id", "digest"),
    comment="How each secret is rotated, and how that stands, as its record in Vault said last.",
)

rotation_clock: Final = Table(
    "rotation_clock",
    metadata,
    _primary("digest", String(64)),
    _tenant_id(),
    Column("wake_at", Moment),
    Column("secret_type", String(32), nullable=False),
    Column("state", String(32), nullable=False),
    Column("next_due", Moment),
    Column("last_success", Moment),
    Column("not_after", Moment),
    _no_empty_tenant(),
    Index(None, "wake_at"),
    comment="When each rotation is looked at next: for all tenants at once, so without a path.",
)

rotation_history: Final = Table(
    "rotation_history",
    metadata,
    _primary("tenant_id", tenant_text(63)),
    _primary("rotation_id", String(32)),
    Column("path", tenant_text(512), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("secret_type", String(32), nullable=False),
    Column("trigger", String(16), nullable=False),
    Column("principal", Text),
    Column("reason", Text),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("outcome", String(16)),
    Column("base_version", BigInteger),
    Column("version", BigInteger),
    Column("error_code", String(64)),
    Column("expires_at", Moment, nullable=False),
    _no_empty_tenant(),
    Index(None, "tenant_id", "path", "started_at"),
    Index(None, "expires_at"),
    comment="Rotations that were begun, for a year.",
)

rotation_consumers: Final = Table(
    "rotation_consumers",
    metadata,
    _primary("tenant_id", tenant_text(63)),
    _primary("path", tenant_text(512)),
    _primary("consumer", tenant_text(512)),
    Column("kind", String(16), nullable=False),
    Column("principal", Text, nullable=False),
    Column("instance", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("lives_for", Float(53), nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    _no_empty_tenant(),
    Index(None, "expires_at"),
    comment="Who uses which version of a rotated secret, as long as they say so.",
)

TENANT_TABLES: Final = (
    secrets,
    idempotency_keys,
    audit_events,
    rotation_policies,
    rotation_history,
    rotation_consumers,
)
"""Tables behind row-level security. The others hold how work stands, and nothing of what a
tenant keeps.
"""
