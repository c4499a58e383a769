"""The picture of a call's parts: for each call its time, and beside that the shares, stacked by shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.report import palette
from gemmscope.report.figures import stacks
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
from gemmscope.report.figures.labels import put_values
from gemmscope.report.figures.scales import kept, time_tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gemmscope.report.figures.stacks import Call, Stack

_HEIGHT = 200
_ABOVE = 52
_BELOW = 52
_NOTE = 17
_BETWEEN = 60
_BAR = 0.7
# Boxes beside the parts' names, and what stands between them.
_SWATCH, _AFTER_SWATCH, _AFTER_NAME = 11, 6, 18
_MOST_NAME = 110
_UNKNOWN = "not known"


def draw_stacks(calls: list[Call], machine: str) -> Figure:
    """Draws a row for each call: seconds to the left, shares to the right, and below what has no bar."""
    drawn = card()
    notes = [stacks.not_drawn(call) for call in calls]
    heights = [_ABOVE + _HEIGHT + _BELOW + _NOTE * len(lines) for lines in notes]
    whole = sum(heights) + TOP + MARGIN / 2
    set_height(drawn, whole)
    top = whole - TOP
    for call, lines, height in zip(calls, notes, heights, strict=True):
        _draw_call(drawn, call, top)
        for number, line in enumerate(lines):
            y = top - _ABOVE - _HEIGHT - _BELOW - _NOTE * number
            say(drawn, MARGIN, y, line, WIDTH - 2 * MARGIN, fontsize=points(TEXT), color=palette.GREY)
        top -= height
    head(
        drawn,
        stacks.TITLE,
        (machine, "stacked from the isolated kernel outwards; what was not resolved has no bar, and is named below"),
    )
    return drawn


def _draw_call(drawn: Figure, call: Call, top: float) -> None:
    bottom = top - _ABOVE - _HEIGHT
    width = (WIDTH - LEFT - _BETWEEN - MARGIN) / 2
    say(drawn, MARGIN, top - 20, call.label, WIDTH / 2, fontsize=points(13.5), fontweight="bold")
    _draw_legend(drawn, call, top - 20)
    for left, title in ((LEFT, stacks.ABSOLUTE), (LEFT + width + _BETWEEN, stacks.SHARE)):
        axes = drawn.add_axes(
            (left / WIDTH, bottom / drawn.bbox.height, width / WIDTH, _HEIGHT / drawn.bbox.height), label=title
        )
        say(drawn, left, top - 43, title, fontsize=points(TEXT), color=palette.GREY)
        low = 0.0
        if title == stacks.ABSOLUTE:
            low = stacks.floor_of(call)
            put_values(axes, low, max(stack.whole for stack in call.stacks) * 1.1, time_tick, "cumulated")
        else:
            axes.set_ylim(0, 1)
            axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        for place, stack in enumerate(call.stacks):
            _draw_stack(axes, call, stack, place, low)
        bare(axes)
        _put_shapes(drawn, axes, call, width)


def _draw_stack(axes: Axes, call: Call, stack: Stack, place: int, low: float) -> None:
    """One bar. It begins at ``low``, the axis' lower end: zero for shares."""
    scale = 1.0 if low else 1 / stack.whole
    below = 0.0
    for name, seconds in stack.heights.items():
        start = max(low, below * scale)
        axes.bar(place, (below + seconds) * scale - start, _BAR, start, color=call.colours[name], edgecolor="white",
                 linewidth=points(0.8), label=name)  # fmt: skip
        below += seconds
    if stack.unknown and stack.rest:
        start = max(low, below * scale)
        axes.bar(place, stack.whole * scale - start, _BAR, start, color="white", edgecolor=palette.FAINT,
                 linewidth=points(0.8), hatch="///", label=_UNKNOWN)  # fmt: skip


def _put_shapes(drawn: Figure, axes: Axes, call: Call, width: float) -> None:
    shapes = [stack.shape for stack in call.stacks]
    square = all(shape.is_square for shape in shapes)
    texts = [str(shape.n) if square else str(shape) for shape in shapes]
    axes.set_xlim(-0.6, len(shapes) - 0.4)
    shown = kept(
        [width * (place + 0.6) / (len(shapes) + 0.2) for place in range(len(shapes))],
        [width_of(drawn, text) + 8 for text in texts],
    )
    axes.set_xticks(shown, [texts[place] for place in shown])
    axes.set_xlabel("size N" if square else "shape", fontsize=points(TEXT), labelpad=points(4))


def _draw_legend(drawn: Figure, call: Call, y: float) -> None:
    from matplotlib.patches import Rectangle

    entries = [(name, call.colours[name], "") for name in call.colours]
    if any(stack.unknown for stack in call.stacks):
        entries.append((_UNKNOWN, "white", "///"))
    texts = [cut(drawn, name, _MOST_NAME) for name, _, _ in entries]
    widths = [_SWATCH + _AFTER_SWATCH + width_of(drawn, text) + _AFTER_NAME for text in texts]
    x = WIDTH - MARGIN - sum(widths) + _AFTER_NAME
    for text, (_, colour, hatch), width in zip(texts, entries, widths, strict=True):
        drawn.add_artist(
            Rectangle(
                (x / WIDTH, (y - 1) / drawn.bbox.height), _SWATCH / WIDTH, _SWATCH / drawn.bbox.height,
                facecolor=colour, edgecolor=palette.FAINT, linewidth=points(0.8 if hatch else 0), hatch=hatch,
                transform=drawn.transFigure,
            )
        )  # fmt: skip
        say(drawn, x + _SWATCH + _AFTER_SWATCH, y, text, fontsize=points(TEXT), color=palette.INK)
        x += width
