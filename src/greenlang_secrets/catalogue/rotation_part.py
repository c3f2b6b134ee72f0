"""What each part of the rotation's store stands on."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite

from greenlang_secrets.catalogue.database import Database

__all__ = ["RotationPart"]


class RotationPart:
    """A database, and its INSERT with ON CONFLICT."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._postgresql = database.config.kind == "postgresql"
        self._insert: Any = postgresql.insert if self._postgresql else sqlite.insert
