"""`Catalogue`: the one thing its users hold. It joins the parts, and owns their lives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue.config import CatalogueConfig
from greenlang_secrets.catalogue.database import Database
from greenlang_secrets.catalogue.idempotency import IdempotencyKeys
from greenlang_secrets.catalogue.index import SecretIndex

__all__ = ["Catalogue"]


class Catalogue:
    """What is kept beside Vault, in a database. Use ``async with Catalogue.open(...)``.

    Attributes:
        index: which secrets there are.
        idempotency: answers to requests with an Idempotency-Key.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.index = SecretIndex(database)
        self.idempotency = IdempotencyKeys(database)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: CatalogueConfig, supervisor: Supervisor
    ) -> AsyncIterator[Catalogue]:
        """Yield a catalogue. A database that is away does not keep it from opening: then each
        method raises `CatalogueUnavailable` until it is back.

        Raises:
            ConfigurationError: the database's driver is not installed.
        """
        async with Database.open(config, supervisor) as database:
            yield cls(database)
