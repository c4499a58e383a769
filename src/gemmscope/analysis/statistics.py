"""Figures from samples: medians within a process, intervals over processes, and verdicts that a margin decides.

Processes differ from each other by more than the samples of one process do (memory, addresses, the choice of a kernel),
so the set, with its fresh processes, is the statistical unit. More rounds cannot mend a difference between processes.
"""

from __future__ import annotations

import bisect
import functools
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.records.base import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.records.model import Sample, Verdict

CONFIDENCE = 0.95
# A verdict by a two-sided interval errs on either side with half of what the interval leaves.
VERDICT_LEVEL = (1 - CONFIDENCE) / 2

_FARTHEST = 69.0

# See apart.
_APART_LEVEL = 0.001
_ONE_IN = 4
_TOGETHER = 0.2


def per_call(sample: Sample) -> float:
    """Seconds of one call of a sample."""
    return sample.seconds / sample.loops


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of two values or more.

    What statistics.stdev says to the last digits but one, without its fractions, which took most of an analysis's time.
    From the first value on, so that equal values have none.
    """
    moved = [value - values[0] for value in values]
    mean = math.fsum(moved) / len(moved)
    return math.sqrt(math.fsum((value - mean) * (value - mean) for value in moved) / (len(moved) - 1))


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float | None, float | None]:
    """Mean and Student's t interval over sets, of what :func:`over_sets` keeps; no interval from fewer than two values.

    Raises:
        ValueError: If there is no value.
    """
    estimate = over_sets(values)
    half = estimate.half_width(confidence)
    return (estimate.mean, None, None) if half is None else (estimate.mean, estimate.mean - half, estimate.mean + half)


def ratio_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Geometric mean of positive values over sets with its t interval, taken over their logarithms.

    Times and ratios are skewed and positive; their logarithms are neither.
    """
    return over_sets([math.log(value) for value in values]).interval(confidence)


