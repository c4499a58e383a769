"""Carry-over: whether a cell's time depends on what its worker ran just before, or on its place in the turn.

Cells of one worker share a turn, and the machine remembers the last one: clocks and power on a GPU, caches and thread
pools on a processor. Each follows each other one equally often, so each sample can be asked what ran before it. A
turn's first sample follows a wait and untimed calls, and is a kind of its own.

For every set and every predecessor the effect is the median log time after it, less the median after the others. Both
are taken within a turn, and the median over turns is the set's, where turns hold some samples of the cell; else they
are taken within the whole set. Effects of sets are independent: Student's t over them, each weighted by how many
samples it compares, and Holm's method over all tests of the run, say which are larger than what matters. That a turn's
first sample is slower is often small in each cell and the same in all, so the median over cells is tested as well.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.statistics import VERDICT_LEVEL, Estimate, holm, per_call

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.records.base import CellKey, Interval
    from gemmscope.records.model import Cell, Sample
    from gemmscope.workload.shapes import Shape

# Fewer sets bound no effect, and a median over fewer cells is one cell's.
_FEWEST_SETS = 3
_FEWEST_CELLS = 3
# With fewer of a cell's samples in a turn, too few turns hold both kinds that are compared.
_FEWEST_IN_TURN = 3
# What is smaller than this share of the margin changes no verdict.
_SHARE_OF_MARGIN = 0.5


class CarryOver(NamedTuple):
    """A dependence that was shown.

    ``change`` is the time after ``after``, relative to that after ``others``; where ``after`` is None, that of a turn's
    first sample relative to its other ones.
    """

    cell: CellKey
    after: CellKey | None
    others: tuple[CellKey, ...]
    change: Interval


class CarryOvers(NamedTuple):
    """What a run shows of carry-over.

    ``shown`` has for every cell its largest dependence on a predecessor, or else that on the place in the turn.
    ``first`` is the median over cells of the time of a turn's first sample, relative to its other ones; None where that
    is not shown to differ. ``tested`` counts the cells that could be tested, ``cells`` all; ``threshold`` is the
    relative change that had to be exceeded.
    """

    shown: list[CarryOver]
    first: Interval | None
    tested: int
    cells: int
    threshold: float


class _Follower(NamedTuple):
    """A sample's set and turn, its log time, and what ran before it: None for the first of a turn."""

    set: int
    turn: tuple[int, int]
    log: float
    after: CellKey | None


class _Effect(NamedTuple):
    """What one set says: a difference of log times, and how many differences of two samples it is worth."""

    difference: float
    weight: float


class _Test(NamedTuple):
    """One predecessor of a cell against its others, or its first samples of turns against the rest."""

    cell: CellKey
    after: CellKey | None
    others: tuple[CellKey, ...]
    effects: dict[int, _Effect]

    @property
    def estimate(self) -> Estimate:
        """The effect over sets, if each set's error is that of its samples: one with few of them weighs little."""
        weights = [effect.weight for effect in self.effects.values()]
        values = [effect.difference for effect in self.effects.values()]
        mean = math.fsum(w * value for w, value in zip(weights, values, strict=True)) / math.fsum(weights)
        squares = math.fsum(w * (value - mean) ** 2 for w, value in zip(weights, values, strict=True))
        degrees = len(values) - 1
        return Estimate(mean, math.sqrt(squares / degrees / math.fsum(weights)), degrees)


def find(cells: Sequence[Cell], keys: Sequence[CellKey], margin: float) -> CarryOvers:
    """Tests cells for carry-over.

    Args:
        cells: All cells of a run, with their samples: each may have run before any other.
        keys: Those to be tested.
        margin: The smallest relative difference worth naming.
    """
    followers = _followers(cells)
    tests = [test for key in keys for test in _tests(key, followers.get(key, []))]
    threshold = _SHARE_OF_MARGIN * margin
    held = _held([test.estimate for test in tests], threshold)
    # What carries over makes a first sample differ too, which says nothing of other cells.
    dependent = {test.cell for test, holds in zip(tests, held, strict=True) if holds and test.after is not None}
    first = _first_over_cells([test for test in tests if test.after is None and test.cell not in dependent])
    if first is not None:
        *held, first_held = _held([*(test.estimate for test in tests), first], threshold)
        first = first if first_held else None
    found = [test for test, holds in zip(tests, held, strict=True) if holds]
    # Tests of one cell tell one fact from several sides: what is slower after one is faster after the others, and when
    # it comes first, too.
    largest: dict[CellKey, _Test] = {}
    for test in sorted(found, key=lambda one: (one.after is None, -abs(one.estimate.mean))):
        largest.setdefault(test.cell, test)
    return CarryOvers(
        shown=[_told(test) for test in found if largest[test.cell] is test],
        first=None if first is None else first.interval(),
        tested=len({test.cell for test in tests}), cells=len(keys), threshold=threshold,
    )  # fmt: skip


