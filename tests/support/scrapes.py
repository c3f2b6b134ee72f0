"""What a scrape says, by the name of each series."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def samples(text: str) -> list[Sample]:
    """Return every sample of a scrape in Prometheus' text format."""
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def value(text: str, name: str, **labels: str) -> float:
    """Return the sum of the series of a name that have these labels; NaN if there is none."""
    found = [
        sample.value
        for sample in samples(text)
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found) if found else float("nan")
