"""How rotations stand, as gauges: read from the catalogue every 15 s, and never at a scrape.

Every replica tells of all secrets and not of those it rotates itself, so that a rotator that
died is seen; queries take `min` and `max` of them, and never `sum`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import anyio
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from greenlang_secrets.background import reported
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.errors import CatalogueUnavailable
from greenlang_secrets.rotation_model import ACTIVE, ClockRow
from greenlang_secrets.telemetry import type_label

__all__ = ["RotationGauges"]

EVERY: Final = 15.0  # seconds: a scrape interval
FORGOTTEN_AFTER: Final = 300.0
"""Seconds after which nothing is told that could not be read anew: old numbers would look fine."""


class RotationGauges:
    """Keeps what the gauges show, and gives a meter provider the gauges."""

    def __init__(
        self,
        catalogue: Catalogue,
        provider: MeterProvider,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._rows: Sequence[ClockRow] = ()
        self._read_at = float("-inf")
        meter = provider.get_meter("greenlang_secrets")
        for name, callback, said in (
            ("due_timestamp", self._due, "When the next rotation is due, the earliest."),
            (
                "last_success_timestamp",
                self._last_success,
                "When a rotation last ended well, the oldest.",
            ),
            ("overdue", self._overdue, "For how long the longest overdue rotation is due."),
        ):
            meter.create_observable_gauge(
                f"gl_secrets_rotation_{name}", callbacks=[callback], unit="s", description=said
            )
        meter.create_observable_gauge(
            "gl_secrets_rotation_in_progress",
            callbacks=[self._in_progress],
            unit="{rotation}",
            description="Rotations under way, up to their promotion.",
        )
        meter.create_observable_gauge(
            "gl_secrets_certificate_not_after_timestamp",
            callbacks=[self._not_after],
            unit="s",
            description="When the first of the certificates that are rotated expires.",
        )

    async def keep(self) -> None:
        """Read anew every 15 s, for ever."""
        while True:
            await reported(self.refresh(), name="rotation gauges")
            await anyio.sleep(EVERY)

    async def refresh(self) -> None:
        """Read anew; without the catalogue what was read last stays for five minutes."""
        try:
            self._rows = await self._catalogue.rotations.clock()
        except CatalogueUnavailable:
            return
        self._read_at = time.monotonic()

    def _known(self) -> Sequence[ClockRow]:
        return self._rows if time.monotonic() - self._read_at < FORGOTTEN_AFTER else ()

    def _due(self, _: CallbackOptions) -> Iterable[Observation]:
        return _least((row, row.next_due) for row in self._known())

    def _last_success(self, _: CallbackOptions) -> Iterable[Observation]:
        return _least((row, row.last_success) for row in self._known())

    def _overdue(self, _: CallbackOptions) -> Iterable[Observation]:
        now = self._clock()
        longest: dict[str, float] = {}
        for row in self._known():
            due = now if row.next_due is None or row.state in ACTIVE else row.next_due
            label = type_label(row.secret_type)
            longest[label] = max(longest.get(label, 0.0), (now - due).total_seconds())
        return _observed(longest)

    def _in_progress(self, _: CallbackOptions) -> Iterable[Observation]:
        counts: dict[str, float] = {}
        for row in self._known():
            label = type_label(row.secret_type)
            counts[label] = counts.get(label, 0) + (row.state in ACTIVE)
        return _observed(counts)

    def _not_after(self, _: CallbackOptions) -> Iterable[Observation]:
        ends = [row.not_after for row in self._known() if row.not_after is not None]
        return [Observation(min(ends).timestamp())] if ends else []


def _least(rows: Iterable[tuple[ClockRow, datetime | None]]) -> list[Observation]:
    """The earliest of each type, in seconds since 1970."""
    found: dict[str, float] = {}
    for row, at in rows:
        if at is not None:
            label = type_label(row.secret_type)
            found[label] = min(found.get(label, float("inf")), at.timestamp())
    return _observed(found)


def _observed(values: dict[str, float]) -> list[Observation]:
    return [Observation(value, {"secret_type": label}) for label, value in values.items()]
