"""The second wall between tenants, tried with the service's own login and no library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from greenlang_secrets import PLATFORM, Principal, SecretType, Tenant, TenantId
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue, CatalogueConfig
from greenlang_secrets.catalogue.grants import RIGHTS
from greenlang_secrets.catalogue.tables import TENANT_TABLES
from greenlang_secrets.errors import CatalogueUnavailable
from greenlang_secrets.paths import Scope
from greenlang_secrets.rotation_model import RotationRow
from support.audit_records import event, records
from support.catalogues import Place
from support.rotation_rows import digest_of, note, put, report, run

ACME, GLOBEX = (Tenant(TenantId(name)) for name in ("acme", "globex"))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TABLES = [table.name for table in TENANT_TABLES]
Denied = asyncpg.InsufficientPrivilegeError


@pytest.fixture
async def catalogue(postgres_place: Place, supervisor: Supervisor) -> AsyncIterator[Catalogue]:
    """A catalogue in PostgreSQL with a row of each table, for acme and the platform."""
    async with Catalogue.open(postgres_place.config, supervisor) as catalogue:
        for scope, tenant in ((ACME, "acme"), (PLATFORM, None)):
            await catalogue.index.wrote(
                scope, "a", version=1, type=SecretType.GENERIC, state="live", at=NOON
            )
            await catalogue.idempotency.begin(scope, Principal(subject="bob"), "k", b"f")
            await catalogue.audit.insert(records(event(1, tenant=tenant, at=datetime.now(UTC))))
            await put(catalogue.rotations, scope, "a", wake_at=NOON)
            await catalogue.rotations.begin_run(run(scope=scope))
            await catalogue.rotations.report([report(scope=scope)])
        yield catalogue


@pytest.fixture
async def app(postgres_place: Place, catalogue: Catalogue) -> AsyncIterator[asyncpg.Connection]:
    """The service's own login, without the library."""
    connection = await asyncpg.connect(postgres_place.login(postgres_place.app_role or ""))
    yield connection
    await connection.close()


async def found(catalogue: Catalogue, scope: Scope) -> RotationRow:
    row = await catalogue.rotations.find(scope, "a")
    assert row is not None
    return row


async def enter(connection: asyncpg.Connection, tenant: str) -> None:
    await connection.execute("SELECT set_config('app.tenant_id', $1, false)", tenant)


@pytest.mark.parametrize("table", TABLES)
async def test_without_a_tenant_there_are_no_rows(app: asyncpg.Connection, table: str) -> None:
    """A connection that set no tenant sees nothing, nor does one whose tenant was reset."""
    assert await app.fetchval(f"SELECT count(*) FROM {table}") == 0

    await app.execute("BEGIN; SELECT set_config('app.tenant_id', 'acme', true); COMMIT")

    assert await app.fetchval("SELECT current_setting('app.tenant_id', true)") == ""
    assert await app.fetchval(f"SELECT count(*) FROM {table}") == 0


@pytest.mark.parametrize("table", TABLES)
async def test_a_tenant_sees_its_own_rows_alone(app: asyncpg.Connection, table: str) -> None:
    """Without any filter in the statement, only the tenant's own row is there."""
    seen = {}
    for tenant in ("acme", "globex", "@platform", ""):
        await enter(app, tenant)
        rows = await app.fetch(f"SELECT tenant_id FROM {table}")
        seen[tenant] = [row["tenant_id"] for row in rows]

    assert seen == {"acme": ["acme"], "globex": [], "@platform": ["@platform"], "": []}


@pytest.mark.parametrize("table", TABLES)
async def test_a_row_for_another_tenant_is_refused(
    app: asyncpg.Connection, postgres_place: Place, table: str
) -> None:
    """A row cannot be put into another tenant's, nor moved there."""
    [(names,)] = await postgres_place.rows(
        "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns "
        f"WHERE table_name = '{table}' AND column_name NOT IN ('tenant_id', 'id', 'chain')"
    )
    own = ("id, chain, ", "'x', 'x', ") if table == "audit_events" else ("", "")
    await enter(app, "acme")

    with pytest.raises(Denied, match="row-level security"):
        await app.execute(
            f"INSERT INTO {table} (tenant_id, {own[0]}{names}) "
            f"SELECT 'globex', {own[1]}{names} FROM {table}"
        )
    if table != "audit_events":
        with pytest.raises(Denied, match="row-level security"):
            await app.execute(f"UPDATE {table} SET tenant_id = 'globex'")


