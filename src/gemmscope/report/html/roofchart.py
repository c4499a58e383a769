"""The roofline as the page draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.report.figures import roof
from gemmscope.report.figures.scales import apart, number_tick
from gemmscope.report.html.axes import Axis
from gemmscope.report.html.chart import Ceiling, Chart, Dot, Line, told_rate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmscope.report.html.chart import Width
    from gemmscope.report.html.keys import Key

_SIZES: dict[Width, tuple[int, int]] = {"wide": (1040, 340), "narrow": (358, 300)}
_LEFT, _TOP, _BELOW, _INSET = 62, 26, 50, 18
# A wide chart has room for the ceilings' names beside it; in a narrow one they stand on the line.
_NAMES = {"wide": 220, "narrow": 0}
_LINE = 17


def roofline_chart(roofline: roof.Roofline, keys: Mapping[str, Key], width: Width) -> Chart:
    """Both axes are logarithmic: the memory's roof is a line only there."""
    whole, height = _SIZES[width]
    right = whole - _INSET - _NAMES[width]
    across = Axis("log", *roofline.intensities, _LEFT, right)
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
        size=(whole, _TOP + height + _BELOW), plot=(_LEFT, _TOP, right - _LEFT, height),
        across=across.ticks(number_tick), across_name=roof.AXIS, slanted=False, up=up.ticks(number_tick), lines=lines,
        ceilings=_ceilings(roofline, across, up, beside=width == "wide"),
    )  # fmt: skip


def _ceilings(roofline: roof.Roofline, across: Axis, up: Axis, *, beside: bool) -> list[Ceiling]:
    """The roofs, the highest first, and their names: beside their ends, or above the highest and below the other."""
    low, high = roofline.intensities
    ends = [up.at(ceiling.at(high)) for ceiling in roofline.ceilings]
    places = [place + 4 for place in apart(ends, _LINE, up.end, up.start)]
    if not beside:
        places = [end + (-7 if index == 0 else 16) for index, end in enumerate(ends)]
    drawn: list[Ceiling] = []
    for ceiling, place in zip(roofline.ceilings, places, strict=True):
        corners = [(across.at(x), up.at(ceiling.at(x))) for x in (low, ceiling.ridge, high)]
        path = "M" + "L".join(f"{x:g},{y:g}" for x, y in corners)
        text = roof.name_of(ceiling)
        if beside:
            drawn.append(Ceiling(path, across.end + 10, round(place, 1), text, "start"))
        else:
            drawn.append(Ceiling(path, across.end, round(place, 1), text, "end"))
    return drawn
