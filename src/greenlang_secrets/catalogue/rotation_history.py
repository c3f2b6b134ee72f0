"""The history of rotations: who asked, when it began and ended, and how.

A run is begun once and ended once, whoever says so again: processes die between Vault and here.
It is kept for a year in every environment, and not only as long as audit records: there are few
of them, evidence is asked for by the year, and with a week's retention a certificate's history
would always be empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.engine import Row

from greenlang_secrets.catalogue.purging import purge_expired
from greenlang_secrets.catalogue.rotation_part import RotationPart
from greenlang_secrets.catalogue.rotation_rows import run_columns, run_of
from greenlang_secrets.catalogue.tables import rotation_history
from greenlang_secrets.catalogue.transaction import Transaction
from greenlang_secrets.paths import Scope
from greenlang_secrets.rotation_model import RotationOutcome, RotationRunRow

__all__ = ["KEPT", "RotationHistory"]

KEPT: Final = timedelta(days=365)
"""How long a rotation is remembered, from when it began."""


class RotationHistory(RotationPart):
    """Reads and writes the history, each call in one scope.

    Raises, in each method:
        CatalogueUnavailable: the database gives no answer in time.
    """

    async def begin_run(self, run: RotationRunRow) -> None:
        """Note that a rotation was begun; one that is there already stays as it is."""

        async def work(transaction: Transaction) -> None:
            await transaction.execute(
                self._insert(rotation_history)
                .values(
                    tenant_id=transaction.tenant_id,
                    expires_at=transaction.now(KEPT),
                    **run_columns(run),
                )
                .on_conflict_do_nothing(
                    index_elements=[
                        rotation_history.c.tenant_id,
                        rotation_history.c.rotation_id,
                    ]
                )
            )

        await self._database.run(work, scope=run.scope, writes=True)

    async def end_run(
        self,
        scope: Scope,
        rotation_id: str,
        *,
        outcome: RotationOutcome,
        version: int | None,
        error_code: str | None,
    ) -> None:
        """Note how a rotation ended; one that has ended already stays as it is."""

        async def work(transaction: Transaction) -> None:
            await transaction.execute(
                update(rotation_history)
                .where(
                    rotation_history.c.tenant_id == transaction.tenant_id,
                    rotation_history.c.rotation_id == rotation_id,
                    rotation_history.c.outcome.is_(None),
                )
                .values(
                    outcome=outcome.value,
                    version=version,
                    error_code=error_code,
                    ended_at=transaction.now(),
                )
            )

        await self._database.run(work, scope=scope, writes=True)

    async def history(self, scope: Scope, path: str, *, limit: int) -> list[RotationRunRow]:
        """Return the last rotations of a secret, newest first."""

        async def work(transaction: Transaction) -> Sequence[Row[Any]]:
            return (
                await transaction.execute(
                    select(rotation_history)
                    .where(
                        rotation_history.c.tenant_id == transaction.tenant_id,
                        rotation_history.c.path == path,
                    )
                    .order_by(rotation_history.c.started_at.desc(), rotation_history.c.rotation_id)
                    .limit(limit)
                )
            ).all()

        return [run_of(row) for row in await self._database.run(work, scope=scope)]

    async def purge_history(self) -> int:
        """Remove what is older than a year, of all scopes, and return how many those were."""
        return await purge_expired(self._database, rotation_history)
