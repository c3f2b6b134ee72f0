"""What is changed in a PostgreSQL, and the fence that refuses owners taken for dead.

One transaction raises the fence of both users and changes one of them. An owner with a smaller
fence gets no further than the first, and one that stops in between is thrown out by the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from greenlang_secrets.errors import RotationFailed, RotationFenced
from greenlang_secrets.sensitive import SecretValue

__all__ = ["MISFITS", "Fence", "cut_off", "end_sessions", "give", "misfit"]

# For this transaction only, so that it works through a pooler. The last is for an owner that
# stops in mid-transaction: the next one would wait for its locks. The first keeps functions of
# other users in the same database from being called with our rights (CVE-2018-1058).
_LIMITS: Final = """
SELECT set_config('search_path', 'pg_catalog, pg_temp', true),
       set_config('lock_timeout', '4s', true),
       set_config('statement_timeout', '8s', true),
       set_config('idle_in_transaction_session_timeout', '8s', true)
"""

# Two that make the table at the same time would fail, so they make it one after the other; the
# number is nobody else's: "gls_fenc" in ASCII.
_ALONE: Final = "SELECT pg_advisory_xact_lock(x'676c735f66656e63'::bigint)"

# Whoever owns the table could have a trigger in it, which would act with our rights: the role that
# the application's users act as could, also where the administrator inherits its rights.
_FOUND: Final = """
SELECT n.oid IS NOT NULL AS has_schema, c.oid IS NOT NULL AS has_table,
       bool_and(r.rolname = current_user OR r.rolsuper) AS is_ours
  FROM (SELECT 'gls_rotation' AS schema) AS wanted
  LEFT JOIN pg_namespace n ON n.nspname = wanted.schema
  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'gls_fence'
  LEFT JOIN LATERAL (VALUES (n.nspowner), (c.relowner)) AS o (owner) ON o.owner IS NOT NULL
  LEFT JOIN pg_roles r ON r.oid = o.owner
 GROUP BY 1, 2
"""
_MAKE_SCHEMA: Final = "CREATE SCHEMA gls_rotation"
_MAKE_TABLE: Final = """
CREATE TABLE gls_rotation.gls_fence (
    role text PRIMARY KEY, secret text NOT NULL, fence bigint NOT NULL, op text NOT NULL
)
"""

_RAISE: Final = """
INSERT INTO gls_rotation.gls_fence AS f (role, secret, fence, op)
SELECT role, $2, $3, $4 FROM unnest($1::text[]) AS role ORDER BY role
    ON CONFLICT (role) DO UPDATE SET fence = excluded.fence, op = excluded.op
 WHERE f.fence <= excluded.fence AND f.secret = excluded.secret
RETURNING role
"""
_FOREIGN: Final = """
SELECT EXISTS (SELECT FROM gls_rotation.gls_fence WHERE role = ANY ($1::text[]) AND secret <> $2)
"""

_WANTED: Final = """
CREATE TEMPORARY TABLE gls_wanted (role text, owner text, verifier text) ON COMMIT DROP
"""
# What is executed inside is neither logged nor shown; on an error it would be the context, so
# that the error is caught and another one raised. Without an owner: a user to be cut off.
_CHANGE: Final = """
DO $gls$
DECLARE
    w record;
BEGIN
    SELECT role, owner, verifier INTO STRICT w FROM pg_temp.gls_wanted;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = w.role) THEN
        IF w.owner IS NULL THEN
            RETURN;
        END IF;
        EXECUTE format('CREATE ROLE %I', w.role);
    END IF;
    IF w.owner IS NULL THEN
        EXECUTE format('ALTER ROLE %I PASSWORD %L', w.role, w.verifier);
        RETURN;
    END IF;
    EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L', w.role, w.verifier);
    IF NOT pg_has_role(w.role, w.owner, 'MEMBER') THEN
        EXECUTE format('GRANT %I TO %I', w.owner, w.role);
    END IF;
    EXECUTE format('ALTER ROLE %I SET role TO %L', w.role, w.owner);
EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'the role could not be changed';
END
$gls$
"""

_END_SESSIONS: Final = """
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))
  FROM pg_stat_activity WHERE usename = $1 AND pid <> pg_backend_pid()
"""

# From version 16 on CREATEROLE alone changes no role that the administrator was not given.
_LOOK: Final = """
WITH me AS (
    SELECT rolsuper, rolsuper OR rolcreaterole AS may_create,
           current_setting('server_version_num')::int >= 160000 AS needs_admin
      FROM pg_roles WHERE rolname = current_user
), users AS (
    SELECT wanted.name, r.rolsuper,
           r.oid IS NOT NULL AND pg_has_role(r.oid, o.oid, 'MEMBER') AS is_member,
           r.oid IS NULL OR pg_has_role(current_user, r.oid, 'MEMBER WITH ADMIN OPTION') AS is_admin
      FROM unnest($1::text[]) AS wanted (name)
      LEFT JOIN pg_roles r ON r.rolname = wanted.name
      LEFT JOIN pg_roles o ON o.rolname = $2
)
SELECT pg_is_in_recovery() AS is_standby,
       NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $2) AS lacks_owner,
       coalesce(bool_or(users.rolsuper), false) AS is_superuser,
       NOT me.may_create OR (me.needs_admin AND NOT me.rolsuper AND NOT bool_and(users.is_admin))
           AS lacks_admin,
       NOT me.rolsuper AND NOT coalesce(bool_and(users.is_member), false)
           AND NOT (NOT me.needs_admin AND me.may_create) AND EXISTS (
               SELECT FROM pg_roles o WHERE o.rolname = $2
                  AND NOT pg_has_role(current_user, o.oid, 'MEMBER WITH ADMIN OPTION')
           ) AS lacks_grant,
       NOT has_database_privilege(current_database(), 'TEMPORARY') AS lacks_temporary,
       NOT has_database_privilege(current_database(), 'CREATE')
           AND NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'gls_rotation')
           AS lacks_schema
  FROM me, users GROUP BY me.rolsuper, me.may_create, me.needs_admin
