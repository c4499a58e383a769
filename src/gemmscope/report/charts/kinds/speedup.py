"""How many times as fast as the baseline each backend is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.charts.data import NOTHING_MEASURED, ends, how_to_read, points_of, say_speedup
from gemmscope.report.charts.lines import HIDDEN, Panel
from gemmscope.report.charts.picture import ChartKind, NoDataError, Picture

if TYPE_CHECKING:
    from gemmscope.report.charts.data import RunData


def _make(data: RunData) -> Picture:
    if not data.speedups:
        raise NoDataError(_why_not(data))
    over = f"over {data.baseline}"
    others = [line for line in data.speedups if words.line(line.backend) != data.baseline] or data.speedups
    where, reached = ends(others, say_speedup)
    reach = f"reaches from {reached[0]} to {reached[1]}" if len(reached) > 1 else f"is {reached[0]}"
    panel = Panel(
        "speedup", "Above 1 is faster, below 1 slower", f"speed-up {over}", "times", data.speedups, say_speedup,
        level=1.0,
    )  # fmt: skip
    return Picture(
        title=f"Speed-up {over} in float32 matrix multiplication", subtitle=data.machine,
        note=how_to_read(data.speedups), switched=True,
        finding=" ".join([*data.found("order-changes", "gpu-threshold"), f"{where} the speed-up {over} {reach}."]),
        # In a concatenation of one the panel keeps a title of its own below the chart's.
        view={"vconcat": [panel.view], "params": [HIDDEN]},
        data={panel.name: panel.rows},
        columns=("backend", "shape", f"speed-up {over}"),
        rows=[(line.label, shape.title, say_speedup(point)) for line, shape, point in points_of(data.speedups)],
    )  # fmt: skip


def _why_not(data: RunData) -> str:
    measured = [words.line(name) for name in data.styles]
    if len(measured) == 1:
        return f"nothing to compare: only {measured[0]} was measured"
    return "nothing was compared with a baseline" if measured else NOTHING_MEASURED


CHART = ChartKind(2, "Speed-up in float32 matrix multiplication", _make)
