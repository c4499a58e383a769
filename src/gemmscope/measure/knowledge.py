"""What a run has learnt of its cells so far: how long a call takes, and what cannot be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.measure.pacing import RATE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmscope.records.base import CellKey, Mode
    from gemmscope.workload.shapes import Shape


class Knowledge:
    """Seconds of a call by cell, FLOP rates by backend, and what is lost.

    Its size depends on the number of cells, not on how long a run lasts.

    Args:
        lost: Cells that have failed or were skipped: they are not measured any more.
        absent: Backends that cannot run, or whose worker was lost.
    """

    def __init__(self, lost: Iterable[CellKey] = (), absent: Iterable[str] = ()) -> None:
        self.lost = set(lost)
        self.absent = set(absent)
        self._seconds: dict[CellKey, float] = {}
        self._tried: set[tuple[str, Shape]] = set()
        self._rates: dict[str, dict[int, float]] = {}  # by backend and FLOP of a call

    def admit(self, key: CellKey, seconds: float) -> None:
        """Notes that a cell is measured; ``seconds`` is a first estimate of one call."""
        self._tried.add((key.backend, key.shape))
        if seconds >= RATE_SECONDS and key.mode == "latency":
            flops = key.shape.flops
            rates = self._rates.setdefault(key.backend, {})
            rates[flops] = max(rates.get(flops, 0.0), flops / seconds)

    def was_tried(self, backend: str, shape: Shape) -> bool:
        """Whether a set has measured the backend at this shape."""
        return (backend, shape) in self._tried

    def expected_seconds(self, backend: str, shape: Shape) -> float:
        """Seconds that a call should take, by the rate at the next smaller shape; 0 where nothing is known."""
        rates = self._rates.get(backend, {})
        smaller = [flops for flops in rates if flops <= shape.flops]
        return shape.flops / rates[max(smaller)] if smaller else 0.0

    def remember(self, key: CellKey, seconds: float) -> None:
        """Keeps the seconds of a call that a set has measured, for the next set."""
        self._seconds[key] = seconds

    def seconds_at(self, shape: Shape, backends: Iterable[str]) -> dict[str, dict[Mode, float]]:
        """The seconds of a call that earlier sets have measured at a shape, by backend and mode."""
        known: dict[str, dict[Mode, float]] = {}
        for key, seconds in self._seconds.items():
            if key.shape == shape and key.backend in backends:
                known.setdefault(key.backend, {})[key.mode] = seconds
        return known
