"""How rotations stand, as gauges: read from the catalogue every 15 s, and never at a scrape.

Every replica tells of all secrets and not of those it rotates itself, so that a rotator that
died is seen; queries take `min` and `max` of them, and never `sum`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from greenlang_secrets.background import reported
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.errors import CatalogueUnavailable
from greenlang_secrets.rotation.steps import STEP_OF
from greenlang_secrets.rotation_model import (
    ACTIVE,
    ClockRow,
    OpenRotation,
    RotatedCertificate,
    RotationState,
)
from greenlang_secrets.telemetry import type_label
from greenlang_secrets_api.certificate_gauges import expiries, lifetimes

__all__ = ["RotationGauges", "is_stuck"]

EVERY: Final = 15.0  # seconds: a scrape interval
FORGOTTEN_AFTER: Final = 300.0
"""Seconds after which nothing is told that could not be read anew: old numbers would look fine."""

ATTEMPTS: Final = 3
"""Failures in a row after which a rotation counts as stuck: some four minutes of backoff."""

UNSEEN_FOR: Final = timedelta(minutes=5)
"""How long after its time a rotation may be looked at, before nobody seems to look at all."""


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
        self._open: Sequence[OpenRotation] = ()
        self._certificates: Sequence[RotatedCertificate] = ()
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
            "gl_secrets_rotation_stuck",
            callbacks=[self._stuck],
            unit="{rotation}",
            description="Rotations that do not get on by themselves, by the step they are before.",
        )
        meter.create_observable_gauge(
            "gl_secrets_rotation_consumers_behind",
            callbacks=[self._behind],
            unit="{consumer}",
            description="Live consumers that use an older version than the promoted one.",
        )
        meter.create_observable_gauge(
            "gl_certificate_expiry_timestamp",
            callbacks=[lambda _: expiries(self._certificates if self._is_fresh() else ())],
            unit="s",
            description="When a role's first certificate of those that are rotated expires.",
        )
        meter.create_observable_gauge(
            "gl_certificate_lifetime",
            callbacks=[lambda _: lifetimes(self._certificates if self._is_fresh() else ())],
            unit="s",
            description="For how long that certificate was issued.",
        )
        meter.create_observable_gauge(
            "gl_secrets_catalogue_up",
            callbacks=[lambda _: [Observation(int(catalogue.usable))]],
            description="Whether the catalogue's database can be used.",
        )

    async def keep(self) -> None:
        """Read anew every 15 s, for ever."""
        while True:
            await reported(self.refresh(), name="rotation gauges")
            await anyio.sleep(EVERY)

    async def refresh(self) -> None:
        """Read anew; without the catalogue what was read last stays for five minutes."""
        try:
            rows = await self._catalogue.rotations.clock()
            under_way = await self._catalogue.rotations.open()
            certificates = await self._catalogue.rotations.certificates()
        except CatalogueUnavailable:
            return
        self._rows, self._open, self._certificates = rows, under_way, certificates
        self._read_at = time.monotonic()

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._read_at < FORGOTTEN_AFTER

    def _known(self) -> Sequence[ClockRow]:
        return self._rows if self._is_fresh() else ()

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

    def _stuck(self, _: CallbackOptions) -> Iterable[Observation]:
        if not self._is_fresh():
            return []
        now = self._clock()
        counts = dict.fromkeys(STEP_OF.values(), 0)
        for each in self._open:
            counts[STEP_OF[each.phase]] += is_stuck(each, now)
        return [Observation(count, {"step": step}) for step, count in counts.items()]

    def _behind(self, _: CallbackOptions) -> Iterable[Observation]:
        counts: dict[str, float] = {type_label(row.secret_type): 0 for row in self._known()}
        for each in self._open if counts else ():
            label = type_label(each.secret_type)
            counts[label] = counts.get(label, 0) + each.behind
        return _observed(counts)


def is_stuck(rotation: OpenRotation, now: datetime) -> bool:
    """Return whether a rotation does not get on by itself: its old credential cannot be revoked, a
    step failed three times in a row, or nobody has looked at it for five minutes.

    One that waits for an operator, or for consumers, is not: that has a time of its own.
    """
    late = rotation.wake_at is not None and now - rotation.wake_at > UNSEEN_FOR
    stuck = rotation.state is RotationState.REVOKE_STUCK
    return stuck or late or rotation.attempts >= ATTEMPTS


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
