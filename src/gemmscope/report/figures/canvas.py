"""The card that a picture is drawn on, and text on it.

A picture is a white card with a thin frame: it can be read on a light and on a dark page. matplotlib is loaded when the
first picture is drawn, since that takes longer than all else that the command line does, and it is used without pyplot:
no display, no global state.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import math
from typing import TYPE_CHECKING, Any

from gemmscope.records import words
from gemmscope.report import palette

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# Lengths are in pixels at this many to the inch, which is what a browser takes an inch of an SVG for.
DPI = 96
PNG_SCALE = 2
WIDTH = 830
MARGIN = 18
LEFT = 84
TOP = 86
TEXT = 12.5
# The first comes with matplotlib; a browser that shows an SVG may have only the others.
FONTS = ["DejaVu Sans", "Verdana", "Helvetica", "Arial"]
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_UNKNOWN_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """Matplotlib's own settings and ours in place of a user's: a picture looks the same everywhere."""
    import matplotlib as mpl  # the command line must start fast

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({
            "svg.fonttype": "none",
            "svg.hashsalt": "gemmscope",
            "text.parse_math": False,
            "font.family": "sans-serif",
            "font.sans-serif": FONTS,
            "font.size": points(12),
            "text.color": palette.INK,
            "axes.labelcolor": palette.GREY,
            "xtick.color": palette.GREY,
            "ytick.color": palette.GREY,
            "axes.edgecolor": palette.FRAME,
        })  # fmt: skip
        yield


def card() -> Figure:
    """An empty picture; its height is still to be set."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(dpi=DPI, facecolor="white", edgecolor=palette.FRAME, linewidth=points(2))
    FigureCanvasAgg(drawn)
    return drawn


def head(drawn: Figure, title: str, notes: tuple[str, str]) -> None:
    """Writes what stands above all panels, in the upper ``TOP`` pixels."""
    room = WIDTH - 2 * MARGIN
    top = drawn.bbox.height
    say(drawn, MARGIN, top - 32, title, room, fontsize=points(17), fontweight="bold")
    for note, y in zip(notes, (54, 73), strict=True):
        say(drawn, MARGIN, top - y, note, room, fontsize=points(TEXT), color=palette.GREY)


def bare(axes: Axes) -> None:
    """Leaves of an axis' frame the line below, with faint lines across."""
    axes.tick_params(labelsize=points(TEXT), length=points(4), color=palette.FRAME)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=palette.GRID, linewidth=points(1))
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def say(drawn: Figure, x: float, y: float, text: str, room: float = math.inf, **style: Any) -> Text:
    """A text at a place in pixels from the lower left, cut where it is longer than the room for it."""
    said = drawn.text(x / WIDTH, y / drawn.bbox.height, cut(drawn, safe(text), room, **style), **style)
    said.set_in_layout(False)
    return said


def cut(drawn: Figure, text: str, room: float, **style: Any) -> str:
    """A text, cut and with an ellipsis where it is wider than the room in pixels."""
    if width_of(drawn, text, **style) <= room:
        return text
    cuts = [text[:length].rstrip() + _ELLIPSIS for length in range(1, len(text))]
    fitting = bisect.bisect_right(cuts, room, key=lambda cut: width_of(drawn, cut, **style))
    return cuts[max(0, fitting - 1)]


def width_of(drawn: Figure, text: str, **style: Any) -> float:
    """How wide a text is as :func:`say` says it, in pixels."""
    said = drawn.text(0, 0, safe(text), **{"fontsize": points(TEXT)} | style)
    width = said.get_window_extent().width
    said.remove()
    return float(width)


def safe(text: str) -> str:
    """A text on one line, with a sign in place of what the font has no picture for, which matplotlib would warn of."""
    known = _characters()
    return "".join(character if ord(character) in known else _UNKNOWN_CHARACTER for character in words.line(text))


@functools.cache
def _characters() -> frozenset[int]:
    from matplotlib import font_manager

    # The font that matplotlib brings along.
    font = font_manager.get_font(font_manager.findfont(FONTS[0]))
    return frozenset(font.get_charmap())


def set_height(drawn: Figure, height: float) -> None:
    """Makes the picture so many pixels high."""
    drawn.set_size_inches(WIDTH / DPI, height / DPI)


def points(pixels: float) -> float:
    """The unit of matplotlib's lengths, 72 to the inch."""
    return pixels * 72 / DPI
