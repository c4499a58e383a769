"""What two runs of one machine differ by, and a change of a library on top of that."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from gemmscope.analysis.statistics import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What two runs of the same machine differ by, beyond what their sets tell, before anything was measured: a relative
# standard deviation, and how many measured changes this guess weighs as much as.
GUESSED_DRIFT = 0.01
_GUESS_WEIGHT = 3
# Moves count as no larger than so many standard deviations (Huber, Robust Statistics, Proposal 2), and so do those that
# are expected: the mean of min(z², 1.5²) over a standard normal z.
_MOST_DEVIATIONS = 1.5
_EXPECTED_SQUARE = 0.7785
# The median absolute deviation of normal values times this is their standard deviation.
MAD_TO_SD = 1.4826
# A set that lies further from its run's median than this, in standard deviations, was disturbed. If more than a quarter
# do, these are no disturbances: processes differ in groups, and none is to be left out.
_DISTURBED = 5.0
_MOST_DISTURBED = 1 / 4
_FEWEST_TO_TELL = 4


def welch(before: Sequence[float], after: Sequence[float]) -> Estimate:
    """By how much the mean has changed between two runs, from the logarithms of their sets' medians.

    The sets of two runs are no pairs, and one run may scatter more than the other: Welch's t (Biometrika 34, 1947).

    Raises:
        ValueError: If a run has no set.
    """
    if not before or not after:
        raise ValueError("a change needs at least one set in each run")
    mean = statistics.fmean(after) - statistics.fmean(before)
    if min(len(before), len(after)) < 2:
        return Estimate(mean, math.inf, 0)
    parts = [(statistics.variance(values) / len(values), len(values) - 1) for values in (before, after)]
    squared = math.fsum(part for part, _ in parts)
    if squared == 0.0:
        return Estimate(mean, 0.0, math.fsum(degrees for _, degrees in parts))
    return Estimate(mean, math.sqrt(squared), squared**2 / math.fsum(part**2 / degrees for part, degrees in parts))


def undisturbed(values: Mapping[int, float], times: Mapping[int, float], scale: float = 0.0) -> list[float]:
    """The values of a run's sets without those so far from the others that something else was at work.

    One is kept however far it lies: where the time itself is as far below the others. Nothing makes a set faster than
    its library is, so it is these that are in doubt.

    Args:
        values: A logarithm for each set: of the time, or of the time relative to another.
        times: The logarithms of the times themselves.
        scale: By how much sets are known to scatter, from other cells: a few values can lie close together by chance.
    """
    if len(values) < _FEWEST_TO_TELL:
        return list(values.values())
    # Of few values the median absolute deviation is mostly too small.
    reach = _DISTURBED * max(deviation(list(values.values())) * (1 + 1 / len(values)), scale)
    middle, time = statistics.median(values.values()), statistics.median(times.values())
    kept = [value for set_, value in values.items() if abs(value - middle) <= reach or times[set_] < time - reach]
    return kept if len(values) - len(kept) <= _MOST_DISTURBED * len(values) else list(values.values())


def deviation(values: Sequence[float]) -> float:
    """The standard deviation that the median absolute deviation speaks of, which a few strays do not change.

    Raises:
        ValueError: If there is no value.
    """
    middle = statistics.median(values)
    return MAD_TO_SD * statistics.median(abs(value - middle) for value in values)


def drift_variance(unchanged: Sequence[Estimate], moving: float = 1) -> float:
    """How much runs differ from each other beyond what their sets tell: a variance of logarithms.

    What did not change between two runs moved nevertheless: sets of one run follow each other within minutes, and
    share what the next run no longer has. The variance is the one with which those moves, about zero, are as large as
    they should be (Paule and Mandel, J. Res. NBS 87, 1982). A few large ones among them count for little: a library
    may have changed without any version that says so. Where there are few at all it is drawn towards a guess (Smyth,
    Stat. Appl. Genet. Mol. Biol. 3, 2004).

    Args:
        unchanged: The changes of what is known not to have changed.
        moving: How many times that move on their own each change is made of: 2 where one time is divided by another.
    """
    moves = [(move.mean**2, move.error**2) for move in unchanged if move.degrees > 0]
    low, high = 0.0, max((square for square, _ in moves), default=0.0) / _EXPECTED_SQUARE

    def excess(variance: float) -> float:
        squares = (square / max(error + variance, 1e-300) for square, error in moves)
        return math.fsum(min(square, _MOST_DEVIATIONS**2) - _EXPECTED_SQUARE for square in squares)

    if excess(low) <= 0:
        measured = 0.0
    else:
        for _ in range(60):  # halving an interval until it is as narrow as floats are
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) > 0 else (low, middle)
        measured = high
    weight = _GUESS_WEIGHT + len(moves)
    return (_GUESS_WEIGHT * moving * GUESSED_DRIFT**2 + len(moves) * measured) / weight


def inflation(unchanged: Sequence[Estimate]) -> float:
    """By how much moves are larger than their sets tell: a ratio of variances, 1 or more (Birge, Phys. Rev. 40, 1932).

    A few large ones among them count for little, as in :func:`drift_variance`.
    """
    squares = [(move.mean / move.error) ** 2 for move in unchanged if move.degrees > 0 and move.error > 0]

    def excess(ratio: float) -> float:
        return math.fsum(min(square / ratio, _MOST_DEVIATIONS**2) - _EXPECTED_SQUARE for square in squares)

    low, high = 1.0, max(1.0, max(squares, default=0.0) / _EXPECTED_SQUARE)
    for _ in range(60):  # as in drift_variance
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return low


def inflated(change: Estimate, unchanged: Sequence[Estimate], moving: float) -> Estimate:
    """As :func:`between_runs`, for changes relative to other libraries, whose errors are too small by a factor.

    What scatters more between the sets of a run was seen to drift more between runs, in proportion: sets follow each
    other, and what disturbs one lasts into the next. So no constant is added to each variance, but all are multiplied.
    Where few moves are known, the factor is drawn towards the guess of :func:`drift_variance`.

    Args:
        change: As for :func:`between_runs`.
        unchanged: What the others did, each relative to the rest of them; none of the library in question.
        moving: How many times that move on their own the change is made of.
    """
    if change.degrees <= 0:
        return change
    known = sum(move.degrees > 0 for move in unchanged)
    weight = _GUESS_WEIGHT + known
    sets = change.error**2
    guessed = sets + moving * GUESSED_DRIFT**2
    squared = (_GUESS_WEIGHT * guessed + known * inflation(unchanged) * sets) / weight
    return Estimate(
        change.mean, math.sqrt(squared), squared**2 / (sets**2 / change.degrees + (squared - sets) ** 2 / weight)
    )


def between_runs(change: Estimate, unchanged: Sequence[Estimate], moving: float = 1) -> Estimate:
    """A change between two runs with the error that it has once runs, and not only sets, are taken as random.

    Args:
        change: By :func:`welch`.
        unchanged: As for :func:`drift_variance`; none of them of the library in question, which would excuse itself.
        moving: As for :func:`drift_variance`.
    """
    if change.degrees <= 0:
        return change
    drift = drift_variance(unchanged, moving)
    weight = _GUESS_WEIGHT + sum(move.degrees > 0 for move in unchanged)
    squared = change.error**2 + drift
    # Welch and Satterthwaite once more: the degrees of freedom of a sum of two variances.
    return Estimate(
        change.mean, math.sqrt(squared), squared**2 / (change.error**4 / change.degrees + drift**2 / weight)
    )
