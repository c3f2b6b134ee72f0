"""The control: a rotation without a second user, as it is mostly done."""

from __future__ import annotations

from typing import Any

import asyncpg

from greenlang_secrets.rotation.handler import Prepared, Rotation
from greenlang_secrets.rotation.postgresql import PostgresqlRotation
from greenlang_secrets.sensitive import SecretMap

__all__ = ["SingleUserRotation"]


class SingleUserRotation(PostgresqlRotation):
    """Changes the password of the user that is in use; nothing else is worse about it."""

    def __init__(self, *args: Any, url: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self._url = url

    async def prepare(self, rotation: Rotation) -> Prepared:
        prepared = await super().prepare(rotation)
        assert rotation.current is not None
        assert prepared.candidate is not None
        data = prepared.candidate.reveal()
        data["username"] = rotation.current["username"].reveal()
        return Prepared(candidate=SecretMap(data))

    async def apply(self, rotation: Rotation) -> Prepared:
        assert rotation.candidate is not None
        user, password = (rotation.candidate[k].reveal() for k in ("username", "password"))
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(f"ALTER ROLE {user} PASSWORD '{password}'")
        finally:
            await connection.close()
        return Prepared()

    async def retire(self, rotation: Rotation) -> Prepared:
        return Prepared()
