"""The index of secrets: which there are, by scope, as Vault said when it was last asked.

It follows writes and can be rebuilt. What arrives may be late and in another order, so each
row keeps what it was told of last: a newer version wins, and of one version the later word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row

from greenlang_secrets.catalogue.config import DatabaseKind
from greenlang_secrets.catalogue.database import Database
from greenlang_secrets.catalogue.index_rows import (
    Change,
    Forgotten,
    IndexedSecret,
    IndexPage,
    Seen,
    Written,
)
from greenlang_secrets.catalogue.tables import index_gaps, scope_of, secrets
from greenlang_secrets.catalogue.transaction import Transaction
from greenlang_secrets.model import SecretType, VersionState
from greenlang_secrets.paths import Scope

__all__ = ["GONE", "MAX_PAGE", "SecretIndex"]

MAX_PAGE: Final = 1000
"""Rows of one page at most."""

GONE: Final = "gone"
"""The state of a row that says there is no such secret any more: without it a late word of what
was before would bring the secret back. Never shown.
"""

_SKEW: Final = timedelta(seconds=5)
"""What clocks may differ by: a version's time is Vault's, a deletion's is a replica's."""
_REMEMBERED: Final = timedelta(days=1)  # a secret that is gone


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
        change = Written(path=path, version=version, type=type, state=state, at=at)
        await self.apply(scope, (change,))

    async def forget(self, scope: Scope, path: str, *, at: datetime) -> None:
        """Note that there is no such secret any more, not even its metadata."""
        await self.apply(scope, (Forgotten(path=path, at=at),))

    async def apply(self, scope: Scope, changes: Sequence[Change]) -> None:
        """Note several changes of one scope in one transaction."""
        changes = sorted(changes, key=lambda one: one.path)  # one order: no deadlock
        forgotten = [each for each in changes if isinstance(each, Forgotten)]
        written = [each for each in changes if isinstance(each, Written)]

        async def work(transaction: Transaction) -> None:
            for typed in (True, False):
                await self._write(
                    transaction, [w for w in written if (w.type is not None) == typed]
                )
            await self._forget(transaction, forgotten)

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

        rows = [
            {
                "path": each.path,
                "version": each.metadata.current_version,
                "type": each.metadata.type,
                "state": each.state,
                "created_at": each.metadata.created_at,
                "updated_at": each.metadata.updated_at,
            }
            for each in sorted(seen, key=lambda one: one.path)  # one order: no deadlock
        ]

        async def work(transaction: Transaction) -> None:
            changed = ("version", "type", "state", "created_at", "updated_at")
            await self._put(transaction, rows, changed, secrets.c.indexed_at < read_after)

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

    async def _write(self, transaction: Transaction, changes: Sequence[Written]) -> None:
        """Note changes of which all tell the type, or none does."""
        rows = [
            {
                "path": change.path,
                "version": change.version,
                "type": SecretType.GENERIC if change.type is None else change.type,
                "state": change.state,
                "created_at": change.at,
                "updated_at": change.at,
                "latest": change.at + _SKEW,
            }
            for change in changes
        ]
        typed = ("type",) if changes and changes[0].type is not None else ()
        # A secret that lives again was made anew.
        created_at = case(
            (secrets.c.state == GONE, _given("updated_at")), else_=secrets.c.created_at
        )
        await self._put(
            transaction,
            rows,
            ("version", "state", "updated_at", *typed),
            _superseded(),
            created_at=created_at,
        )

    async def _forget(self, transaction: Transaction, changes: Sequence[Forgotten]) -> None:
        rows = [
            {
                "path": change.path,
                "version": 0,
                "type": SecretType.GENERIC,
                "state": GONE,
                "created_at": change.at,
                "updated_at": change.at,
                "latest": change.at + _SKEW,
            }
            for change in changes
        ]
        condition = secrets.c.updated_at <= _given("latest")
        await self._put(transaction, rows, ("state", "updated_at"), condition)
        if changes:
            await transaction.execute(
                delete(secrets).where(
                    secrets.c.tenant_id == transaction.tenant_id,
                    secrets.c.state == GONE,
                    secrets.c.indexed_at < transaction.now(-_REMEMBERED),
                )
            )

    async def _put(
        self,
        transaction: Transaction,
        rows: Sequence[Mapping[str, object]],
        changed: Sequence[str],
        condition: ColumnElement[bool],
        **computed: ColumnElement[Any],
    ) -> None:
        """Insert rows, or change those of their paths that the condition holds for; all of them
        in one round trip.
        """
        if not rows:
            return
        columns = ("path", "version", "type", "state", "created_at", "updated_at")
        statement = self._insert(secrets).values(
            tenant_id=transaction.tenant_id,
            indexed_at=transaction.now(),
            **{name: _given(name) for name in columns},
        )
        statement = statement.on_conflict_do_update(
            index_elements=[secrets.c.tenant_id, secrets.c.path],
            set_={
                **{name: statement.excluded[name] for name in (*changed, "indexed_at")},
                **computed,
            },
            where=and_(secrets.c.tenant_id == transaction.tenant_id, condition),
        )
        given = [{f"given_{name}": value for name, value in row.items()} for row in rows]
        await transaction.execute(statement, given)


def _given(name: str) -> BindParameter[Any]:
    """What a row brings; a parameter may not have a column's own name."""
    column = "updated_at" if name == "latest" else name
    return bindparam(f"given_{name}", type_=secrets.c[column].type)


def _inserting(kind: DatabaseKind) -> Any:
    """INSERT with ON CONFLICT, which SQLAlchemy has once for each dialect, and equal in both."""
    return postgresql.insert if kind == "postgresql" else sqlite.insert


def _superseded() -> ColumnElement[bool]:
    """Whether what is written now is newer than the row."""
    return or_(
        secrets.c.version < _given("version"),
        secrets.c.updated_at < _given("updated_at"),  # made anew: versions begin at 1 again
        and_(
            secrets.c.version == _given("version"),
            secrets.c.state != GONE,
            secrets.c.updated_at <= _given("latest"),
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
