"""Tells the catalogue who in this process uses which version, every few seconds.

So whoever retires a credential, in whichever process, sees who is behind. A catalogue that is
away is told later; meanwhile nobody can ask it who is behind either.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

import anyio

from greenlang_secrets.background import reported
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.consumers import ConsumerRegistry
from greenlang_secrets.errors import CatalogueUnavailable
from greenlang_secrets.paths import Scope
from greenlang_secrets.rotation_model import ConsumerKind, ConsumerReport

__all__ = ["ConsumerLedger"]

_EVERY: Final = 10.0  # seconds; a third of what a watch or a pool is believed to live
_LEAVING: Final = 2.0  # seconds for the last word at the end
_CLOSE: Final = 1.0  # seconds by which two ends of a reader's time may differ and be one

Key = tuple[Scope, str, str]


class ConsumerLedger:
    """Writes what a registry knows into the catalogue, and tells the registry what is rotated.

    Once in `run`, every 10 s, give or take a tenth.
    """

    def __init__(
        self,
        registry: ConsumerRegistry,
        catalogue: Catalogue,
        *,
        gap: float,
        every: float = _EVERY,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`gap` is the promotion gap in seconds: for so long a REST reader counts after a read."""
        self._registry = registry
        self._rotations = catalogue.rotations
        self._every = every
        self._jitter = jitter
        self._digests: dict[Scope, frozenset[str]] = {}
        self._paths: dict[Scope, frozenset[str]] = {}
        self._written: dict[Key, tuple[ConsumerReport, float]] = {}
        registry.readers_live_for = gap

    async def run(self) -> None:
        """Beat, and beat again every few seconds, for ever."""
        while True:
            await reported(self._tried(), name="consumer ledger")
            await anyio.sleep(self._every * (0.9 + 0.2 * self._jitter()))

    async def beat(self) -> None:
        """Learn what is rotated, and write down who uses it.

        Raises:
            CatalogueUnavailable: it cannot be told now; what it was told before stays.
        """
        await self._learn()
        reports = {_key(report): report for report in self._registry.reports()}
        now = anyio.current_time()
        left = [
            replace(report, lives_for=0.0)
            for key, (report, _) in self._written.items()
            if key not in reports and report.kind is not ConsumerKind.REST
        ]
        told = [report for report in reports.values() if self._is_news(report, now)]
        if told or left:
            await self._rotations.report([*told, *left])
        self._written = {
            key: written for key, written in self._written.items() if key in reports
        } | {_key(report): (report, now + report.lives_for) for report in told}

    async def behind(self, scope: Scope, path: str, *, version: int) -> list[ConsumerReport]:
        """Return the live consumers, of all processes, that use an older version.

        Raises:
            CatalogueUnavailable: it cannot be asked.
        """
        return await self._rotations.behind(scope, path, version=version)

    async def close(self) -> None:
        """Say that this process's watches and pools are gone; within 2 s, or not at all.

        REST readers stay until their time is over: they go on with what they have read.
        """
        left = [
            replace(report, lives_for=0.0)
            for report, _ in self._written.values()
            if report.kind is not ConsumerKind.REST
        ]
        self._written.clear()
        if left:
            with suppress(CatalogueUnavailable, TimeoutError):
                async with asyncio.timeout(_LEAVING):
                    await self._rotations.report(left)

    async def _tried(self) -> None:
        with suppress(CatalogueUnavailable):  # which its gate has logged
            await self.beat()

    async def _learn(self) -> None:
        """Have the registry count what has a policy; paths are read where a digest is new or gone."""
        rotated = await self._rotations.rotated()
        for scope, digests in rotated.items():
            if self._digests.get(scope) != digests:
                self._paths[scope] = await self._rotations.paths(scope)
                self._digests[scope] = digests
        for scope in self._digests.keys() - rotated.keys():
            del self._digests[scope], self._paths[scope]
        self._registry.rotated = frozenset(
            (scope.key, path) for scope, paths in self._paths.items() for path in paths
        )

    def _is_news(self, report: ConsumerReport, now: float) -> bool:
        """Whether it must be written: a watch or a pool to stay alive, a reader that has read."""
        if report.kind is not ConsumerKind.REST:
            return True
        written = self._written.get(_key(report))
        if written is None or written[0].version != report.version:
            return True
        return now + report.lives_for > written[1] + _CLOSE


def _key(report: ConsumerReport) -> Key:
    return report.scope, report.path, report.consumer
