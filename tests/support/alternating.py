"""A secret that goes from one user of a real PostgreSQL to the other and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import greenlang_secrets as gs
from support.pairs import FIRST, UserPair, user_pair
from support.pool_load import until

__all__ = ["PATH", "Alternating", "alternating"]

PATH = "database/app"
SECOND = "second-password-of-the-pair"


@dataclass
class Alternating:
    """Both users exist and log in; the secret at `PATH` names one of them."""

    secrets: gs.SecretsService
    pair: UserPair
    turns: int = field(default=0)

    @property
    def now(self) -> str:
        """The user that the secret names."""
        return self.pair.b if self.turns % 2 else self.pair.a

    @property
    def before(self) -> str:
        """The other one."""
        return self.pair.a if self.turns % 2 else self.pair.b

    def data(self, **more: str) -> dict[str, str]:
        """What the secret holds."""
        password = SECOND if self.turns % 2 else FIRST
        return {**self.pair.data(self.now, password), **more}

    async def turn(self) -> None:
        """Put a version with the other user."""
        self.turns += 1
        await self.secrets.put(PATH, self.data())

    async def sessions(self, user: str) -> int:
        """How many connections PostgreSQL has of a user."""
        query = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}'"
        return int(await self.pair.sql(query))

    async def old_are_gone(self) -> None:
        """Wait until the other user has no connection."""

        async def gone() -> bool:
            return await self.sessions(self.before) == 0

        await until(gone)

    async def open_are(self, number: int) -> None:
        """Wait until the present user has so many connections."""

        async def there() -> bool:
            return await self.sessions(self.now) == number

        await until(there)

    async def cut_off(self, user: str) -> None:
        """Let a user in no more, and end its connections."""
        await self.pair.sql(
            f"ALTER ROLE {user} NOLOGIN",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'",
        )

    def versions(self) -> list[int]:
        """The versions that pools say they use."""
        self.secrets.consumers.rotated = frozenset({("", PATH)})
        reports = self.secrets.consumers.reports()
        return [each.version for each in reports if each.kind == "pool"]


@asynccontextmanager
async def alternating(secrets: gs.SecretsService, server: Any) -> AsyncIterator[Alternating]:
    """Make two users in a database of the test's own, and the secret with the first."""
    async with user_pair(server) as pair:
        await pair.sql(f"ALTER ROLE {pair.b} LOGIN PASSWORD '{SECOND}'")
        app = Alternating(secrets, pair)
        await secrets.create(PATH, app.data(), type=gs.SecretType.DATABASE)
        yield app
