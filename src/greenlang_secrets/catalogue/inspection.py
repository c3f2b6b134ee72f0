"""What must be so before the service uses a database: its tables, and how little its role may."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from greenlang_secrets.catalogue.config import DatabaseKind
from greenlang_secrets.catalogue.gate import Obstacle
from greenlang_secrets.catalogue.schema import REVISIONS
from greenlang_secrets.catalogue.tables import TENANT_TABLES, VERSION_TABLE

__all__ = ["inspect", "revision_of"]

_HAS_TABLE: Final[dict[DatabaseKind, str]] = {
    "sqlite": "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = :name",
    "postgresql": "SELECT count(*) FROM pg_class WHERE oid = to_regclass(:name) "
    "AND has_table_privilege(oid, 'SELECT')",
}
# Membership counts as ownership: SET ROLE is one statement away.
_POWERS: Final = """
SELECT count(*) FILTER (WHERE pg_has_role(current_user, c.relowner, 'MEMBER')) AS owned,
       count(*) FILTER (WHERE has_table_privilege(c.oid, 'SELECT')
                          AND has_table_privilege(c.oid, 'INSERT')) AS usable,
       count(*) FILTER (WHERE c.relrowsecurity AND c.relforcerowsecurity) AS secured,
       (SELECT count(*) FROM pg_roles r
         WHERE (r.rolsuper OR r.rolbypassrls) AND pg_has_role(current_user, r.oid, 'MEMBER'))
       AS passing
  FROM pg_class c WHERE c.oid = ANY (SELECT to_regclass(name) FROM unnest(CAST(:names AS text[])) AS name)
"""


async def revision_of(connection: AsyncConnection, kind: DatabaseKind) -> str | None:
    """Return the schema's revision, or None if there is none that this role may see."""
    found = await connection.execute(text(_HAS_TABLE[kind]), {"name": VERSION_TABLE})
    if not found.scalar_one():
        return None
    revision = await connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608  a constant
    return revision.scalar_one_or_none()


async def inspect(
    connection: AsyncConnection, kind: DatabaseKind, revision: str | None
) -> Obstacle | None:
    """Return what keeps this database from being used, or None.

    A revision that is not known here is a newer version's: while replicas are replaced one by
    one, the old ones go on with it.
    """
    if revision is None:
        return "schema_missing"
    if revision in REVISIONS[:-1]:
        return "schema_behind"
    if kind == "sqlite":
        return None
    names = [table.name for table in TENANT_TABLES]
    row = (await connection.execute(text(_POWERS), {"names": names})).one()
    if row.owned or row.passing:
        return "role_too_powerful"
    if row.usable < len(names):
        return "schema_missing"
    return None if row.secured == len(names) else "row_security_off"
