"""A run as rules and reports look at it: what several sentences and tables rest on is worked out once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec

from gemmscope.analysis import carry_over, ranking
from gemmscope.analysis.breakdown import overhead
from gemmscope.analysis.lookup import Lookup
from gemmscope.records.base import CellKey

if TYPE_CHECKING:
    from gemmscope.analysis.breakdown.overhead import Overhead
    from gemmscope.analysis.carry_over import CarryOvers
    from gemmscope.analysis.ranking import Ranking
    from gemmscope.records.model import Result
    from gemmscope.workload.shapes import Shape


class View(Lookup):
    """A run's records, its rankings and its overheads. Reports and findings are made from one view, handed down.

    Args:
        result: The run.
        experiments: Whether what the run has added to try why a backend is slow is there too. Only a diagnosis looks
            at it: a reader's question is about what was asked for.
    """

    def __init__(self, result: Result, *, experiments: bool = False) -> None:
        super().__init__(result if experiments else without_experiments(result))
        self._all_cells = result.cells

    @functools.cached_property
    def rankings(self) -> dict[Shape, Ranking]:
        """The one ranking of the run, by shape."""
        return ranking.rank(self)

    @functools.cached_property
    def overheads(self) -> dict[CellKey, Overhead]:
        """What every call that was taken apart spends outside its kernel."""
        found = (overhead.of(self, name, shape) for name in self.outermost for shape in self.shapes)
        return {CellKey(one.backend, one.shape): one for one in found if one is not None}

    @functools.cached_property
    def carry_over(self) -> CarryOvers:
        """Which cells depend on what ran just before them. What does nothing is not tested; it may have run before."""
        multiplying = [
            cell.key for cell in self.result.cells
            if cell.samples and cell.status == "ok"
            and (cell.backend not in self.backends or self.backends[cell.backend].multiplies)
        ]  # fmt: skip
        return carry_over.find(self._all_cells, multiplying, self.result.settings.margin)


def without_experiments(result: Result) -> Result:
    """A run as it was asked for: without the backends that it has added by itself, and their cells."""
    added = {backend.name for backend in result.backends if backend.experiment}
    if not added:
        return result
    return msgspec.structs.replace(
        result,
        backends=[backend for backend in result.backends if backend.name not in added],
        cells=[cell for cell in result.cells if cell.backend not in added],
        parts=[part for part in result.parts if part.backend not in added],
        kernels=[one for one in result.kernels if one.backend not in added],
    )
