"""Charts as the page draws them: every place in pixels, every value in words. The template makes SVG of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from gemmscope.records import words
from gemmscope.records.base import Interval
from gemmscope.report.figures.scales import SHAPE_AXIS, apart, kept, limits, scale_of
from gemmscope.report.html.axes import Axis, Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gemmscope.report.figures.scales import Scale
    from gemmscope.report.figures.series import Panel, Point, Series, Shape
    from gemmscope.report.html import axes
    from gemmscope.report.html.keys import Key

Width = Literal["wide", "narrow"]

_WIDTHS: dict[Width, int] = {"wide": 1040, "narrow": 358}
_HEIGHTS: dict[Width, int] = {"wide": 330, "narrow": 270}
_LEFT, _TOP, _BELOW = 62, 12, 50
# A letter is about so wide, a line so high; names beside lines are cut where they are wider than so many letters.
_LETTER, _LINE, _MOST_NAME = 7.0, 16, 26
# Between the lines' ends and their names, and between the chart's edges and its first and last points.
_REACH, _INSET = 34, 18
# How far a slanted text reaches down and to the left, for each pixel of its length.
_DOWN, _ASIDE = 0.64, 0.77


class Dot(NamedTuple):
    """A point: its place and what it says."""

    x: float
    y: float
    text: str


class Name(NamedTuple):
    """A line's name beside its end; ``end`` is the last point, which a thin line leads from.

    From a point that is ``far`` that line must not look like measured ones.
    """

    end: Dot
    y: float
    text: str
    far: bool


class Ceiling(NamedTuple):
    """A line that nothing gets above, and its name at the place ``x``, ``y``, before or after it."""

    path: str
    x: float
    y: float
    text: str
    anchor: Literal["start", "end"]


@dataclass(frozen=True)
class Line:
    """One backend's line: ``path`` and ``band`` are SVG's, and empty where there is none."""

    key: Key
    path: str
    band: str
    dots: list[Dot]
    thin: bool = False
    faint: bool = False
    name: Name | None = None


@dataclass(frozen=True)
class Chart:
    """One chart in one width, with one kind of vertical axis."""

    title: str
    unit: str
    width: Width
    kind: axes.Kind
    size: tuple[float, float]
    plot: tuple[float, float, float, float]
    across: list[Tick]
    across_name: str
    slanted: bool
    up: list[Tick]
    lines: list[Line]
    level: float | None = None
    ceilings: list[Ceiling] = field(default_factory=list)


def chart_of(
    panel: Panel, keys: Mapping[str, Key], told: Callable[[Point], str], width: Width, kind: axes.Kind
) -> Chart:
    """A panel of lines, drawn.

    Args:
        panel: At least one series.
        keys: Of all backends in it.
        told: What is said of a value and its interval.
        width: For a screen or a phone.
        kind: Of the vertical axis.
    """
    scale = scale_of(panel)
    names = [line.label for line in panel.series if line.named]
    right: float = _WIDTHS[width] - _INSET
    if width == "wide":
        right -= _REACH + _LETTER * min(_MOST_NAME, max(map(_letters, names)))
    places, across, slanted = _across(scale, right)
    depth = _LETTER * _DOWN * max(_letters(tick.text) for tick in across) + 8 if slanted else 0
    height = max(_HEIGHTS[width], _LINE * len(names) if width == "wide" else 0)
    low, high = limits(panel.series)
    up = Axis(kind, low if kind == "log" else 0.0, high, _TOP + height, _TOP)
    lines = [_line(line, keys[line.backend], scale, places, up, told) for line in panel.series]
    if width == "wide":
        lines = named(lines, panel.series, _TOP, _TOP + height)
    return Chart(
        title=panel.title, unit=panel.unit, width=width, kind=kind,
        size=(_WIDTHS[width], _TOP + height + _BELOW + depth),
        plot=(_LEFT, _TOP, right - _LEFT, height), across=across, slanted=slanted,
        across_name=f"size N, of N{words.TIMES}N matrices" if scale.numeric else SHAPE_AXIS,
        up=up.ticks(panel.tick), lines=lines, level=None if panel.level is None else up.at(panel.level),
    )  # fmt: skip


def told_time(point: Point) -> str:
    """``'1.03 µs [1.01, 1.06]'``."""
    low, high = point.bounds or (None, None)
    return words.interval(Interval(estimate=point.value, low=low, high=high))


def told_rate(point: Point) -> str:
    """``'189 GFLOP/s [187, 191]'``."""
    bounds = f" [{', '.join(map(words.rate_number, point.bounds))}]" if point.bounds else ""
    return words.rate(point.value) + bounds


def told_speedup(point: Point) -> str:
    """``'3.2× [3.1×, 3.3×]'``."""
    bounds = f" [{', '.join(map(words.speedup, point.bounds))}]" if point.bounds else ""
    return words.speedup(point.value) + bounds


def named(lines: list[Line], series: list[Series], low: float, high: float) -> list[Line]:
    """The lines with their names beside their ends, moved apart where two would overlap."""
    ends = sorted(
        ((line.dots[-1], index) for index, line in enumerate(lines) if series[index].named),
        key=lambda end: (end[0].y, end[1]),
    )
    heights = apart([dot.y for dot, _ in ends], _LINE, low, high)
    last = max((dot.x for dot, _ in ends), default=0.0)
    places = {index: Name(dot, round(y, 1), cut(series[index].label), dot.x < last) for (dot, index), y in zip(ends, heights, strict=True)}  # fmt: skip  # noqa: E501
    return [
        Line(line.key, line.path, line.band, line.dots, line.thin, line.faint, places.get(index))
        for index, line in enumerate(lines)
    ]


def cut(name: str) -> str:
    """A name, cut where it is too long to stand beside a chart."""
    if _letters(name) <= _MOST_NAME:
        return name
    kept_letters = next(length for length in range(len(name), -1, -1) if _letters(name[:length]) < _MOST_NAME)
    return name[:kept_letters] + "\N{HORIZONTAL ELLIPSIS}"


def _letters(text: str) -> int:
    """How wide a text is at most, in letters: one beyond ASCII can be twice as wide."""
    return sum(1 if letter.isascii() else 2 for letter in text)


def _line(line: Series, key: Key, scale: Scale, places: Axis, up: Axis, told: Callable[[Point], str]) -> Line:
    dots: list[Dot] = []
    runs: list[list[tuple[float, Point]]] = [[]]
    for shape in scale.shapes:
        point = line.points.get(shape)
        if point is None:
            runs.append([])
            continue
        x = places.at(_place(scale, shape, line.backend))
        runs[-1].append((x, point))
        dots.append(Dot(x, up.at(point.value), f"{line.label}, {shape}: {told(point)}"))
    path = " ".join(_path([(x, up.at(point.value)) for x, point in run]) for run in runs if len(run) > 1)
    band = " ".join(_band(run, up) for run in runs)
    faint = line.faint or line.thin
    return Line(key, path, "" if faint else band.strip(), dots, line.thin, line.faint)


def _path(places: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in places)


def _band(run: list[tuple[float, Point]], up: Axis) -> str:
    """The interval's area; a bar where a point has no neighbour."""
    bounds = [(x, up.at(point.bounds[0]), up.at(point.bounds[1])) for x, point in run if point.bounds]
    if len(bounds) == 1:
        x = bounds[0][0]
        bounds = [(x - 1.5, *bounds[0][1:]), (x + 1.5, *bounds[0][1:])]
    if not bounds:
        return ""
    return _path([(x, low) for x, low, _ in bounds] + [(x, high) for x, _, high in reversed(bounds)]) + "Z"


