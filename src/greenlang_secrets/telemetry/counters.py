"""The observable counters: sums over what was counted by all services of the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from greenlang_secrets.telemetry import tally

__all__ = ["add_counters"]


def add_counters(meter: Meter) -> None:
    """Give `meter` the counters."""
    meter.create_observable_counter(
        "gl_secrets_operations",
        callbacks=[_operations],
        unit="{operation}",
        description="Operations on secrets, cached reads among them.",
    )
    meter.create_observable_counter(
        "gl_secrets_cache_hits",
        callbacks=[_hits],
        unit="{read}",
        description="Reads answered from the cache, fresh.",
    )
    meter.create_observable_counter(
        "gl_secrets_cache_misses",
        callbacks=[_misses],
        unit="{read}",
        description="Reads that had to ask Vault, those then answered stale among them.",
    )
    meter.create_observable_counter(
        "gl_secrets_rotation",
        callbacks=[_rotations],
        unit="{rotation}",
        description="Rotations that ended, and attempts that failed.",
    )


def _operations(_: CallbackOptions) -> Iterable[Observation]:
    with tally.handover:
        totals = Counter(tally.past.operations)
        for each in tally.live:
            totals.update(each.totals())
    for (operation, secret_type, result), value in totals.items():
        yield Observation(
            value, {"operation": operation, "secret_type": secret_type, "result": result}
        )


def _rotations(_: CallbackOptions) -> Iterable[Observation]:
    with tally.handover:
        totals = Counter(tally.past.rotations)
        for each in tally.live:
            totals.update(each.rotations)
    for (secret_type, status), value in totals.items():
        yield Observation(value, {"secret_type": secret_type, "status": status})


def _hits(_: CallbackOptions) -> Iterable[Observation]:
    with tally.handover:
        hits = tally.past.hits + sum(each.hits() for each in tally.live)
    yield Observation(hits)


def _misses(_: CallbackOptions) -> Iterable[Observation]:
    with tally.handover:
        misses = tally.past.misses + sum(each.misses() for each in tally.live)
    yield Observation(misses)
