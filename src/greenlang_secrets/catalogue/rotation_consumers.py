"""Who uses which version of a rotated secret, as long as they say so.

Whether one still lives is decided by the database's clock: it was seen there, and is expected
there again. One that says `lives_for=0` has left.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Interval, bindparam, select
from sqlalchemy.engine import Row

from greenlang_secrets.catalogue.purging import purge_expired
from greenlang_secrets.catalogue.rotation_part import RotationPart
from greenlang_secrets.catalogue.rotation_rows import report_of
from greenlang_secrets.catalogue.tables import (
    Moment,
    rotation_clock,
    rotation_consumers,
    rotation_policies,
    scope_of,
    storable,
    tenant_id_of,
)
from greenlang_secrets.catalogue.transaction import Transaction
from greenlang_secrets.paths import Scope
from greenlang_secrets.rotation_model import ConsumerReport

__all__ = ["RotationConsumers"]

_GIVEN: Final = ("path", "consumer", "kind", "principal", "instance", "version", "lives_for")
_CHANGED: Final = (*_GIVEN[2:], "seen_at", "expires_at")
_LONGEST: Final = 512  # characters of a consumer's name
_BATCH: Final = 500  # rows of one transaction: far from its deadline


class RotationConsumers(RotationPart):
    """Reads and writes what consumers say of themselves.

    Raises, in each method:
        CatalogueUnavailable: the database gives no answer in time.
    """

    async def report(self, reports: Sequence[ConsumerReport]) -> None:
        """Note what consumers use; of two words of one consumer the last counts. What was noted
        before a failure stays so.
        """
        ordered = sorted(reports, key=_order)  # one order: no deadlock
        for _, group in groupby(ordered, key=lambda report: tenant_id_of(report.scope)):
            of_scope = list(group)
            for first in range(0, len(of_scope), _BATCH):
                await self._report(of_scope[0].scope, of_scope[first : first + _BATCH])

    async def behind(self, scope: Scope, path: str, *, version: int) -> list[ConsumerReport]:
        """Return the live consumers that use an older version, by their name."""
        columns = rotation_consumers.c

        async def work(transaction: Transaction) -> Sequence[Row[Any]]:
            return (
                await transaction.execute(
                    select(rotation_consumers)
                    .where(
                        columns.tenant_id == transaction.tenant_id,
                        columns.path == path,
                        columns.version < version,
                        columns.expires_at > transaction.now(),
                    )
                    .order_by(columns.consumer)
                )
            ).all()

        return [report_of(row) for row in await self._database.run(work, scope=scope)]

    async def rotated(self) -> dict[Scope, frozenset[str]]:
        """Return the digests of all secrets that have a policy, by their scope."""

        async def work(transaction: Transaction) -> Sequence[Row[Any]]:
            statement = select(rotation_clock.c.tenant_id, rotation_clock.c.digest)
            return (await transaction.execute(statement)).all()

        found: dict[Scope, set[str]] = {}
        for row in await self._database.run(work):
            found.setdefault(scope_of(row.tenant_id), set()).add(row.digest)
        return {scope: frozenset(digests) for scope, digests in found.items()}

    async def paths(self, scope: Scope) -> frozenset[str]:
        """Return the paths of a scope's secrets that have a policy."""
        columns = rotation_policies.c

        async def work(transaction: Transaction) -> Sequence[str]:
            statement = select(columns.path).where(columns.tenant_id == transaction.tenant_id)
            return (await transaction.execute(statement)).scalars().all()

        return frozenset(await self._database.run(work, scope=scope))

    async def purge_consumers(self) -> int:
        """Remove those that are gone, of all scopes, and return how many those were."""
        return await purge_expired(self._database, rotation_consumers)

    async def _report(self, scope: Scope, reports: Sequence[ConsumerReport]) -> None:
        last = {(report.path, report.consumer): report for report in reports}

        async def work(transaction: Transaction) -> None:
            table = rotation_consumers
            statement = self._insert(table).values(
                tenant_id=transaction.tenant_id,
                seen_at=transaction.now(),
                # SQLite is on this machine, and adds no interval to a moment.
                expires_at=transaction.now() + bindparam("given_life", type_=Interval)
                if self._postgresql
                else bindparam("given_life", type_=Moment),
                **{name: bindparam(f"given_{name}") for name in _GIVEN},
            )
            await transaction.execute(
                statement.on_conflict_do_update(
                    index_elements=list(table.primary_key),
                    set_={name: statement.excluded[name] for name in _CHANGED},
                    where=table.c.tenant_id == transaction.tenant_id,
                ),
                [self._given(report) for report in last.values()],
            )

        await self._database.run(work, scope=scope, writes=True)

    def _given(self, report: ConsumerReport) -> dict[str, Any]:
        life = timedelta(seconds=report.lives_for)
        row = {
            "path": report.path,
            "consumer": storable(report.consumer)[:_LONGEST],
            "kind": report.kind.value,
            "principal": storable(report.principal),
            "instance": storable(report.instance),
            "version": report.version,
            "lives_for": report.lives_for,
            "life": life if self._postgresql else datetime.now(UTC) + life,
        }
        return {f"given_{name}": value for name, value in row.items()}


def _order(report: ConsumerReport) -> tuple[str, str, str]:
    return tenant_id_of(report.scope), report.path, report.consumer
