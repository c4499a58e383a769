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

# What is no library's: text, what stands back, and the lines of a card.
INK = "#1f2328"
GREY = "#59636e"
FAINT = "#8b949e"
GRID = "#eaedf0"
FRAME = "#d1d9e0"

# Text in these colours is read on white, and lines on a dark page: WCAG 2.2, contrast (minimum).
_READABLE = 4.5
_WHITE = "#ffffff"
_DARK_PAGE = "#10151c"

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
# Parts of a call, from the innermost: the darker the nearer to the arithmetic.
_TINTS = (0.18, -0.28, -0.56, -0.78)
_DASHES: tuple[tuple[float, ...], ...] = ((), (6, 1.6), (8, 1.6, 1.6, 1.6), (3.2, 1.4), (8, 1.6, 1.6, 1.6, 1.6, 1.6))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Style:
    """How a backend's line is drawn. ``ink`` is the line's colour, dark enough for text; no dashes is a solid line.

    ``on_dark`` is the colour of line and text on a dark page.
    """

    colour: str
    ink: str
    dashes: tuple[float, ...]
    marker: str
    on_dark: str = FAINT


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
            ink=readable(shade),
            dashes=_DASHES[position % len(_DASHES)],
            marker=_MARKERS[position % len(_MARKERS)],
            # What is darker on white is lighter on a dark page.
            on_dark=_readable_on_dark(_shaded(_readable_on_dark(hue), -amount)),
        )
    return chosen


def tint(library: str, position: int) -> str:
    """The colour of a part of a library's call, counted from the innermost: of the library's hue, lighter outwards."""
    return _shaded(colour(library), _TINTS[min(position, len(_TINTS) - 1)])


def readable(colour: str) -> str:
    """The colour, darkened until text in it can be read on white."""
    darker = colour
    for percent in range(0, 100, 5):
        darker = _shaded(colour, percent / 100)
        if contrast(darker) >= _READABLE:
            break
    return darker


def contrast(colour: str, ground: str = _WHITE) -> float:
    """The contrast of a colour with what it stands on, white unless told, from 1 to 21, as WCAG 2.2 defines it."""
    low, high = sorted((_luminance(colour), _luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def _readable_on_dark(colour: str) -> str:
    lighter = (_shaded(colour, -percent / 100) for percent in range(0, 100, 5))
    return next((shade for shade in lighter if contrast(shade, _DARK_PAGE) >= _READABLE), _WHITE)


def _luminance(colour: str) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4  # noqa: PLR2004  (the curve of sRGB)
        for value in (channel / 255 for channel in _channels(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _shaded(colour: str, amount: float) -> str:
    """Mixed with black, or with white if the amount is negative."""
    end = 0 if amount > 0 else 255
    return "#" + "".join(f"{round(channel + (end - channel) * abs(amount)):02x}" for channel in _channels(colour))


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
