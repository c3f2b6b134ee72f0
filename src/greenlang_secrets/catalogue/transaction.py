"""One transaction of the catalogue: in one scope, which the database itself holds it to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, CursorResult, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from greenlang_secrets.catalogue.config import DatabaseKind
from greenlang_secrets.catalogue.tables import Moment, tenant_id_of
from greenlang_secrets.paths import Scope

if TYPE_CHECKING:
    from sqlalchemy.sql.base import Executable

__all__ = ["Transaction"]


class Transaction:
    """What a piece of work may do: statements, and a clock that all replicas share.

    Attributes:
        kind: which dialect is spoken.
        tenant_id: whose rows are seen; empty as long as no scope was entered.
    """

    def __init__(self, connection: AsyncConnection, *, kind: DatabaseKind, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self.kind = kind
        self.tenant_id = ""

    async def enter(self, scope: Scope) -> None:
        """See this scope's rows from here on, and no other's, until the transaction ends.

        PostgreSQL is told for this transaction alone (``SET LOCAL``), so the connection
        carries nothing into the next one; nor the statement's deadline, which a pooler in
        between would not pass on when connecting.
        """
        self.tenant_id = tenant_id_of(scope)
        await self.settings({"app.tenant_id": self.tenant_id})

    async def settings(self, values: dict[str, str]) -> None:
        """Set PostgreSQL's settings for this transaction, and the deadline of its statements."""
        if self.kind == "postgresql":
            values = {"statement_timeout": str(int(self._timeout * 1000)), **values}
            await self._connection.execute(
                select(*(func.set_config(name, value, True) for name, value in values.items()))
            )

    async def execute(self, statement: Executable, rows: Any = None) -> CursorResult[Any]:
        """Run one statement, once or for each of `rows`; its result is in memory."""
        return await self._connection.execute(statement, rows)

    async def execute_many(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """Run one statement in the driver's own words for each of `rows`, whose values are the
        driver's own as well; return how many rows were changed. For SQLite alone.
        """
        changes = select(func.total_changes())
        before: int = (await self._connection.execute(changes)).scalar_one()
        await self._connection.exec_driver_sql(statement, list(rows))
        after: int = (await self._connection.execute(changes)).scalar_one()
        return after - before

    def now(self, plus: timedelta = timedelta()) -> ColumnElement[datetime]:
        """Return this moment, by the database's clock: replicas' own may differ.

        SQLite is on this machine, and has no clock that counts microseconds.
        """
        if self.kind == "sqlite":
            return literal(datetime.now(UTC) + plus, Moment)
        return func.clock_timestamp() + plus if plus else func.clock_timestamp()

    def began(self) -> ColumnElement[datetime]:
        """Return when this statement began, by the same clock: for a condition that PostgreSQL is to
        look up in an index, which it does for no function whose result may change meanwhile.
        """
        return self.now() if self.kind == "sqlite" else func.statement_timestamp()
