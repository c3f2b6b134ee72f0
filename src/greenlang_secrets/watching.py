"""Watching Vault for metrics: what each node says, and whether a real request works.

A node calls itself healthy while its audit device is full and every request fails; so a real
request is made as well, the canary. Nothing runs before somebody asks for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

import anyio

from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.errors import SecretsError
from greenlang_secrets.paths import PLATFORM, FolderPath, KvPath
from greenlang_secrets.telemetry import SERVING
from greenlang_secrets.vault import VaultClient

__all__ = ["VaultWatch"]

_log: Final = logging.getLogger("greenlang_secrets")

CANARY_EVERY: Final = 15.0
"""Seconds between two canaries: one to a scrape, since each is audited by Vault."""

KNOWN_FOR: Final = 60.0
"""Seconds for which a canary's outcome is told: an old one would look fine."""


class VaultWatch:
    """Watches the Vault of one client."""

    def __init__(
        self,
        client: VaultClient,
        supervisor: Supervisor,
        *,
        kv_mount: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._supervisor = supervisor
        self._root = KvPath.folder(kv_mount, PLATFORM, FolderPath(()))
        self._clock = clock
        self._works: bool | None = None
        self._known_at = float("-inf")
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    @property
    def canary(self) -> bool | None:
        """Whether a real request works: the last one did, and a node is there to answer the next.
        None if none was made in the last minute.
        """
        if self._clock() - self._known_at >= KNOWN_FOR:
            return None
        states = self._client.states.found.values()
        return self._works and (not states or not SERVING.isdisjoint(states))

    def begin(self) -> None:
        """Ask each node every 5 s how it is, and try a real request every 15 s, until `end`; a
        second call does nothing.
        """
        if not self._tasks:
            self._tasks = (
                self._supervisor.spawn(self._client.states.keep(), name="vault.states"),
                self._supervisor.spawn(self._keep_trying(), name="vault.canary"),
            )

    def end(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()

    async def _keep_trying(self) -> None:
        while True:
            await reported(self.try_canary(), name="vault.canary")
            await anyio.sleep(CANARY_EVERY)

    async def try_canary(self) -> bool:
        """Return whether a real request works: a list of the platform's root, which needs the
        login, the policies, the storage and the audit device, and reads no value.

        That it does no more is logged once.
        """
        try:
            await self._client.kv(PLATFORM).list(self._root)
        except SecretsError as error:
            if self.canary is not False:
                _log.warning("health.canary_failed", extra={"code": error.code})
            self.failed()
            return False
        self._works, self._known_at = True, self._clock()
        return True

    def failed(self) -> None:
        """Say that no real request can work: Vault is away, or sealed."""
        self._works, self._known_at = False, self._clock()
