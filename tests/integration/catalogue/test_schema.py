from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from greenlang_secrets import SecretType, Tenant, TenantId
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue, CatalogueConfig, migrations
from greenlang_secrets.catalogue.engine import make_engine
from greenlang_secrets.catalogue.grants import RIGHTS
from greenlang_secrets.catalogue.schema import BASE, REVISIONS, migrate, migration_sql
from greenlang_secrets.catalogue.tables import VERSION_TABLE, metadata
from greenlang_secrets.errors import CatalogueUnavailable, ConfigurationError
from support.audit_records import NOON, event, records
from support.catalogues import Place, of_file

ACME = Tenant(TenantId("acme"))

_MIGRATE = """
import sys
from greenlang_secrets.catalogue import CatalogueConfig
from greenlang_secrets.catalogue.schema import migrate
print(",".join(migrate(CatalogueConfig.of(sys.stdin.read())).steps))
"""


async def differences(place: Place) -> list[Any]:
    """Return what the database has and `tables.py` says not, and the other way round."""

    def compare(connection) -> list[Any]:
        options = {
            "version_table": VERSION_TABLE,
            "compare_type": True,
            "compare_server_default": True,
        }
        return list(
            compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        )

    engine = await asyncio.to_thread(make_engine, place.owner)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(compare)
    finally:
        await engine.dispose()


async def fill(catalogue: Catalogue) -> None:
    await catalogue.index.wrote(
        ACME, "a", version=1, type=SecretType.GENERIC, state="live", at=NOON
    )
    await catalogue.audit.insert(records(event(1)))


async def test_the_revisions_are_those_of_the_files() -> None:
    """The list of revisions is the files' own history, in one line."""
    config = Config()
    folder = str(Path(migrations.__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")

    script = await asyncio.to_thread(ScriptDirectory.from_config, config)
    history = await asyncio.to_thread(lambda: [each.revision for each in script.walk_revisions()])

    assert tuple(reversed(history)) == REVISIONS


async def test_migrations_make_the_tables_that_the_code_uses(empty_place: Place) -> None:
    """After all revisions the database and `tables.py` have no difference."""
    await empty_place.migrate()

    assert await differences(empty_place) == []


async def test_a_difference_is_found(place: Place) -> None:
    """The control: a column that the code does not know of is told."""
    await place.rows("ALTER TABLE secrets ADD COLUMN odd integer")

    [[kind, _, table, column]] = [list(each) for each in await differences(place)]

    assert (kind, table, column.name) == ("remove_column", "secrets", "odd")


async def test_every_table_has_rights_and_its_constraints_have_names(place: Place) -> None:
    """Nothing is granted by accident, and nothing is named by the database."""
    assert {*RIGHTS} == {*metadata.tables, VERSION_TABLE}
    if place.is_postgresql:
        unnamed = await place.rows(
            "SELECT conname FROM pg_constraint WHERE contype IN ('c', 'u') "
            "AND conrelid::regclass::text <> 'catalogue_revision' AND conname !~ '^(ck|uq)_'"
            "AND connamespace = 'public'::regnamespace"
        )
        assert unnamed == []


async def test_down_and_up_again(empty_place: Place, supervisor: Supervisor) -> None:
    """Step by step down to nothing, with data in the tables, and up again; what is left then
    works, and nothing of ours is left in between.
    """
    done = await empty_place.migrate()
    assert (done.before, done.after, done.steps) == (BASE, "0004", REVISIONS)
    async with Catalogue.open(empty_place.config, supervisor) as catalogue:
        await fill(catalogue)

    undone = [(await empty_place.migrate(down=1)).steps for _ in REVISIONS]

    assert undone == [("0004",), ("0003",), ("0002",), ("0001",)]
    assert await _left(empty_place) == [(VERSION_TABLE,)]
    assert (await empty_place.migrate()).steps == REVISIONS
    assert await differences(empty_place) == []
    async with Catalogue.open(empty_place.config, supervisor) as catalogue:
        await fill(catalogue)
        assert await catalogue.index.count(ACME) == 1


async def _left(place: Place) -> list[tuple[Any, ...]]:
    if place.is_postgresql:
        functions = await place.rows("SELECT proname FROM pg_proc WHERE proname LIKE 'purge_%'")
        assert functions == []
        return await place.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return await place.rows("SELECT name FROM sqlite_master WHERE type = 'table'")


async def test_data_outlives_revisions_of_other_subjects(
    place: Place, supervisor: Supervisor
) -> None:
    """Undoing the audit's tables leaves the index as it is."""
    async with Catalogue.open(place.config, supervisor) as catalogue:
        await fill(catalogue)

    await place.migrate(to="0001")
    await place.migrate()

    async with Catalogue.open(place.config, supervisor) as catalogue:
        assert await catalogue.index.count(ACME) == 1
        assert (await catalogue.audit.events(ACME)).items == ()


async def test_a_second_run_does_nothing(place: Place) -> None:
    """What is right already is left alone."""
    assert (await place.migrate()).steps == ()


async def test_a_plan_changes_nothing(empty_place: Place) -> None:
    """A plan says what would be done, and leaves no table."""
    planned = await empty_place.migrate(plan=True)

    assert (planned.before, planned.after, planned.steps) == (BASE, "0004", REVISIONS)
    assert await _left(empty_place) == []


async def test_two_at_once_do_it_once(empty_place: Place) -> None:
    """Two processes that migrate at the same time do each step once, and both succeed."""
    url = empty_place.owner.url.set(
        password=None if empty_place.owner.password is None else empty_place.owner.password.reveal()
    ).render_as_string(hide_password=False)
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _MIGRATE), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]

    outputs = await asyncio.gather(*(process.communicate(url.encode()) for process in processes))

    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(output.decode().strip() for output, _ in outputs) == ["", "0001,0002,0003,0004"]
    assert await differences(empty_place) == []


