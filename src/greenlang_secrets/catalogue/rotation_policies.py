"""Policies of rotation, how each stands, and when somebody must look at it.

A standing is a mirror of the record in Vault. Mirrors come late and from several processes, so
one with a smaller fence than what is there is a dead owner's word, and is not taken. The clock
says when to look, for all tenants at once and without a path: it changes with the standing, in
one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.engine import Row

from greenlang_secrets.catalogue.rotation_part import RotationPart
from greenlang_secrets.catalogue.rotation_rows import (
    clock_columns,
    clock_of,
    policy_columns,
    row_of,
    standing_columns,
)
from greenlang_secrets.catalogue.tables import (
    Moment,
    rotation_clock,
    rotation_policies,
    scope_of,
    storable,
)
from greenlang_secrets.catalogue.transaction import Transaction
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import Scope
from greenlang_secrets.rotation_model import (
    ClockRow,
    RotationPolicy,
    RotationRow,
    RotationStanding,
    RotationState,
    RotationSummary,
    overdue_after,
)

__all__ = ["PageOrder", "RotationPolicies", "page_mark"]

PageOrder = Literal["path", "next_due"]
"""By path, or by when they are due; those that are never due come last."""

_NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)


def page_mark(row: RotationRow, order: PageOrder) -> str:
    """Return what `page` takes as `after` to go on behind this row.

    By `next_due` it says when the row was due as well, so that one that was rotated meanwhile,
    and is due much later now, does not take the rest of the pages with it.
    """
    due = row.standing.next_due or _NEVER
    return row.path if order == "path" else f"{due.astimezone(UTC).isoformat()} {row.path}"


class RotationPolicies(RotationPart):
    """Reads and writes policies and standings, each call in one scope, and the clock in none.

    Raises, in each method:
        CatalogueUnavailable: the database gives no answer in time.
    """

    async def put(
        self,
        scope: Scope,
        path: str,
        policy: RotationPolicy,
        *,
        digest: str,
        secret_type: SecretType,
        by: str,
        standing: RotationStanding | None = None,
    ) -> RotationRow:
        """Set a secret's policy and return it with how it stands.

        `digest` is the last segment of `KvPath.of_rotation`, `by` who sets it. Without a
        `standing`, or with one of a smaller fence, what is there stays, and so does the time
        at which somebody looks; a new policy without one is looked at by nobody.
        """
        first = standing or RotationStanding()
        given = {
            "digest": digest,
            "secret_type": secret_type.value,
            "updated_by": storable(by),
            **policy_columns(policy),
        }

        async def work(transaction: Transaction) -> Row[Any]:
            await self._move(transaction, path, digest)
            written = self._insert(rotation_policies).values(
                tenant_id=transaction.tenant_id,
                path=path,
                created_at=transaction.now(),
                updated_at=transaction.now(),
                **given,
                **standing_columns(first),
            )
            table, new = rotation_policies, written.excluded
            written = written.on_conflict_do_update(
                index_elements=[table.c.tenant_id, table.c.path],
                set_={
                    **{name: new[name] for name in (*given, "updated_at")},
                    **{
                        name: case((_may_replace(standing), new[name]), else_=table.c[name])
                        for name in standing_columns(first)
                    },
                },
                where=table.c.tenant_id == transaction.tenant_id,
            )
            row = (await transaction.execute(written.returning(table))).one()
            taken = standing is not None and row.fence == standing.fence
            await self._set_clock(transaction, row, standing=first, wakes=taken)
            return row

        return row_of(await self._database.run(work, scope=scope, writes=True))

    async def remove(self, scope: Scope, path: str) -> bool:
        """Remove a secret's policy and its standing; False if there is none. The history stays."""

        async def work(transaction: Transaction) -> bool:
            statement = delete(rotation_policies).where(*_of(transaction, path))
            found = await transaction.execute(statement.returning(rotation_policies.c.digest))
            digest = found.scalar_one_or_none()
            if digest is not None:
                await transaction.execute(delete(rotation_clock).where(*_at(transaction, digest)))
            return digest is not None

        return await self._database.run(work, scope=scope, writes=True)

    async def find(self, scope: Scope, path: str) -> RotationRow | None:
        """Return a secret's policy and standing, or None."""
        return await self._one(scope, rotation_policies.c.path == path)

    async def by_digest(self, scope: Scope, digest: str) -> RotationRow | None:
        """Return the policy and standing of the secret whose record has this digest, or None."""
        return await self._one(scope, rotation_policies.c.digest == digest)

    async def page(
        self,
        scope: Scope,
        *,
        order: PageOrder,
        after: str | None,
        limit: int,
        state: RotationState | None = None,
        rotation_id: str | None = None,
        path: str | None = None,
    ) -> list[RotationRow]:
        """Return up to `limit` rows in an order, of those that all conditions hold for.

        `after` is the `page_mark` of the last row before, in the same order.
        """
        columns = rotation_policies.c
        due = func.coalesce(columns.next_due, literal(_NEVER, Moment))
        conditions: list[ColumnElement[bool]] = []
        if state is not None:
            conditions.append(columns.state == state.value)
        if rotation_id is not None:
            conditions.append(columns.rotation_id == rotation_id)
        if path is not None:
            conditions.append(columns.path == path)
        if after is not None and order == "path":
            conditions.append(columns.path > after)
        elif after is not None:
            raw, _, last = after.partition(" ")
            moment = literal(datetime.fromisoformat(raw), Moment)
            conditions.append(or_(due > moment, and_(due == moment, columns.path > last)))
        by = (columns.path,) if order == "path" else (due, columns.path)

        async def work(transaction: Transaction) -> Sequence[Row[Any]]:
            mine = columns.tenant_id == transaction.tenant_id
            statement = select(rotation_policies).where(mine, *conditions)
            return (await transaction.execute(statement.order_by(*by).limit(limit))).all()

        return [row_of(row) for row in await self._database.run(work, scope=scope)]

    async def summary(self, scope: Scope) -> RotationSummary:
        """Return how many of a scope's secrets stand where, and how many are overdue."""
        columns = rotation_policies.c

        async def work(transaction: Transaction) -> RotationSummary:
            mine = columns.tenant_id == transaction.tenant_id
            states = select(columns.state, func.count().label("secrets")).where(mine)
            counts = (await transaction.execute(states.group_by(columns.state))).all()
            late = select(columns.next_due, columns.interval, _as_moment(transaction.now())).where(
                mine, columns.enabled, columns.next_due < transaction.now()
            )
            overdue = [
                overdue_after(row.next_due, row.interval) < row.now
                for row in (await transaction.execute(late)).all()
            ]
            return RotationSummary(
                by_state={RotationState(row.state): row.secrets for row in counts},
                overdue=sum(overdue),
            )

        return await self._database.run(work, scope=scope)

    async def note(self, scope: Scope, path: str, digest: str, standing: RotationStanding) -> None:
        """Mirror what a record says. One with a smaller fence than what is there is not taken, nor
        one of a secret without a policy, or whose record is another one.

        A wake-up that is yet to come is not put off by it: somebody has set it who is about to
        claim the record, and this may be what the owner before still had to say. Only `wake` puts
        it off, or its time, when somebody looks.
        """

        async def work(transaction: Transaction) -> None:
            written = await transaction.execute(
                update(rotation_policies)
                .where(
                    *_of(transaction, path),
                    rotation_policies.c.digest == digest,
                    _may_replace(standing),
                )
                .values(**standing_columns(standing))
            )
            if written.rowcount:
                await transaction.execute(
                    update(rotation_clock)
                    .where(*_at(transaction, digest))
                    .values(
                        {**clock_columns(standing), "wake_at": _no_later(transaction, standing)}
                    )
                )

        await self._database.run(work, scope=scope, writes=True)

    async def due(self, *, most: int) -> list[tuple[Scope, str]]:
        """Return whom to look at now by the database's clock, as scope and digest; who has waited
        longest comes first.
        """

        async def work(transaction: Transaction) -> Sequence[Row[Any]]:
            clock = rotation_clock.c
            return (
                await transaction.execute(
                    select(clock.tenant_id, clock.digest)
                    .where(clock.wake_at <= transaction.began())
                    .order_by(clock.wake_at)
                    .limit(most)
                )
            ).all()

        rows = await self._database.run(work)
        return [(scope_of(row.tenant_id), row.digest) for row in rows]

    async def wake(self, digest: str, at: datetime) -> None:
        """Have somebody look at a secret then, and not before; what its record says is left."""

        async def work(transaction: Transaction) -> None:
            statement = update(rotation_clock).where(rotation_clock.c.digest == digest)
            await transaction.execute(statement.values(wake_at=at))

        await self._database.run(work, writes=True)

    async def clock(self) -> list[ClockRow]:
        """Return how every rotation of all scopes stands, for gauges."""

        async def work(transaction: Transaction) -> Sequence[Row[Any]]:
            return (await transaction.execute(select(rotation_clock))).all()

        return [clock_of(row) for row in await self._database.run(work)]

    # ------------------------------------------------------------ parts

    async def _one(self, scope: Scope, condition: ColumnElement[bool]) -> RotationRow | None:
        async def work(transaction: Transaction) -> Row[Any] | None:
            mine = rotation_policies.c.tenant_id == transaction.tenant_id
            statement = select(rotation_policies).where(mine, condition)
            return (await transaction.execute(statement)).one_or_none()

        row = await self._database.run(work, scope=scope)
        return None if row is None else row_of(row)

    async def _move(self, transaction: Transaction, path: str, digest: str) -> None:
        """Forget the clock of a record in another mount, which a digest stands for as well."""
        statement = select(rotation_policies.c.digest).where(*_of(transaction, path))
        before = (await transaction.execute(statement)).scalar_one_or_none()
        if before is not None and before != digest:
            await transaction.execute(delete(rotation_clock).where(*_at(transaction, before)))

    async def _set_clock(
        self, transaction: Transaction, row: Row[Any], *, standing: RotationStanding, wakes: bool
    ) -> None:
        """Have the clock say what the row does; its wake-up stays unless the standing was taken."""
        kept = standing if wakes else row_of(row).standing
        written = self._insert(rotation_clock).values(
            digest=row.digest,
            tenant_id=transaction.tenant_id,
            secret_type=row.secret_type,
            **clock_columns(kept),
        )
        changed = ("secret_type", *(clock_columns(kept) if wakes else ()))
        await transaction.execute(
            written.on_conflict_do_update(
                index_elements=[rotation_clock.c.digest],
                set_={name: written.excluded[name] for name in changed},
                where=rotation_clock.c.tenant_id == transaction.tenant_id,
            )
        )


def _of(transaction: Transaction, path: str) -> tuple[ColumnElement[bool], ...]:
    return (
        rotation_policies.c.tenant_id == transaction.tenant_id,
        rotation_policies.c.path == path,
    )


def _at(transaction: Transaction, digest: str) -> tuple[ColumnElement[bool], ...]:
    return (
        rotation_clock.c.tenant_id == transaction.tenant_id,
        rotation_clock.c.digest == digest,
    )


def _may_replace(standing: RotationStanding | None) -> ColumnElement[bool]:
    """Whether a standing may take the place of the one that is there."""
    fence = -1 if standing is None else standing.fence
    return rotation_policies.c.fence <= fence


def _as_moment(now: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """SQLite gives a moment that is no column's as text, unless told what it is."""
    return type_coerce(now, Moment).label("now")


def _no_later(transaction: Transaction, standing: RotationStanding) -> ColumnElement[Any]:
    """Return when to look: when the standing says, or before, if that was set and is to come."""
    wake_at = rotation_clock.c.wake_at
    stays = wake_at > transaction.began()
    if standing.wake_at is not None:
        stays = and_(stays, wake_at < standing.wake_at)
    return case((stays, wake_at), else_=literal(standing.wake_at, Moment))
