"""Figures from samples: medians within a process, intervals over processes, and verdicts that a margin decides.

Processes differ from each other by more than the samples of one process do (memory, addresses, the choice of a kernel),
so the set, with its fresh processes, is the statistical unit. More rounds cannot mend a difference between processes.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.records.base import Interval
from gemmscope.records.model import ProcessMode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.records.model import Sample, Verdict

CONFIDENCE = 0.95
# A verdict by a two-sided interval errs on either side with half of what the interval leaves.
VERDICT_LEVEL = (1 - CONFIDENCE) / 2

# What two runs of the same machine differ by, beyond what their sets tell, before anything was measured: a relative
# standard deviation, and how many measured changes this guess weighs as much as.
_GUESSED_DRIFT = 0.01
_GUESS_WEIGHT = 3
# Moves count as no larger than so many standard deviations (Huber, Robust Statistics, Proposal 2), and so do those that
# are expected: the mean of min(z², 1.5²) over a standard normal z.
_MOST_DEVIATIONS = 1.5
_EXPECTED_SQUARE = 0.7785

_FEWEST_FOR_MODES = 4
_FEWEST_CELLS = 3
_MODE_GAP = 0.1


def per_call(sample: Sample) -> float:
    """Seconds of one product of a sample."""
    return sample.seconds / sample.loops


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float | None, float | None]:
    """Mean and Student's t interval for the mean of independent values; no interval from fewer than two.

    Raises:
        ValueError: If there is no value.
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    mean = math.fsum(values) / len(values)
    if len(values) < 2:  # noqa: PLR2004  (one value has no spread)
        return mean, None, None
    # Imported where it is needed: scipy.special takes a third of a second.
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, 0.5 + confidence / 2)) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def ratio_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Geometric mean of positive values with its t interval, taken over their logarithms.

    Times and ratios are skewed and positive; their logarithms are neither.
    """
    mean, low, high = t_interval([math.log(value) for value in values], confidence)
    return Interval(
        estimate=math.exp(mean),
        low=None if low is None else _exp(low),
        high=None if high is None else _exp(high),
    )


def set_medians(samples: Sequence[Sample]) -> dict[int, float]:
    """For every set, the median over its samples of the seconds of one product."""
    by_set: dict[int, list[float]] = {}
    for sample in samples:
        by_set.setdefault(sample.set, []).append(per_call(sample))
    return {set_: statistics.median(values) for set_, values in sorted(by_set.items())}


def set_ratios(samples: Sequence[Sample], baseline: Sequence[Sample]) -> tuple[dict[int, float], int]:
    """For every set, the median of the backend's time relative to the baseline's, in pairs that are close in time.

    Returns:
        The ratios by set, and the number of rounds that they rest on.
    """
    by_set, rounds = _paired(samples, baseline)
    ratios = {
        set_: math.exp(statistics.median(math.log(one / other) for one, other in pairs))
        for set_, pairs in by_set.items()
    }
    return ratios, rounds


def set_differences(samples: Sequence[Sample], inside: Sequence[Sample]) -> dict[int, float]:
    """For every set, the median of one cell's seconds less another's, in pairs that are close in time."""
    by_set, _ = _paired(samples, inside)
    return {set_: statistics.median(one - other for one, other in pairs) for set_, pairs in by_set.items()}


def _paired(samples: Sequence[Sample], others: Sequence[Sample]) -> tuple[dict[int, list[tuple[float, float]]], int]:
    """For every set, the seconds of a product in two cells, in pairs; and in how many rounds there are any.

    Two cells of one worker share a turn, in which they are sampled in blocks: each sample is paired with the other's
    of the same block, milliseconds away. Cells of two workers are paired by the medians of their turns in a round.
    Whatever slows the machine for longer than that slows both.
    """
    ours, theirs = _by_round(samples), _by_round(others)
    by_set: dict[int, list[tuple[float, float]]] = {}
    rounds = 0
    for key, mine in sorted(ours.items()):
        other = theirs.get(key)
        if other is None:
            continue
        rounds += 1
        if mine[0].turn == other[0].turn:
            pairs = [(per_call(one), per_call(another)) for one, another in zip(mine, other, strict=False)]
        else:
            pairs = [(statistics.median(map(per_call, mine)), statistics.median(map(per_call, other)))]
        by_set.setdefault(key[0], []).extend(pairs)
    return by_set, rounds


def nearest_ratios(samples: Sequence[Sample], reference: Sequence[Sample]) -> dict[int, float]:
    """For every set, the median of a cell's time relative to the reference's sample that is nearest to it in time.

    For a reference such as the canary, whose turns belong to no one shape. Sets without the reference are left out.
    """
    sung: dict[int, list[Sample]] = {}
    for sample in reference:
        sung.setdefault(sample.set, []).append(sample)
    by_set: dict[int, list[float]] = {}
    for sample in samples:
        if sample.set in sung:
            nearest = min(sung[sample.set], key=lambda other: abs(other.start - sample.start))
            by_set.setdefault(sample.set, []).append(math.log(per_call(sample) / per_call(nearest)))
    return {set_: math.exp(statistics.median(logs)) for set_, logs in sorted(by_set.items())}


def verdict(ratio: Interval, margin: float) -> Verdict:
    """What an interval of a ratio of times says, given the smallest relative difference worth naming.

    ``"faster"`` if it lies wholly below 1/(1 + margin), ``"slower"`` wholly above 1 + margin, ``"same"`` wholly between
    the two, else ``"unclear"``; without an interval always ``"unclear"``.
    """
    if ratio.low is None or ratio.high is None:
        return "unclear"
    below, above = 1 / (1 + margin), 1 + margin
    if ratio.high < below:
        return "faster"
    if ratio.low > above:
        return "slower"
    if below <= ratio.low and ratio.high <= above:
        return "same"
    return "unclear"


def verdict_probability(log_ratios: Sequence[float], margin: float) -> float:
    """How easily chance alone would give the verdict that the sets speak for: the p-value of the best of three tests.

    *Faster* is tested against "not below 1/(1 + margin)", *slower* against "not above 1 + margin", *same* against
    "beyond the margin on either side" (two one-sided tests, Schuirmann 1987); each one-sided by Student's t over sets.

    Args:
        log_ratios: The logarithm of the ratio in each set.
        margin: The smallest relative difference worth naming.
    """
    if len(log_ratios) < 2:  # noqa: PLR2004  (one process proves nothing)
        return 1.0
    mean = math.fsum(log_ratios) / len(log_ratios)
    error = statistics.stdev(log_ratios) / math.sqrt(len(log_ratios))
    return Estimate(mean, error, len(log_ratios) - 1).verdict_probability(margin)


@dataclass(frozen=True)
class Estimate:
    """The logarithm of a ratio, with what is known of its error: Student's t with so many degrees of freedom.

    No degrees of freedom means that nothing is known of the error: no interval, and no claim holds.
    """

    mean: float
    error: float
    degrees: float

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The ratio with its interval."""
        if self.degrees <= 0:
            return Interval(estimate=_exp(self.mean))
        from scipy.special import stdtrit  # as in t_interval

        half = float(stdtrit(self.degrees, 0.5 + confidence / 2)) * self.error
        return Interval(estimate=_exp(self.mean), low=_exp(self.mean - half), high=_exp(self.mean + half))

    def below(self, bound: float) -> float:
        """The p-value of the claim that the logarithm lies below the bound."""
        if self.degrees <= 0:
            return 1.0
        if self.error == 0.0:
            return 0.0 if self.mean < bound else 1.0
        from scipy.special import stdtr  # as in t_interval

        return float(stdtr(self.degrees, (self.mean - bound) / self.error))

    def above(self, bound: float) -> float:
        """The p-value of the claim that the logarithm lies above the bound."""
        return Estimate(-self.mean, self.error, self.degrees).below(-bound)

    def verdict_probability(self, margin: float) -> float:
        """As :func:`verdict_probability`."""
        edge = math.log1p(margin)
        return min(self.below(-edge), self.above(edge), max(self.above(-edge), self.below(edge)))