async def test_statements_can_be_run_by_hand(postgres_server) -> None:
    """The script of all revisions makes the same tables, and grants the same rights."""
    from support.catalogues import in_postgres

    async with in_postgres(postgres_server) as place:
        script = await asyncio.to_thread(migration_sql, place.owner, app_role=place.app_role)
        import asyncpg

        owner = await asyncpg.connect(place.login(place.owner_role or ""))
        await owner.execute(script)
        await owner.close()

        assert await differences(place) == []
        assert (await place.migrate()).steps == ()
        async with (
            Supervisor() as supervisor,
            Catalogue.open(place.config, supervisor) as catalogue,
        ):
            await fill(catalogue)
            assert await catalogue.audit.purge() in {0, 1}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"to": "0099"}, "There is no revision '0099'"),
        ({"down": 5}, "5 revisions cannot be undone; there are 4"),
        ({"down": 0}, "0 revisions cannot be undone"),
    ],
)
async def test_a_revision_that_is_not_there_is_refused(place: Place, options, text: str) -> None:
    """A revision out of reach is named."""
    with pytest.raises(ConfigurationError, match=text):
        await place.migrate(**options)


async def test_a_role_that_cannot_serve_is_refused(postgres_place: Place) -> None:
    """Rights are given to a role that is there, and is not the tables' owner."""
    with pytest.raises(ConfigurationError, match="There is no role 'nobody-here'"):
        await postgres_place.migrate(app_role="nobody-here")
    with pytest.raises(ConfigurationError, match="owner, or a member of it"):
        await postgres_place.migrate(app_role=postgres_place.owner_role)


async def test_a_file_has_no_roles(tmp_path: Path) -> None:
    """A role for a SQLite file is a mistake, and said to be one."""
    with pytest.raises(ConfigurationError, match="leave --app-role out"):
        await of_file(tmp_path).migrate(app_role="app")


