"""The statistics of a fleet: how far each member lies from its peers, with intervals that hold for all at once.

The centre is robust: the median of the other members. A few slow ones do not move it, and none is its own yardstick.

The error of a member is that of its sets. Few sets give a poor idea of it, and many members a good one of what errors
are like here, so each is drawn towards the others' (Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004); a member whose sets
scatter more than those of this fleet do keeps its own.

Intervals are simultaneous: Student's t at the level that Bonferroni's inequality asks of each, so that with 95 % all of
them hold, however the members depend on each other, as they do by their common centre.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from gemmscope.analysis.statistics import CONFIDENCE, Estimate

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from typing import TypeVar

    from gemmscope.records.base import Interval

    K = TypeVar("K", bound=Hashable)

# From so many members on their errors say what errors are like.
_FEWEST_TO_POOL = 4
# A member's variance that chance alone would exceed so rarely is not of the fleet's kind.
_UNLIKE = 0.01
# To how many members each is left out in turn for the error of a centre; of more, one hardly moves it.
_FEW = 30
_DRAWS = 400


def peers_medians(values: Mapping[K, float]) -> dict[K, float]:
    """For each member the median of all others; a member without any is left out."""
    ordered = sorted(values.values())
    count = len(ordered)
    if count < 2:
        return {}
    place: dict[float, int] = {}
    for i, value in enumerate(ordered):
        place.setdefault(value, i)

    def without(rank: int) -> float:
        # The two middle places of what is left; they are one where that is odd.
        low, high = ((count - 2) // 2, (count - 1) // 2)
        return (ordered[low + (low >= rank)] + ordered[high + (high >= rank)]) / 2

    return {key: without(place[value]) for key, value in values.items()}


def from_centre(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Each member's mean less the median of its peers' means, with the errors of both.

    For members that were measured independently, such as hosts. Of one alone there is nothing to say: its error is
    unknown.
    """
    if len(estimates) < 2:
        return [Estimate(0.0, 0.0, 0) for _ in estimates]
    centres = peers_medians(dict(enumerate(one.mean for one in estimates)))
    errors = _centre_errors(estimates)
    degrees = math.fsum(one.degrees for one in estimates)
    found: list[Estimate] = []
    for i, one in enumerate(estimates):
        others = degrees - one.degrees
        found.append(_difference(one, Estimate(centres[i], errors[i], others)))
    return found


def pooled(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Estimates whose errors are drawn towards those of all, with the degrees of freedom that this gives."""
    known = [one for one in estimates if one.degrees > 0 and one.error > 0]
    if len(known) < _FEWEST_TO_POOL:
        return list(estimates)
    prior, weight = _prior(known)
    return [_moderated(one, prior, weight) for one in estimates]


def level(count: int) -> float:
    """The confidence of each of so many intervals with which all of them hold at once."""
    return 1 - (1 - CONFIDENCE) / max(1, count)


def comparisons(members: int) -> int:
    """How many deviations there are to be wrong about in one cell: two members differ by one and the same."""
    return members if members > 2 else 1


def interval(deviation: Estimate, count: int) -> Interval:
    """The ratio of a member's time to its peers', with its simultaneous interval."""
    return deviation.interval(level(count))


def spread(means: Sequence[float]) -> float | None:
    """What members differ by, as a standard deviation that a few strays do not change; None for fewer than three."""
    if len(means) < 3:
        return None
    middle = statistics.median(means)
    return 1.4826 * statistics.median(abs(mean - middle) for mean in means)


def _difference(one: Estimate, centre: Estimate) -> Estimate:
    """Welch and Satterthwaite: the degrees of freedom of a sum of two variances."""
    squared = one.error**2 + centre.error**2
    if one.degrees <= 0 or centre.degrees <= 0:
        return Estimate(one.mean - centre.mean, 0.0, 0)
    if squared == 0.0:
        return Estimate(one.mean - centre.mean, 0.0, one.degrees)
    degrees = squared**2 / (one.error**4 / one.degrees + centre.error**4 / centre.degrees)
    return Estimate(one.mean - centre.mean, math.sqrt(squared), degrees)


def _centre_errors(estimates: Sequence[Estimate]) -> list[float]:
    """The standard error of the median of each member's peers, by drawing their means anew within their errors."""
    import numpy as np

    count = len(estimates)
    means = np.array([one.mean for one in estimates])
    errors = np.array([one.error for one in estimates])
    drawn = means + errors * np.random.default_rng(0).standard_normal((_DRAWS, count))
    if count > _FEW:
        return [float(np.median(drawn, axis=1).std())] * count
    return [
        # Of a single peer the median is the peer itself.
        float(errors[1 - i]) if count == 2 else float(np.median(np.delete(drawn, i, axis=1), axis=1).std())
        for i in range(count)
    ]


def _moderated(one: Estimate, prior: float, weight: float) -> Estimate:
    """A variance of the mean, drawn towards ``prior``, which counts as much as ``weight`` degrees of freedom do."""
    from scipy.special import fdtrc

    if one.degrees <= 0:
        return one
    own = one.error**2
    if fdtrc(one.degrees, weight, own / prior) < _UNLIKE:
        return one
    degrees = one.degrees + weight
    return Estimate(one.mean, math.sqrt((own * one.degrees + prior * weight) / degrees), degrees)


def _prior(known: Sequence[Estimate]) -> tuple[float, float]:
    """The typical variance of a mean and its weight, by the method of Smyth (section 6.2) on logarithms.

    The middle of the logarithms and their spread by the median, so that a few that scatter widely do not decide.
    """
    from scipy.special import digamma, polygamma

    logs = [math.log(one.error**2) - float(digamma(one.degrees / 2)) + math.log(one.degrees / 2) for one in known]
    middle = statistics.median(logs)
    spread_ = 1.4826 * statistics.median(abs(value - middle) for value in logs)
    excess = spread_**2 - statistics.fmean(float(polygamma(1, one.degrees / 2)) for one in known)
    # No more than all sets together say.
    most = math.fsum(one.degrees for one in known)
    half = _inverse_trigamma(excess) if excess > 0 else math.inf
    weight = min(2 * half, most)
    return math.exp(middle + float(digamma(weight / 2)) - math.log(weight / 2)), weight


def _inverse_trigamma(value: float) -> float:
    """By Newton's method on 1/trigamma, as in the appendix of Smyth's paper: a few steps are enough."""
    from scipy.special import polygamma

    guess = 0.5 + 1 / value
    for _ in range(20):
        trigamma = float(polygamma(1, guess))
        guess += trigamma * (1 - trigamma / value) / float(polygamma(2, guess))
    return guess