def welch(before: Sequence[float], after: Sequence[float]) -> Estimate:
    """By how much the mean has changed between two runs, from the logarithms of their sets' medians.

    The sets of two runs are no pairs, and one run may scatter more than the other: Welch's t (Biometrika 34, 1947).

    Raises:
        ValueError: If a run has no set.
    """
    if not before or not after:
        raise ValueError("a change needs at least one set in each run")
    mean = statistics.fmean(after) - statistics.fmean(before)
    if min(len(before), len(after)) < 2:  # noqa: PLR2004  (one value has no spread)
        return Estimate(mean, math.inf, 0)
    parts = [(statistics.variance(values) / len(values), len(values) - 1) for values in (before, after)]
    squared = math.fsum(part for part, _ in parts)
    if squared == 0.0:
        return Estimate(mean, 0.0, math.fsum(degrees for _, degrees in parts))
    return Estimate(mean, math.sqrt(squared), squared**2 / math.fsum(part**2 / degrees for part, degrees in parts))


def drift_variance(unchanged: Sequence[Estimate], of: int = 1) -> float:
    """How much runs differ from each other beyond what their sets tell: a variance of logarithms.

    What did not change between two runs moved nevertheless: sets of one run follow each other within minutes, and
    share what the next run no longer has. The variance is the one with which those moves, about zero, are as large as
    they should be (Paule and Mandel, J. Res. NBS 87, 1982). A few large ones among them count for little: a library
    may have changed without any version that says so. Where there are few at all it is drawn towards a guess (Smyth,
    Stat. Appl. Genet. Mol. Biol. 3, 2004).

    Args:
        unchanged: The changes of what is known not to have changed.
        of: Of how many times each change is one: 2 where a time is divided by another that moves on its own.
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
    return (_GUESS_WEIGHT * of * _GUESSED_DRIFT**2 + len(moves) * measured) / weight


def between_runs(change: Estimate, unchanged: Sequence[Estimate], of: int = 1) -> Estimate:
    """A change between two runs with the error that it has once runs, and not only sets, are taken as random.

    Args:
        change: By :func:`welch`.
        unchanged: As for :func:`drift_variance`; none of them of the library in question, which would excuse itself.
        of: As for :func:`drift_variance`.
    """
    if change.degrees <= 0:
        return change
    drift = drift_variance(unchanged, of)
    weight = _GUESS_WEIGHT + sum(move.degrees > 0 for move in unchanged)
    squared = change.error**2 + drift
    # Welch and Satterthwaite once more: the degrees of freedom of a sum of two variances.
    return Estimate(
        change.mean, math.sqrt(squared), squared**2 / (change.error**4 / change.degrees + drift**2 / weight)
    )


def holm(probabilities: Sequence[float], level: float) -> list[bool]:
    """Which of several tests hold when all are taken together: even one false "yes" is rarer than ``level``.

    Holm's step-down method (Scandinavian Journal of Statistics 6, 1979): from the smallest p-value on, each is compared
    with ``level`` over the number of those left; after the first that fails, none holds.
    """
    held = [False] * len(probabilities)
    for rank, i in enumerate(sorted(range(len(probabilities)), key=probabilities.__getitem__)):
        if probabilities[i] > level / (len(probabilities) - rank):
            break
        held[i] = True
    return held


def half_width(ratio: Interval) -> float:
    """The relative half-width of an interval: half of its span on the logarithmic scale; infinite if there is none."""
    if not ratio.low or ratio.high is None:
        return math.inf
    return (math.log(ratio.high) - math.log(ratio.low)) / 2


def machine_factors(medians: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """For every set, by what factor the machine as a whole was slower than in the sets together.

    What all cells of a shape have in common in a set is the machine's doing: the median, over the cells, of how far
    each lies from its own mean over sets. Sets in which fewer than three cells were measured are left out.

    Args:
        medians: For every cell of a shape, its set medians.
    """
    deviations: dict[int, list[float]] = {}
    for cell in medians:
        mean = statistics.fmean(math.log(value) for value in cell.values())
        for set_, value in cell.items():
            deviations.setdefault(set_, []).append(math.log(value) - mean)
    return {
        set_: math.exp(statistics.median(values)) for set_, values in deviations.items() if len(values) >= _FEWEST_CELLS
    }


def process_modes(samples: Sequence[Sample], factors: Mapping[int, float] | None = None) -> list[ProcessMode]:
    """The groups into which the sets' medians fall, fastest first; empty where they are all of one kind.

    A fresh process can settle on another kernel, another alignment or another hand-off between threads, and then stay
    with it. Two neighbouring medians are in different groups if they are more than a tenth apart, and more than six
    times what the samples within the sets leave uncertain about a median.

    Args:
        samples: One cell's.
        factors: By :func:`machine_factors`. A machine that changed its speed between sets would otherwise pass for
            processes of several kinds. Sets that it does not have are left out.
    """
    medians = set_medians(samples)
    if factors is not None:
        medians = {set_: value / factors[set_] for set_, value in medians.items() if set_ in factors}
    scatter = spread_within(samples)
    if len(medians) < _FEWEST_FOR_MODES or scatter is None:
        return []
    each = max(1.0, len(samples) / len(medians))
    # The standard error of a median of normal samples is 1.2533 times that of their mean.
    apart = max(_MODE_GAP, 6 * 1.2533 * scatter / math.sqrt(each))
    ordered = sorted(medians.items(), key=lambda item: item[1])
    groups: list[list[tuple[int, float]]] = [[ordered[0]]]
    for before, item in itertools.pairwise(ordered):
        if math.log(item[1] / before[1]) > apart:
            groups.append([])
        groups[-1].append(item)
    # Where nearly every set is a group of its own, the sets scatter widely, and do not fall into groups.
    if not 1 < len(groups) <= len(medians) // 2:
        return []
    return [
        ProcessMode(
            seconds=math.exp(statistics.fmean(math.log(value) for _, value in group)),
            sets=sorted(set_ for set_, _ in group),
        )
        for group in groups
    ]


def spread_within(samples: Sequence[Sample]) -> float | None:
    """The typical relative deviation of a sample from its own set's median: 1.4826 · MAD, as a standard deviation."""
    medians = set_medians(samples)
    deviations = [abs(per_call(sample) / medians[sample.set] - 1) for sample in samples]
    return 1.4826 * statistics.median(deviations) if len(deviations) > 1 else None


def spread_between(medians: Mapping[int, float]) -> float | None:
    """The relative standard deviation of the sets' medians: what a fresh process changes."""
    if len(medians) < 2:  # noqa: PLR2004  (one process differs from none)
        return None
    return statistics.stdev(math.log(value) for value in medians.values())


def _by_round(samples: Sequence[Sample]) -> dict[tuple[int, int], list[Sample]]:
    by_round: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        by_round.setdefault((sample.set, sample.round), []).append(sample)
    return by_round


def _exp(value: float) -> float:
    """As ``math.exp``, but the largest float where that would overflow: two sets can be worlds apart."""
    return math.exp(min(value, 709.0))