@pytest.mark.parametrize("table", [name for name in TABLES if "DELETE" in RIGHTS[name]])
async def test_a_row_of_another_tenant_is_not_touched(
    app: asyncpg.Connection, postgres_place: Place, table: str
) -> None:
    """A change of all rows changes the tenant's own; records cannot be changed at all."""
    await enter(app, "acme")

    await app.execute(f"DELETE FROM {table}")

    left = await postgres_place.rows(f"SELECT tenant_id FROM {table}")
    assert left == [("@platform",)]


@pytest.mark.parametrize("table", ["rotation_history", "rotation_consumers"])
async def test_a_row_of_another_tenant_is_not_changed(
    app: asyncpg.Connection, postgres_place: Place, table: str
) -> None:
    """Where rows can be changed and not removed, a change of all rows changes the tenant's own."""
    await enter(app, "acme")

    await app.execute(f"UPDATE {table} SET version = 99")
    with pytest.raises(Denied):
        await app.execute(f"DELETE FROM {table}")

    left = await postgres_place.rows(f"SELECT tenant_id FROM {table} WHERE version = 99")
    assert left == [("acme",)]


async def test_the_clock_says_no_path(postgres_place: Place, app: asyncpg.Connection) -> None:
    """What is seen of all tenants at once is when to look, and nothing of what a tenant keeps."""
    [columns] = await postgres_place.rows(
        "SELECT array_agg(column_name::text ORDER BY column_name) "
        "FROM information_schema.columns WHERE table_name = 'rotation_clock'"
    )

    assert await app.fetchval("SELECT count(*) FROM rotation_clock") == 2
    assert columns[0] == [
        *("digest", "last_success", "next_due", "not_after", "secret_type", "state"),
        *("tenant_id", "wake_at"),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET path = 'x'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "DROP TABLE audit_events",
        "ALTER TABLE audit_events DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tenant_select ON audit_events",
        "CREATE POLICY mine ON audit_events USING (true)",
        "CREATE TRIGGER t AFTER INSERT ON audit_events EXECUTE FUNCTION now()",
        "SET ROLE {owner}",
        "SET SESSION AUTHORIZATION {owner}",
        "ALTER FUNCTION purge_audit_events(integer) RENAME TO x",
        "DELETE FROM audit_chains",
        "UPDATE catalogue_revision SET version_num = '0001'",
    ],
)
async def test_what_was_recorded_stays(
    app: asyncpg.Connection, postgres_place: Place, statement: str
) -> None:
    """The service's role cannot change or remove records, nor become somebody who can."""
    await enter(app, "acme")

    with pytest.raises(Denied):
        await app.execute(statement.format(owner=postgres_place.owner_role))

    assert await postgres_place.rows("SELECT count(*) FROM audit_events") == [(2,)]


async def test_the_purge_takes_what_is_over_and_nothing_else(
    app: asyncpg.Connection, postgres_place: Place
) -> None:
    """Whatever the caller sets, the function removes expired rows alone, of the real table."""
    await enter(app, "acme")
    await app.execute("CREATE TEMP TABLE audit_events (expires_at timestamptz)")
    await app.execute("SET search_path = pg_temp, public")
    await app.execute("SET timezone = 'Pacific/Kiritimati'")
    assert await app.fetchval("SELECT public.purge_audit_events(1000)") == 0
    await postgres_place.rows(
        "UPDATE audit_events SET expires_at = now() - interval '1 second' "
        "WHERE tenant_id = '@platform'"
    )

    assert await app.fetchval("SELECT public.purge_audit_events(1000)") == 1

    assert await postgres_place.rows("SELECT tenant_id FROM public.audit_events") == [("acme",)]


async def test_the_owner_sees_what_is_over_and_nothing_else(postgres_place: Place, app) -> None:
    """The tables' owner is held by their row-level security too."""
    owner = await asyncpg.connect(postgres_place.login(postgres_place.owner_role or ""))
    try:
        assert [await owner.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES] == [
            *(0, 0, 0, 0, 0, 0)
        ]
        assert await owner.execute("DELETE FROM audit_events") == "DELETE 0"
    finally:
        await owner.close()


async def test_nobody_else_may_purge(postgres_place: Place, postgres_server, app) -> None:
    """The function is not for every role of the server."""
    admin = await asyncpg.connect(postgres_place.admin_url)
    name = f"stranger_{postgres_place.app_role}"
    await admin.execute(f"CREATE ROLE {name}")
    try:
        await admin.execute(f"SET ROLE {name}")
        with pytest.raises(Denied):
            await admin.execute("SELECT purge_audit_events(1)")
    finally:
        await admin.execute(f"RESET ROLE; DROP ROLE {name}")
        await admin.close()


