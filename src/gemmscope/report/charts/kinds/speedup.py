"""How many times as fast as the baseline each backend is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.charts import lines
from gemmscope.report.charts.data import NOTHING_MEASURED, extremes, shapes_in
from gemmscope.report.charts.picture import ChartKind, NoDataError, Picture
from gemmscope.report.charts.theme import finished
from gemmscope.report.charts.told import found, how_to_read, say_speedup

if TYPE_CHECKING:
    from gemmscope.report.charts.data import RunData

TITLE = "Speed-up in float32 matrix multiplication"


def _make(data: RunData) -> Picture:
    if not data.speedups:
        raise NoDataError(_why_not(data))
    title = f"Speed-up over {data.baseline} in float32 matrix multiplication"
    note, finding = how_to_read(data.speedups), _finding(data)
    panel = lines.Panel(
        "speedup", "Above 1 is faster, below 1 slower", f"speed-up over {data.baseline}", "times", data.speedups,
        say_speedup, level=1.0,
    )  # fmt: skip
    # In a concatenation of one the panel keeps a title of its own below the chart's.
    import altair as alt

    chart = alt.vconcat(lines.lines(panel)).add_params(lines.hidden())
    return Picture(
        name="speedup", title=title, note=note, finding=finding, switched=True,
        chart=finished(chart, title, (data.machine, note), finding, {panel.name: lines.tidy(panel)}),
        columns=("backend", "shape", f"speed-up over {data.baseline}"),
        rows=[
            (line.label, shape.title, say_speedup(point))
            for line in data.speedups
            for shape, point in line.points.items()
        ],
    )  # fmt: skip


def _finding(data: RunData) -> str:
    others = [line for line in data.speedups if words.line(line.backend) != data.baseline] or data.speedups
    last = shapes_in(others)[-1]
    ends = extremes(others, last)
    assert ends is not None
    lowest, highest = (f"{say_speedup(line.points[last])} ({line.label})" for line in ends)
    reach = f"reaches from {lowest} to {highest}" if ends[0] is not ends[1] else f"is {highest}"
    spread = f"At {last.title}, the largest shape drawn, the speed-up over {data.baseline} {reach}."
    return found(data.result, ("order-changes", "gpu-threshold"), spread)


def _why_not(data: RunData) -> str:
    measured = [words.line(name) for name in data.styles]
    if len(measured) == 1:
        return f"nothing to compare: only {measured[0]} was measured"
    return "nothing was compared with a baseline" if measured else NOTHING_MEASURED


CHART = ChartKind("speedup", 2, TITLE, _make)
