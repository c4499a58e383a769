"""Figures from samples: medians within a process, intervals over processes, and verdicts that a margin decides.

Processes differ from each other by more than the samples of one process do (memory, addresses, the choice of a kernel),
so the set, with its fresh processes, is the statistical unit. More rounds cannot mend a difference between processes.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from gemmscope.results.model import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.results.model import Sample, Verdict

CONFIDENCE = 0.95


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
    from scipy.special import stdtrit  # noqa: PLC0415

    half = float(stdtrit(len(values) - 1, 0.5 + confidence / 2)) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def ratio_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Geometric mean of positive values with its t interval, taken over their logarithms.

    Times and ratios are skewed and positive; their logarithms are neither.
    """
    mean, low, high = t_interval([math.log(value) for value in values], confidence)
    return Interval(
        median=math.exp(mean),
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
    """For every set, the median over its rounds of the backend's time relative to the baseline's.

    Both are paired inside a round: whatever slows the machine slows both.

    Returns:
        The ratios by set, and the number of rounds that they rest on.
    """
    ours, theirs = _round_medians(samples), _round_medians(baseline)
    by_set: dict[int, list[float]] = {}
    for (set_, round_), seconds in ours.items():
        if (set_, round_) in theirs:
            by_set.setdefault(set_, []).append(math.log(seconds / theirs[set_, round_]))
    rounds = sum(map(len, by_set.values()))
    return {set_: math.exp(statistics.median(logs)) for set_, logs in sorted(by_set.items())}, rounds


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


def _round_medians(samples: Sequence[Sample]) -> dict[tuple[int, int], float]:
    by_round: dict[tuple[int, int], list[float]] = {}
    for sample in samples:
        by_round.setdefault((sample.set, sample.round), []).append(per_call(sample))
    return {key: statistics.median(values) for key, values in by_round.items()}


def _exp(value: float) -> float:
    """As ``math.exp``, but the largest float where that would overflow: two sets can be worlds apart."""
    return math.exp(min(value, 709.0))
