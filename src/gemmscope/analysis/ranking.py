"""Which backend is fastest at each shape, and which are tied with it: the one ranking that every report shows.

Ranked are backends that a user can choose, in full precision, by ratios that are paired inside rounds. The times alone
would not do: some cells have been measured in more sets than others, and sets differ. Verdicts hold when all
comparisons of the ranking are taken together. Instruments (``kernel-numpy``, ``mlx-cpp-cpu``, ``cblas``,
``null-python``) are never ranked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.analysis.comparison import corrected
from gemmscope.records.model import BASELINE

if TYPE_CHECKING:
    from gemmscope.analysis.comparison import PairwiseComparison
    from gemmscope.analysis.lookup import Lookup
    from gemmscope.records.model import Cell
    from gemmscope.workload.shapes import Shape


# A tie is near. Farther away, what is not shown to be behind is not settled.
NEAR = 0.1


@dataclass(frozen=True)
class Ranking:
    """The backends of one shape, the fastest first.

    Args:
        shape: The shape.
        ranked: All that were ranked, the fastest first.
        comparisons: The first of ``ranked`` against each of the others: the ratio of its time to theirs.
        reduced: Choices that compute in less than float32's precision, and are not ranked therefore.
        impossible: Choices whose time cannot be that of a call: zero, or not finite.
    """

    shape: Shape
    ranked: list[str]
    comparisons: dict[str, PairwiseComparison]
    reduced: list[str]
    impossible: list[str]

    @property
    def first(self) -> str:
        """The fastest, or one of those that are tied; empty where nothing was ranked."""
        return self.ranked[0] if self.ranked else ""

    @property
    def tied(self) -> list[str]:
        """Those that the first is not shown to be faster than, the nearest first."""
        return [name for name in self.ranked[1:] if not self._is_behind(name)]

    @property
    def behind(self) -> list[str]:
        """Those that the first is shown to be faster than by more than the margin."""
        return [name for name in self.ranked[1:] if self._is_behind(name)]

    @property
    def unsettled(self) -> list[str]:
        """Those of ``tied`` whose time is longer by more than a tenth, in too few batches or too noisy ones to tell."""
        return [name for name in self.tied if self._is_far(name)]

    @property
    def is_settled(self) -> bool:
        """Whether the first is the fastest without a tie."""
        return bool(self.ranked) and not self.tied

    @property
    def has_intervals(self) -> bool:
        """Whether anything is settled at all: one batch of processes gives no interval."""
        return any(one.ratio.low is not None for one in self.comparisons.values())

    def _is_far(self, name: str) -> bool:
        comparison = self.comparisons.get(name)
        return comparison is not None and comparison.ratio.estimate * (1 + NEAR) < 1

    def _is_behind(self, name: str) -> bool:
        comparison = self.comparisons.get(name)
        return comparison is not None and comparison.verdict == "faster"


def rank(run: Lookup) -> dict[Shape, Ranking]:
    """The ranking of every shape, from the least work to the most."""
    sorted_cells = {shape: _sorted(run, shape) for shape in run.shapes}
    ranked = {
        shape: _in_order(run, shape, [cell.backend for cell in cells if _can_be_ranked(cell)])
        for shape, cells in sorted_cells.items()
    }
    comparisons = corrected([
        one for shape, names in ranked.items() for name in names[1:] if (one := run.compare(names[0], name, shape))
    ])  # fmt: skip
    by_shape: dict[Shape, dict[str, PairwiseComparison]] = {shape: {} for shape in run.shapes}
    for one in comparisons:
        by_shape[one.shape][one.other] = one
    return {
        shape: Ranking(
            shape=shape,
            ranked=ranked[shape],
            comparisons=by_shape[shape],
            reduced=[cell.backend for cell in cells if not _is_full(cell)],
            impossible=[cell.backend for cell in cells if _is_full(cell) and not _is_possible(cell)],
        )
        for shape, cells in sorted_cells.items()
    }


def _sorted(run: Lookup, shape: Shape) -> list[Cell]:
    """The measured cells of a shape that a user can choose, by their time; those without a number last."""
    cells = [cell for name in run.choices if (cell := run.cell(name, shape)) is not None]
    return sorted(cells, key=lambda cell: (math.isnan(_seconds(cell)), _seconds(cell)))


def _in_order(run: Lookup, shape: Shape, names: list[str]) -> list[str]:
    """Backends in the order of their ratios to one of them; first one that none of the others is shown to beat."""
    if not names:
        return []
    common = BASELINE if BASELINE in names else names[0]
    against = {name: run.compare(name, common, shape) for name in names}
    ratios = {
        name: one.ratio.estimate if one else (run.seconds(name, shape) or 0.0) / (run.seconds(common, shape) or 1.0)
        for name, one in against.items()
    }
    order = sorted(names, key=lambda name: ratios[name])
    for _ in order:
        beaten_by = [
            name for name in order[1:] if (one := run.compare(order[0], name, shape)) and one.verdict == "slower"
        ]
        if not beaten_by:
            break
        order.remove(beaten_by[0])
        order.insert(0, beaten_by[0])
    return order


def _can_be_ranked(cell: Cell) -> bool:
    return _is_full(cell) and _is_possible(cell)


def _is_full(cell: Cell) -> bool:
    return cell.precision in (None, "float32")


def _is_possible(cell: Cell) -> bool:
    return 0 < _seconds(cell) < math.inf


def _seconds(cell: Cell) -> float:
    return cell.seconds.estimate if cell.seconds is not None else math.inf
