"""The parts of the preview that need no Prometheus."""

from __future__ import annotations

import json
import math

import pytest

from observability.dashboards.parts import About, Query, lines
from observability.dashboards.reading import document, panels, put_in
from observability.preview.__main__ import missing
from observability.preview.asking import Answer, Series, Span
from observability.preview.units import say
from observability.workload import Stack

PANELS = {panel.id: panel for panel in panels(document())}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0"),
        (0.0012, "s", "1.2 ms"),
        (0.00004, "s", "40 µs"),
        (5400, "s", "1.5 h"),
        (-172_800, "s", "-2 d"),
        (12, "ms", "12 ms"),
        (0.999, "percentunit", "99.9 %"),
        (1_572_864, "bytes", "1.5 MiB"),
        (1500, "ops", "1.5 k/s"),
        (3, "short", "3"),
        (0.25, "short", "0.25"),
        (math.nan, "s", "NaN"),
    ],
)
def test_numbers_have_their_unit(value, unit, text):
    """A value is shown in the largest unit that fits it, as in Grafana."""
    assert say(value, unit) == text


def test_variables_are_put_in():
    """All is chosen, and the interval of rates is the scrape's."""
    query = 'rate(x{environment=~"$environment"}[$__rate_interval]) > $quantile'

    assert put_in(query, rate_interval="1m") == 'rate(x{environment=~".*"}[1m]) > 0.95'


def test_a_variable_that_nobody_chooses_is_refused():
    """A query with another variable is not sent as it is."""
    with pytest.raises(KeyError, match="tenant"):
        put_in('x{tenant="$tenant"}', rate_interval="1m")


def answer(id_: int, **values: list[float]) -> Answer:
    """Return an answer that has the values given, by letter."""
    series = [
        Series(letter=letter, name=letter, labels={}, times=list(range(len(each))), values=each)
        for letter, each in values.items()
    ]
    return Answer(panel=PANELS[id_], series=series)


def test_queries_without_data_are_named():
    """A query that got nothing, or only NaN, is missing, and one with a single value is not."""
    answers = [answer(102, A=[1.0], B=[math.nan, math.nan]), answer(303), answer(401, A=[0.0])]

    assert [(panel.id, letter) for panel, letter in missing(answers)] == [(102, "B"), (303, "A")]


def test_listed_queries_may_be_without_data():
    """What the list of exceptions has is not missing."""
    assert missing([answer(705)]) == []


def test_a_panel_shows_some_hundred_points():
    """Hours are drawn in steps, and a minute by the second."""
    assert Span(start=0, end=10_800, rate_interval="1m").step == 45
    assert Span(start=0, end=60, rate_interval="10s").step == 1


def test_thresholds_that_do_not_rise_are_refused():
    """Steps in another order, which Grafana would colour by wrongly, cannot be made."""
    about = About(id=1, title="t", shows="s", normal="n", runbooks=("Watchdog",), unit="s")

    with pytest.raises(ValueError, match="rise"):
        lines(about, Query("up"), steps=((2, "red"), (1, "orange")))


def test_the_key_to_unseal_is_found_beside_what_is_kept(tmp_path):
    """A stack that keeps its data can be sealed; one that does not has no key on disk."""
    ready = {
        "api_url": "http://127.0.0.1:1",
        "vault_addr": "http://127.0.0.1:2",
        "vault_token": "root",
        "tokens": {"platform-admin": "bearer"},
        "openbao_audit_log": str(tmp_path / "audit.log"),
    }
    (tmp_path / "ready").write_text(json.dumps(ready))

    without = Stack.read(tmp_path / "ready")
    (tmp_path / "unseal.key").write_text("abc")
    kept = Stack.read(tmp_path / "ready")

    assert without.unseal_key is None
    assert kept.unseal_key == "abc"
    assert "bearer" not in repr(kept)
    assert "root" not in repr(kept)
