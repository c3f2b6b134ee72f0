"""Gauges and durations of rotations: what is stuck, who is behind, when certificates end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from greenlang_secrets import PLATFORM, SecretType
from greenlang_secrets.errors import CatalogueUnavailable
from greenlang_secrets.rotation.observing import Step
from greenlang_secrets.rotation_model import (
    ClockRow,
    OpenRotation,
    RotatedCertificate,
    RotationKind,
    RotationState,
)
from greenlang_secrets_api import rotation_gauges
from greenlang_secrets_api.certificate_gauges import expiries, lifetimes
from greenlang_secrets_api.metrics import Metrics
from greenlang_secrets_api.rotation_durations import RotationDurations
from greenlang_secrets_api.rotation_gauges import RotationGauges, is_stuck
from support.scrapes import value

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
WAITS = OpenRotation(
    secret_type=SecretType.DATABASE,
    state=RotationState.OVERLAP,
    phase=RotationState.OVERLAP,
    attempts=0,
    wake_at=NOW + timedelta(minutes=10),
    behind=2,
)
CLOCK = ClockRow(
    secret_type=SecretType.DATABASE,
    state=RotationState.OVERLAP,
    next_due=NOW,
    last_success=NOW,
    not_after=None,
)
PROMOTED = Step(
    scope=PLATFORM,
    path="a",
    kind=RotationKind.POSTGRESQL,
    secret_type=SecretType.DATABASE,
    rotation_id="a" * 32,
    fence=1,
    step="promote",
    when="after",
    state=RotationState.PROMOTED,
    started_at=NOW - timedelta(seconds=2),
)


@dataclass
class Store:
    """A catalogue's rotations that are what a test says; a real one stands in test_metrics.py."""

    rows: list[OpenRotation] = field(default_factory=list)
    away: bool = False
    usable: bool = True

    @property
    def rotations(self) -> Any:
        return self

    async def clock(self) -> list[ClockRow]:
        if self.away:
            raise CatalogueUnavailable
        return [CLOCK] if self.rows else []

    async def open(self) -> list[OpenRotation]:
        return self.rows

    async def certificates(self) -> list[RotatedCertificate]:
        return [certificate("web", days=3)] if self.rows else []


def certificate(role: str, *, days: float, ttl: str = "72h") -> RotatedCertificate:
    return RotatedCertificate(role=role, ttl=ttl, not_after=NOW + timedelta(days=days))


async def scraped(store: Store, *, refreshes: int = 1) -> str:
    metrics = Metrics()
    gauges = RotationGauges(store, metrics.provider, clock=lambda: NOW)  # type: ignore[arg-type]
    for _ in range(refreshes):
        await gauges.refresh()
    text = (await metrics.render(""))[0].decode()
    await metrics.close()
    return text


@pytest.mark.parametrize(
    ("change", "stuck"),
    [
        ({}, False),
        ({"state": RotationState.REVOKE_STUCK}, True),
        ({"attempts": 2}, False),
        ({"attempts": 3}, True),
        ({"wake_at": NOW - timedelta(minutes=4)}, False),
        ({"wake_at": NOW - timedelta(minutes=6)}, True),
        ({"state": RotationState.AWAITING_OPERATOR, "wake_at": None}, False),
    ],
    ids=str,
)
def test_what_is_stuck(change, stuck):
    """What does not get on by itself, and not what has a time of its own."""
    assert is_stuck(replace(WAITS, **change), NOW) is stuck


async def test_stuck_rotations_are_told_by_the_step_before_which_they_are() -> None:
    """The phase that a side state interrupted says which; every step has its series."""
    failed = replace(
        WAITS, state=RotationState.FAILED, phase=RotationState.APPLIED, attempts=5, behind=0
    )
    revoke = replace(WAITS, state=RotationState.REVOKE_STUCK)

    text = await scraped(Store([failed, revoke, WAITS]))

    stuck = "gl_secrets_rotation_stuck"
    assert value(text, stuck, step="verify") == 1
    assert value(text, stuck, step="retire") == 1
    assert value(text, stuck, step="prepare") == 0
    assert value(text, "gl_secrets_rotation_consumers_behind", secret_type="database") == 4
    assert value(text, "gl_certificate_lifetime_seconds", certificate="web") == 259_200
    ends = (NOW + timedelta(days=3)).timestamp()
    assert value(text, "gl_certificate_expiry_timestamp_seconds", certificate="web") == ends


async def test_nothing_is_told_that_could_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the catalogue there are no numbers, and old ones go after a while."""
    away = await scraped(Store([WAITS], away=True))
    monkeypatch.setattr(rotation_gauges, "FORGOTTEN_AFTER", 0.0)
    old = await scraped(Store([WAITS]))
    down = await scraped(Store(usable=False))

    for text in (away, old):
        for name in ("gl_secrets_rotation_stuck", "gl_certificate_", "consumers_behind"):
            assert name not in text
    assert value(away, "gl_secrets_catalogue_up") == 1
    assert value(down, "gl_secrets_catalogue_up") == 0


def test_a_roles_first_certificate_counts() -> None:
    """Several of one role are one series, of that which ends first; a lifetime that no version of
    ours wrote is left out.
    """
    given = [certificate("web", days=9, ttl="216h"), certificate("web", days=3)]
    odd = certificate("odd", days=1, ttl="soon")

    assert [(o.value, o.attributes) for o in expiries(given)] == [
        ((NOW + timedelta(days=3)).timestamp(), {"certificate": "web"})
    ]
    assert [o.value for o in lifetimes([*given, odd])] == [259_200.0]


def test_roles_without_end_are_one() -> None:
    """Beyond 20 roles the rest is `other`, whatever ends first among them."""
    given = [certificate(f"r{number:03}", days=number + 1) for number in range(50)]

    found = {str((o.attributes or {})["certificate"]): o.value for o in expiries(given)}

    assert len(found) == 21
    assert found["other"] == (NOW + timedelta(days=21)).timestamp()


async def test_a_promotion_is_timed_from_its_rotations_beginning() -> None:
    """Promotions alone, and not those that waited for an operator."""
    metrics = Metrics()
    durations = RotationDurations(metrics.provider, clock=lambda: NOW)
    for step in (
        PROMOTED,
        replace(PROMOTED, when="before"),
        replace(PROMOTED, step="retire"),
        replace(PROMOTED, kind=RotationKind.MANUAL),
        replace(PROMOTED, started_at=None),
    ):
        durations.told(step)

    text = (await metrics.render(""))[0].decode()
    await metrics.close()

    assert value(text, "gl_secrets_rotation_duration_seconds_count") == 1
    assert value(text, "gl_secrets_rotation_duration_seconds_sum") == 2.0
