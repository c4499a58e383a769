"""The roofline: what each call reached, under what processor and memory allow at that arithmetic intensity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmscope.analysis.roofline import best_rates, ceilings_of
from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.charts import lines
from gemmscope.report.charts.data import points_of, say_rate
from gemmscope.report.charts.picture import ChartKind, NoDataError, Picture
from gemmscope.report.charts.theme import WIDTH, logarithmic, rounded, tooltip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.roofline import Ceiling
    from gemmscope.report.charts.data import RunData, Series

TITLE = "Roofline: the speed of each call under the processor's ceilings"
_HEIGHT = 340
# How far the axes go beyond marks and ridges.
_ROOM = 1.6
_INTENSITY = "arithmetic intensity, FLOP/byte"


def _make(data: RunData) -> Picture:
    found, ceilings = data.result.ceilings, ceilings_of(data.result.ceilings)
    # The processor's ceilings are none for work on a GPU.
    on_gpu = {record.name for record in data.result.backends if record.device == "gpu"}
    series = [line for line in data.rates if not line.thin and line.backend not in on_gpu]
    if found is None or not ceilings or not series:
        raise NoDataError("this run has no ceilings to draw a roofline with, or nothing measured under them")
    note = f"ceilings: {words.line(found.instructions)} FMA peak and STREAM triad bandwidth, as measured here"
    # A peak below what was reached is no measure of it.
    is_peak = all(one.peak_share is not None for one in best_rates(data.result))
    marks = points_of(series)
    intensities = _around([*(shape.intensity for _, shape, _ in marks), *(ceiling.ridge for ceiling in ceilings)])
    rates = _around([
        *(point.value for _, _, point in marks),
        *(rate for ceiling in ceilings for rate in (ceiling.at(intensities[0]), ceiling.peak)),
    ])  # fmt: skip
    return Picture(
        title=TITLE, subtitle=data.machine, note="; ".join(filter(None, (note, words.line(found.note)))),
        finding=" ".join([*data.found("ceilings"), _highest(series, ceilings[0].peak if is_peak else None)]),
        view=_view(series, intensities, rates),
        data={
            "ceilings": _corners(ceilings, intensities),
            "marks": [
                {
                    "backend": words.line(line.backend), "name": line.name, "label": line.label, "shape": shape.title,
                    "intensity": rounded(shape.intensity), "value": rounded(point.value), "said": say_rate(point),
                }
                for line, shape, point in marks
            ],
        },
        columns=("backend", "shape", _INTENSITY, "speed"),
        rows=[(line.label, shape.title, f"{shape.intensity:.3g}", say_rate(point)) for line, shape, point in marks],
    )  # fmt: skip


def _around(values: Sequence[float]) -> tuple[float, float]:
    return min(values) / _ROOM, max(values) * _ROOM


def _view(series: Sequence[Series], intensities: tuple[float, float], rates: tuple[float, float]) -> dict[str, Any]:
    place = {
        "x": {"field": "intensity", **logarithmic(*intensities, "rate", _INTENSITY)},
        "y": {"field": "value", **logarithmic(*rates, "rate", "GFLOP/s")},
    }
    roofs = {
        "data": {"name": "ceilings"},
        "mark": {"type": "line", "color": palette.GREY, "strokeWidth": 1.5},
        "encoding": {"detail": {"field": "ceiling", "type": "nominal"}},
    }
    # Nothing lies above the highest ceiling, so its name stands there; the other's hangs below its own line.
    names = [
        {
            "data": {"name": "ceilings"},
            "transform": [{"filter": f"datum.named == '{where}'"}],
            "mark": {"type": "text", "align": "right", "dx": -4, "dy": dy, "color": palette.GREY, "fontSize": 11.5},
            "encoding": {"text": {"field": "ceiling", "type": "nominal"}},
        }
        for where, dy in (("above", -8), ("below", 12))
    ]
    styles = lines.look(series)
    picked, opacity = lines.picked_in_legend("picked_roofline")
    said = tooltip(label="backend", shape="shape", said="speed")
    intensity = {"field": "intensity", "title": "FLOP/byte", "type": "quantitative", "format": ".3g"}
    marks = {
        "name": "roofline_marks",
        "data": {"name": "marks"},
        "transform": lines.SHOWN,
        "mark": {"type": "point", "filled": True, "size": 70},
        "encoding": {
            "color": styles["color"], "shape": styles["shape"], "opacity": opacity, "tooltip": [*said, intensity],
        },
    }  # fmt: skip
    return {
        "layer": [roofs, *names, marks], "encoding": place, "width": WIDTH, "height": _HEIGHT,
        # Altair declares a layer's own selection twice.
        "params": [lines.HIDDEN, {**picked, "views": [marks["name"]]}],
    }  # fmt: skip


def _corners(ceilings: Sequence[Ceiling], intensities: tuple[float, float]) -> list[dict[str, Any]]:
    low, high = intensities
    return [
        {
            "ceiling": f"{words.count(ceiling.threads, 'thread')}: {words.rate(ceiling.peak)}, "
                       f"{words.bandwidth(ceiling.bandwidth)}",
            "intensity": rounded(place), "value": rounded(ceiling.at(place)),
            "named": ("below" if number else "above") if place == high else "",
        }
        for number, ceiling in enumerate(ceilings)
        for place in (low, ceiling.ridge, high)
    ]  # fmt: skip


def _highest(series: Sequence[Series], peak: float | None) -> str:
    rate, label, shape = max((point.value, line.label, shape) for line, shape, point in points_of(series))
    share = f", {words.percent(rate / peak)} of the measured peak of {words.rate(peak)}" if peak else ""
    return f"The highest rate drawn is that of {label} at {shape.title}: {words.rate(rate)}{share}."


CHART = ChartKind(4, TITLE, _make)
