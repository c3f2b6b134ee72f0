"""Looks for what is due, in every process: there is no leader, for the claim's CAS decides.

What the catalogue does not tell while it is away is due all the same when it is back, once: a
rotation that was missed several times is made up for by one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final

import anyio

from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.errors import CatalogueUnavailable, SecretsError
from greenlang_secrets.paths import Scope
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.observing import RotationStats

__all__ = ["DueLoop"]

_PUT_OFF: Final = 15.0
"""Seconds after which one that could not be looked at is looked at again: it must not keep the
others from their turn, nor wait much longer than Vault was away.
"""

_log: Final = logging.getLogger("greenlang_secrets")

Look = Callable[[Scope, str], Awaitable[None]]
"""Does what is due for the secret of that scope and digest, and returns when it waits again."""


class DueLoop:
    """Has `look` called for what is due, for so many at once as the configuration says."""

    def __init__(
        self,
        catalogue: Catalogue,
        supervisor: Supervisor,
        *,
        look: Look,
        config: RotationConfig,
        stats: RotationStats,
        clock: Callable[[], datetime],
    ) -> None:
        self._catalogue = catalogue
        self._supervisor = supervisor
        self._look = look
        self._config = config
        self._stats = stats
        self._clock = clock
        self._looking: dict[str, asyncio.Task[Any]] = {}
        self._closing = anyio.Event()
        self._ended: anyio.Event | None = None  # of a loop that has begun

    async def run(self) -> None:
        """Look every few seconds until closed."""
        self._ended = anyio.Event()
        self._stats.scheduler_running = True
        try:
            while not self._closing.is_set():
                await reported(self._scanned(), name="rotation scan")
                with anyio.move_on_after(self._config.scan_every):
                    await self._closing.wait()
        finally:
            self._stats.scheduler_running = False
            self._ended.set()

    def close(self) -> None:
        """Look no more; what is under way goes on."""
        self._closing.set()

    async def ended(self) -> None:
        """Return when the loop has ended, at once if it never began."""
        if self._ended is not None:
            await self._ended.wait()

    async def scan(self) -> int:
        """Look once, and return how many were taken up.

        Raises:
            CatalogueUnavailable: it cannot be asked.
        """
        free = self._config.concurrency - len(self._looking)
        if free <= 0:
            return 0
        # As many more as are being looked at: those may be among the oldest still.
        due = await self._catalogue.rotations.due(most=free + len(self._looking))
        self._stats.last_tick = self._clock()
        taken = [(scope, digest) for scope, digest in due if digest not in self._looking][:free]
        for scope, digest in taken:
            task = self._supervisor.spawn(self._look_at(scope, digest), name="rotation")
            self._looking[digest] = task
        return len(taken)

    async def _scanned(self) -> None:
        try:
            await self.scan()
        except CatalogueUnavailable as error:
            _log.warning("rotation.scan_failed", extra={"code": error.code})

    async def _look_at(self, scope: Scope, digest: str) -> None:
        try:
            await reported(self._looked(scope, digest), name="rotation look")
        finally:
            del self._looking[digest]

    async def _looked(self, scope: Scope, digest: str) -> None:
        try:
            await self._look(scope, digest)
        except SecretsError as error:
            _log.warning("rotation.look_failed", extra={"code": error.code})
            until = self._clock() + timedelta(seconds=_PUT_OFF)
            try:
                await self._catalogue.rotations.wake(digest, until)
            except CatalogueUnavailable:
                return
