"""The time of one call by size, and how fast that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.report.charts import lines
from gemmscope.report.charts.data import NOTHING_MEASURED, extremes, shapes_in
from gemmscope.report.charts.picture import ChartKind, NoDataError, Picture
from gemmscope.report.charts.theme import finished
from gemmscope.report.charts.told import found, how_to_read, say_rate, say_time

if TYPE_CHECKING:
    from gemmscope.report.charts.data import RunData

TITLE = "Time and speed of one float32 matrix multiplication"


def _make(data: RunData) -> Picture:
    import altair as alt

    if not data.lines:
        raise NoDataError(NOTHING_MEASURED)
    panels = [
        lines.Panel("time", "Time: lower is better", "time of one call", "time", [*data.lines, *data.floors], say_time)
    ]
    if data.rates:
        panels.append(lines.Panel("rate", "Speed: higher is better", "GFLOP/s", "rate", data.rates, say_rate))
    note, finding = how_to_read(data.lines), _finding(data)
    chart = alt.vconcat(*map(lines.lines, panels), spacing=36).resolve_scale(
        color="independent", shape="independent", strokeDash="independent"
    )
    rows = {panel.name: lines.tidy(panel) for panel in panels}
    return Picture(
        name="speed", title=TITLE, note=note, finding=finding, switched=True,
        chart=finished(chart.add_params(lines.hidden()), TITLE, (data.machine, note), finding, rows),
        columns=("backend", "shape", "time of one call", "speed"), rows=_rows(data),
    )  # fmt: skip


def _finding(data: RunData) -> str:
    last = shapes_in(data.lines)[-1]
    ends = extremes(data.lines, last)
    assert ends is not None
    told = [f"{say_time(line.points[last])} ({line.label})" for line in ends]
    where = f"At {last.title}, the largest shape drawn,"
    spread = (
        f"{where} a call takes from {told[0]} to {told[1]}."
        if ends[0] is not ends[1]
        else f"{where} a call takes {told[0]}."
    )
    return found(data.result, ("fastest",), spread)


def _rows(data: RunData) -> list[tuple[str, ...]]:
    rates = {(line.label, shape): say_rate(point) for line in data.rates for shape, point in line.points.items()}
    return [
        (line.label, shape.title, say_time(point), rates.get((line.label, shape), ""))
        for line in [*data.lines, *data.floors]
        for shape, point in line.points.items()
    ]


CHART = ChartKind("speed", 1, TITLE, _make)
