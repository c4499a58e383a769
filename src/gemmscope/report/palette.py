"""Colours of libraries, and what tells the entries and variants of one library apart: the same in every picture.

Hues are those of Okabe and Ito, "Color Universal Design" (2008), which the colour-blind can tell apart, here and there
darker, so that a line stands out from white. A library has one hue wherever it is drawn; its backends differ by
lightness, dashes and marker, so that black on white is enough to tell them apart.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# What is no library's: the page, text, what stands back, and the lines of a chart; and the same on a dark page.
PAGE, INK, GREY, FAINT = "#ffffff", "#1f2328", "#59636e", "#8b949e"
GRID, FRAME, UNKNOWN = "#eaedf0", "#d1d9e0", "#c9d1d9"
_NEUTRAL_ON_DARK = {
    PAGE: "#10151c", INK: "#e6ebf1", GREY: "#9aa6b3", FAINT: "#8c96a1", GRID: "#232c37", FRAME: "#303a46",
    UNKNOWN: "#3d4855",
}  # fmt: skip

# Four shades of a library's hue, on white and on a dark page. What is darker there is lighter here, and has a contrast
# of 4.5 with the page, which is WCAG 2.2's minimum.
_LIBRARIES = {
    "numpy": ("#0072b2 #004972 #4c9cc9 #002e47", "#2687be #74b2d5 #5486a4 #a8cfe5"),
    "torch": ("#d55e00 #883c00 #e28e4c #552600", "#d55e00 #e4985c #b07140 #eebf99"),
    "mlx": ("#009e73 #00654a #4cbb9d #003f2e", "#009e73 #5cc1a5 #40937c #99d8c7"),
    "cblas": ("#b8568f #76375c #cd89b1 #4a2239", "#bc5e95 #d498bb #a3718e #e4bfd5"),
    "scipy": ("#3d9bd4 #276388 #77b9e1 #183e55", "#3d9bd4 #83bfe3 #5589a9 #b1d7ee"),
    "jax": ("#6a51a3 #443468 #9785bf #2a2041", "#8874b5 #b3a6d0 #877c9f #cfc7e1"),
    "cupy": ("#8a7f00 #585100 #ada54c #373300", "#90850d #b8b164 #8c8646 #d3ce9e"),
    "cublas": ("#c98a00 #815800 #d9ad4c #503700", "#c98a00 #dcb45c #9e7926 #e9d099"),
    "null": ("#8b949e #595f65 #aeb4bb #383b3f", "#8b949e #b5bbc1 #797f85 #d1d4d8"),
}
_OTHERS = (
    ("#3d9bd4 #276388 #77b9e1 #183e55", "#3d9bd4 #83bfe3 #5589a9 #b1d7ee"),
    ("#000000 #2b2b2b #4c4c4c #5e5e5e", "#808080 #aeaeae #838383 #cccccc"),
    ("#8a7f00 #585100 #ada54c #373300", "#90850d #b8b164 #8c8646 #d3ce9e"),
    ("#6a51a3 #443468 #9785bf #2a2041", "#8874b5 #b3a6d0 #877c9f #cfc7e1"),
)
# In pixels; no dashes is a solid line.
_DASHES: tuple[tuple[float, ...], ...] = ((), (10, 3), (12, 3, 3, 3), (5, 3), (12, 3, 3, 3, 3, 3))
# By Vega's names.
_MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")

# The parts of a call, on white and on a dark page: what computes is blue, what is around it is warm, from the innermost
# outwards.
_PARTS = {
    "kernel": ("#3b6d99", "#5883a8"),
    "device": ("#74a3c7", "#74a3c7"),
    "runtime": ("#e0a21b", "#e0a21b"),
    "binding": ("#d5703a", "#d5703a"),
    "allocation": ("#b8568f", "#bc5e95"),
    "launch": ("#8a70b5", "#9077b9"),
    "copies": ("#5f9e86", "#5f9e86"),
}


# A heat map, from the least to the most: on white, and on a dark page. Text on it is ink at first, then the page's.
HEAT = ("#e8f1fa", "#5b9bd0", "#0b4f8a")
_HEAT_ON_DARK = ("#18293a", "#2f6191", "#9cc6ec")


class Style(NamedTuple):
    """How a backend's line is drawn: ``dashes`` in pixels, none for a solid line; ``marker`` by Vega's name.

    ``on_dark`` is the colour on a dark page.
    """

    colour: str
    dashes: tuple[float, ...]
    marker: str
    on_dark: str


def colour(library: str) -> str:
    """The colour of a library, as ``'#rrggbb'``. One that is not known has always the same, from a few of their own."""
    return _shades(library)[0].split()[0]


def styles(backends: Iterable[tuple[str, str]]) -> dict[str, Style]:
    """A style for every backend of a picture, from pairs of its name and its library, in the order of the run."""
    chosen: dict[str, Style] = {}
    used: dict[str, int] = {}
    for name, library in dict(backends).items():
        light, dark = _shades(library)
        # Counted by hue: two unknown libraries can share one.
        position = used[light] = used.get(light, -1) + 1
        shade = position % len(light.split())
        chosen[name] = Style(
            colour=light.split()[shade],
            dashes=_DASHES[position % len(_DASHES)],
            marker=_MARKERS[position % len(_MARKERS)],
            on_dark=dark.split()[shade],
        )
    return chosen


def part(name: str) -> str:
    """The colour of a part of a call, the same in every call; grey for one that is not known."""
    return _PARTS[name][0] if name in _PARTS else UNKNOWN


def on_dark(styles: Iterable[Style]) -> dict[str, str]:
    """What stands in for each colour of a chart on a dark page."""
    heat = dict(zip(HEAT, _HEAT_ON_DARK, strict=True))
    return {**_NEUTRAL_ON_DARK, **dict(_PARTS.values()), **heat, **{style.colour: style.on_dark for style in styles}}


def _shades(library: str) -> tuple[str, str]:
    return _LIBRARIES.get(library) or _OTHERS[zlib.crc32(library.encode("utf-8", "replace")) % len(_OTHERS)]
