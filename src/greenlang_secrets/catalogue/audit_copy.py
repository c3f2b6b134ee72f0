"""The copy of the audit log: records by tenant, inserted and read, never changed.

A record that comes again is known by its event's id, so whoever is not sure that a batch
arrived sends it again. Two events with one number in one chain are both kept: that a log was
cut and went on is what the copy is there to show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, Final, cast

from sqlalchemy import String, literal, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row

from greenlang_secrets.audit.event import AuditEvent, AuditPhase, AuditResult
from greenlang_secrets.audit.records import Position, Record
from greenlang_secrets.catalogue.database import Database
from greenlang_secrets.catalogue.purging import purge_expired
from greenlang_secrets.catalogue.tables import (
    Moment,
    audit_chains,
    audit_events,
    storable,
    tenant_id_of,
)
from greenlang_secrets.catalogue.transaction import Transaction
from greenlang_secrets.errors import InvalidTenant
from greenlang_secrets.paths import PLATFORM, Scope, Tenant, TenantId

__all__ = ["AuditCopy", "AuditCursor", "AuditPage", "CopiedEvent", "Reached"]

_MOST: Final = 1000  # events of a page
_LENGTHS: Final[Mapping[str, int]] = {
    column.name: column.type.length
    for column in audit_events.columns
    if isinstance(column.type, String) and column.type.length is not None
}
_MEMBERS: Final = (
    *("id", "action", "phase", "result", "operation_id", "at", "principal", "principal_tenant"),
    *("path", "version", "status", "code", "seconds", "cache", "request_id", "trace_id"),
    *("source_address", "reason"),
)

_members: Final = attrgetter(*_MEMBERS)

_INSERT_SQLITE: Final = (
    f"INSERT INTO {audit_events.name} ({', '.join(audit_events.columns.keys())})"  # noqa: S608
    f" VALUES ({', '.join('?' for _ in audit_events.columns)})"
    " ON CONFLICT (id) DO NOTHING"
)
_DIALECT: Final = sqlite.dialect()
_moment_to_sqlite: Final = cast(
    "Callable[[datetime], str]", Moment().dialect_impl(_DIALECT).bind_processor(_DIALECT)
)
_columns: Final = itemgetter(*audit_events.columns.keys())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far a log was shipped: a record, and where in which file it ends.

    The record is what counts. The place saves looking for it, and may be wrong.
    """

    position: Position
    file: str
    device: int
    inode: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCursor:
    """Where a page of events ends."""

    at: datetime
    chain: str
    seq: int
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedEvent:
    """An event, and its number in which log."""

    chain: str
    seq: int
    event: AuditEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """A part of a scope's events, the newest first; `next` is where the following page begins."""

    items: tuple[CopiedEvent, ...]
    next: AuditCursor | None


