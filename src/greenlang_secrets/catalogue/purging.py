"""Rows whose time is over are removed, of all tenants, a batch at a time.

The service's own role cannot do it in PostgreSQL, and asks a function of the tables' owner,
which decides by itself what is over.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Table, delete, func, literal_column, select

from greenlang_secrets.catalogue.database import Database
from greenlang_secrets.catalogue.transaction import Transaction

__all__ = ["purge_expired"]

_BATCH: Final = 1000  # rows of one transaction: far from its deadline


async def purge_expired(database: Database, table: Table) -> int:
    """Remove a table's rows whose `expires_at` is over, and return how many those were.

    Raises:
        CatalogueUnavailable: the database gives no answer; what was removed stays so.
    """

    async def work(transaction: Transaction) -> int:
        if transaction.kind == "postgresql":
            purge = getattr(func, f"purge_{table.name}")
            return int((await transaction.execute(select(purge(_BATCH)))).scalar_one())
        rowid: ColumnElement[int] = literal_column("rowid")
        over = select(rowid).select_from(table).where(table.c.expires_at < transaction.now())
        purged = await transaction.execute(delete(table).where(rowid.in_(over.limit(_BATCH))))
        return int(purged.rowcount)

    removed = 0
    while True:
        batch = await database.run(work, writes=True)
        removed += batch
        if batch < _BATCH:
            return removed
