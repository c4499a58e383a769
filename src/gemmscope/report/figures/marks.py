"""The picture of the roofline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.figures import roof
from gemmscope.report.figures.canvas import (
    LEFT,
    MARGIN,
    TEXT,
    TOP,
    WIDTH,
    bare,
    card,
    cut,
    head,
    points,
    say,
    set_height,
    width_of,
)
from gemmscope.report.figures.labels import MOST_NAME, REACH, name_lines, put_values
from gemmscope.report.figures.scales import number_tick, round_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gemmscope.analysis.roofline import Ceiling
    from gemmscope.report.figures.roof import Roofline
    from gemmscope.report.figures.series import Series, Shape

_HEIGHT = 380
_BELOW = 58
_ABOVE = 26


@dataclass(frozen=True)
class _Intensities:
    """Places on the horizontal axis, as ``scales.Scale`` gives them for sizes."""

    shapes: list[Shape]

    def at(self, shape: Shape, backend: str = "") -> float:  # noqa: ARG002  (all backends stand above each other)
        return shape.intensity


def draw_roofline(roofline: Roofline, machine: str) -> Figure:
    """Draws the ceilings as lines, and one mark for each backend and shape."""
    drawn = card()
    right = REACH + max(width_of(drawn, cut(drawn, line.label, MOST_NAME)) for line in roofline.series) + MARGIN
    whole = _BELOW + _HEIGHT + _ABOVE + TOP
    set_height(drawn, whole)
    axes = drawn.add_axes((LEFT / WIDTH, _BELOW / whole, (WIDTH - LEFT - right) / WIDTH, _HEIGHT / whole))
    _prepare(axes, roofline)
    for ceiling in roofline.ceilings:
        _draw_ceiling(axes, roofline, ceiling)
    for line in roofline.series:
        _draw_marks(axes, line)
    shapes = {shape for line in roofline.series for shape in line.points}
    scale = _Intensities(sorted(shapes, key=lambda shape: (shape.intensity, shape)))
    name_lines(drawn, axes, roofline.series, scale)
    head(drawn, roof.TITLE, (machine, roofline.note))
    say(drawn, MARGIN, _BELOW + _HEIGHT + 10, "Higher is better", fontsize=points(13.5), fontweight="bold")
    return drawn


def _prepare(axes: Axes, roofline: Roofline) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log")
    low, high = roofline.intensities
    axes.set_xlim(low, high)
    places = round_ticks(low, high)
    axes.set_xticks(places, [number_tick(place) for place in places])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(roof.AXIS, fontsize=points(TEXT), labelpad=points(6))
    put_values(axes, *roofline.rates, number_tick, "GFLOP/s")
    bare(axes)


def _draw_ceiling(axes: Axes, roofline: Roofline, ceiling: Ceiling) -> None:
    low, high = roofline.intensities
    corners = [low, ceiling.ridge, high]
    axes.plot(
        corners,
        [ceiling.at(corner) for corner in corners],
        label=f"ceiling, {words.count(ceiling.threads, 'thread')}",
        color=palette.GREY,
        linewidth=points(1.4),
        zorder=1.5,
    )
    # Nothing can lie above the highest ceiling, so its name stands there, from the axis on; the other's hangs below its
    # own line.
    highest = ceiling is roofline.ceilings[0]
    axes.annotate(
        roof.name_of(ceiling),
        (low if highest else ceiling.ridge, ceiling.peak),
        xytext=(points(4) if highest else 0, points(6) if highest else -points(6)),
        textcoords="offset points",
        horizontalalignment="left",
        verticalalignment="bottom" if highest else "top",
        fontsize=points(TEXT - 1.5),
        color=palette.GREY,
    )


def _draw_marks(axes: Axes, line: Series) -> None:
    axes.plot(
        [shape.intensity for shape in line.points],
        [point.value for point in line.points.values()],
        label=line.label,
        linestyle="",
        marker=line.style.marker,
        markersize=points(8),
        markerfacecolor=line.style.colour,
        markeredgecolor="white",
        markeredgewidth=points(1),
        zorder=3,
    )
