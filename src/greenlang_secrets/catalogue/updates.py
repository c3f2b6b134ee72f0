"""The index follows writes, behind their requests: a change is told here, and written soon.

A database that is away delays no request and fails none. What could not be written waits, the
newest word for each secret; of what there is no room for, the index notes that it lacks it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from dataclasses import replace
from datetime import datetime
from typing import Final

import anyio

from greenlang_secrets.catalogue.index import SecretIndex
from greenlang_secrets.catalogue.index_rows import Change, Forgotten, Written
from greenlang_secrets.errors import CatalogueUnavailable
from greenlang_secrets.model import SecretType, VersionState
from greenlang_secrets.paths import Scope

__all__ = ["MOST_WAITING", "IndexUpdates"]

MOST_WAITING: Final = 10_000
"""Secrets whose change waits for the database at most: some megabytes, and at the rate of
writes that one principal has, eight minutes."""

_BATCH: Final = 100  # changes of one transaction
_FIRST_WAIT: Final = 0.1  # seconds until the second try
_LONGEST_WAIT: Final = 2.0
_FAREWELL: Final = 3.0  # seconds at the end for what still waits

_log: Final = logging.getLogger("greenlang_secrets")


class IndexUpdates:
    """Takes changes at once, and writes them in the order in which their secrets were changed
    last; `run` is for a supervisor.

    Attributes:
        dropped: changes there was no room for.
    """

    def __init__(self, index: SecretIndex, *, most: int = MOST_WAITING) -> None:
        self._index = index
        self._most = most
        self._waiting: dict[tuple[Scope, str], Change] = {}
        self._gaps: set[Scope] = set()
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many secrets' changes are not written yet."""
        return len(self._waiting)

    def wrote(
        self,
        scope: Scope,
        path: str,
        *,
        version: int,
        type: SecretType | None,  # noqa: A002  Vault's own word for it
        state: VersionState,
        at: datetime,
    ) -> None:
        """Note what `SecretIndex.wrote` would. Returns at once, and raises nothing."""
        self._put(scope, Written(path=path, version=version, type=type, state=state, at=at))

    def forget(self, scope: Scope, path: str, *, at: datetime) -> None:
        """Note what `SecretIndex.forget` would. Returns at once, and raises nothing."""
        self._put(scope, Forgotten(path=path, at=at))

    async def written(self) -> None:
        """Return when nothing waits."""
        await self._none.wait()

    async def run(self) -> None:
        """Write what waits, for ever."""
        wait = _FIRST_WAIT
        while True:
            await self._some.wait()
            try:
                await self._write_some()
                wait = _FIRST_WAIT
            except CatalogueUnavailable:
                await anyio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  spreads replicas
                wait = min(2 * wait, _LONGEST_WAIT)

    async def close(self) -> None:
        """Try once more, for 3 s; what is left then is logged, and wants a rebuild."""
        try:
            with anyio.move_on_after(_FAREWELL):
                while self._waiting or self._gaps:
                    await self._write_some()
        except CatalogueUnavailable:
            pass
        if self._waiting or self._gaps:
            _log.error("catalogue.index_incomplete", extra={"changes": len(self._waiting)})

    def _put(self, scope: Scope, change: Change) -> None:
        key = (scope, change.path)
        before = self._waiting.pop(key, None)
        if before is None and len(self._waiting) >= self._most:
            self.dropped += 1
            self._gaps.add(scope)
        else:
            self._waiting[key] = _joined(before, change)
        self._some.set()
        self._none.clear()

    async def _write_some(self) -> None:
        """Write the changes of one scope, those that wait longest; what is told meanwhile stays.

        Raises:
            CatalogueUnavailable: they wait on.
        """
        for scope in tuple(self._gaps):
            await self._index.mark_gap(scope)
            self._gaps.discard(scope)
        if self._waiting:
            scope = next(iter(self._waiting))[0]
            mine = (key for key in self._waiting if key[0] == scope)
            taken = {key: self._waiting[key] for key in itertools.islice(mine, _BATCH)}
            await self._index.apply(scope, tuple(taken.values()))
            for key, change in taken.items():
                if self._waiting.get(key) is change:
                    del self._waiting[key]
        if not self._waiting and not self._gaps:
            self._some.clear()
            self._none.set()


def _joined(before: Change | None, change: Change) -> Change:
    """The later word, which keeps the type it does not tell."""
    if isinstance(before, Written) and isinstance(change, Written) and change.type is None:
        return replace(change, type=before.type)
    return change
