"""Ships the audit log to the catalogue: a loop that reads on from where the catalogue is.

Records and the place they end at are written in one transaction, so whatever dies when, the
catalogue knows what it has. After any failure the loop begins anew from there: it may send a
batch again, which the catalogue tells by the events' ids, and never leaves one out.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from greenlang_secrets.audit.records import Position
from greenlang_secrets.background import reported
from greenlang_secrets.catalogue.audit_copy import AuditCopy
from greenlang_secrets.catalogue.log_reader import Batch, LogReader
from greenlang_secrets.errors import CatalogueUnavailable

__all__ = ["AuditShipping", "ShippingStats"]

_BATCH: Final = 500
"""Records of one transaction: a few hundred kilobytes, and far from its deadline."""

_GATHER: Final = 0.2
"""Seconds between a batch that left nothing behind and the next: under load that one would else
have a dozen records, and a transaction costs as much as a hundred. Less than `_IDLE`, so the copy is
not later than after a quiet moment."""

_IDLE: Final = 0.5  # seconds until the log is looked at again when nothing is left
_LONGEST_WAIT: Final = 5.0  # seconds between two tries while something is away

_log: Final = logging.getLogger("greenlang_secrets")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingStats:
    """How the copy is behind the log.

    Attributes:
        shipped: records that arrived since the process began.
        again: records among those sent that were there already.
        lag_records: records that are durable in the log and not in the catalogue, as last
            seen; None before the first look.
        lag_seconds: how old the oldest of them is, 0 if there is none.
        damaged: lines that are no records and were passed over; ``audit verify`` names them.
        missing: records that no file of the log has any more.
        forked: how often the log was another one than what was shipped: it ended before the
            last record, or had another at its number. Both are in the copy then.
        failing: the code of what is in the way, or None.
        failures: tries that failed.
    """

    shipped: int = 0
    again: int = 0
    lag_records: int | None = None
    lag_seconds: float = 0.0
    damaged: int = 0
    missing: int = 0
    forked: int = 0
    failing: str | None = None
    failures: int = 0


class AuditShipping:
    """Ships the log at `path`; `run` is for a supervisor."""

    def __init__(self, copy: AuditCopy, path: Path) -> None:
        self._copy = copy
        self._path = path
        self._stats = ShippingStats()
        self._oldest: datetime | None = None
        self._forked: set[Position] = set()

    @property
    def stats(self) -> ShippingStats:
        """How far it is."""
        if self._oldest is None:
            return self._stats
        age = (datetime.now(UTC) - self._oldest).total_seconds()
        return replace(self._stats, lag_seconds=max(0.0, age))

    async def run(self) -> None:
        """Ship for ever."""
        wait = _IDLE
        while True:
            began = time.monotonic()
            await reported(self._until_failure(), name="audit shipping")
            wait = (
                _IDLE if time.monotonic() - began > _LONGEST_WAIT else min(2 * wait, _LONGEST_WAIT)
            )
            await anyio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  spreads replicas

    async def _until_failure(self) -> None:
        try:
            reached = await self._copy.reached()
            with closing(LogReader(self._path, reached)) as reader:
                await self._follow(reader)
        except CatalogueUnavailable as error:
            self._fail(error.code)
        except OSError as error:
            self._fail("unreadable" if not isinstance(error, FileNotFoundError) else "no_log")

    async def _follow(self, reader: LogReader) -> None:
        while True:
            batch = await anyio.to_thread.run_sync(reader.read, _BATCH)
            self._look_at(batch)
            if batch.reached is None:
                await anyio.sleep(_IDLE)
                continue
            self._oldest = batch.records[0].event.at
            new = await self._copy.insert(batch.records, reached=batch.reached)
            self._oldest = batch.records[-1].event.at if batch.behind else None
            self._stats = replace(
                self._stats,
                shipped=self._stats.shipped + new,
                again=self._stats.again + len(batch.records) - new,
                lag_records=batch.behind,
                failing=None,
            )
            if not batch.behind:
                await anyio.sleep(_GATHER)

    def _look_at(self, batch: Batch) -> None:
        if batch.damaged or batch.missing:
            _log.error(
                "audit.shipping_gap", extra={"damaged": batch.damaged, "missing": batch.missing}
            )
        for position in set(batch.forked) - self._forked:  # a try that failed finds it again
            self._forked.add(position)
            _log.error("audit.forked", extra={"chain": position.chain, "seq": position.seq})
        waiting = len(batch.records) + batch.behind
        self._stats = replace(
            self._stats,
            lag_records=waiting,
            damaged=self._stats.damaged + batch.damaged,
            missing=self._stats.missing + batch.missing,
            forked=len(self._forked),
            failing=self._stats.failing if waiting else None,
        )
        if not waiting:
            self._oldest = None

    def _fail(self, code: str) -> None:
        if self._stats.failing != code:
            _log.warning("audit.shipping_failed", extra={"obstacle": code})
        self._stats = replace(self._stats, failing=code, failures=self._stats.failures + 1)