def over_sets(values: Sequence[float]) -> Estimate:
    """The mean of one value a set, with its error: of all sets but those that lie :func:`apart`.

    Raises:
        ValueError: If there is no value.
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    return without(values, apart(values))


def without(values: Sequence[float], left_out: Sequence[int]) -> Estimate:
    """The mean of one value a set, with its error, without the sets at some indices."""
    return Estimate.of([value for i, value in enumerate(values) if i not in left_out])


def apart(values: Sequence[float]) -> list[int]:
    """The indices of values that do not belong to the others: sets that something has disturbed.

    By the generalised extreme Studentised deviate (Rosner, Technometrics 25, 1983) at 0.1 %, for at most one value in
    four, from four values on. Without a disturbance a set is left out in one of a thousand cells.

    Two values or more that lie together, away from the rest, are no disturbance, but another kind of process: such a
    group is kept.
    """
    most = len(values) // _ONE_IN
    left = list(range(len(values)))
    found: list[int] = []
    taken: list[int] = []
    while len(taken) < most:
        mean = math.fsum(values[i] for i in left) / len(left)
        spread = deviation([values[i] for i in left])
        farthest = max(left, key=lambda i: abs(values[i] - mean))
        if spread == 0.0:
            break
        taken.append(farthest)
        if abs(values[farthest] - mean) > _critical(len(left)) * spread:
            found = list(taken)
        left.remove(farthest)
    return (
        []
        if _is_group([values[i] for i in found], [values[i] for i in range(len(values)) if i not in found])
        else found
    )


def _is_group(out: Sequence[float], rest: Sequence[float]) -> bool:
    """Whether several values lie together on one side: nearer to each other than a fifth of their way to the rest."""
    if len(out) < 2:
        return False
    way = min(out) - max(rest) if min(out) > max(rest) else min(rest) - max(out)
    return max(out) - min(out) < _TOGETHER * way


@functools.cache
def _critical(count: int) -> float:
    """How many standard deviations the farthest of so many normal values exceeds in one of a thousand samples."""
    from scipy.special import stdtrit

    t = float(stdtrit(count - 2, 1 - _APART_LEVEL / (2 * count)))
    return t * (count - 1) / math.sqrt((count - 2 + t * t) * count)


def set_medians(samples: Sequence[Sample]) -> dict[int, float]:
    """For every set, the median over its samples of the seconds of one call."""
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
    """For every set, the seconds of a call in two cells, in pairs; and in how many rounds there are any.

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

    For the reference workload, whose turns belong to no one shape. Sets without it are left out.
    """
    references: dict[int, list[Sample]] = {}
    for sample in sorted(reference, key=_start):
        references.setdefault(sample.set, []).append(sample)
    by_set: dict[int, list[float]] = {}
    for sample in samples:
        if others := references.get(sample.set):
            after = bisect.bisect_left(others, sample.start, key=_start)
            nearest = min(others[max(after - 1, 0) : after + 1], key=lambda other: abs(other.start - sample.start))
            by_set.setdefault(sample.set, []).append(math.log(per_call(sample) / per_call(nearest)))
    return {set_: math.exp(statistics.median(logs)) for set_, logs in sorted(by_set.items())}


def _start(sample: Sample) -> float:
    return sample.start


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


@dataclass(frozen=True)
class Estimate:
    """A mean over sets, mostly of the logarithm of a ratio, with what is known of its error.

    That is Student's t with so many degrees of freedom. None of these means that nothing is known of the error: no
    interval, and no claim holds.
    """

    mean: float
    error: float
    degrees: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The mean of independent logarithms, such as those of sets; of one, nothing is known of the error.

        Raises:
            ValueError: If there is no value.
        """
        if not values:
            raise ValueError("an estimate needs at least one value")
        error = deviation(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
        return cls(math.fsum(values) / len(values), error, len(values) - 1)

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The ratio with its interval."""
        half = self.half_width(confidence)
        if half is None:
            return Interval(estimate=_exp(self.mean))
        return Interval(estimate=_exp(self.mean), low=_exp(self.mean - half), high=_exp(self.mean + half))

    def half_width(self, confidence: float = CONFIDENCE) -> float | None:
        """Half of the interval's span, of the logarithm; None where there is none."""
        if self.degrees <= 0:
            return None
        from scipy.special import stdtrit  # where it is needed: a third of a second

        return float(stdtrit(self.degrees, 0.5 + confidence / 2)) * self.error

    def below(self, bound: float) -> float:
        """The p-value of the claim that the logarithm lies below the bound."""
        if self.degrees <= 0:
            return 1.0
        if self.error == 0.0:
            return 0.0 if self.mean < bound else 1.0
        from scipy.special import stdtr  # as above

        return float(stdtr(self.degrees, (self.mean - bound) / self.error))

    def above(self, bound: float) -> float:
        """The p-value of the claim that the logarithm lies above the bound."""
        return Estimate(-self.mean, self.error, self.degrees).below(-bound)

    def verdict_probability(self, margin: float) -> float:
        """How easily chance alone would give the verdict that is spoken for: the p-value of the best of three tests.

        *Faster* is tested against "not below 1/(1 + margin)", *slower* against "not above 1 + margin", *same* against
        "beyond the margin on either side" (two one-sided tests, Schuirmann 1987); each one-sided by Student's t.

        Args:
            margin: The smallest relative difference worth naming.
        """
        edge = math.log1p(margin)
        return min(self.below(-edge), self.above(edge), max(self.above(-edge), self.below(edge)))


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


def spread_within(samples: Sequence[Sample]) -> float | None:
    """The typical relative deviation of a sample from its own set's median: 1.4826 · MAD, as a standard deviation."""
    medians = set_medians(samples)
    deviations = [abs(per_call(sample) / medians[sample.set] - 1) for sample in samples]
    return 1.4826 * statistics.median(deviations) if len(deviations) > 1 else None


def spread_between(medians: Mapping[int, float]) -> float | None:
    """The relative standard deviation of the sets' medians: what a fresh process changes."""
    if len(medians) < 2:
        return None
    return deviation([math.log(value) for value in medians.values()])


def _by_round(samples: Sequence[Sample]) -> dict[tuple[int, int], list[Sample]]:
    by_round: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        by_round.setdefault((sample.set, sample.round), []).append(sample)
    return by_round


def _exp(value: float) -> float:
    """As ``math.exp``, but within what a record holds, 1e±30: two sets can be worlds apart."""
    return math.exp(max(-_FARTHEST, min(value, _FARTHEST)))
