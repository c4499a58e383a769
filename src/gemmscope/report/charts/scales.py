"""How far a logarithmic axis goes, and which round values are written beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmscope.report.charts.data import Point

# An interval may stretch an axis by this factor: two sets that disagree give an interval over many decades.
_STRETCH = 2.0
_LEAST_TICKS, _MOST_TICKS = 3, 8


def limits(points: Iterable[Point]) -> tuple[float, float]:
    """The limits of an axis, around all points and as much of their intervals as is useful."""
    points = list(points)
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
