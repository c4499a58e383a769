"""The time of one call by size, and how fast that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.report.charts.data import NOTHING_MEASURED, ends, how_to_read, points_of, say_rate, say_time
from gemmscope.report.charts.lines import HIDDEN, OWN_SCALES, Panel
from gemmscope.report.charts.picture import ChartKind, NoDataError, Picture

if TYPE_CHECKING:
    from gemmscope.report.charts.data import RunData

TITLE = "Time and speed of one float32 matrix multiplication"


def _make(data: RunData) -> Picture:
    if not data.lines:
        raise NoDataError(NOTHING_MEASURED)
    timed = [*data.lines, *data.floors]
    panels = [Panel("time", "Time: lower is better", "time of one call", "time", timed, say_time)]
    if data.rates:
        panels.append(Panel("rate", "Speed: higher is better", "GFLOP/s", "rate", data.rates, say_rate))
    rates = {(line.label, shape): say_rate(point) for line, shape, point in points_of(data.rates)}
    where, times = ends(data.lines, say_time)
    reach = f"from {times[0]} to {times[1]}" if len(times) > 1 else times[0]
    return Picture(
        title=TITLE, subtitle=data.machine, note=how_to_read(data.lines), switched=True,
        finding=" ".join([*data.found("fastest"), f"{where} a call takes {reach}."]),
        view={
            "vconcat": [panel.view for panel in panels], "spacing": 36, "params": [HIDDEN],
            "resolve": OWN_SCALES,
        },
        data={panel.name: panel.rows for panel in panels},
        columns=("backend", "shape", "time of one call", "speed"),
        rows=[
            (line.label, shape.title, say_time(point), rates.get((line.label, shape), ""))
            for line, shape, point in points_of(timed)
        ],
    )  # fmt: skip


CHART = ChartKind(1, TITLE, _make)
