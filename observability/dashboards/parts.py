"""What the panels of all rows have in common: who is asked, how it looks, what it says of itself.

Every panel gives its number itself, since alerts link to it; what it shows, what is normal and
which runbooks help are required, so that no panel can be made without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Protocol, Self, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    gauge,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_looks
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from observability.alert_rules import LINKS
from observability.yaml_files import load

__all__ = [
    "DATASOURCE",
    "EXTERNAL",
    "OURS",
    "About",
    "Column",
    "Query",
    "Row",
    "bars",
    "countdown",
    "dial",
    "heat",
    "lines",
    "number",
    "states",
    "tabular",
]

Steps: TypeAlias = Sequence[tuple[float, str]]
"""From which value on a panel has which colour; below the first it is green."""
Words: TypeAlias = Mapping[int, tuple[str, str]]
"""What a value means, in a word, and its colour."""
Panel: TypeAlias = Builder[models.Panel]

DATASOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""Whatever the reader has chosen: a dashboard that names a data source works in one place."""

EXTERNAL: Final = 'environment=~"$environment",namespace=~"$namespace"'
"""Chooses series of servers that are not ours: their instances are none of the variable's."""

OURS: Final = f'{EXTERNAL},instance=~"$instance"'
"""Chooses series of the service."""


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a panel says of itself."""

    id: int
    """For good: links of alerts have it. The hundreds are its row's."""
    title: str
    shows: str
    normal: str
    runbooks: tuple[str, ...]
    """The alerts whose runbooks help when it is not normal."""
    unit: str
    width: int = 8
    """Of 24."""
    height: int = 8

    @property
    def description(self) -> str:
        """The text behind the panel's i, in Markdown."""
        links = ", ".join(f"[{name}]({_runbooks()}/{name})" for name in self.runbooks)
        return f"{self.shows}\n\n**Normal:** {self.normal}\n\n**Runbook:** {links}"


@cache
def _runbooks() -> str:
    base: str = load(LINKS)["runbooks"]
    return base


