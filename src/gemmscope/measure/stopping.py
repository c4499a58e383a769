"""When to stop, apart from how to time: which cells further sets would still tell something about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmscope.records.model import Comparison

# The share of the budget for the sets that were asked for. The rest is for verdicts that are then still open: more sets
# narrow an interval, and longer sets do not, because processes differ.
PLANNED_SHARE = 0.6

# Before the third set an interval is too wide to decide anything.
FEWEST_SETS = 3

# What a shape whose verdicts are all settled gets of an open one's time, in the sets that were asked for.
SETTLED_WEIGHT = 0.3

# Another set is not begun for less than this share of what a set takes.
SHORTEST_SET = 0.5

# For every shape with an open verdict, the backends that another set should measure, the baseline among them.
OpenCells = dict[Shape, set[str]]


def open_cells(comparisons: Iterable[Comparison]) -> OpenCells:
    """The cells whose comparison is unclear, and whose interval is wider than the run aims at."""
    found: OpenCells = {}
    for comparison in comparisons:
        if not comparison.converged:
            found.setdefault(comparison.shape, set()).update((comparison.backend, comparison.baseline))
    return found
