"""`Catalogue`: the one thing its users hold. It joins the parts, and owns their lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue.audit_copy import AuditCopy
from greenlang_secrets.catalogue.config import CatalogueConfig, DatabaseKind
from greenlang_secrets.catalogue.database import Database
from greenlang_secrets.catalogue.gate import Obstacle
from greenlang_secrets.catalogue.idempotency import IdempotencyKeys
from greenlang_secrets.catalogue.index import SecretIndex
from greenlang_secrets.catalogue.retention import keep_purging
from greenlang_secrets.catalogue.rotations import RotationStore
from greenlang_secrets.catalogue.schema import REVISIONS
from greenlang_secrets.catalogue.shipping import AuditShipping, ShippingStats
from greenlang_secrets.catalogue.updates import IndexUpdates
from greenlang_secrets.errors import CatalogueUnavailable

__all__ = ["Catalogue", "CatalogueHealth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueHealth:
    """How the catalogue is.

    Attributes:
        usable: whether its database can be used now.
        obstacle: what is in the way, or None.
        advice: what to do about it, or None.
        kind: sqlite or postgresql.
        revision: the schema's, as last seen; None if it was never seen.
        expected: the one that this version makes; another one that is used is a newer version's.
        waiting: changes that the index has yet to note.
        dropped: changes since the start that there was no room for.
        gaps: scopes whose index wants a rebuild; None if the database cannot be asked.
        shipping: how far the audit log was copied; None if none is followed.
    """

    usable: bool
    obstacle: Obstacle | None
    advice: str | None
    kind: DatabaseKind
    revision: str | None
    expected: str
    waiting: int
    dropped: int
    gaps: tuple[str, ...] | None
    shipping: ShippingStats | None


class Catalogue:
    """What is kept beside Vault, in a database. Use ``async with Catalogue.open(...)``.

    Attributes:
        index: which secrets there are.
        updates: how the index follows writes, without holding them up.
        idempotency: answers to requests with an Idempotency-Key.
        audit: the copy of the audit log.
        rotations: policies of rotation and how they stand, their history, and consumers.
    """

    def __init__(self, database: Database, supervisor: Supervisor) -> None:
        self._database = database
        self._supervisor = supervisor
        self._tasks: list[asyncio.Task[None]] = []
        self._shipping: AuditShipping | None = None
        self.index = SecretIndex(database)
        self.updates = IndexUpdates(self.index)
        self.idempotency = IdempotencyKeys(database)
        self.audit = AuditCopy(database)
        self.rotations = RotationStore(database)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: CatalogueConfig, supervisor: Supervisor
    ) -> AsyncIterator[Catalogue]:
        """Yield a catalogue. A database that is away does not keep it from opening: then each
        method raises `CatalogueUnavailable` until it is back.

        What is kept for a time only is purged every hour. At the end what the index has yet
        to note is tried once more, for up to 3 s.

        Raises:
            ConfigurationError: the database's driver is not installed.
        """
        async with Database.open(config, supervisor) as database:
            catalogue = cls(database, supervisor)
            catalogue._spawn(catalogue.updates.run(), name="catalogue index")
            catalogue._spawn(
                keep_purging(catalogue.audit, catalogue.idempotency, catalogue.rotations),
                name="catalogue retention",
            )
            try:
                yield catalogue
            finally:
                for task in catalogue._tasks:
                    task.cancel()
                await asyncio.gather(*catalogue._tasks, return_exceptions=True)
                await catalogue.updates.close()

    @property
    def usable(self) -> bool:
        """Whether its database can be used now, as far as is known; from any thread."""
        return self._database.gate.obstacle is None

    def ship(self, audit_log: Path) -> AuditShipping:
        """Copy an audit log from here on, in the background until the catalogue is closed.

        The log is this process's own, whose folder is there already.
        """
        self._shipping = AuditShipping(self.audit, audit_log)
        self._spawn(self._shipping.run(), name="audit shipping")
        return self._shipping

    async def health(self) -> CatalogueHealth:
        """Return how it is; a database that is away is a report and no error."""
        gate = self._database.gate
        try:
            gaps = tuple(map(str, await self.index.gaps()))
        except CatalogueUnavailable:
            gaps = None
        return CatalogueHealth(
            usable=gate.obstacle is None,
            obstacle=gate.obstacle,
            advice=gate.advice,
            kind=self._database.config.kind,
            revision=self._database.revision,
            expected=REVISIONS[-1],
            waiting=self.updates.waiting,
            dropped=self.updates.dropped,
            gaps=gaps,
            shipping=None if self._shipping is None else self._shipping.stats,
        )

    def _spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        self._tasks.append(self._supervisor.spawn(work, name=name))
