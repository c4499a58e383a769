"""A cell's time relative to what the other libraries took beside it, and by how much that changed between two runs.

What a machine does to all libraries alike, from set to set and from run to run, is in the cell's time and in the
others' too. Divided by theirs it is gone, and no one workload stands for the machine: each library that did not change
has a voice, and so has the reference workload. A voice that strays from the others is limited (Huber, Ann. Math. Stat.
35, 1964), so that a library that changed without any version that says so does not drag the rest along.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.runs import drift
from gemmscope.analysis.statistics import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Logarithms of seconds by set.
BySet = dict[int, float]
# With one voice a difference from it may be its own doing.
FEWEST_VOICES = 2
_FEWEST_SETS = 2
# A value counts as no further from the middle than so many scales.
_MOST_SCALES = 1.5
# Fits end after so many passes, or where one changes nothing by more than this share of the scale.
_PASSES = 10
_CLOSE = 1e-3


class InBoth(NamedTuple):
    """What a cell or a voice took in each of two runs."""

    before: BySet
    after: BySet


class Beside(NamedTuple):
    """A cell's change relative to its voices, what each of these did relative to all of them, and how many they are."""

    change: Estimate
    moves: list[Estimate]
    voices: int

    def between_runs(self, moves: Sequence[Estimate]) -> Estimate:
        """The change with the error that it has once runs are taken as random.

        Args:
            moves: Those of voices of the cell's library, at this shape and at others.
        """
        # What moves on its own is the cell, and its part of each voice.
        return drift.inflated(self.change, moves, moving=1 + 1 / self.voices)


class Apart(NamedTuple):
    """A cell and its voices without what the sets of each run had in common, each beside its own times."""

    cell: tuple[InBoth, InBoth]
    voices: list[tuple[InBoth, InBoth]]

    def change(self, scale: float) -> Beside:
        """By how much the cell changed between the runs, less what the voices changed by.

        Args:
            scale: By how much sets scatter, as for :func:`drift.undisturbed`.
        """
        change = change_of(*self.cell, scale)
        moves = [change_of(*one, scale) for one in self.voices]
        shift = _mean_move(moves)
        return Beside(
            change=Estimate(change.mean - shift, change.error, change.degrees),
            moves=[Estimate(move.mean - shift, move.error, move.degrees) for move in moves],
            voices=len(moves),
        )


def voice(cells: Sequence[InBoth]) -> InBoth:
    """What a library says of each set: the mean of its cells, since they share a worker and its luck.

    Each cell is taken about its own middle, one for both runs, so that the mean does not depend on which of the cells a
    set has.

    Args:
        cells: Those of one shape and mode; each with samples in both runs.
    """
    middles = [statistics.fmean(map(_middle, cell)) for cell in cells]

    def mean(run: int) -> BySet:
        sets = sorted(set().union(*(cell[run] for cell in cells)))
        return {
            set_: statistics.fmean(
                cell[run][set_] - middle for cell, middle in zip(cells, middles, strict=True) if set_ in cell[run]
            )
            for set_ in sets
        }

    return InBoth(mean(0), mean(1))


def separate(cell: InBoth, voices: Sequence[InBoth]) -> Apart | None:
    """Takes out of a cell's sets what its voices say that they had in common; None where there are too few of them.

    Args:
        cell: The logarithms of its seconds by set.
        voices: Of other libraries that did not change, and of the reference workload.
    """
    voices = [one for one in voices if min(map(len, one)) >= _FEWEST_SETS]
    if len(voices) < FEWEST_VOICES:
        return None
    common = InBoth(*(common_mode([one[run] for one in voices]) for run in (0, 1)))
    apart = _apart(cell, common)
    if min(map(len, apart)) < _FEWEST_SETS:
        return None
    return Apart((apart, cell), [(_apart(one, common), one) for one in voices])


def scatter(cells: Sequence[InBoth]) -> float:
    """By how much the sets of a run scatter in most cells, as a standard deviation; 0 where there are too few sets."""
    known = [drift.deviation(list(run.values())) for cell in cells for run in cell if len(run) > _FEWEST_SETS]
    return statistics.median(known) if known else 0.0


def change_of(values: InBoth, times: InBoth, scale: float) -> Estimate:
    """By how much the mean of the sets that were not disturbed changed; arguments as for :func:`drift.undisturbed`.

    The one place where sets are weighed against each other: another estimator over sets would stand here.

    Raises:
        ValueError: If a run has no set.
    """
    return drift.welch(*(drift.undisturbed(*run, scale) for run in zip(values, times, strict=True)))


def common_mode(voices: Sequence[Mapping[int, float]]) -> BySet:
    """What the sets of a run had in common, up to a constant: a level for each voice and one for each set, fitted.

    Both are robust means of what the other leaves, in turns (as Tukey's median polish, with Huber's mean), so that a
    voice may lack sets.
    """
    levels = [statistics.median(one.values()) for one in voices]
    sets = sorted(set().union(*voices))
    common: BySet = {}
    scale = 0.0
    for _ in range(_PASSES):
        common = {
            set_: robust_mean([one[set_] - level for one, level in zip(voices, levels, strict=True) if set_ in one],
                              scale)
            for set_ in sets
        }  # fmt: skip
        rest = [list(_without(one, common).values()) for one in voices]
        last, levels = levels, [robust_mean(values, scale) for values in rest]
        if scale and max(abs(level - other) for level, other in zip(levels, last, strict=True)) <= _CLOSE * scale:
            break
        scale = drift.MAD_TO_SD * statistics.median(
            abs(value - level) for values, level in zip(rest, levels, strict=True) for value in values
        )
    return common


def robust_mean(values: Sequence[float], scale: float) -> float:
    """Huber's mean: values count as no further from it than a multiple of the scale. Without a scale the median.

    Raises:
        ValueError: If there is no value.
    """
    mean = statistics.median(values)
    if scale <= 0:
        return mean
    reach = _MOST_SCALES * scale
    for _ in range(_PASSES):
        low, high = mean - reach, mean + reach
        last, mean = mean, sum([min(max(value, low), high) for value in values]) / len(values)
        if abs(mean - last) <= _CLOSE * scale:
            break
    return mean


def _mean_move(moves: Sequence[Estimate]) -> float:
    """What voices did together between two runs: those count more whose sets agree, and a stray one is limited."""
    spreads = [math.hypot(move.error, drift.GUESSED_DRIFT) for move in moves]
    mean = statistics.median(move.mean for move in moves)
    for _ in range(_PASSES):
        weights = [
            min(1.0, _MOST_SCALES * spread / max(abs(move.mean - mean), 1e-300)) / spread**2
            for move, spread in zip(moves, spreads, strict=True)
        ]
        mean = statistics.fmean((move.mean for move in moves), weights)
    return mean


def _apart(one: InBoth, common: InBoth) -> InBoth:
    return InBoth(_without(one.before, common.before), _without(one.after, common.after))


def _without(values: Mapping[int, float], common: Mapping[int, float]) -> BySet:
    return {set_: value - common[set_] for set_, value in values.items() if set_ in common}


def _middle(by_set: BySet) -> float:
    return statistics.median(by_set.values())