@dataclass(frozen=True, slots=True)
class Query:
    """A query, and how its series are named in the legend."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table: what one of its queries answers."""

    title: str
    expression: str
    unit: str = "short"
    steps: Steps = ()
    words: Words = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of the dashboard and its panels, from left to right."""

    id: int
    title: str
    panels: Sequence[Panel]


class _Told(Protocol):
    """What the builders of all kinds of panels have alike."""

    def id(self, id_val: int, /) -> Self: ...
    def title(self, title: str, /) -> Self: ...
    def description(self, description: str, /) -> Self: ...
    def datasource(self, datasource: models.DataSourceRef, /) -> Self: ...
    def span(self, w: int, /) -> Self: ...
    def height(self, h: int, /) -> Self: ...
    def unit(self, unit: str, /) -> Self: ...
    def thresholds(self, thresholds: Builder[models.ThresholdsConfig], /) -> Self: ...
    def targets(self, targets: list[Builder[Dataquery]], /) -> Self: ...


P = TypeVar("P", bound=_Told)


def lines(
    about: About,
    *queries: Query,
    steps: Steps = (),
    stacked: bool = False,
    colours: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
) -> Panel:
    """Return series over time.

    Args:
        about: what the panel says of itself.
        queries: what is drawn.
        steps: where lines are drawn across, and from where on it is not normal.
        stacked: whether the series are parts of one sum.
        colours: of series, by a regular expression over their names.
        units: of series that have another than the panel, likewise; they get an axis on the right.
    """
    panel = _told(timeseries.Panel(), about, queries, steps)
    panel = panel.legend(_legend()).tooltip(
        common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI)
    )
    panel = panel.fill_opacity(40 if stacked else 8).line_width(1).span_nulls(span_nulls=False)
    panel = panel.show_points(looks.VisibilityMode.NEVER).axis_soft_min(0)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds_style(style)
    for names, colour in (colours or {}).items():
        panel = panel.override_by_regexp(names, [_fixed(colour)])
    for names, unit in (units or {}).items():
        right = models.DynamicConfigValue("custom.axisPlacement", "right")
        panel = panel.override_by_regexp(names, [models.DynamicConfigValue("unit", unit), right])
    return panel


def bars(about: About, *queries: Query, colours: Mapping[str, str]) -> Panel:
    """Return events, as stacked bars over time."""
    panel = _told(timeseries.Panel(), about, queries, ()).legend(_legend())
    panel = panel.draw_style(looks.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
    panel = panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    for names, colour in colours.items():
        panel = panel.override_by_regexp(names, [_fixed(colour)])
    return panel


def number(
    about: About, *queries: Query, steps: Steps = (), words: Words | None = None, none: str = "-"
) -> Panel:
    """Return one large number for each series, as it is now; `none` stands where there is none."""
    panel = _told(stat.Panel(), about, queries, steps, instant=True)
    panel = panel.color_mode(looks.BigValueColorMode.BACKGROUND_SOLID).no_value(none)
    panel = panel.graph_mode(looks.BigValueGraphMode.NONE).reduce_options(_last())
    if any(query.legend for query in queries):
        panel = panel.text_mode(looks.BigValueTextMode.VALUE_AND_NAME)
    return panel.mappings(_mappings(words)) if words else panel


def dial(about: About, query: Query, *, steps: Steps, low: float, high: float) -> Panel:
    """Return one number on a dial between `low` and `high`."""
    panel = _told(gauge.Panel(), about, (query,), steps, instant=True)
    return panel.min(low).max(high).reduce_options(_last())


def countdown(about: About, query: Query, *, steps: Steps) -> Panel:
    """Return one bar for each series, whose length is what is left."""
    panel = _told(bargauge.Panel(), about, (query,), steps, instant=True)
    panel = panel.orientation(looks.VizOrientation.HORIZONTAL).min(0).reduce_options(_last())
    return panel.display_mode(looks.BarGaugeDisplayMode.BASIC)


def states(about: About, *queries: Query, words: Words) -> Panel:
    """Return bands of colour over time, one for each series, by what its value means."""
    panel = _told(statetimeline.Panel(), about, queries, ()).mappings(_mappings(words))
    panel = panel.show_value(looks.VisibilityMode.AUTO).row_height(0.8).fill_opacity(90)
    return panel.merge_values(merge_values=True).legend(_legend())


def heat(about: About, query: Query) -> Panel:
    """Return a histogram over time: the fuller a bucket, the darker its cell."""
    panel = _told(heatmap.Panel(), about, (query,), (), format_=PromQueryFormat.HEATMAP)
    colours = heatmap.HeatmapColorOptions().mode(heatmap_looks.HeatmapColorMode.SCHEME)
    panel = panel.color(colours.scheme("Oranges")).calculate(calculate=False)
    return panel.y_axis(heatmap.YAxisConfig().unit(about.unit)).hide_legend()


def tabular(about: About, *columns: Column, by: Mapping[str, str]) -> Panel:
    """Return a table with a line for each label set, as it is now.

    Args:
        about: what the panel says of itself.
        columns: a query each; their series have the labels of `by`, and no other.
        by: the titles of the columns with labels, by label.
    """
    queries = [Query(column.expression) for column in columns]
    panel = _told(table.Panel(), about, queries, (), instant=True, format_=PromQueryFormat.TABLE)
    panel = panel.with_transformation(models.DataTransformerConfig("merge", options={}))
    values = {f"Value #{_letter(index)}": column.title for index, column in enumerate(columns)}
    if len(columns) == 1:
        values |= {"Value": columns[0].title}  # one query alone is not numbered
    order = {name: index for index, name in enumerate([*by, *values])}
    organize = {
        "excludeByName": {"Time": True},
        "indexByName": order,
        "renameByName": {**by, **values},
    }
    panel = panel.with_transformation(models.DataTransformerConfig("organize", options=organize))
    for column in columns:
        panel = panel.override_by_name(column.title, _cell(column))
    return panel.no_value("none")


def _told(
    panel: P,
    about: About,
    queries: Sequence[Query],
    steps: Steps,
    *,
    instant: bool = False,
    format_: PromQueryFormat = PromQueryFormat.TIME_SERIES,
) -> P:
    targets: list[Builder[Dataquery]] = []
    for index, query in enumerate(queries):
        target = prometheus.Dataquery().ref_id(_letter(index)).datasource(DATASOURCE)
        target = target.expr(query.expression).format(format_)
        if query.legend:
            target = target.legend_format(query.legend)
        targets.append(target.instant() if instant else target.range())
    panel = panel.id(about.id).title(about.title).description(about.description)
    panel = panel.datasource(DATASOURCE).span(about.width).height(about.height)
    return panel.unit(about.unit).thresholds(_thresholds(steps)).targets(targets)


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _thresholds(steps: Steps) -> builders.ThresholdsConfig:
    made = [models.Threshold(None, "green"), *(models.Threshold(*step) for step in _rising(steps))]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def _rising(steps: Steps) -> Steps:
    if [value for value, _ in steps] != sorted(value for value, _ in steps):
        raise ValueError("steps rise: Grafana colours by the last one that is reached")
    return steps


def _mappings(words: Words) -> list[models.ValueMapping]:
    options = {
        str(value): models.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(words.items())
    }
    return [models.ValueMap(options=options)]


def _cell(column: Column) -> list[models.DynamicConfigValue]:
    values = [models.DynamicConfigValue("unit", column.unit)]
    if column.steps:
        values.append(models.DynamicConfigValue("thresholds", _thresholds(column.steps).build()))
    if column.words:
        values.append(models.DynamicConfigValue("mappings", _mappings(column.words)))
    if column.steps or column.words:
        coloured = {"type": "color-background", "mode": "basic"}
        values.append(models.DynamicConfigValue("custom.cellOptions", coloured))
    return values


def _fixed(colour: str) -> models.DynamicConfigValue:
    return models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().display_mode(looks.LegendDisplayMode.LIST)
    return legend.placement(looks.LegendPlacement.BOTTOM).show_legend(show_legend=True)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False)
