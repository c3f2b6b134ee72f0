"""What the service's own role may do in PostgreSQL, and nothing besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from greenlang_secrets.catalogue.tables import VERSION_TABLE

__all__ = ["PURGES", "RIGHTS", "grant"]

RIGHTS: Final[Mapping[str, str]] = {
    "secrets": "SELECT, INSERT, UPDATE, DELETE",
    "index_gaps": "SELECT, INSERT, UPDATE, DELETE",
    "idempotency_keys": "SELECT, INSERT, UPDATE, DELETE",
    "audit_events": "SELECT, INSERT",
    "audit_chains": "SELECT, INSERT, UPDATE",
    "rotation_policies": "SELECT, INSERT, UPDATE, DELETE",
    "rotation_clock": "SELECT, INSERT, UPDATE, DELETE",
    "rotation_history": "SELECT, INSERT, UPDATE",
    "rotation_consumers": "SELECT, INSERT, UPDATE",
    VERSION_TABLE: "SELECT",
}
"""Table to rights. What was recorded is not changed by who records it."""

PURGES: Final = (
    "purge_audit_events",
    "purge_idempotency_keys",
    "purge_rotation_consumers",
    "purge_rotation_history",
)
"""Functions with the owner's rights: each deletes rows whose time is over, and no others."""


def grant(role: str) -> Iterator[str]:
    """Yield the statements that give `role` its rights and take all others; they may be repeated."""
    name = _quoted(role)
    for table, rights in RIGHTS.items():
        yield f"REVOKE ALL ON {table} FROM {name}"
        yield f"GRANT {rights} ON {table} TO {name}"
    for function in PURGES:
        yield f"GRANT EXECUTE ON FUNCTION {function}(integer) TO {name}"


def _quoted(role: str) -> str:
    return '"' + role.replace('"', '""') + '"'
