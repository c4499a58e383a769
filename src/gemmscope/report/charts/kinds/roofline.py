"""The roofline: what each call reached, under what processor and memory allow at that arithmetic intensity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from gemmscope.analysis.published import best_published
from gemmscope.analysis.roofline import Ceiling, best_rates, ceilings_of
from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.charts import lines
from gemmscope.report.charts.data import points_of, say_rate, shapes_in
from gemmscope.report.charts.labels import Axis, apart
from gemmscope.report.charts.picture import ChartKind, NoDataError, Picture
from gemmscope.report.charts.theme import WIDTH, logarithmic, rounded, tooltip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.published import Published
    from gemmscope.report.charts.data import RunData, Series
    from gemmscope.workload.shapes import Shape

TITLE = "Roofline: the speed of each call under the processor's ceilings"
_HEIGHT = 340
# A mark is so wide, in pixels.
_SIZE = 8
# How far the axes go beyond marks and ridges.
_ROOM = 1.6
_INTENSITY = "arithmetic intensity, FLOP/byte"


class _Roof(NamedTuple):
    """A line over the marks, with its name; dashed where it was published, and not measured here."""

    name: str
    ceiling: Ceiling
    published: bool


def _make(data: RunData) -> Picture:
    found, ceilings = data.result.ceilings, ceilings_of(data.result.ceilings)
    # The processor's ceilings are none for work on a GPU.
    on_gpu = {record.name for record in data.result.backends if record.device == "gpu"}
    series = [line for line in data.rates if not line.thin and line.backend not in on_gpu]
    if found is None or not ceilings or not series:
        raise NoDataError("this run has no ceilings to draw a roofline with, or nothing measured under them")
    known = best_published(data.result.machine.cpu)
    roofs = [*map(_measured, ceilings), *(_published(known) if known else [])]
    note = f"ceilings: {words.line(found.instructions)} FMA peak and STREAM triad bandwidth, as measured here"
    others = f"dashed: {_said_of(known)}" if known else ""
    notes = (note, words.line(found.note), others, "marks that would hide each other stand side by side")
    # A peak below what was reached is no measure of it.
    is_peak = all(one.peak_share is not None for one in best_rates(data.result))
    marks = points_of(series)
    ridges = [roof.ceiling.ridge for roof in roofs if roof.ceiling.ridge]  # a level line has none
    intensities = _around([*(shape.intensity for _, shape, _ in marks), *ridges])
    rates = _around([
        *(point.value for _, _, point in marks),
        *(rate for roof in roofs for rate in (roof.ceiling.at(intensities[0]), roof.ceiling.peak)),
    ])  # fmt: skip
    return Picture(
        title=TITLE, subtitle=data.machine, note="; ".join(filter(None, notes)),
        finding=" ".join([*data.found("ceilings"), _highest(series, ceilings[0].peak if is_peak else None)]),
        view=_view(series, intensities, rates),
        data=_data(series, roofs, intensities, Axis(*rates, _HEIGHT, is_log=True)),
        columns=("backend", "shape", _INTENSITY, "speed"),
        rows=[(line.label, shape.title, f"{shape.intensity:.3g}", say_rate(point)) for line, shape, point in marks],
    )  # fmt: skip


def _measured(ceiling: Ceiling) -> _Roof:
    name = f"{words.count(ceiling.threads, 'thread')}: {words.rate(ceiling.peak)}, {words.bandwidth(ceiling.bandwidth)}"
    return _Roof(name, ceiling, published=False)


def _published(known: Published) -> list[_Roof]:
    """What others measured of processor and GPU, which share the memory; level lines where its bandwidth is unknown."""
    peaks = {"CPU": known.gflops, "GPU": known.gpu_gflops}
    return [
        _Roof(f"published, {what}: {words.rate(peak)}", Ceiling(0, peak, known.bandwidth or math.inf), published=True)
        for what, peak in peaks.items()
        if peak
    ]


def _said_of(known: Published) -> str:
    said = [f"CPU {words.rate(known.gflops)} ({known.source})"]
    said += [f"GPU {words.rate(known.gpu_gflops)} ({known.gpu_source})"] if known.gpu_gflops else []
    said += [f"memory {words.bandwidth(known.bandwidth)} ({known.bandwidth_source})"] if known.bandwidth else []
    return f"published, not measured here: {', '.join(said)}"


def _around(values: Sequence[float]) -> tuple[float, float]:
    return min(values) / _ROOM, max(values) * _ROOM


def _view(series: Sequence[Series], intensities: tuple[float, float], rates: tuple[float, float]) -> dict[str, Any]:
    place = {
        "x": {"field": "place", **logarithmic(*intensities, "rate", _INTENSITY)},
        "y": {"field": "value", **logarithmic(*rates, "rate", "GFLOP/s")},
    }
    last = {"datum": intensities[1], "type": "quantitative"}
    roofs = {
        "data": {"name": "ceilings"},
        "mark": {"type": "line", "color": palette.GREY, "strokeWidth": 1.5},
        "encoding": {
            "detail": {"field": "ceiling", "type": "nominal"},
            "strokeDash": {"condition": {"test": "datum.published", "value": [5, 4]}, "value": [1, 0]},
        },
    }
    names = {
        "name": "beside_ceilings",
        "data": {"name": "ceilings"},
        "transform": [{"filter": "isValid(datum.at)"}],
        "mark": {"type": "text", "align": "left", "dx": lines.BESIDE, "color": palette.GREY, "fontSize": 11.5},
        "encoding": {"x": last, "y": {"field": "at"}, "text": {"field": "ceiling", "type": "nominal"}},
    }
    styles = lines.look(series, named=False)
    picked, opacity = lines.picked_by_name("picked_roofline")
    said = tooltip(label="backend", shape="shape", said="speed")
    intensity = {"field": "intensity", "title": "FLOP/byte", "type": "quantitative", "format": ".3g"}
    of_lines = {"data": {"name": "marks"}, "transform": lines.SHOWN}
    paths = {
        **of_lines,
        "mark": {"type": "line", "strokeWidth": 1, "aria": False},
        "encoding": {"color": styles["color"], "strokeOpacity": {**opacity, "value": 0.05}},
    }
    marks = {
        "name": "roofline_marks",
        **of_lines,
        "mark": {"type": "point", "filled": True, "size": _SIZE**2},
        "encoding": {
            "color": styles["color"], "shape": styles["shape"], "opacity": opacity, "tooltip": [*said, intensity],
        },
    }  # fmt: skip
    beside = [
        {**of_lines, **layer, "transform": [*lines.SHOWN, *layer["transform"]]}
        for layer in lines.names_beside("roofline", last, place | {"color": styles["color"]}, opacity)
    ]
    return {
        "layer": [roofs, names, paths, marks, *beside], "encoding": place, "width": WIDTH, "height": _HEIGHT,
        # Altair declares a layer's own selection twice.
        "params": [lines.HIDDEN, {**picked, "views": [beside[-1]["name"]]}],
    }  # fmt: skip


def _data(
    series: Sequence[Series], roofs: Sequence[_Roof], intensities: tuple[float, float], axis: Axis
) -> dict[str, list[dict[str, Any]]]:
    """The corners of roofs and all marks, with the places of their names beside the plot."""
    ends = [line.points[shapes_in([line])[-1]].value for line in series]
    named = apart([*ends, *(roof.ceiling.peak for roof in roofs)], axis)
    places = _places(series, intensities, axis)
    marks = [
        {
            "backend": words.line(line.backend), "name": line.name, "label": line.label, "shape": shape.title,
            "intensity": rounded(shape.intensity), "place": rounded(places[line.label, shape]),
            "value": rounded(line.points[shape].value), "said": say_rate(line.points[shape]),
        } | ({"at": at} if shape == shapes_in([line])[-1] else {})
        for line, at in zip(series, named[: len(series)], strict=True)
        for shape in shapes_in([line])
    ]  # fmt: skip
    low, high = intensities
    corners = [
        {
            "ceiling": roof.name, "published": roof.published,
            "place": rounded(place), "value": rounded(roof.ceiling.at(place)),
        } | ({"at": at} if place == high else {})
        for roof, at in zip(roofs, named[len(series) :], strict=True)
        for place in (low, max(low, roof.ceiling.ridge), high)
    ]  # fmt: skip
    return {"ceilings": corners, "marks": marks}


def _places(series: Sequence[Series], intensities: tuple[float, float], axis: Axis) -> dict[tuple[str, Shape], float]:
    """The intensity at which each mark is drawn: marks of one shape that would hide each other stand side by side."""
    pixel = (intensities[1] / intensities[0]) ** (1 / WIDTH)
    places: dict[tuple[str, Shape], float] = {}
    for shape in shapes_in(series):
        here = sorted((axis.pixels(line.points[shape].value), line.label) for line in series if shape in line.points)
        groups: list[list[tuple[float, str]]] = []
        for mark in here:
            if groups and mark[0] - groups[-1][-1][0] < _SIZE + 1:
                groups[-1].append(mark)
            else:
                groups.append([mark])
        for group in groups:
            for number, (_, label) in enumerate(group):
                places[label, shape] = shape.intensity * pixel ** ((number - (len(group) - 1) / 2) * (_SIZE + 2))
    return places


def _highest(series: Sequence[Series], peak: float | None) -> str:
    rate, label, shape = max((point.value, line.label, shape) for line, shape, point in points_of(series))
    share = f", {words.percent(rate / peak)} of the measured peak of {words.rate(peak)}" if peak else ""
    return f"The highest rate drawn is that of {label} at {shape.title}: {words.rate(rate)}{share}."


CHART = ChartKind(4, TITLE, _make)
