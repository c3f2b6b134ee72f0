"""Idempotency-Keys: a request that is sent again gets the answer of the first.

One statement decides who does the work, so of many that come at once one does. Whoever died
over it loses it when its lease is over.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row

from greenlang_secrets.access import Principal
from greenlang_secrets.catalogue.database import Database
from greenlang_secrets.catalogue.purging import purge_expired
from greenlang_secrets.catalogue.tables import idempotency_keys, tenant_id_of
from greenlang_secrets.catalogue.transaction import Transaction
from greenlang_secrets.paths import Scope

__all__ = ["KEPT", "Begun", "IdempotencyKeys", "InProgress", "Mismatch", "Replay"]

KEPT: Final = timedelta(hours=24)
"""How long an answer is given again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The request is to be done, by us: end it with `finish` or `abandon`.

    Attributes:
        owner: what tells us from whoever takes over.
        taken_over: an earlier one began the same request and has not ended it: what it asked
            of Vault may have been done.
    """

    scope: Scope
    principal: Principal
    key: str
    owner: str
    taken_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The request was done; this was the answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class InProgress:
    """The request is being done, and its time is not over."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key was used for another request."""


class IdempotencyKeys:
    """Answers by scope, principal and key.

    A principal is told by its tenant too: the platform's may have the name of a tenant's.

    Raises, in each method:
        CatalogueUnavailable: the database gives no answer in time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._postgresql = database.config.kind == "postgresql"
        self._lease = timedelta(seconds=database.config.lease)

    async def begin(
        self, scope: Scope, principal: Principal, key: str, fingerprint: bytes
    ) -> Begun | Replay | InProgress | Mismatch:
        """Return what is to be done with a request.

        `fingerprint` is a keyed one (HMAC) of the request: it may have a secret in its body.
        """
        owner = secrets.token_hex(16)

        async def work(transaction: Transaction) -> Row[Any]:
            # Two looks at most: between the statements the row may go with its time.
            while True:
                mine = await self._claim(transaction, principal, key, fingerprint, owner)
                found = mine or await self._find(transaction, principal, key)
                if found is not None:
                    return found

        row = await self._database.run(work, scope=scope, writes=True)
        if row.owner == owner:
            return Begun(
                scope=scope,
                principal=principal,
                key=key,
                owner=owner,
                taken_over=row.takeovers > 0,
            )
        if not hmac.compare_digest(row.fingerprint, fingerprint):
            return Mismatch()
        if row.state == "running":
            return InProgress()
        pairs = json.loads(row.headers)
        return Replay(
            status=row.status,
            headers=tuple(
                (name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs
            ),
            body=row.body,
        )

    async def finish(
        self,
        begun: Begun,
        *,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
    ) -> bool:
        """Keep the answer for a day; False if somebody took the request over meanwhile.

        The answer must hold no value.
        """
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]

        async def work(transaction: Transaction) -> bool:
            done = await transaction.execute(
                update(idempotency_keys)
                .where(*_of(begun, transaction))
                .values(
                    state="done",
                    status=status,
                    headers=json.dumps(pairs),
                    body=body,
                    expires_at=transaction.now(KEPT),
                )
            )
            return bool(done.rowcount)

        return await self._database.run(work, scope=begun.scope, writes=True)

    async def abandon(self, begun: Begun) -> None:
        """Forget that it was begun, so that it may be sent again at once: nothing was done."""

        async def work(transaction: Transaction) -> None:
            await transaction.execute(delete(idempotency_keys).where(*_of(begun, transaction)))

        await self._database.run(work, scope=begun.scope, writes=True)

    async def purge(self) -> int:
        """Remove what is older than a day, of all scopes, and return how many those were."""
        return await purge_expired(self._database, idempotency_keys)

    async def _claim(
        self,
        transaction: Transaction,
        principal: Principal,
        key: str,
        fingerprint: bytes,
        owner: str,
    ) -> Row[Any] | None:
        table = idempotency_keys
        insert = postgresql.insert if self._postgresql else sqlite.insert
        statement = insert(table).values(
            tenant_id=transaction.tenant_id,
            principal_tenant=tenant_id_of(principal.home),
            principal=principal.subject,
            key=key,
            fingerprint=fingerprint,
            state="running",
            owner=owner,
            takeovers=0,
            lease_until=transaction.now(self._lease),
            created_at=transaction.now(),
            expires_at=transaction.now(KEPT),
        )
        new = statement.excluded
        expired = table.c.expires_at < transaction.now()
        orphaned = and_(
            table.c.state == "running",
            table.c.lease_until < transaction.now(),
            table.c.fingerprint == fingerprint,
        )
        statement = statement.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_={
                **{name: new[name] for name in ("fingerprint", "state", "owner")},
                **{name: new[name] for name in ("lease_until", "expires_at", "created_at")},
                **dict.fromkeys(("status", "headers", "body")),
                "takeovers": case((expired, 0), else_=table.c.takeovers + 1),
            },
            where=and_(table.c.tenant_id == transaction.tenant_id, or_(expired, orphaned)),
        )
        return (await transaction.execute(statement.returning(table))).one_or_none()

    async def _find(
        self, transaction: Transaction, principal: Principal, key: str
    ) -> Row[Any] | None:
        statement = select(idempotency_keys).where(
            idempotency_keys.c.tenant_id == transaction.tenant_id,
            *_by(principal, key),
        )
        return (await transaction.execute(statement)).one_or_none()


def _by(principal: Principal, key: str) -> tuple[ColumnElement[bool], ...]:
    return (
        idempotency_keys.c.principal_tenant == tenant_id_of(principal.home),
        idempotency_keys.c.principal == principal.subject,
        idempotency_keys.c.key == key,
    )


def _of(begun: Begun, transaction: Transaction) -> tuple[ColumnElement[bool], ...]:
    return (
        idempotency_keys.c.tenant_id == transaction.tenant_id,
        *_by(begun.principal, begun.key),
        idempotency_keys.c.owner == begun.owner,
    )
