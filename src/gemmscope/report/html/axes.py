"""Axes of the page's charts: where a value stands, in pixels, and which values are written beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from gemmscope.report.figures.scales import round_ticks

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["log", "linear"]

_STEPS = 6


class Tick(NamedTuple):
    """A text beside an axis, and where it stands in pixels."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """An axis from the value ``low`` at the pixel ``start`` to ``high`` at ``end``."""

    kind: Kind
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value stands, to a tenth of a pixel. What lies far outside stands a little outside."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(value) - low) / (high - low)
        return round(self.start + min(2.0, max(-1.0, share)) * (self.end - self.start), 1)

    def ticks(self, text: Callable[[float], str]) -> list[Tick]:
        """Round values along the axis."""
        values = round_ticks(self.low, self.high) if self.kind == "log" else _even(self.low, self.high)
        return [Tick(self.at(value), text(value) if value else "0") for value in values]

    def _scaled(self, value: float) -> float:
        if self.kind == "linear":
            return value
        return math.log(value) if value > 0 else -math.inf


def _even(low: float, high: float) -> list[float]:
    """Round values, evenly spaced."""
    magnitude = 10.0 ** math.floor(math.log10(high - low))
    step = next(part * magnitude for part in (0.1, 0.2, 0.5, 1, 2, 5) if (high - low) / (part * magnitude) <= _STEPS)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]
