"""How counts leave: through OpenTelemetry's API, read when somebody collects."""

from __future__ import annotations

from opentelemetry.metrics import MeterProvider

from greenlang_secrets.telemetry.counters import add_counters
from greenlang_secrets.telemetry.duration import add_duration
from greenlang_secrets.telemetry.gauges import add_gauges

__all__ = ["Instruments"]


class Instruments:
    """The library's instruments on one MeterProvider. Make one per provider and process: OTel
    silently drops the second callback of an instrument made twice.
    """

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter("greenlang_secrets")
        add_counters(meter)
        add_gauges(meter)
        add_duration(provider, meter)
