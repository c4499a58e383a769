"""How many times as fast as the baseline each backend is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.charts.data import (
    NOTHING_MEASURED,
    ends,
    how_to_read,
    points_of,
    say_speedup,
)
from gemmscope.report.charts.lines import HIDDEN, OWN_SCALES, Panel
from gemmscope.report.charts.picture import ChartKind, NoDataError, Picture
from gemmscope.report.charts.theme import HEIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.report.charts.data import RunData, Series


# An axis that begins at zero shows differences of lines that are at most so many times as fast as the baseline.
_LINEAR = 8.0
# Lines that stay below are squashed beside the others, and have a panel of their own.
_SLOW = 0.25
# Beside a table the plot is lower.
_BESIDE_HEIGHT = 230


def _make(data: RunData) -> Picture:
    if not data.speedups:
        raise NoDataError(_why_not(data))
    over = f"over {data.baseline}"
    others = [line for line in data.speedups if words.line(line.backend) != data.baseline] or data.speedups
    where, reached = ends(others, say_speedup)
    reach = f"reaches from {reached[0]} to {reached[1]}" if len(reached) > 1 else f"is {reached[0]}"
    panels = _panels(data.speedups, f"speed-up {over}", _BESIDE_HEIGHT if data.only else HEIGHT)
    return Picture(
        title=f"Speed-up {over} in float32 matrix multiplication", subtitle=data.machine,
        note=how_to_read(data.speedups), switched=not panels[0].is_linear,
        finding=" ".join([*data.found("order-changes", "gpu-threshold"), f"{where} the speed-up {over} {reach}."]),
        # In a concatenation of one the panel keeps a title of its own below the chart's.
        view={"vconcat": [panel.view for panel in panels], "params": [HIDDEN], "spacing": 24, "resolve": OWN_SCALES},
        data={panel.name: panel.rows for panel in panels},
        columns=("backend", "shape", f"speed-up {over}"),
        rows=[(line.label, shape.title, say_speedup(point)) for line, shape, point in points_of(data.speedups)],
    )  # fmt: skip


def _panels(lines: Sequence[Series], unit: str, height: int) -> list[Panel]:
    """One panel; or two from zero on, where some lines are so slow that they would lie on the axis of the others."""
    fast = [line for line in lines if _most([line]) >= _SLOW]
    slow = [line for line in lines if line not in fast]
    title = "Above 1 is faster, below 1 slower"
    if not fast or _most(fast) > _LINEAR:
        return [Panel("speedup", title, unit, "times", lines, say_speedup, level=1.0, least_height=height)]
    panels = [
        Panel(
            "speedup",
            title,
            unit,
            "times",
            fast,
            say_speedup,
            level=1.0,
            is_linear=True,
            beside=slow,
            least_height=height,
        )
    ]
    if slow:
        below = f"Far below 1: at most {words.speedup(_most(slow))}"
        panels.append(
            Panel(
                "slow", below, "speed-up", "times", slow, say_speedup, is_linear=True, least_height=height // 4,
                beside=fast,
            )
        )  # fmt: skip
    return panels


def _most(lines: Sequence[Series]) -> float:
    return max(point.value for _, _, point in points_of(lines))


def _why_not(data: RunData) -> str:
    measured = [words.line(name) for name in data.styles]
    if len(measured) == 1:
        return f"nothing to compare: only {measured[0]} was measured"
    return "nothing was compared with a baseline" if measured else NOTHING_MEASURED


CHART = ChartKind(2, "Speed-up in float32 matrix multiplication", _make)
