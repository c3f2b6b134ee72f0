"""How this process rotates: the scheduler's pace, leases, and the promotion gap."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from greenlang_secrets.config import CacheConfig, Environment
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.settings import PREFIX, Settings

__all__ = ["STEP_WITHIN", "RotationConfig"]

STEP_WITHIN: Final = 20.0
"""Seconds a step may take, and may go on after each report of progress. It is no setting: a lease
must be longer, and a longer lease is a longer wait after a death.
"""

_DAY: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationConfig:
    """Settings of rotation, ``GREENLANG_SECRETS_ROTATION_*``.

    Attributes:
        enabled: whether this process looks for what is due; by hand it rotates all the same.
        scan_every: seconds between two looks.
        concurrency: rotations that this process works on at the same time by schedule.
        lease_for: seconds after which an owner that says nothing counts as dead.
        step_within: seconds a step may take; less than the lease by what a write may take.
        skew: seconds that a lease must be over before another takes it: clocks differ.
        eso_refresh: seconds between two refreshes of an ExternalSecret.
        margin: seconds that the promotion gap is longer than it would have to be.
        least_gap: seconds it has at least.
        first_backoff, longest_backoff: seconds after the first failed attempt, doubled after
            each further one, up to the longest.
        tenant_targets: where the targets of tenants' secrets may be: ``host``, ``host:port`` or
            ``*.suffix``. None by default: the service would connect wherever a tenant says.
        default_interval: seconds between two rotations where a policy names none.
    """

    enabled: bool = True
    scan_every: float = 10.0
    concurrency: int = 4
    lease_for: float = 30.0
    step_within: float = STEP_WITHIN
    skew: float = 2.0
    eso_refresh: float = 60.0
    margin: float = 60.0
    least_gap: float = 900.0
    first_backoff: float = 60.0
    longest_backoff: float = 3600.0
    tenant_targets: tuple[str, ...] = ()
    default_interval: float = 7 * _DAY

    def __post_init__(self) -> None:
        if self.scan_every <= 0 or self.concurrency < 1:
            raise ConfigurationError(
                f"{PREFIX}ROTATION_SCAN_SECONDS is greater than 0, and "
                f"{PREFIX}ROTATION_CONCURRENCY 1 or greater."
            )
        if self.lease_for < 1.25 * self.step_within:
            raise ConfigurationError(
                f"{PREFIX}ROTATION_LEASE_SECONDS is {self.lease_for:g}; use at least "
                f"{1.25 * self.step_within:g}: a step may take {self.step_within:g}."
            )
        if min(self.eso_refresh, self.margin, self.least_gap, self.skew) < 0:
            raise ConfigurationError("The seconds of rotation are 0 or greater.")

    @classmethod
    def from_env(
        cls, environment: Environment | None = None, *, environ: Mapping[str, str] | None = None
    ) -> RotationConfig:
        """Return the configuration that the environment variables describe.

        `environment` gives the defaults of the interval and of the ExternalSecrets' refresh;
        None reads ``GREENLANG_SECRETS_ENVIRONMENT``.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        settings = Settings(os.environ if environ is None else environ)
        where = environment or Environment.parse(settings.text("ENVIRONMENT") or "development")
        defaults = where.defaults
        return cls(
            enabled=settings.flag("ROTATION_ENABLED", default=True),
            scan_every=settings.number("ROTATION_SCAN_SECONDS", 10.0, least=0.1),
            concurrency=int(settings.number("ROTATION_CONCURRENCY", 4, least=1)),
            lease_for=settings.number("ROTATION_LEASE_SECONDS", 30.0),
            eso_refresh=settings.number("ROTATION_ESO_REFRESH_SECONDS", defaults.eso_refresh),
            margin=settings.number("ROTATION_MARGIN_SECONDS", 60.0),
            least_gap=settings.number("ROTATION_LEAST_GAP_SECONDS", 900.0),
            tenant_targets=_targets(settings),
            default_interval=defaults.rotation_interval,
        )

    def promotion_gap(self, cache: CacheConfig) -> float:
        """Return the seconds after which nobody can still go by the value before a promotion: a
        consumer reads it fresh, serves it stale, or has it from an ExternalSecret.
        """
        staleness = cache.fresh_for + cache.stale_for + self.eso_refresh + self.margin
        return max(self.least_gap, staleness)


def _targets(settings: Settings) -> tuple[str, ...]:
    raw = settings.text("ROTATION_TENANT_TARGETS") or ""
    return tuple(part.strip().lower() for part in raw.split(",") if part.strip())
