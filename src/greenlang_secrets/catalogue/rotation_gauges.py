"""What gauges tell of rotations beside the clock: those under way, who is behind, certificates.

The clock has all tenants and says little; these look into a scope at a time, as everybody must,
and only into scopes in which something is under way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.engine import Row

from greenlang_secrets.catalogue.rotation_part import RotationPart
from greenlang_secrets.catalogue.tables import (
    rotation_clock,
    rotation_consumers,
    rotation_policies,
    scope_of,
)
from greenlang_secrets.catalogue.transaction import Transaction
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, Scope
from greenlang_secrets.rotation_model import (
    OpenRotation,
    RotatedCertificate,
    RotationKind,
    RotationState,
)

__all__ = ["RotationNumbers"]

_OVER: Final = (RotationState.IDLE.value, RotationState.CONFLICT.value)
"""States in which nothing is left to be done."""


class RotationNumbers(RotationPart):
    """Reads what is under way, without saying of whom.

    Raises, in each method:
        CatalogueUnavailable: the database gives no answer in time.
    """

    async def open(self) -> list[OpenRotation]:
        """Return every rotation of all scopes that is under way, with how many live consumers use
        an older version than the promoted one.
        """

        async def scopes(transaction: Transaction) -> Sequence[str]:
            clock = rotation_clock.c
            statement = select(clock.tenant_id).where(clock.state.not_in(_OVER)).distinct()
            return (await transaction.execute(statement)).scalars().all()

        found: list[OpenRotation] = []
        for tenant_id in await self._database.run(scopes):
            found += await self._open_in(scope_of(tenant_id))
        return found

    async def certificates(self) -> list[RotatedCertificate]:
        """Return the certificates that are rotated and were at least once; the platform's alone are."""
        columns = rotation_policies.c

        async def work(transaction: Transaction) -> Sequence[Row[Any]]:
            statement = select(columns.settings, columns.not_after).where(
                columns.tenant_id == transaction.tenant_id,
                columns.kind == RotationKind.CERTIFICATE.value,
                columns.not_after.is_not(None),
            )
            return (await transaction.execute(statement)).all()

        rows = await self._database.run(work, scope=PLATFORM)
        settings = [(json.loads(row.settings), row.not_after) for row in rows]
        return [
            RotatedCertificate(
                role=each.get("role", ""), ttl=each.get("ttl", ""), not_after=not_after
            )
            for each, not_after in settings
        ]

    async def _open_in(self, scope: Scope) -> list[OpenRotation]:
        columns, consumer = rotation_policies.c, rotation_consumers.c

        async def work(transaction: Transaction) -> Sequence[Row[Any]]:
            behind = (
                select(func.count())
                .where(
                    consumer.tenant_id == columns.tenant_id,
                    consumer.path == columns.path,
                    consumer.version < columns.version,
                    consumer.expires_at > transaction.now(),
                )
                .scalar_subquery()
            )
            statement = select(
                columns.secret_type,
                columns.state,
                columns.phase,
                columns.attempts,
                columns.wake_at,
                behind.label("behind"),
            ).where(columns.tenant_id == transaction.tenant_id, columns.state.not_in(_OVER))
            return (await transaction.execute(statement)).all()

        return [
            OpenRotation(
                secret_type=SecretType(row.secret_type),
                state=RotationState(row.state),
                phase=RotationState(row.phase),
                attempts=row.attempts,
                wake_at=row.wake_at,
                behind=row.behind,
            )
            for row in await self._database.run(work, scope=scope)
        ]
