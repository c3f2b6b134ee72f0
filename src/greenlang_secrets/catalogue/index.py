"""The index of secrets: which there are, by scope, as Vault said when it was last asked.

It follows writes and can be rebuilt. What arrives may be late and in another order, so each
row keeps what it was told of last: a newer version wins, and of one version the later word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row

from greenlang_secrets.catalogue.config import DatabaseKind
from greenlang_secrets.catalogue.database import Database
from greenlang_secrets.catalogue.tables import index_gaps, scope_of, secrets
from greenlang_secrets.catalogue.transaction import Transaction
from greenlang_secrets.model import SecretMetadata, SecretType, VersionState
from greenlang_secrets.paths import Scope

__all__ = ["GONE", "MAX_PAGE", "IndexPage", "IndexedSecret", "SecretIndex", "Seen"]

MAX_PAGE: Final = 1000
"""Rows of one page at most."""

GONE: Final = "gone"
"""The state of a row that says there is no such secret any more: without it a late word of what
was before would bring the secret back. Never shown.
"""

_SKEW: Final = timedelta(seconds=5)
"""What clocks may differ by: a version's time is Vault's, a deletion's is a replica's."""
_REMEMBERED: Final = timedelta(days=1)  # a secret that is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedSecret:
    """One row: no value, and no custom metadata, which may hold anything.

    Attributes:
        path: relative to the scope.
        version: the current one; 0 if there are only settings.
        created_at, updated_at: of the secret, and of its last change (Vault's clock).
        indexed_at: when this was written here.
    """

    path: str
    version: int
    type: SecretType
    state: VersionState
    created_at: datetime
    updated_at: datetime
    indexed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPage:
    """A part of the index, sorted by path; `next` is the `after` of the following page."""

    items: tuple[IndexedSecret, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a scan found in Vault.

    Attributes:
        path: relative to the scope.
        metadata: its metadata as just read.
    """

    path: str
    metadata: SecretMetadata

    @property
    def state(self) -> VersionState:
        """The current version's state; destroyed where there is none left."""
        current = self.metadata.current
        return "destroyed" if current is None else current.state


class SecretIndex:
    """Reads and writes the index, each call in one scope.

    Raises, in each method:
        CatalogueUnavailable: the database gives no answer in time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = _inserting(database.config.kind)

    async def wrote(
        self,
        scope: Scope,
        path: str,
        *,
        version: int,
        type: SecretType | None,  # noqa: A002  Vault's own word for it
        state: VersionState,
        at: datetime,
    ) -> None:
        """Note that a secret was written, deleted, restored or destroyed.

        `version` is the current one, `type` None leaves what is there, and `at` is when it was
        done: the version's own time, or now.
        """

        async def work(transaction: Transaction) -> None:
            row = {
                "tenant_id": transaction.tenant_id,
                "path": path,
                "version": version,
                "type": SecretType.GENERIC if type is None else type,
                "state": state,
                "created_at": at,
                "updated_at": at,
                "indexed_at": transaction.now(),
            }
            changed = {"version", "state", "updated_at", "indexed_at"}
            await self._put(
                transaction,
                row,
                changed if type is None else changed | {"type"},
                _supersedes(version, at),
            )

        await self._database.run(work, scope=scope, writes=True)

    async def forget(self, scope: Scope, path: str, *, at: datetime) -> None:
        """Note that there is no such secret any more, not even its metadata."""

        async def work(transaction: Transaction) -> None:
            now = transaction.now()
            row = {
                "tenant_id": transaction.tenant_id,
                "path": path,
                "version": 0,
                "type": SecretType.GENERIC,
                "state": GONE,
                "created_at": at,
                "updated_at": at,
                "indexed_at": now,
            }
            await self._put(
                transaction,
                row,
                {"state", "updated_at", "indexed_at"},
                secrets.c.updated_at <= at + _SKEW,
            )
            await transaction.execute(
                delete(secrets).where(
                    secrets.c.tenant_id == transaction.tenant_id,
                    secrets.c.state == GONE,
                    secrets.c.indexed_at < transaction.now(-_REMEMBERED),
                )
            )

        await self._database.run(work, scope=scope, writes=True)

    async def page(
        self, scope: Scope, *, prefix: str = "", limit: int = 100, after: str | None = None
    ) -> IndexPage:
        """Return up to `limit` (1 to 1000) secrets below `prefix` whose path is greater than `after`."""
        if not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"a page of the index has 1 to {MAX_PAGE} rows")

        async def work(transaction: Transaction) -> Sequence[Row[Any]]:
            conditions = [secrets.c.tenant_id == transaction.tenant_id, secrets.c.state != GONE]
            conditions += _below(prefix)
            if after is not None:
                conditions.append(secrets.c.path > after)
            statement = select(secrets).where(*conditions).order_by(secrets.c.path).limit(limit + 1)
            return (await transaction.execute(statement)).all()

        rows = await self._database.run(work, scope=scope)
        items = tuple(_indexed(row) for row in rows[:limit])
        return IndexPage(items=items, next=items[-1].path if len(rows) > limit else None)

    async def count(self, scope: Scope, *, prefix: str = "") -> int:
        """Return how many secrets there are below `prefix`, deleted and destroyed ones too."""

        async def work(transaction: Transaction) -> int:
            statement = select(func.count()).where(
                secrets.c.tenant_id == transaction.tenant_id,
                secrets.c.state != GONE,
                *_below(prefix),
            )
            return int((await transaction.execute(statement)).scalar_one())

        return await self._database.run(work, scope=scope)

    async def clock(self) -> datetime:
        """Return this moment by the database's clock: what a scan begins with."""

        async def work(transaction: Transaction) -> datetime:
            moment = (await transaction.execute(select(transaction.now()))).scalar_one()
            return moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)

        return await self._database.run(work)

    async def scanned(self, scope: Scope, seen: Sequence[Seen], *, read_after: datetime) -> None:
        """Take over a part of a scan; what was indexed since `read_after` is newer, and stays.

        `read_after` is the `clock` before the first of them was read from Vault.
        """
        if not seen:
            return

        async def work(transaction: Transaction) -> None:
            for each in sorted(seen, key=lambda one: one.path):  # one order: no deadlock
                row = {
                    "tenant_id": transaction.tenant_id,
                    "path": each.path,
                    "version": each.metadata.current_version,
                    "type": each.metadata.type,
                    "state": each.state,
                    "created_at": each.metadata.created_at,
                    "updated_at": each.metadata.updated_at,
                    "indexed_at": transaction.now(),
                }
                await self._put(
                    transaction,
                    row,
                    set(row) - {"tenant_id", "path"},
                    secrets.c.indexed_at < read_after,
                )

        await self._database.run(work, scope=scope, writes=True)

    async def sweep(self, scope: Scope, *, begun_at: datetime) -> int:
        """End a scan that began at `begun_at`: remove what it has not seen, and return how many
        secrets those were. The scope then lacks nothing that was missing before.
        """

        async def work(transaction: Transaction) -> int:
            mine = secrets.c.tenant_id == transaction.tenant_id
            unseen = and_(mine, secrets.c.indexed_at < begun_at)
            await transaction.execute(delete(secrets).where(unseen, secrets.c.state == GONE))
            removed = await transaction.execute(delete(secrets).where(unseen))
            await transaction.execute(
                delete(index_gaps).where(
                    index_gaps.c.tenant_id == transaction.tenant_id, index_gaps.c.since < begun_at
                )
            )
            return int(removed.rowcount)

        return await self._database.run(work, scope=scope, writes=True)

    async def mark_gap(self, scope: Scope) -> None:
        """Note that the scope's index lacks writes, until it is rebuilt."""

        async def work(transaction: Transaction) -> None:
            row = {"tenant_id": transaction.tenant_id, "since": transaction.now()}
            statement = self._insert(index_gaps).values(row)
            await transaction.execute(
                statement.on_conflict_do_update(
                    index_elements=[index_gaps.c.tenant_id],
                    set_={"since": statement.excluded.since},
                )
            )

        await self._database.run(work, scope=scope, writes=True)

    async def gaps(self) -> tuple[Scope, ...]:
        """Return the scopes that want a rebuild."""

        async def work(transaction: Transaction) -> tuple[Scope, ...]:
            statement = select(index_gaps.c.tenant_id).order_by(index_gaps.c.tenant_id)
            return tuple(map(scope_of, (await transaction.execute(statement)).scalars()))

        return await self._database.run(work)

    async def _put(
        self,
        transaction: Transaction,
        row: dict[str, Any],
        changed: set[str],
        condition: ColumnElement[bool],
    ) -> None:
        statement = self._insert(secrets).values(row)
        await transaction.execute(
            statement.on_conflict_do_update(
                index_elements=[secrets.c.tenant_id, secrets.c.path],
                set_={name: statement.excluded[name] for name in changed},
                where=and_(secrets.c.tenant_id == transaction.tenant_id, condition),
            )
        )


