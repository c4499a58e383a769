"""What stands beside lines: their names at the right end, and the sizes below, as many as have room."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gemmscope.records import words
from gemmscope.report.figures.canvas import LEFT, TEXT, WIDTH, points, safe, say, width_of
from gemmscope.report.figures.scales import SHAPE_AXIS, apart, kept, round_ticks, spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gemmscope.report.figures.scales import Scale
    from gemmscope.report.figures.series import Series, Shape

LINE = 17.0
REACH = 26
_OVER = 24
INSET = 16
MOST_NAME = 290
_ANGLE = 28
_BETWEEN = 10


class Places(Protocol):
    """A horizontal axis: its shapes from left to right, and where each stands."""

    @property
    def shapes(self) -> list[Shape]:
        """From left to right."""

    def at(self, shape: Shape, backend: str = "") -> float:
        """In the axis' own unit."""


class SizeTicks(NamedTuple):
    """The horizontal axis and what stands below it; ``depth`` is the room that slanted texts need in addition."""

    places: list[float]
    texts: list[str]
    name: str
    limits: tuple[float, float]
    depth: float = 0.0


def size_ticks(drawn: Figure, scale: Scale, width: float) -> SizeTicks:
    """Every measured size that has room, first of all the smallest and the largest. Shapes are slanted if need be."""
    shapes = scale.shapes
    if scale.offsets:
        name = "size" if shapes[0].is_square else SHAPE_AXIS
        return SizeTicks([0.5], [str(shapes[0])], name, spread([0.0, 1.0], width, INSET, INSET))
    places = [scale.at(shape) for shape in shapes]
    texts = [str(shape.n) if scale.numeric else str(shape) for shape in shapes]
    needed = [width_of(drawn, text) + _BETWEEN for text in texts]
    steps = [math.log2(place) for place in places] if scale.numeric else places
    low, high = spread(steps, width, INSET, INSET)
    chosen = kept([width * (step - low) / (high - low) for step in steps], needed)
    if scale.numeric:
        name = f"size N, of N{words.TIMES}N matrices (logarithmic)"
        return SizeTicks([places[i] for i in chosen], [texts[i] for i in chosen], name, (2**low, 2**high))
    depth = 0.0
    if len(chosen) < len(shapes):
        angle = math.radians(_ANGLE)
        depth = max(needed) * math.sin(angle)
        low, high = spread(steps, width, max(INSET, max(needed) * math.cos(angle) - LEFT), INSET)
        needed = [TEXT / math.sin(angle) for _ in needed]
        chosen = kept([width * (step - low) / (high - low) for step in steps], needed)
    return SizeTicks([places[i] for i in chosen], [texts[i] for i in chosen], SHAPE_AXIS, (low, high), depth)


def put_sizes(axes: Axes, ticks: SizeTicks) -> None:
    """Writes the sizes below an axis."""
    from matplotlib.ticker import NullLocator

    axes.set_xlim(*ticks.limits)
    axes.set_xticks(ticks.places, ticks.texts)
    axes.xaxis.set_minor_locator(NullLocator())
    if ticks.depth:
        for text in axes.get_xticklabels():
            text.set(rotation=_ANGLE, horizontalalignment="right", rotation_mode="anchor")
    axes.set_xlabel(ticks.name, fontsize=points(TEXT), labelpad=points(6))


def put_values(axes: Axes, low: float, high: float, tick: Callable[[float], str], unit: str) -> None:
    """Makes the vertical axis logarithmic, and writes round values and the unit beside it."""
    from matplotlib.ticker import NullLocator

    axes.set_yscale("log")
    axes.set_ylim(low, high)
    values = round_ticks(low, high)
    axes.set_yticks(values, [tick(value) for value in values])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel(f"{safe(unit)} (logarithmic)", fontsize=points(TEXT))
    axes.yaxis.set_label_coords((26 - LEFT) / axes.bbox.width, 0.5)


def name_lines(drawn: Figure, axes: Axes, series: list[Series], scale: Places) -> None:
    """Names every line to the right of the axes, as high as it ends, moved apart where two would overlap."""
    from matplotlib.lines import Line2D

    ends: list[tuple[float, float, Series]] = []
    for line in (line for line in series if line.named):
        shape = max(line.points, key=scale.shapes.index)
        x, y = axes.transData.transform((scale.at(shape, line.backend), line.points[shape].value))
        ends.append((float(y), float(x), line))
    ends.sort(key=lambda end: (end[0], end[2].label))
    heights = apart([end[0] for end in ends], LINE, axes.bbox.y0 - _OVER, axes.bbox.y1 + _OVER)
    left = axes.bbox.x1 + REACH
    for (y, x, line), height in zip(ends, heights, strict=True):
        drawn.add_artist(
            Line2D(
                [(x + 6) / WIDTH, (left - 4) / WIDTH],
                [y / drawn.bbox.height, height / drawn.bbox.height],
                color=line.style.colour,
                linewidth=points(0.8),
                # From a line that ends early it is a long way: it must not look like measured points.
                linestyle="-" if left - x < REACH + 2 * INSET else (0, (1, 2)),
                alpha=0.7,
            )
        )
        text = say(drawn, left, height, line.label, MOST_NAME, fontsize=points(TEXT), verticalalignment="center")
        text.set(color=line.style.ink, verticalalignment="center_baseline")