def _across(scale: Scale, right: float) -> tuple[Axis, list[Tick], bool]:
    """The horizontal axis, the sizes or shapes below it, and whether they have to be slanted."""
    axis = _axis(scale, _LEFT + _INSET, right - _INSET)
    texts = [str(shape.n) if scale.numeric else str(shape) for shape in scale.shapes]
    if len(texts) == 1:
        return axis, [Tick(round((_LEFT + right) / 2, 1), texts[0])], False
    at = [axis.at(_place(scale, shape, "")) for shape in scale.shapes]
    shown = kept(at, [_LETTER * len(text) + 8 for text in texts])
    slanted = len(shown) < len(texts) and not scale.numeric
    if slanted:
        axis = _axis(scale, max(_LEFT + _INSET, _ASIDE * _LETTER * max(map(_letters, texts)) + _LINE), right - _INSET)
        at = [axis.at(_place(scale, shape, "")) for shape in scale.shapes]
        shown = kept(at, [1.6 * _LINE] * len(texts))
    return axis, [Tick(at[index], texts[index]) for index in shown], slanted


def _axis(scale: Scale, left: float, right: float) -> Axis:
    places = [_place(scale, shape, "") for shape in scale.shapes]
    # The backends of a single shape are set apart, from 0 to 1.
    high = places[-1] if len(places) > 1 else 1.0
    return Axis("linear", places[0], high, left, right)


def _place(scale: Scale, shape: Shape, backend: str) -> float:
    """By the logarithm of the size where there are sizes, else one shape beside the next."""
    place = scale.at(shape, backend)
    return math.log2(max(place, 0.5)) if scale.numeric else place