async def test_an_owner_is_needed(postgres_place: Place) -> None:
    """The service's own login cannot migrate, and is told by its SQLSTATE."""
    with pytest.raises(CatalogueUnavailable, match=r"SQLSTATE 42501.*owner's URL"):
        await asyncio.to_thread(migrate, postgres_place.config, down=1)


async def test_a_database_that_is_away_cannot_be_migrated() -> None:
    """Nobody listens: the error says so, and shows no address."""
    config = CatalogueConfig.of("postgresql://owner:secret@127.0.0.1:1/x")

    with pytest.raises(CatalogueUnavailable) as raised:
        await asyncio.to_thread(migrate, config)

    assert "127.0.0.1" not in str(raised.value)


async def test_a_newer_version_s_tables_are_used_and_not_migrated(
    place: Place, supervisor: Supervisor
) -> None:
    """While replicas are replaced one by one, those of the older version go on; they do not
    migrate what they do not know.
    """
    await place.rows(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")

    async with Catalogue.open(place.config, supervisor) as catalogue:
        await fill(catalogue)
        health = await catalogue.health()
    with pytest.raises(ConfigurationError, match="'9999', which this version does not know"):
        await place.migrate()

    assert (health.usable, health.revision, health.expected) == (True, "9999", REVISIONS[-1])


async def test_older_tables_are_told_until_they_are_migrated(
    postgres_place: Place, supervisor: Supervisor
) -> None:
    """A PostgreSQL that was not migrated is not used, says what to do, and is used by itself
    once that was done.
    """
    await postgres_place.migrate(to="0001")
    async with Catalogue.open(postgres_place.config, supervisor) as catalogue:
        health = await catalogue.health()
        assert (health.usable, health.obstacle) == (False, "schema_behind")
        assert "greenlang-secrets migrate" in (health.advice or "")
        with pytest.raises(CatalogueUnavailable, match="greenlang-secrets migrate"):
            await catalogue.index.count(ACME)
        await postgres_place.migrate(to=BASE)

        await postgres_place.migrate()

        while not (await catalogue.health()).usable:
            await asyncio.sleep(0.05)
        await fill(catalogue)


async def test_a_database_without_tables_is_told(
    postgres_place: Place, supervisor: Supervisor
) -> None:
    """An empty PostgreSQL, and one whose tables the role may not use, are not used."""
    await postgres_place.migrate(to=BASE)
    async with Catalogue.open(postgres_place.config, supervisor) as catalogue:
        assert (await catalogue.health()).obstacle == "schema_missing"
    await postgres_place.migrate(app_role=None)
    async with Catalogue.open(postgres_place.config, supervisor) as catalogue:
        assert (await catalogue.health()).obstacle == "schema_missing"


async def test_a_file_makes_and_migrates_itself(tmp_path: Path, supervisor: Supervisor) -> None:
    """A SQLite catalogue needs no command: its file is made private, older tables are migrated."""
    place = of_file(tmp_path / "state")

    async with Catalogue.open(place.config, supervisor) as catalogue:
        await fill(catalogue)
    await place.migrate(to="0001")
    async with Catalogue.open(place.config, supervisor) as catalogue:
        await fill(catalogue)
        files = sorted((tmp_path / "state").iterdir())
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in files}

    assert modes == {
        "catalogue.sqlite3": 0o600,
        "catalogue.sqlite3-shm": 0o600,
        "catalogue.sqlite3-wal": 0o600,
    }
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


async def test_a_file_that_cannot_be_made_is_told(tmp_path: Path, supervisor: Supervisor) -> None:
    """A place where no file can be does not keep the catalogue from opening."""
    (tmp_path / "file").touch()
    place = of_file(tmp_path / "file")

    async with Catalogue.open(place.config, supervisor) as catalogue:
        health = await catalogue.health()

        assert (health.usable, health.obstacle) == (False, "unreachable")
        with pytest.raises(CatalogueUnavailable):
            await catalogue.index.count(ACME)
