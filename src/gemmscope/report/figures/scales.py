"""Axes: where a shape stands, how far an axis goes, and which values are written beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.report.figures.series import Panel, Series, Shape

# A band may stretch an axis by so much: two sets that disagree give an interval over many decades.
_STRETCH = 2.0
_LEAST_TICKS, _MOST_TICKS = 3, 8
SHAPE_AXIS = f"shape M{words.TIMES}N{words.TIMES}K, in the order of work"


@dataclass(frozen=True)
class Scale:
    """Where a shape stands on the horizontal axis. ``offsets`` set backends apart where there is only one shape."""

    shapes: list[Shape]
    numeric: bool
    offsets: dict[str, float] = field(default_factory=dict)

    def at(self, shape: Shape, backend: str = "") -> float:
        """The place of a backend's point, in the axis' own unit: the size, or the number of the shape."""
        return float(shape.n) if self.numeric else self.shapes.index(shape) + self.offsets.get(backend, 0.0)


def scale_of(panel: Panel) -> Scale:
    """By size where all shapes are square, else one shape beside the next in the order of work."""
    shapes = sorted({shape for line in panel.series for shape in line.points}, key=lambda shape: (shape.flops, shape))
    if len(shapes) > 1:
        return Scale(shapes, numeric=all(shape.is_square for shape in shapes))
    # In the order of their figures, so that what leads from a point to its name crosses no other point.
    order = sorted(panel.series, key=lambda line: line.points[shapes[0]].value, reverse=panel.level is None)
    names = list(dict.fromkeys(line.backend for line in order if line.named))
    step = 1 / max(1, len(names) - 1)
    return Scale(shapes, numeric=False, offsets={name: i * step for i, name in enumerate(names)})


def spread(steps: Sequence[float], width: float, left: float, inset: float) -> tuple[float, float]:
    """The limits of an axis of that width, with room in pixels to the left of the first step and after the last."""
    per_pixel = (steps[-1] - steps[0]) / (width - left - inset)
    return steps[0] - left * per_pixel, steps[-1] + inset * per_pixel


def kept(places: Sequence[float], widths: Sequence[float]) -> list[int]:
    """The texts that can stand side by side, centred at their places: both ends first, then from the left."""
    chosen: list[int] = []
    for index in dict.fromkeys([len(places) - 1, *range(len(places))]):
        if all(abs(places[index] - places[other]) >= (widths[index] + widths[other]) / 2 for other in chosen):
            chosen.append(index)
    return sorted(chosen)


def limits(lines: list[Series]) -> tuple[float, float]:
    """The limits of the vertical axis, around all points and as much of their intervals as is useful."""
    points = [point for line in lines for point in line.points.values()]
    low, high = min(point.value for point in points), max(point.value for point in points)
    bounds = [bound for point in points if point.bounds for bound in point.bounds]
    low = max(min(low, *bounds), low / _STRETCH) if bounds else low
    high = min(max(high, *bounds), high * _STRETCH) if bounds else high
    room = max(1.08, (high / low) ** 0.05)
    return low / room, high * room


def round_ticks(low: float, high: float) -> list[float]:
    """Round values for a logarithmic axis: steps of 1, 2 and 5, decades where it is long, even steps where short."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for digits in ((1, 2, 5), (1,)):
        ticks = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= _MOST_TICKS:
            break
    if len(ticks) >= _LEAST_TICKS:
        return ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]
    step = 10.0 ** math.floor(math.log10(high - low))
    step = next(step * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if (high - low) / (step * part) <= _MOST_TICKS)
    return [
        round(i * step, 12 - math.floor(math.log10(step))) for i in range(math.ceil(low / step), int(high / step) + 1)
    ]


def time_tick(seconds: float) -> str:
    """A round time, in the largest unit of which it is one or more."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, f"{words.MICRO}s")):
        if seconds >= scale * (1 - 1e-9):
            return f"{seconds / scale:.6g} {unit}"
    return f"{seconds / 1e-9:.6g} ns"


def number_tick(value: float) -> str:
    """A round number."""
    return f"{value:.6g}"


def times_tick(value: float) -> str:
    """A round number of times."""
    return f"{value:.6g}{words.TIMES}"


def apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Moves places apart until they are ``gap`` from each other, by as little as can be in the sense of least squares.

    What must rise is each place less the gaps below it, and the nearest rising sequence is had by pooling neighbours
    that fall into their mean: M. Ayer et al., Annals of Mathematical Statistics 26 (1955), 641.

    Args:
        wanted: Where each would be, rising.
        gap: The least distance.
        low: The least place.
        high: The greatest place; what has not enough room between the two starts at ``low``.
    """
    pools: list[list[float]] = []
    for index, place in enumerate(wanted):
        pools.append([place - index * gap])
        while len(pools) > 1 and _mean(pools[-2]) >= _mean(pools[-1]):
            last = pools.pop()
            pools[-1].extend(last)
    most = max(low, high - (len(wanted) - 1) * gap)
    level = [min(max(_mean(pool), low), most) for pool in pools for _ in pool]
    return [place + index * gap for index, place in enumerate(level)]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
