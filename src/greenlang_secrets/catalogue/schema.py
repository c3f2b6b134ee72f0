"""The schema's revisions, and the way from one to another: `migrate`.

A migration is one transaction, begun with a lock, so that two that run at once do the work
once; on SQLite too, whose schema changes are as transactional as its rows.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from greenlang_secrets.catalogue.config import CatalogueConfig
from greenlang_secrets.catalogue.engine import WRITES, make_engine
from greenlang_secrets.catalogue.grants import grant
from greenlang_secrets.catalogue.tables import VERSION_TABLE
from greenlang_secrets.errors import CatalogueUnavailable, ConfigurationError

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["BASE", "REVISIONS", "Migrated", "migrate", "migrate_own_file", "migration_sql"]

BASE: Final = "base"
"""The revision of a database without our tables, as Alembic calls it."""

REVISIONS: Final = ("0001", "0002", "0003", "0004")
"""Oldest first; a test compares them with the files."""

_LOCK: Final = 0x6772_6E5F_6361_7461  # 'grn_cata'; of PostgreSQL's advisory locks
_TIMEOUT: Final = 15.0  # seconds to connect, or for another migration of a file to end
_PATIENCE: Final = "60s"  # for another migration to end, or for a lock on a table


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """What a migration did, or would do.

    Attributes:
        before, after: revisions; `BASE` without tables.
        steps: the revisions gone through, in order: each was applied, or undone.
    """

    before: str
    after: str
    steps: tuple[str, ...]


def migrate(
    config: CatalogueConfig,
    *,
    to: str | None = None,
    down: int | None = None,
    app_role: str | None = None,
    plan: bool = False,
) -> Migrated:
    """Bring the schema to a revision, up or down; the newest by default. Blocks; call it in a thread.

    Done is what is right already: a second run changes nothing.

    Args:
        config: for PostgreSQL with the owner's login, not the application's.
        to: a revision, or `BASE`.
        down: undo this many instead.
        app_role: PostgreSQL's role that the service logs in as; at the newest revision it gets
            what it needs.
        plan: change nothing.

    Raises:
        ConfigurationError: there is no such revision, or no such role; or the database is at
            a revision that is not known here.
        CatalogueUnavailable: the database gives no answer, or refuses.
    """
    if to is not None and to != BASE and to not in REVISIONS:
        raise ConfigurationError(
            f"There is no revision {to!r}; there are: {BASE}, {', '.join(REVISIONS)}."
        )
    if app_role is not None and config.kind == "sqlite":
        raise ConfigurationError("A SQLite file has no roles; leave --app-role out.")
    if config.kind == "sqlite":
        _make_private(config.file)
    engine = make_engine(replace(config, timeout=_TIMEOUT), pooled=False)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        try:
            return runner.run(
                _migrate(engine, config, to=to, down=down, app_role=app_role, plan=plan)
            )
        except (DBAPIError, OSError) as error:
            state = getattr(getattr(error, "orig", error), "sqlstate", None)
            seen = f" (SQLSTATE {state})" if isinstance(state, str) else ""
            raise CatalogueUnavailable(
                f"The catalogue's database does not let itself be migrated{seen}; check that it "
                "runs, and that its owner's URL was given."
            ) from None


def migrate_own_file(config: CatalogueConfig) -> None:
    """Make a SQLite catalogue, if it is missing, and bring it to the newest revision. Blocks.

    One that a newer version has migrated is left as it is.
    """
    with_newer = migrate(config, plan=True).before
    if with_newer == BASE or with_newer in REVISIONS[:-1]:
        migrate(config)


def migration_sql(config: CatalogueConfig, *, app_role: str | None = None) -> str:
    """Return the statements of all revisions, for an administrator who runs them by hand."""
    from alembic import command  # noqa: PLC0415  half a second that no start of the service needs

    output = io.StringIO()
    alembic = _alembic(config)
    alembic.output_buffer = output
    alembic.attributes["grants"] = [] if app_role is None else list(grant(app_role))
    command.upgrade(alembic, "head", sql=True)
    return output.getvalue()


async def _migrate(
    engine: AsyncEngine,
    config: CatalogueConfig,
    *,
    to: str | None,
    down: int | None,
    app_role: str | None,
    plan: bool,
) -> Migrated:
    try:
        async with engine.connect() as connection:
            await connection.execution_options(**{WRITES: True})
            async with connection.begin():
                return await connection.run_sync(
                    lambda sync: _within(
                        sync, config, to=to, down=down, app_role=app_role, plan=plan
                    )
                )
    finally:
        await engine.dispose()


def _within(
    connection: Connection,
    config: CatalogueConfig,
    *,
    to: str | None,
    down: int | None,
    app_role: str | None,
    plan: bool,
) -> Migrated:
    if config.kind == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    before = _revision(connection)
    known = (BASE, *REVISIONS)
    if before not in known and not (plan and to is None and down is None):
        raise ConfigurationError(
            f"The catalogue is at revision {before!r}, which this version does not know; "
            "migrate it with the version that made it."
        )
    if before not in known:
        return Migrated(before=before, after=before, steps=())
    here = known.index(before)
    after = _target(here, known, to=to, down=down)
    there = known.index(after)
    steps = known[here + 1 : there + 1] if there >= here else known[here:there:-1]
    if not plan and steps:
        from alembic import command  # noqa: PLC0415  as above

        alembic = _alembic(config)
        alembic.attributes["connection"] = connection
        (command.upgrade if there > here else command.downgrade)(alembic, after)
    if not plan and app_role is not None and after == REVISIONS[-1]:
        _grant(connection, app_role)
    return Migrated(before=before, after=after, steps=steps)


def _revision(connection: Connection) -> str:
    """Return what Alembic has noted, without loading it."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return BASE
    statement = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608  a constant
    return connection.execute(statement).scalar_one_or_none() or BASE


def _target(here: int, known: Sequence[str], *, to: str | None, down: int | None) -> str:
    if down is None:
        return to or known[-1]
    if not 1 <= down <= here:
        raise ConfigurationError(f"{down} revisions cannot be undone; there are {here}.")
    return known[here - down]


def _grant(connection: Connection, role: str) -> None:
    found = connection.execute(
        text(
            "SELECT pg_has_role(:role, current_user, 'MEMBER') FROM pg_roles WHERE rolname = :role"
        ),
        {"role": role},
    ).scalar_one_or_none()
    if found is None:
        raise ConfigurationError(
            f"There is no role {role!r}; make it first: CREATE ROLE ... LOGIN."
        )
    if found:
        raise ConfigurationError(
            f"The role {role!r} is the tables' owner, or a member of it; row-level security needs "
            "another one."
        )
    for statement in grant(role):
        connection.exec_driver_sql(statement)


def _alembic(config: CatalogueConfig) -> Config:
    from alembic.config import Config  # noqa: PLC0415  as above

    alembic = Config()
    here = str(Path(__file__).parent / "migrations")
    alembic.set_main_option("script_location", here.replace("%", "%%"))
    alembic.set_main_option("path_separator", "os")
    alembic.attributes["kind"] = config.kind
    return alembic


def _make_private(file: Path) -> None:
    """Make the file with mode 0600; what SQLite puts beside it takes its mode."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise CatalogueUnavailable(
            f"The catalogue's file cannot be used: {error.strerror}."
        ) from None
