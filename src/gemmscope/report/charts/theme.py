"""How all charts look: what Vega-Lite calls a config, and axes that speak of times and rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.charts.scales import limits, round_ticks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import altair as alt

    from gemmscope.report.charts.data import Point

# Of the plot alone, in pixels; the page's script gives a chart the width that there is.
WIDTH, HEIGHT = 620, 300
_MOST_NAME = 230
# The first are in Vega's own renderer or on most machines; a browser that shows an SVG may have only the last.
_FONT = "Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"

# Expressions of Vega's: a round time in the largest unit of which it is one or more, and a round number.
_TIME = (
    "datum.value == 0 ? '0' : datum.value >= 0.9999999 ? format(datum.value, '~r') + ' s'"
    " : datum.value >= 0.9999999e-3 ? format(datum.value * 1e3, '.6~r') + ' ms'"
    f" : datum.value >= 0.9999999e-6 ? format(datum.value * 1e6, '.6~r') + ' {words.MICRO}s'"
    " : format(datum.value * 1e9, '.6~r') + ' ns'"
)
LABELS = {
    "time": _TIME,
    "rate": "format(datum.value, '.6~r')",
    "times": f"format(datum.value, '.6~r') + '{words.TIMES}'",
}


_CONFIG = {
    "font": _FONT,
    "view": {"stroke": None},
    "title": {
        "anchor": "start", "frame": "group", "color": palette.INK, "fontSize": 17, "subtitleColor": palette.GREY,
        "subtitleFontSize": 12, "subtitlePadding": 6, "offset": 18, "limit": 860, "subtitleLineHeight": 16,
    },
    "axis": {
        "gridColor": palette.GRID, "domainColor": palette.FRAME, "tickColor": palette.FRAME,
        "labelColor": palette.GREY, "titleColor": palette.GREY, "titleFontWeight": "normal", "labelFontSize": 12,
        "titleFontSize": 12, "titlePadding": 8, "labelLimit": _MOST_NAME,
    },
    "axisY": {"domain": False, "ticks": False, "labelPadding": 8},
    "axisX": {"grid": False},
    "header": {
        "labelColor": palette.INK, "labelFontSize": 13, "labelFontWeight": "bold", "title": None, "labelLimit": WIDTH,
    },
    "legend": {
        "labelColor": palette.INK, "labelFontSize": 12, "titleColor": palette.GREY, "titleFontSize": 12,
        "titleFontWeight": "normal", "symbolSize": 90, "symbolStrokeWidth": 0, "labelLimit": _MOST_NAME,
        "symbolLimit": 0, "rowPadding": 2, "offset": 24,
    },
}  # fmt: skip


def value_scale(points: Iterable[Point]) -> alt.Scale:
    """A logarithmic scale for measured values. The page's script makes it linear, and knows it by its name."""
    import altair as alt

    return alt.Scale(type="log", domain=list(limits(points)), nice=False, clamp=True)


def value_axis(points: Iterable[Point], labels: str, **more: Any) -> alt.Axis:
    """An axis of measured values: ``labels`` is one of :data:`LABELS`."""
    import altair as alt

    return alt.Axis(values=round_ticks(*limits(points)), labelExpr=LABELS[labels], **more)


def finished(
    chart: Any, title: str, notes: Iterable[str], finding: str, data: Mapping[str, Sequence[Mapping[str, Any]]]
) -> alt.TopLevelMixin:
    """The chart with its title, its text alternative, the look that all charts share, and its data.

    Args:
        chart: Whose data are named, and not in it.
        title: What stands above it.
        notes: Lines below the title; empty ones are left out.
        finding: What the chart shows, in words.
        data: Its rows, by the names that the chart has for them.
    """
    import altair as alt

    # Set, and not by Altair's methods: each of those copies the whole chart, with all rows.
    chart.title = alt.TitleParams(title, subtitle=[note for note in notes if note])
    chart.description = finding
    chart.background = palette.PAGE
    chart.padding = 16
    chart.config = _CONFIG
    chart.datasets = {name: list(rows) for name, rows in data.items()}
    return chart  # type: ignore[no-any-return]
