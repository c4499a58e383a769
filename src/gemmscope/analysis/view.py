"""A run as rules and reports look at it: what several sentences and tables rest on is worked out once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from gemmscope.analysis import ranking
from gemmscope.analysis.breakdown import overhead
from gemmscope.analysis.lookup import Lookup
from gemmscope.records.base import CellKey

if TYPE_CHECKING:
    from gemmscope.analysis.breakdown.overhead import Overhead
    from gemmscope.analysis.ranking import Ranking
    from gemmscope.workload.shapes import Shape


class View(Lookup):
    """A run's records, its rankings and its overheads. Reports and findings are made from one view, handed down."""

    @functools.cached_property
    def rankings(self) -> dict[Shape, Ranking]:
        """The one ranking of the run, by shape."""
        return ranking.rank(self)

    @functools.cached_property
    def overheads(self) -> dict[CellKey, Overhead]:
        """What every call that was taken apart spends outside its kernel."""
        found = (overhead.of(self, name, shape) for name in self.outermost for shape in self.shapes)
        return {CellKey(one.backend, one.shape): one for one in found if one is not None}
