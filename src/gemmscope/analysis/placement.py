"""Layout: whether a cell's time depends on where its operands begin within a page.

Every set draws a place for every operand of every pair, so each pair has a placement of its own in each set. A sample
of fewer calls than there are pairs covers some pairs only: pairs that are slow whenever they come round show that
placement matters, inside one process.

Noise alone makes some pairs look slow. So the turns of a set are dealt into two halves, and each half estimates the
relative log times of the pairs by itself: the median of a pair's samples, or least squares on the pairs that samples
cover. What both halves agree on is due to the pairs: the covariance of their estimates is an unbiased estimate of the
variance over pairs, however large the noise is, since the noise of two turns is independent.

- **The test** is of the correlation of the halves. Where placement does nothing, any order of the pairs in one half is
  as likely as another; then a correlation over d + 1 pairs has mean 0 and variance 1 / d, whatever the noise is like.
  Those of all sets are added, and Holm's method is over cells.
- **The size that is told** is twice the standard deviation over placements: what lies between a slow and a fast one.
  Where there are two kinds of placement, equally frequent, it is exactly their difference. A set's standard deviation
  is the root of the covariance, with its sign; the size is their mean over sets, with Student's t interval.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.statistics import VERDICT_LEVEL, Estimate, holm, per_call
from gemmscope.records.base import Interval
from gemmscope.workload.shapes import pair_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.records.base import CellKey
    from gemmscope.records.model import Cell, Sample

# Less is not worth aligning for. And a clock that rises during each turn makes those pairs look fast that its last
# samples cover, by 1 or 2 %, which nothing here can tell from placement.
WORTH = 0.03
_FEWEST_SETS = 3
# Combinations of pairs that samples hardly tell apart would be noise many times magnified: they are left out.
_SINGULAR = 0.2
_LEAST_TRACE = 1e-6

# The pairs of operands that a sample covers: the first, and how many.
_Window = tuple[int, int]


class Placement(NamedTuple):
    """How much a cell's time varies with placement, over ``sets`` sets.

    ``size`` is twice the standard deviation over placements, as a share of the time.
    """

    cell: CellKey
    size: Interval
    sets: int


class _Taken(NamedTuple):
    window: _Window
    start: float
    log: float


class Halves(NamedTuple):
    """What the halves of one set say of placement.

    ``deviation`` is the standard deviation of log times over placements. It is negative where the halves contradict
    each other: where placement does nothing, they do so in half of all sets. ``correlation`` is theirs, and
    ``dimensions`` one over its variance where placement does nothing.
    """

    deviation: float
    correlation: float
    dimensions: float


def find(cells: Iterable[Cell], pairs: int) -> list[Placement]:
    """The cells in which placement is shown to matter, by :data:`WORTH` or more, those in which it matters most first.

    Args:
        cells: A run's cells with their samples. Only those that were placed are looked at.
        pairs: How many pairs of operands the run was asked for; sets go round fewer of large ones.
    """
    tested = [
        (cell, halves)
        for cell in cells
        if cell.placed
        and len(halves := list(compared(cell.samples, pair_count(cell.shape, pairs)).values())) >= _FEWEST_SETS
    ]
    held = holm([_probability(halves) for _, halves in tested], VERDICT_LEVEL)
    found = [
        Placement(cell.key, _size(halves), len(halves))
        for (cell, halves), holds in zip(tested, held, strict=True) if holds
    ]  # fmt: skip
    worth = [one for one in found if one.size.estimate >= WORTH and (one.size.low or 0.0) > 0]
    return sorted(worth, key=lambda one: -one.size.estimate)


def compared(samples: Sequence[Sample], pairs: int) -> dict[int, Halves]:
    """The halves of every set that shows single placements.

    Args:
        samples: One cell's.
        pairs: How many pairs of operands each set goes round.
    """
    by_set: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_set[sample.set].append(sample)
    found = {set_: _compared(taken, pairs) for set_, taken in sorted(by_set.items())}
    return {set_: halves for set_, halves in found.items() if halves is not None}


def _probability(sets: Sequence[Halves]) -> float:
    """How easily chance alone would make the halves agree so well, by the normal distribution.

    Correlations are bounded, so that this errs on the safe side far out, where Holm's method looks.
    """
    total = math.fsum(one.correlation * math.sqrt(one.dimensions) for one in sets) / math.sqrt(len(sets))
    return math.erfc(total / math.sqrt(2)) / 2


def _size(sets: Sequence[Halves]) -> Interval:
    """Twice the mean of standard deviations of logarithms, as a share, with its interval."""
    ratio = Estimate.of([2 * one.deviation for one in sets]).interval()
    low, high = (None if bound is None else bound - 1 for bound in (ratio.low, ratio.high))
    return Interval(estimate=ratio.estimate - 1, low=low, high=high)


def _compared(samples: Sequence[Sample], pairs: int) -> Halves | None:
    """One set's; None where its samples do not tell pairs apart."""
    halves = _halves(samples, pairs)
    if not all(len({one.window for one in half}) > 1 for half in halves):
        return None
    import numpy as np  # only where it is needed: older runs have no placements

    effects, spaces, errors = [], [], []
    for half in halves:
        logs: dict[_Window, list[float]] = defaultdict(list)
        for one in half:
            logs[one.window].append(one.log)
        covered = np.array([_coverage(window, pairs) for window in logs])
        covered -= covered.mean(axis=0)
        median = np.array([statistics.median(values) for values in logs.values()])
        inverse = np.linalg.pinv(covered, rcond=_SINGULAR)
        effects.append(inverse @ (median - median.mean()))
        spaces.append(inverse @ covered)
        errors.append(inverse @ inverse.T)
    # A half sees of the pairs' effects only their projection on what its samples tell apart. With one call to a sample
    # that is all but their mean, and the trace is the number of pairs less one; and so are the dimensions.
    trace = float(np.sum(spaces[0] * spaces[1]))
    if trace < _LEAST_TRACE:
        return None
    product = float(effects[0] @ effects[1])
    size = float(np.linalg.norm(effects[0]) * np.linalg.norm(effects[1]))
    return Halves(
        deviation=math.copysign(math.sqrt(abs(product / trace)), product),
        correlation=product / size if size > 0 else 0.0,
        dimensions=float(np.trace(errors[0]) * np.trace(errors[1]) / np.sum(errors[0] * errors[1])),
    )


