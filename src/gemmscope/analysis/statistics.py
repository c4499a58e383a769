"""Figures from samples: medians within a process, intervals over processes, and verdicts that a margin decides.

Processes differ from each other by more than the samples of one process do (memory, addresses, the choice of a kernel),
so the set, with its fresh processes, is the statistical unit. More rounds cannot mend a difference between processes.
"""

from __future__ import annotations

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


def per_call(sample: Sample) -> float:
    """Seconds of one call of a sample."""
    return sample.seconds / sample.loops


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float | None, float | None]:
    """Mean and Student's t interval for the mean of independent values; no interval from fewer than two.

    Raises:
        ValueError: If there is no value.
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
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
    for sample in reference:
        references.setdefault(sample.set, []).append(sample)
    by_set: dict[int, list[float]] = {}
    for sample in samples:
        if sample.set in references:
            nearest = min(references[sample.set], key=lambda other: abs(other.start - sample.start))
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
    if len(log_ratios) < 2:
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
    return statistics.stdev(math.log(value) for value in medians.values())


def _by_round(samples: Sequence[Sample]) -> dict[tuple[int, int], list[Sample]]:
    by_round: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        by_round.setdefault((sample.set, sample.round), []).append(sample)
    return by_round


def _exp(value: float) -> float:
    """As ``math.exp``, but the largest float where that would overflow: two sets can be worlds apart."""
    return math.exp(min(value, 709.0))
