"""Row-level security in PostgreSQL, as the revisions set it up; SQLite has none.

A row of another tenant is not there, for the tables' owner either (FORCE). The owner may see
and delete one kind of row, that whose time is over, and the service may have it do so
(PostgreSQL, "Row Security Policies"; "CREATE FUNCTION", "Writing SECURITY DEFINER Functions
Safely").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from alembic import op

__all__ = ["drop_purge", "purge_expired", "secure"]

_MINE: Final = "tenant_id = current_setting('app.tenant_id', true)"
# The schema's name is known when it runs, and written into the function: whoever calls it has
# no say in which table it means.
_PURGE: Final = """
DO $make$
BEGIN
  EXECUTE format($function$
    CREATE FUNCTION %1$I.purge_{table}(most integer) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $body$
      WITH purged AS (
        DELETE FROM %1$I.{table} WHERE ctid = ANY (ARRAY(
          SELECT ctid FROM %1$I.{table} WHERE expires_at < now() LIMIT most FOR UPDATE SKIP LOCKED
        )) RETURNING 1
      ) SELECT count(*) FROM purged
    $body$
  $function$, current_schema());
END
$make$
"""


def secure(table: str, commands: Sequence[str] = ("ALL",)) -> None:
    """Let a table's rows be seen and written in their own tenant's transactions only; a command
    that is not among `commands` finds none at all.
    """
    if not _is_postgresql():
        return
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    for command in commands:
        using = "" if command == "INSERT" else f" USING ({_MINE})"
        check = "" if command == "SELECT" else f" WITH CHECK ({_MINE})"
        name = "tenant" if command == "ALL" else f"tenant_{command.lower()}"
        op.execute(f"CREATE POLICY {name} ON {table} FOR {command}{using}{check}")


def purge_expired(table: str) -> None:
    """Make the function that deletes rows of all tenants whose `expires_at` is over."""
    if not _is_postgresql():
        return
    for command in ("SELECT", "UPDATE", "DELETE"):  # UPDATE: to lock the rows
        op.execute(
            f"CREATE POLICY purge_{command.lower()} ON {table} FOR {command} TO CURRENT_USER "
            f"USING (expires_at < now())" + (" WITH CHECK (false)" if command == "UPDATE" else "")
        )
    op.execute(_PURGE.format(table=table))
    op.execute(f"REVOKE ALL ON FUNCTION purge_{table}(integer) FROM PUBLIC")


def drop_purge(table: str) -> None:
    """Drop the function; the policies go with the table."""
    if _is_postgresql():
        op.execute(f"DROP FUNCTION purge_{table}(integer)")


def _is_postgresql() -> bool:
    return op.get_context().dialect.name == "postgresql"
