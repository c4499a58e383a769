"""Names beside the ends of lines, moved apart where they would stand on each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.report.charts.theme import rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

# The distance of two names, in pixels.
NAME_HEIGHT = 16


class Axis(NamedTuple):
    """A vertical axis of so many pixels, from the least value to the greatest."""

    low: float
    high: float
    height: float
    is_log: bool

    def pixels(self, value: float) -> float:
        """How far above the foot of the axis a value is drawn."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        inside = min(max(value, self.low), self.high)
        return self.height * (self._scaled(inside) - low) / (high - low)

    def value(self, pixels: float) -> float:
        """What is drawn so far above the foot."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        scaled = low + (high - low) * pixels / self.height
        return math.exp(scaled) if self.is_log else scaled

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.is_log else value


def apart(values: Sequence[float], axis: Axis) -> list[float]:
    """Where names stand that belong to values of an axis: as near to them as is possible without touching.

    Returns:
        Values of the same axis, in the order of those given. They lie inside of the axis where all names have room.
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    step = min(NAME_HEIGHT, axis.height / max(1, len(values)))
    # Groups of names that touch, each as the pixels of its lowest name and its members.
    groups: list[tuple[float, list[int]]] = []
    for i in order:
        groups.append((axis.pixels(values[i]), [i]))
        while len(groups) > 1 and groups[-1][0] < groups[-2][0] + step * len(groups[-2][1]):
            (first, below), (second, above) = groups[-2:]
            # The mean distance of all members from where they belong stays the least.
            wanted = [first + step * k for k in range(len(below))] + [second + step * k for k in range(len(above))]
            members = [*below, *above]
            foot = sum(place - step * k for k, place in enumerate(wanted)) / len(members)
            foot = min(max(foot, 0.0), axis.height - step * (len(members) - 1))
            groups[-2:] = [(foot, members)]
    places = {i: foot + step * k for foot, members in groups for k, i in enumerate(members)}
    return [rounded(axis.value(places[i])) for i in range(len(values))]
