"""The observable counters: sums over what was counted by all services of the process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from greenlang_secrets.telemetry.tally import total

__all__ = ["add_counters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counter:
    """One counter: the exporter adds `_total` to its name.

    Attributes:
        counted: its name among the totals.
    """

    name: str
    counted: str
    unit: str
    labels: tuple[str, ...] = ()
    description: str


_COUNTERS: Final = (
    _Counter(
        name="gl_secrets_operations",
        counted="operations",
        unit="{operation}",
        labels=("operation", "secret_type", "result"),
        description="Operations on secrets, cached reads among them.",
    ),
    _Counter(
        name="gl_secrets_rotation",
        counted="rotations",
        unit="{rotation}",
        labels=("secret_type", "status"),
        description="Rotations that ended, and attempts that failed.",
    ),
    _Counter(
        name="gl_secrets_cache_hits",
        counted="hits",
        unit="{read}",
        description="Reads answered from the cache, fresh.",
    ),
    _Counter(
        name="gl_secrets_cache_misses",
        counted="misses",
        unit="{read}",
        description="Reads that had to ask Vault, those then answered stale among them.",
    ),
    _Counter(
        name="gl_secrets_cache_stale_serves",
        counted="stale_serves",
        unit="{read}",
        description="Reads answered with the last value known, since Vault could not be asked.",
    ),
    _Counter(
        name="gl_secrets_cache_coalesced",
        counted="coalesced",
        unit="{read}",
        description="Reads that joined a load which another one had begun.",
    ),
    _Counter(
        name="gl_secrets_cache_evictions",
        counted="evictions",
        unit="{entry}",
        description="Entries that were dropped to make room.",
    ),
    _Counter(
        name="gl_vault_auth_renewals",
        counted="renewals",
        unit="{renewal}",
        labels=("status",),
        description="Logins and renewals of the service's own token.",
    ),
    _Counter(
        name="gl_vault_request_retries",
        counted="retries",
        unit="{request}",
        labels=("reason",),
        description="Requests to Vault that were sent again, or to a second node as well.",
    ),
    _Counter(
        name="gl_vault_failovers",
        counted="failovers",
        unit="{failover}",
        description="Times that reads went over to another node, or writes to another active one.",
    ),
)


def add_counters(meter: Meter) -> None:
    """Give `meter` the counters."""
    for counter in _COUNTERS:
        meter.create_observable_counter(
            counter.name,
            callbacks=[_reading(counter)],
            unit=counter.unit,
            description=counter.description,
        )


def _reading(counter: _Counter) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def read(_: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(value, dict(zip(counter.labels, values, strict=True)))
            for values, value in total(counter.counted).items()
        ]

    return read