async def test_statements_filter_by_themselves(catalogue: Catalogue, postgres_place: Place) -> None:
    """With row-level security taken away, the library's own filters still keep tenants apart."""
    for table in TABLES:
        await postgres_place.rows(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")

    assert await catalogue.index.count(GLOBEX) == 0
    assert await catalogue.index.count(ACME) == 1
    assert (await catalogue.index.page(GLOBEX)).items == ()
    assert (await catalogue.audit.events(GLOBEX)).items == ()
    assert len((await catalogue.audit.events(ACME)).items) == 1
    assert await catalogue.rotations.find(GLOBEX, "a") is None
    assert await catalogue.rotations.by_digest(GLOBEX, digest_of(ACME, "a")) is None
    assert await catalogue.rotations.page(GLOBEX, order="path", after=None, limit=9) == []
    assert await catalogue.rotations.paths(GLOBEX) == frozenset()
    assert (await catalogue.rotations.summary(GLOBEX)).by_state == {}
    assert await catalogue.rotations.history(GLOBEX, "a", limit=9) == []
    assert await catalogue.rotations.behind(GLOBEX, "a", version=2) == []
    assert await catalogue.rotations.remove(GLOBEX, "a") is False
    await note(catalogue.rotations, GLOBEX, "a", fence=7)
    assert (await found(catalogue, ACME)).standing.fence == 0
    assert len(await catalogue.rotations.history(ACME, "a", limit=9)) == 1
    assert len(await catalogue.rotations.behind(ACME, "a", version=2)) == 1
    await catalogue.index.sweep(GLOBEX, begun_at=await catalogue.index.clock())
    assert await catalogue.index.count(ACME) == 1


async def test_row_security_holds_without_the_filters(app: asyncpg.Connection) -> None:
    """The control: it is the filters that were seen above, for without them and without row-level
    security a statement reads everything.
    """
    await enter(app, "globex")
    assert await app.fetchval("SELECT count(*) FROM secrets") == 0


async def test_without_either_wall_everything_is_seen(
    app: asyncpg.Connection, postgres_place: Place
) -> None:
    """The control: with both walls gone a tenant reads what is another's."""
    await postgres_place.rows("ALTER TABLE secrets DISABLE ROW LEVEL SECURITY")
    await enter(app, "globex")

    assert await app.fetchval("SELECT count(*) FROM secrets") == 2


async def obstacle_of(config: CatalogueConfig, supervisor: Supervisor) -> str | None:
    async with Catalogue.open(config, supervisor) as catalogue:
        health = await catalogue.health()
        if health.obstacle is not None:
            with pytest.raises(CatalogueUnavailable):
                await catalogue.index.count(ACME)
        return health.obstacle


async def test_a_role_that_may_too_much_is_refused(
    postgres_place: Place, supervisor: Supervisor
) -> None:
    """The tables' owner, a superuser, a role that bypasses row-level security, and a member of
    any of them, are not used; the service's role is.
    """
    owner, app = postgres_place.owner_role, postgres_place.app_role
    assert await obstacle_of(postgres_place.config, supervisor) is None
    assert await obstacle_of(postgres_place.owner, supervisor) == "role_too_powerful"
    superuser = CatalogueConfig.of(postgres_place.admin_url)
    assert await obstacle_of(superuser, supervisor) == "role_too_powerful"
    for power, undo in (
        (f"ALTER ROLE {app} BYPASSRLS", f"ALTER ROLE {app} NOBYPASSRLS"),
        (f"GRANT {owner} TO {app}", f"REVOKE {owner} FROM {app}"),
    ):
        await postgres_place.rows(power)
        assert await obstacle_of(postgres_place.config, supervisor) == "role_too_powerful"
        await postgres_place.rows(undo)
    assert await obstacle_of(postgres_place.config, supervisor) is None


@pytest.mark.parametrize("change", ["DISABLE", "NO FORCE"])
async def test_tables_without_row_security_are_refused(
    postgres_place: Place, supervisor: Supervisor, change: str
) -> None:
    """Tables whose row-level security was switched off are not used."""
    await postgres_place.rows(f"ALTER TABLE idempotency_keys {change} ROW LEVEL SECURITY")

    assert await obstacle_of(postgres_place.config, supervisor) == "row_security_off"
