"""How Vault is, asked once a second at most, however many ask us.

`/health` and `/readyz` need no bearer, so without this anybody could load Vault.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from greenlang_secrets.background import Supervisor
from greenlang_secrets.model import Health
from greenlang_secrets.service import SecretsService

__all__ = ["HealthCheck"]

FRESH_FOR: Final = 1.0  # seconds


class HealthCheck:
    """Asks the service for its health by one flight for many callers, and keeps it a second."""

    def __init__(self, service: SecretsService, supervisor: Supervisor) -> None:
        self._service = service
        self._supervisor = supervisor
        self._last: Health | None = None
        self._asked_at = float("-inf")
        self._flight: asyncio.Task[Health] | None = None

    async def current(self) -> Health:
        """Return how Vault was, a second ago at most."""
        if self._last is not None and time.monotonic() - self._asked_at < FRESH_FOR:
            return self._last
        if self._flight is None or self._flight.done():
            self._flight = self._supervisor.spawn(self._ask(), name="health")
        return await asyncio.shield(self._flight)

    async def _ask(self) -> Health:
        self._last = await self._service.health()
        self._asked_at = time.monotonic()
        return self._last
