"""Colours of libraries, and what tells the entries and variants of one library apart: the same in every picture.

Hues are those of Okabe and Ito, "Color Universal Design" (2008), which the colour-blind can tell apart, here and there
darker, so that a line stands out from white. A library has one hue wherever it is drawn; its backends differ by
lightness, dashes and marker, so that black on white is enough to tell them apart.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# What is no library's: the page, text, what stands back, and the lines of a chart; and the same on a dark page.
PAGE, INK, GREY, FAINT = "#ffffff", "#1f2328", "#59636e", "#8b949e"
GRID, FRAME, UNKNOWN = "#eaedf0", "#d1d9e0", "#c9d1d9"
_DARK_PAGE = "#10151c"
_NEUTRAL_ON_DARK = {
    PAGE: _DARK_PAGE, INK: "#e6ebf1", GREY: "#9aa6b3", FAINT: "#8c96a1", GRID: "#232c37", FRAME: "#303a46",
    UNKNOWN: "#3d4855",
}  # fmt: skip

# Lines on a dark page: WCAG 2.2, contrast (minimum).
_READABLE = 4.5

_LIBRARIES = {
    "numpy": "#0072b2",
    "torch": "#d55e00",
    "mlx": "#009e73",
    "cblas": "#b8568f",
    "cublas": "#c98a00",
    "null": "#8b949e",
}
_OTHERS = ("#3d9bd4", "#000000", "#8a7f00", "#6a51a3")

_SHADES = (0.0, 0.36, -0.3, 0.6)
# In pixels; no dashes is a solid line.
_DASHES: tuple[tuple[float, ...], ...] = ((), (10, 3), (12, 3, 3, 3), (5, 3), (12, 3, 3, 3, 3, 3))
# By Vega's names.
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")

# The parts of a call: what computes is blue, what is around it is warm, from the innermost outwards.
_PARTS = {
    "kernel": "#3b6d99",
    "device": "#74a3c7",
    "runtime": "#e0a21b",
    "binding": "#d5703a",
    "allocation": "#b8568f",
    "launch": "#8a70b5",
    "copies": "#5f9e86",
}


@dataclass(frozen=True)
class Style:
    """How a backend's line is drawn: ``dashes`` in pixels, none for a solid line; ``marker`` by Vega's name.

    ``on_dark`` is the colour on a dark page.
    """

    colour: str
    dashes: tuple[float, ...]
    marker: str
    on_dark: str


def colour(library: str) -> str:
    """The colour of a library, as ``'#rrggbb'``. One that is not known has always the same, from a few of their own."""
    known = _LIBRARIES.get(library)
    return known or _OTHERS[zlib.crc32(library.encode("utf-8", "replace")) % len(_OTHERS)]


def styles(backends: Iterable[tuple[str, str]]) -> dict[str, Style]:
    """A style for every backend of a picture, from pairs of its name and its library, in the order of the run."""
    chosen: dict[str, Style] = {}
    used: dict[str, int] = {}
    for name, library in backends:
        if name in chosen:
            continue
        hue = colour(library)
        # Counted by hue: two unknown libraries can share one.
        position = used.setdefault(hue, 0)
        used[hue] += 1
        amount = _SHADES[position % len(_SHADES)]
        shade = _shaded(hue, amount)
        chosen[name] = Style(
            colour=shade,
            dashes=_DASHES[position % len(_DASHES)],
            marker=MARKERS[position % len(MARKERS)],
            # What is darker on white is lighter on a dark page.
            on_dark=_readable_on_dark(_shaded(_readable_on_dark(hue), -amount)),
        )
    return chosen


def part(name: str) -> str:
    """The colour of a part of a call, the same in every call; grey for one that is not known."""
    return _PARTS.get(name, UNKNOWN)


def on_dark(styles: Iterable[Style]) -> dict[str, str]:
    """What stands in for each colour of a chart on a dark page."""
    parts = {colour: _readable_on_dark(colour) for colour in _PARTS.values()}
    return {**_NEUTRAL_ON_DARK, **parts, **{style.colour: style.on_dark for style in styles}}


def contrast(colour: str, ground: str = PAGE) -> float:
    """The contrast of a colour with what it stands on, white unless told, from 1 to 21, as WCAG 2.2 defines it."""
    low, high = sorted((_luminance(colour), _luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def _readable_on_dark(colour: str) -> str:
    lighter = (_shaded(colour, -percent / 100) for percent in range(0, 100, 5))
    return next((shade for shade in lighter if contrast(shade, _DARK_PAGE) >= _READABLE), PAGE)


def _luminance(colour: str) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _channels(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _shaded(colour: str, amount: float) -> str:
    """Mixed with black, or with white if the amount is negative."""
    end = 0 if amount > 0 else 255
    return "#" + "".join(f"{round(channel + (end - channel) * abs(amount)):02x}" for channel in _channels(colour))


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
