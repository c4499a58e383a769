"""The roofline as the page draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.report import text as words
from gemmscope.report.figures.roof import AXIS
from gemmscope.report.figures.scales import number_tick
from gemmscope.report.html.axes import Axis
from gemmscope.report.html.chart import Ceiling, Chart, Dot, Line, told_rate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmscope.report.figures import roof
    from gemmscope.report.html.chart import Width
    from gemmscope.report.html.keys import Key

_SIZES: dict[Width, tuple[int, int]] = {"wide": (1040, 340), "narrow": (358, 300)}
_LEFT, _TOP, _BELOW, _INSET = 62, 26, 50, 18


def roofline_chart(roofline: roof.Roofline, keys: Mapping[str, Key], width: Width) -> Chart:
    """Both axes are logarithmic: the memory's roof is a line only there."""
    whole, height = _SIZES[width]
    across = Axis("log", *roofline.intensities, _LEFT, whole - _INSET)
    up = Axis("log", *roofline.rates, _TOP + height, _TOP)
    lines = [
        Line(
            keys[line.backend],
            "",
            "",
            [
                Dot(
                    across.at(shape.intensity),
                    up.at(point.value),
                    f"{line.label}, {shape}: {told_rate(point)} at {shape.intensity:.3g} FLOP/byte",
                )
                for shape, point in line.points.items()
            ],
        )
        for line in roofline.series
    ]
    return Chart(
        title="Speed under the ceilings: higher is better", unit="GFLOP/s", width=width, kind="log",
        size=(whole, _TOP + height + _BELOW), plot=(_LEFT, _TOP, whole - _INSET - _LEFT, height),
        across=across.ticks(number_tick), across_name=AXIS, slanted=False, up=up.ticks(number_tick), lines=lines,
        ceilings=[_ceiling(ceiling, roofline, across, up) for ceiling in roofline.ceilings],
    )  # fmt: skip


def _ceiling(ceiling: roof.Ceiling, roofline: roof.Roofline, across: Axis, up: Axis) -> Ceiling:
    low, high = roofline.intensities
    corners = [(across.at(x), up.at(ceiling.at(x))) for x in (low, ceiling.ridge, high)]
    # Nothing lies above the highest ceiling, so its name stands there; the other's hangs below its own line.
    highest = ceiling is roofline.ceilings[0]
    return Ceiling(
        "M" + "L".join(f"{x:g},{y:g}" for x, y in corners),
        across.end,
        corners[-1][1] + (-7 if highest else 16),
        f"{ceiling.label}: {words.rate(ceiling.peak)}, {words.bandwidth(ceiling.bandwidth)}",
        "end",
    )