def _halves(samples: Sequence[Sample], pairs: int) -> tuple[list[_Taken], list[_Taken]]:
    """A set's samples that cover some pairs, in two halves of whole turns: what slows a turn is in one of them.

    Turns that go round all pairs alternate, and each is taken relative to its median. Shorter ones go together until
    all pairs had their turn, and the set's steady drift is taken out.
    """
    turns: dict[tuple[int, int], list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda one: one.start):
        if sample.loops < pairs:
            turns[sample.round, sample.turn].append(sample)
    calls = sum(sample.loops for turn in turns.values() for sample in turn)
    # A cell's first sample in a turn is slower, and that might always be of the same pairs.
    taken = [_taken(turn[1:] or turn) for turn in turns.values()]
    halves: tuple[list[_Taken], list[_Taken]] = ([], [])
    if calls >= pairs * len(turns):
        for number, turn in enumerate(taken):
            median = statistics.median(one.log for one in turn)
            halves[number % 2].extend(one._replace(log=one.log - median) for one in turn)
        return halves
    slope = _slope([one for turn in taken for one in turn])
    before = 0
    for turn, whole in zip(taken, turns.values(), strict=True):
        halves[before // pairs % 2].extend(one._replace(log=one.log - slope * one.start) for one in turn)
        before += sum(sample.loops for sample in whole)
    return halves


def _taken(samples: Iterable[Sample]) -> list[_Taken]:
    return [_Taken((one.first_pair, one.loops), one.start, math.log(per_call(one))) for one in samples]


def _slope(taken: Sequence[_Taken]) -> float:
    """How fast log times drift: the median over two successive samples of the same pairs, whose placement is one."""
    last: dict[_Window, _Taken] = {}
    slopes: list[float] = []
    for one in taken:
        before = last.get(one.window)
        if before is not None and one.start > before.start:
            slopes.append((one.log - before.log) / (one.start - before.start))
        last[one.window] = one
    return statistics.median(slopes) if slopes else 0.0


def _coverage(window: _Window, pairs: int) -> list[float]:
    """Each pair's share of the calls of a sample: its log time is nearly the mean of theirs, weighted so."""
    first, loops = window
    covered = {(first + i) % pairs for i in range(loops)}
    return [1 / loops if pair in covered else 0.0 for pair in range(pairs)]