def _held(estimates: Sequence[Estimate], threshold: float) -> list[bool]:
    """Which effects are shown to be larger than a threshold, on either side, when all are taken together."""
    edge = math.log1p(threshold)
    return holm([min(one.below(-edge), one.above(edge)) for one in estimates], VERDICT_LEVEL)


def _told(test: _Test) -> CarryOver:
    """As it is told: of two predecessors that are both other cells, the one after which it is slower."""
    estimate, after, others = test.estimate, test.after, test.others
    if after is not None and len(others) == 1 and test.cell != others[0] and estimate.mean < 0:
        return CarryOver(test.cell, others[0], (after,), replace(estimate, mean=-estimate.mean).interval())
    return CarryOver(test.cell, after, others, estimate.interval())


def _followers(cells: Iterable[Cell]) -> dict[CellKey, list[_Follower]]:
    """For every cell its samples, each with what ran before it."""
    turns: dict[tuple[Shape, int, int, int], list[tuple[float, CellKey, Sample]]] = {}
    for cell in cells:
        key = cell.key  # made anew whenever it is asked for
        for sample in cell.samples:
            # Rounds are counted anew for every shape.
            place = (key.shape, sample.set, sample.round, sample.turn)
            turns.setdefault(place, []).append((sample.start, key, sample))
    found: dict[CellKey, list[_Follower]] = {}
    for (_, set_, round_, turn), taken in turns.items():
        before: CellKey | None = None
        for _, key, sample in sorted(taken, key=lambda one: one[0]):
            follower = _Follower(set_, (round_, turn), math.log(per_call(sample)), before)
            found.setdefault(key, []).append(follower)
            before = key
    return found


def _tests(key: CellKey, followers: Sequence[_Follower]) -> list[_Test]:
    """The tests of one cell that its samples allow."""
    later = [one for one in followers if one.after is not None]
    kinds = list(dict.fromkeys(one.after for one in later if one.after is not None))
    asked = kinds if len(kinds) > 1 else []
    if len(kinds) == 2:
        # Each of two is the other's opposite, and one test is enough: of the one that is another cell.
        asked = sorted(kinds, key=lambda kind: kind == key)[:1]
    tests = [
        _Test(key, kind, tuple(other for other in kinds if other != kind), _effects(later, kind)) for kind in asked
    ]
    tests.append(_Test(key, None, (), _effects(followers, None)))
    return [test for test in tests if len(test.effects) >= _FEWEST_SETS]


def _effects(followers: Sequence[_Follower], after: CellKey | None) -> dict[int, _Effect]:
    """The samples after one predecessor against the others, in every set that has both."""
    by_set: dict[int, dict[tuple[int, int], list[_Follower]]] = {}
    for one in followers:
        by_set.setdefault(one.set, {}).setdefault(one.turn, []).append(one)
    found = {set_: _effect(list(turns.values()), after) for set_, turns in by_set.items()}
    return {set_: effect for set_, effect in found.items() if effect is not None}


def _effect(turns: Sequence[Sequence[_Follower]], after: CellKey | None) -> _Effect | None:
    """The effect in the turns of one set; None where no turn, or not the set, has samples of both kinds."""
    samples = [one for turn in turns for one in turn]
    blocks = turns if len(samples) >= _FEWEST_IN_TURN * len(turns) else [samples]
    differences: list[float] = []
    weight = 0.0
    for block in blocks:
        ours = [one.log for one in block if one.after == after]
        theirs = [one.log for one in block if one.after != after]
        if ours and theirs:
            differences.append(statistics.median(ours) - statistics.median(theirs))
            weight += 1 / (1 / len(ours) + 1 / len(theirs))
    return _Effect(statistics.median(differences), weight) if differences else None


def _first_over_cells(tests: Sequence[_Test]) -> Estimate | None:
    """The effect of coming first in a turn, as the median over cells in every set; None where there are too few."""
    by_set: dict[int, list[float]] = {}
    for test in tests:
        for set_, effect in test.effects.items():
            by_set.setdefault(set_, []).append(effect.difference)
    medians = [statistics.median(values) for values in by_set.values() if len(values) >= _FEWEST_CELLS]
    return Estimate.of(medians) if len(medians) >= _FEWEST_SETS else None
