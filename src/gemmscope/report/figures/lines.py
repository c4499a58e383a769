"""Pictures of lines: a panel for each of the axes, one below the other, every line named at its right end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gemmscope.report import palette
from gemmscope.report.figures.canvas import (
    LEFT,
    MARGIN,
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
from gemmscope.report.figures.labels import LINE, MOST_NAME, REACH, name_lines, put_sizes, put_values, size_ticks
from gemmscope.report.figures.scales import limits, scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gemmscope.report.figures.labels import SizeTicks
    from gemmscope.report.figures.scales import Scale
    from gemmscope.report.figures.series import Panel, Series

_TITLE = 32
_BELOW = 58
_PANEL = 300
_NOTHING = 76


def draw_lines(title: str, notes: tuple[str, str], panels: list[Panel], empty: str) -> Figure:
    """Draws all panels that have lines, or says ``empty`` where none has."""
    panels = [panel for panel in panels if panel.series]
    drawn = card()
    if not panels:
        set_height(drawn, TOP + _NOTHING)
        say(drawn, MARGIN, _NOTHING / 2, empty, WIDTH - 2 * MARGIN, fontsize=points(14), color=palette.GREY)
    else:
        _draw_panels(drawn, panels)
    head(drawn, title, notes)
    return drawn


def _draw_panels(drawn: Figure, panels: list[Panel]) -> None:
    scale = scale_of(panels[0])
    names = [line.label for panel in panels for line in panel.series if line.named]
    right = REACH + max(width_of(drawn, cut(drawn, name, MOST_NAME)) for name in names) + MARGIN
    width = WIDTH - LEFT - right
    heights = [max(_PANEL, LINE * len(panel.series)) for panel in panels]
    ticks = size_ticks(drawn, scale, width)
    below = _BELOW + ticks.depth
    top = sum(heights) + len(heights) * (_TITLE + below)
    set_height(drawn, top + TOP)
    whole = top + TOP
    for panel, height in zip(panels, heights, strict=True):
        bottom = top - _TITLE - height
        axes = drawn.add_axes((LEFT / WIDTH, bottom / whole, width / WIDTH, height / whole))
        say(drawn, MARGIN, bottom + height + 12, panel.title, fontsize=points(13.5), fontweight="bold")
        _prepare(axes, panel, scale, ticks)
        for line in panel.series:
            _draw_line(axes, line, scale)
        name_lines(drawn, axes, panel.series, scale)
        top = bottom - below


def _prepare(axes: Axes, panel: Panel, scale: Scale, ticks: SizeTicks) -> None:
    """Limits, ticks and what stands beside them."""
    if scale.numeric:
        axes.set_xscale("log", base=2)
    put_sizes(axes, ticks)
    put_values(axes, *limits(panel.series), panel.tick, panel.unit)
    bare(axes)
    if panel.level is not None:
        axes.axhline(panel.level, color=palette.FAINT, linewidth=points(1), zorder=1.5)


def _draw_line(axes: Axes, line: Series, scale: Scale) -> None:
    chain = [line.points.get(shape) for shape in scale.shapes]
    places = [scale.at(shape, line.backend) for shape in scale.shapes]
    style, thin = line.style, line.thin or line.faint
    axes.plot(
        places,
        [point.value if point else math.nan for point in chain],
        label=line.label,
        color=style.colour,
        linewidth=points(1.2 if thin else 2),
        dashes=(2, 2) if line.thin else style.dashes or (None, None),
        marker="" if line.faint else style.marker,
        markersize=points(4.5 if thin else 7),
        markerfacecolor="white" if line.thin else style.colour,
        markeredgecolor=style.colour if line.thin else "white",
        markeredgewidth=points(1),
        zorder=2 if thin else 3,
    )
    lows = [point.bounds[0] if point and point.bounds else math.nan for point in chain]
    highs = [point.bounds[1] if point and point.bounds else math.nan for point in chain]
    if not thin:
        axes.fill_between(places, lows, highs, color=style.colour, alpha=0.12, linewidth=0, zorder=1)
    for index, point in enumerate(chain):
        # A band has no width where both neighbours are missing.
        alone = not any(0 <= other < len(chain) and chain[other] for other in (index - 1, index + 1))
        if point and point.bounds and alone and not line.faint:
            axes.vlines(places[index], *point.bounds, color=style.colour, linewidth=points(1.5), zorder=2)