"""

MISFITS: Final[Mapping[str, str]] = {
    "is_standby": "The administrator's secret leads to a standby; name the primary.",
    "lacks_owner": "The role that the setting 'owner' names does not exist.",
    "is_superuser": "A user of the setting 'users' is a superuser; use ordinary ones.",
    "lacks_admin": "The administrator may not change both users: it needs CREATEROLE and ADMIN "
    "OPTION on each.",
    "lacks_grant": "A user is no member of the role that the setting 'owner' names, and the "
    "administrator may not make it one.",
    "lacks_temporary": "The administrator may make no temporary table: GRANT TEMPORARY ON DATABASE.",
    "lacks_schema": "The administrator may make no schema: CREATE SCHEMA gls_rotation "
    "AUTHORIZATION it.",
    "is_foreign": "Another secret is rotated between these users.",
    "is_planted": "The schema gls_rotation or its table belongs to another than the administrator.",
}
"""What may keep a pair of users from being rotated, and what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Who changes something.

    Attributes:
        users: the two that are fenced together.
        secret: tells the rotated secret from all others, and does not say which it is.
        number: the fence of this owner.
        operation: the rotation's id.
        path: the rotated secret's, for errors.
    """

    users: tuple[str, str]
    secret: str
    number: int
    operation: str
    path: object


async def misfit(connection: Any, fence: Fence, owner: str) -> str | None:
    """Return the key in `MISFITS` of what keeps this administrator from rotating these users."""
    async with connection.transaction(readonly=True):
        await connection.fetchval(_LIMITS)
        found = await connection.fetchrow(_LOOK, list(fence.users), owner)
        first = next((name for name in MISFITS if found.get(name)), None)
        if first is not None:
            return first
        table = await connection.fetchrow(_FOUND)
        if table["is_ours"] is False:
            return "is_planted"
        if table["has_table"] and await _is_foreign(connection, fence):
            return "is_foreign"
        return None


async def give(
    connection: Any, fence: Fence, *, role: str, owner: str, verifier: SecretValue
) -> None:
    """Make this true of `role`: it exists, may log in with the password of `verifier`, is a member
    of `owner`, and acts as it from its login on. In one transaction with the fence.

    Raises:
        RotationFenced: the server has seen a greater fence for one of the users.
        RotationFailed: they belong to another secret, or the fence's table to somebody else.
    """
    await _change(connection, fence, (role, owner, verifier))


async def cut_off(connection: Any, fence: Fence, *, role: str, verifier: SecretValue) -> None:
    """Give `role` another password, if it exists; raises as `give`."""
    await _change(connection, fence, (role, None, verifier))


async def end_sessions(connection: Any, role: str) -> int:
    """End the sessions of a role; return how many there were."""
    return int(await connection.fetchval(_END_SESSIONS, role))


async def _change(
    connection: Any, fence: Fence, wanted: tuple[str, str | None, SecretValue]
) -> None:
    role, owner, verifier = wanted
    async with connection.transaction():
        await connection.fetchval(_LIMITS)
        await _have_table(connection, fence)
        await _raise(connection, fence)
        await connection.execute(_WANTED)
        await connection.copy_records_to_table(
            "gls_wanted", schema_name="pg_temp", records=[(role, owner, verifier.reveal())]
        )
        await connection.execute(_CHANGE)


async def _have_table(connection: Any, fence: Fence) -> None:
    found = await connection.fetchrow(_FOUND)
    if not found["has_table"]:
        await connection.fetchval(_ALONE)
        found = await connection.fetchrow(_FOUND)
        if not found["has_schema"]:
            await connection.execute(_MAKE_SCHEMA)
        if not found["has_table"]:
            await connection.execute(_MAKE_TABLE)
        found = await connection.fetchrow(_FOUND)
    if not found["is_ours"]:
        raise RotationFailed("target_refused", path=fence.path)


async def _raise(connection: Any, fence: Fence) -> None:
    raised = await connection.fetch(
        _RAISE, list(fence.users), fence.secret, fence.number, fence.operation
    )
    if len(raised) == len(fence.users):
        return
    if await _is_foreign(connection, fence):
        raise RotationFailed("target_refused", path=fence.path)
    raise RotationFenced(path=fence.path)


async def _is_foreign(connection: Any, fence: Fence) -> bool:
    return bool(await connection.fetchval(_FOREIGN, list(fence.users), fence.secret))