def _inserting(kind: DatabaseKind) -> Any:
    """INSERT with ON CONFLICT, which SQLAlchemy has once for each dialect, and equal in both."""
    return postgresql.insert if kind == "postgresql" else sqlite.insert


def _supersedes(version: int, at: datetime) -> ColumnElement[bool]:
    """Whether what is written now is newer than the row."""
    return or_(
        secrets.c.version < version,
        secrets.c.updated_at < at,  # made anew: versions begin at 1 again
        and_(
            secrets.c.version == version,
            secrets.c.state != GONE,
            secrets.c.updated_at <= at + _SKEW,
        ),
    )


def _below(prefix: str) -> list[ColumnElement[bool]]:
    """Paths are sorted by their octets, and none has one above those of the grammar."""
    return [secrets.c.path >= prefix, secrets.c.path < prefix + "\x7f"] if prefix else []


def _indexed(row: Row[Any]) -> IndexedSecret:
    return IndexedSecret(
        path=row.path,
        version=row.version,
        type=SecretType(row.type),
        state=_state(row.state),
        created_at=row.created_at,
        updated_at=row.updated_at,
        indexed_at=row.indexed_at,
    )


def _state(text: str) -> VersionState:
    states: dict[str, Literal["live", "deleted", "destroyed"]] = {
        "live": "live",
        "deleted": "deleted",
    }
    return states.get(text, "destroyed")
