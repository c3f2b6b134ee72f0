"""What a scrape shows of ExternalSecrets.

The watch itself is told through OpenTelemetry, as everything else of the service is. The series
of each secret are not: the SDK (1.45) keeps every set of labels that it has ever seen, and after
2000 of them tells of none but an overflow, so a cluster where secrets come and go would end with
no metric at all. They go to the registry by a collector of its own, which has what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from greenlang_secrets_api.eso_api import Trouble
from greenlang_secrets_api.eso_syncs import EsoSyncs

__all__ = ["EsoSeries", "instruments"]


class EsoSeries(Collector):
    """The series of each secret: two counts, whether it is ready, when it last synced, and how often
    it should.
    """

    def __init__(self, syncs: EsoSyncs) -> None:
        self._syncs = syncs

    def collect(self) -> Iterable[Metric]:
        """Return what there is to tell; a scrape calls this from a thread."""
        counts = CounterMetricFamily(
            "gl_eso_sync",
            "Syncs of ExternalSecrets and PushSecrets that were seen to end.",
            labels=("secret", "status"),
        )
        for each in self._syncs.counted():
            counts.add_metric((each.status.label, "success"), each.success)
            counts.add_metric((each.status.label, "failure"), each.failure)
        ready = GaugeMetricFamily(
            "gl_eso_ready", "Whether the secret's condition Ready is True.", labels=("secret",)
        )
        last = GaugeMetricFamily(
            "gl_eso_last_sync_timestamp_seconds",
            "When the secret last synced, by its refreshTime.",
            labels=("secret",),
        )
        every = GaugeMetricFamily(
            "gl_eso_refresh_interval_seconds",
            "How often the secret is to sync, where it does so by itself.",
            labels=("secret",),
        )
        for each in self._syncs.current():
            status = each.status  # one state, although the loop goes on
            ready.add_metric((status.label,), float(status.ready))
            if status.refreshed_at is not None:
                last.add_metric((status.label,), status.refreshed_at)
            if status.refreshed_every is not None:
                every.add_metric((status.label,), status.refreshed_every)
        return counts, ready, last, every


def instruments(
    provider: MeterProvider, *, connected: Callable[[], bool], errors: Mapping[Trouble, int]
) -> None:
    """Give a meter provider what tells of the watch itself."""

    def standing(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(int(connected()))]

    def counted(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, {"reason": reason.value}) for reason, count in errors.items()]

    meter = provider.get_meter("greenlang_secrets")
    meter.create_observable_gauge(
        "gl_eso_watch_connected",
        callbacks=[standing],
        unit="1",
        description="Whether every watch stands.",
    )
    meter.create_observable_counter(
        "gl_eso_watch_errors",
        callbacks=[counted],
        unit="{error}",
        description="Why a watch was not told of something.",
    )
