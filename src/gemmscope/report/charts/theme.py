"""How all charts look: what Vega-Lite calls a config, and logarithmic axes with round values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gemmscope.records import words
from gemmscope.report import palette

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmscope.report.palette import Style

# Of the plot alone, in pixels; the page's script gives a chart the width that there is.
WIDTH, HEIGHT = 620, 300
_MOST_NAME = 230
_LEAST_TICKS, _MOST_TICKS = 3, 8

# Expressions of Vega's: a round time in the largest unit of which it is one or more, and a round number.
LABELS = {
    "time": (
        "datum.value == 0 ? '0' : datum.value >= 0.9999999 ? format(datum.value, '~r') + ' s'"
        " : datum.value >= 0.9999999e-3 ? format(datum.value * 1e3, '.6~r') + ' ms'"
        f" : datum.value >= 0.9999999e-6 ? format(datum.value * 1e6, '.6~r') + ' {words.MICRO}s'"
        " : format(datum.value * 1e9, '.6~r') + ' ns'"
    ),
    "rate": "format(datum.value, '.6~r')",
    "times": f"format(datum.value, '.6~r') + (datum.value ? '{words.TIMES}' : '')",
}

CONFIG = {
    # The first are in Vega's own renderer or on most machines; a browser that shows an SVG may have only the last.
    "font": "Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif",
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


def logarithmic(low: float, high: float, labels: str, title: str | None, **axis: Any) -> dict[str, Any]:
    """Scale and axis of an encoding: ``labels`` is one of :data:`LABELS`. The page's script can make it linear."""
    return {
        "type": "quantitative",
        "scale": {"type": "log", "domain": [low, high], "nice": False, "clamp": True},
        "axis": {"values": round_ticks(low, high), "labelExpr": LABELS[labels], "title": title, **axis},
    }


def linear(high: float, labels: str, title: str | None, **axis: Any) -> dict[str, Any]:
    """Scale and axis of an encoding from zero on."""
    return {
        "type": "quantitative",
        "scale": {"type": "linear", "domain": [0, high], "nice": False, "clamp": True},
        "axis": {"labelExpr": LABELS[labels], "title": title, "tickCount": 6, **axis},
    }


def styled(field: str, styles: Mapping[str, Style], legend: dict[str, Any] | None) -> dict[str, Any]:
    """The encodings that tell lines or marks apart, by the names that a field has for them."""

    def by(values: list[Any]) -> dict[str, Any]:
        scale = {"domain": list(styles), "range": values}
        return {"field": field, "type": "nominal", "scale": scale, "legend": legend}

    return {
        "color": by([style.colour for style in styles.values()]),
        "shape": by([style.marker for style in styles.values()]),
        "strokeDash": by([list(style.dashes) or [1, 0] for style in styles.values()]),
    }


def tooltip(**titles: str) -> list[dict[str, str]]:
    """What is said at the pointer: the title of each field."""
    return [{"field": field, "title": title, "type": "nominal"} for field, title in titles.items()]


def rounded(value: float) -> float:
    """Six digits, which is more than a pixel shows: the page is smaller for it."""
    return float(f"{value:.6g}")


def round_ticks(low: float, high: float) -> list[float]:
    """Round values for a logarithmic axis: steps of 1, 2 and 5, decades where it is long, even steps where short."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for digits in ((1, 2, 5), (1,)):
        ticks = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= _MOST_TICKS:
            break
    if len(ticks) >= _LEAST_TICKS:
        return ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]
    step = 10.0 ** math.floor(math.log10(high - low))
    step = next(step * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if (high - low) / (step * part) <= _MOST_TICKS)
    return [
        round(i * step, 12 - math.floor(math.log10(step))) for i in range(math.ceil(low / step), int(high / step) + 1)
    ]
