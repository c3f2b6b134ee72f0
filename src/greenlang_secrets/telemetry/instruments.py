"""How counts leave: through OpenTelemetry's API, read when somebody collects."""

from __future__ import annotations

from opentelemetry.metrics import MeterProvider

from greenlang_secrets.telemetry.counters import add_counters

__all__ = ["Instruments"]


class Instruments:
    """The library's instruments on one MeterProvider. Make one per provider and process: OTel
    silently drops the second callback of an instrument made twice.
    """

    def __init__(self, provider: MeterProvider) -> None:
        add_counters(provider.get_meter("greenlang_secrets"))