class AuditCopy:
    """Inserts and reads records.

    Raises, in each method:
        CatalogueUnavailable: the database gives no answer in time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._retention = database.config.audit_retention
        postgres = database.config.kind == "postgresql"
        # Both have ON CONFLICT, and SQLAlchemy has it once for each dialect.
        self._insert: Any = postgresql.insert if postgres else sqlite.insert

    async def insert(self, records: Sequence[Record], *, reached: Reached | None = None) -> int:
        """Keep records, and return how many of them are new.

        With `reached`, how far their log was shipped is noted in the same transaction.
        """

        async def work(transaction: Transaction) -> int:
            new = 0
            by_tenant = sorted(records, key=lambda record: tenant_id_of(_scope(record.event)))
            for scope, group in groupby(by_tenant, key=lambda record: _scope(record.event)):
                await transaction.enter(scope)
                rows = [self._row(transaction.tenant_id, record) for record in group]
                new += await self._add(transaction, rows)
            if reached is not None:
                await self._note(transaction, reached)
            return new

        return await self._database.run(work, writes=True)

    async def events(
        self, scope: Scope, *, limit: int = 100, after: AuditCursor | None = None
    ) -> AuditPage:
        """Return up to `limit` (1 to 1000) of a scope's events, the newest first."""
        if not 1 <= limit <= _MOST:
            raise ValueError(f"a page of events has 1 to {_MOST}")
        columns = audit_events.c
        key = (columns.at, columns.chain, columns.seq, columns.id)

        async def work(transaction: Transaction) -> Sequence[Row[Any]]:
            statement = select(audit_events).where(
                audit_events.c.tenant_id == transaction.tenant_id
            )
            if after is not None:
                named = (literal(after.chain), literal(after.seq), literal(after.id))
                end = (literal(after.at, Moment), *named)
                statement = statement.where(tuple_(*key) < tuple_(*end))
            statement = statement.order_by(*(column.desc() for column in key)).limit(limit + 1)
            return (await transaction.execute(statement)).all()

        rows = await self._database.run(work, scope=scope)
        items = tuple(_copied(row) for row in rows[:limit])
        last = items[-1] if len(rows) > limit else None
        return AuditPage(
            items=items,
            next=None
            if last is None
            else AuditCursor(at=last.event.at, chain=last.chain, seq=last.seq, id=last.event.id),
        )

    async def reached(self) -> Mapping[str, Reached]:
        """Return how far each log was shipped, by its chain."""

        async def work(transaction: Transaction) -> Sequence[Row[Any]]:
            return (await transaction.execute(select(audit_chains))).all()

        return {
            row.chain: Reached(
                position=Position(chain=row.chain, seq=row.seq, hmac=row.hmac),
                file=row.file,
                device=row.device,
                inode=row.inode,
                offset=row.position,
            )
            for row in await self._database.run(work)
        }

    async def purge(self) -> int:
        """Remove records whose retention is over, of all tenants; return how many those were."""
        return await purge_expired(self._database, audit_events)

    async def _add(self, transaction: Transaction, rows: Sequence[dict[str, Any]]) -> int:
        """Insert what is not there yet, and return how many rows that were.

        PostgreSQL gets them in one statement. To SQLite they go as the driver takes them: every
        request that is answered is a row, and making SQLAlchemy's statement of them took longer
        than anything that the database does.
        """
        if transaction.kind == "sqlite":
            return await transaction.execute_many(_INSERT_SQLITE, [_sqlite(row) for row in rows])
        statement = (
            self._insert(audit_events)
            .on_conflict_do_nothing(index_elements=[audit_events.c.id])
            .returning(audit_events.c.id)
        )
        return len((await transaction.execute(statement, rows)).all())

    async def _note(self, transaction: Transaction, reached: Reached) -> None:
        statement = self._insert(audit_chains).values(
            chain=reached.position.chain,
            seq=reached.position.seq,
            hmac=reached.position.hmac,
            file=storable(reached.file),
            device=reached.device,
            inode=reached.inode,
            position=reached.offset,
            at=transaction.now(),
        )
        names = ("seq", "hmac", "file", "device", "inode", "position", "at")
        await transaction.execute(
            statement.on_conflict_do_update(
                index_elements=[audit_chains.c.chain],
                set_={name: statement.excluded[name] for name in names},
            )
        )

    def _row(self, tenant_id: str, record: Record) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name, value in zip(_MEMBERS, _members(record.event), strict=True):
            row[name] = storable(value)[: _LENGTHS.get(name)] if isinstance(value, str) else value
        row["chain"] = record.chain
        row["seq"] = record.seq
        row["tenant_id"] = tenant_id
        row["expires_at"] = record.event.at + self._retention
        return row


def _sqlite(row: dict[str, Any]) -> tuple[Any, ...]:
    """The row as SQLite's driver takes it, in the order of the table's columns."""
    for name in ("at", "expires_at"):
        row[name] = _moment_to_sqlite(row[name])
    return cast("tuple[Any, ...]", _columns(row))


def _scope(event: AuditEvent) -> Scope:
    """Where the event is kept: what names no tenant that can be is the platform's to see."""
    try:
        return PLATFORM if event.tenant is None else Tenant(TenantId(event.tenant))
    except InvalidTenant:
        return PLATFORM


def _copied(row: Row[Any]) -> CopiedEvent:
    members = {name: getattr(row, name) for name in _MEMBERS}
    members["phase"] = AuditPhase(row.phase)
    members["result"] = AuditResult(row.result)
    tenant = None if row.tenant_id == tenant_id_of(PLATFORM) else row.tenant_id
    return CopiedEvent(chain=row.chain, seq=row.seq, event=AuditEvent(**members, tenant=tenant))
