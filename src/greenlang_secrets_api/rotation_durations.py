"""How long rotations take, as a histogram: from their beginning to the new credential's promotion.

What comes after is the overlap, which is as long as it was set.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from opentelemetry.metrics import MeterProvider

from greenlang_secrets.rotation.observing import Step
from greenlang_secrets.rotation_model import RotationKind

__all__ = ["RotationDurations"]

BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Seconds. One that nothing hinders takes 0.2 to 3; a step has 20, and a failed one is tried again
after 60."""


class RotationDurations:
    """Times the rotations of this process; one that was taken over counts from its beginning."""

    def __init__(
        self,
        provider: MeterProvider,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._durations = provider.get_meter("greenlang_secrets").create_histogram(
            "gl_secrets_rotation_duration",
            unit="s",
            description="How long rotations took, from their beginning to the promotion.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )

    def told(self, step: Step) -> None:
        """Take a step: a promotion is timed, unless an operator had to be waited for."""
        promoted = step.step == "promote" and step.when == "after"
        if promoted and step.started_at is not None and step.kind is not RotationKind.MANUAL:
            self._durations.record((self._clock() - step.started_at).total_seconds())
