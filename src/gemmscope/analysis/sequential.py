"""Intervals and p-values that hold whenever a run stops.

A run adds sets while verdicts are open, and looks time and again. Taken for what it is at one look alone, a 95 %
interval would exclude the truth at one look or another far more often than once in twenty. So the level is spent over
the looks: a part at the first, when the sets that were asked for are done, and the rest over all that may follow
(Lan and DeMets, Biometrika 70, 1983). What a look has to exceed follows from the joint distribution of all looks,
in which the sets are the information (Armitage, McPherson and Rowe, JRSS A 132, 1969; Jennison and Turnbull, Group
Sequential Methods, 2000, chapters 7 and 19). Intervals of these levels hold at all looks together (repeated confidence
intervals: Jennison and Turnbull, JRSS B 51, 1989), so verdicts may be read off them at any, and it does not matter why
a run ended.

The levels are those of a normal statistic. With few sets they are used as levels of Student's t, as chapter 11 of that
book recommends; ``tests/analysis/test_sequential.py`` checks by simulation that the error rates hold.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

# A run spends six tenths of its budget on the sets that were planned, and stops at about so many times as many: there
# is the second look. The more looks, the wider the interval at each.
_SPACING = 1.6
# The shares of the level that are spent by the first look, where most comparisons end, and by the second. Between them
# the share grows with the root of the sets: a run that ends there looks once more. What is left after the second falls
# with this power of the number of sets: few runs come to more.
_FIRST_SHARE = 0.6
_SECOND_SHARE = 0.95
_DECAY = 1.5
# Of the level, divided by the sets at the first look, that is never spent. With few sets, Student's t exceeds a level
# at some of several looks more often than a normal statistic, and leaving out sets that lie apart adds to that: of 5 %,
# 6.4 % from three sets on and 5.4 % from five (simulated).
_KEPT = 0.8
# Two sets tell nothing of how sets differ: no look is taken before the third.
FEWEST_SETS = 3
# Levels for which boundaries are computed; those between are interpolated, in logarithms of both.
_LEVELS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 3e-4, 1e-4, 1e-5, 1e-6, 1e-8)
_LOG_LEVELS = [math.log(level) for level in _LEVELS]
_POINTS = 121


def first_look(sets: int) -> int:
    """The number of sets at the first look of a run that was asked for so many."""
    return max(sets, FEWEST_SETS)


def looks(first: int) -> Iterator[int]:
    """The numbers of sets at which a verdict may be read off, and its backend be left alone from then on.

    A run that ends for another reason may end at any number.
    """
    sets = first
    while True:
        yield sets
        sets = math.ceil(_SPACING * sets)


def is_look(sets: int, first: int) -> bool:
    """Whether so many sets are one of :func:`looks`."""
    return sets == next(look for look in looks(first) if look >= sets)


def nominal_level(level: float, sets: int, first: int) -> float:
    """The level to which the look at so many sets is taken, so that all looks together keep to ``level``.

    Args:
        level: The chance of an error at any look; two-sided.
        sets: How many sets there are at this look, the last one; looks before it were taken as :func:`looks` says.
            Fewer than ``first``: a run that was cut short looks once.
        first: How many there are at the first look.
    """
    return _interpolated(math.log(level), _LOG_LEVELS, _boundary(first).nominal_logs(sets))


def overall_level(nominal: float, sets: int, first: int) -> float:
    """The chance that any look would be as extreme as this one, which by itself has the p-value ``nominal``.

    The p-value that goes with the intervals of :func:`nominal_level`: below a level where these exclude a value.
    """
    if nominal <= 0.0:
        return 0.0
    return min(1.0, _interpolated(math.log(nominal), _boundary(first).nominal_logs(sets), _LOG_LEVELS))


def spent(sets: int, first: int) -> float:
    """The share of the level that is spent when so many sets have been looked at."""
    if sets == 0:
        return 0.0
    grown = max(sets, first) / first
    if grown <= _SPACING:
        share = _FIRST_SHARE + (_SECOND_SHARE - _FIRST_SHARE) * math.sqrt((grown - 1) / (_SPACING - 1))
    else:
        share = 1 - (1 - _SECOND_SHARE) * (_SPACING / grown) ** _DECAY
    return (1 - _KEPT / first) * share


class _Passed(NamedTuple):
    """For each of ``_LEVELS``, the sum over sets as far as no look has exceeded its bound: at 0 sets, zero.

    Args:
        sets: How many there were at the last look.
        sums: Where the sum can lie then, of shape (levels, points).
        weights: How likely that is.
    """

    sets: int
    sums: NDArray[np.float64]
    weights: NDArray[np.float64]


class _Boundary:
    """The nominal levels of all looks, for all of ``_LEVELS`` at once."""

    def __init__(self, first: int) -> None:
        import numpy as np

        self._first = first
        self._passed = [_Passed(0, np.zeros((len(_LEVELS), 1)), np.ones((len(_LEVELS), 1)))]
        self._logs: dict[int, list[float]] = {}

    def nominal_logs(self, sets: int) -> list[float]:
        """The logarithms of the nominal levels of a look at so many sets, after all looks that come before it."""
        sets = max(sets, self._first)
        if sets not in self._logs:
            while (look := self._upcoming()) < sets:
                self._passed.append(_advanced(self._passed[-1], look, self._bounds(self._passed[-1], look)))
            before = next(passed for passed in reversed(self._passed) if passed.sets < sets)
            from scipy.special import log_ndtr

            self._logs[sets] = [math.log(2) + float(log_ndtr(-bound)) for bound in self._bounds(before, sets)]
        return self._logs[sets]

    def _upcoming(self) -> int:
        """The first look that is not among those passed."""
        last = self._passed[-1].sets
        return next(look for look in looks(self._first) if look > last)

    def _bounds(self, passed: _Passed, sets: int) -> NDArray[np.float64]:
        """What |Z| has to exceed at a look, for each level, so that what is due is spent."""
        import numpy as np
        from scipy.special import ndtr  # a third of a second

        due = np.array(_LEVELS) * (spent(sets, self._first) - spent(passed.sets, self._first))
        scale = math.sqrt(sets - passed.sets)
        bounds: NDArray[np.float64] = np.zeros(len(_LEVELS))
        low, high = bounds, np.full(len(_LEVELS), 40.0)
        for _ in range(60):  # bisection
            bounds = (low + high) / 2
            edges = bounds[:, None] * math.sqrt(sets)
            beyond = ndtr((passed.sums - edges) / scale) + ndtr((-passed.sums - edges) / scale)
            too_much = (passed.weights * beyond).sum(axis=1) > due
            low, high = np.where(too_much, bounds, low), np.where(too_much, high, bounds)
        return bounds


def _advanced(passed: _Passed, sets: int, bounds: NDArray[np.float64]) -> _Passed:
    """What a look lets through: the sum over the sets that came since then is normal."""
    import numpy as np

    edges = bounds * math.sqrt(sets)
    sums = np.linspace(-edges, edges, _POINTS, axis=1)
    variance = sets - passed.sets
    kernel = np.exp(-((sums[:, :, None] - passed.sums[:, None, :]) ** 2) / (2 * variance))
    densities = np.einsum("lij,lj->li", kernel, passed.weights) / math.sqrt(2 * math.pi * variance)
    densities[:, [0, -1]] /= 2  # the trapezoidal rule
    return _Passed(sets, sums, densities * (sums[:, 1] - sums[:, 0])[:, None])


@functools.cache
def _boundary(first: int) -> _Boundary:
    return _Boundary(first)


def _interpolated(x: float, xs: list[float], ys: list[float]) -> float:
    """The exponential of a piecewise linear function through decreasing points; on as its ends are beyond them."""
    after = next((i for i in range(1, len(xs)) if xs[i] <= x), len(xs) - 1)
    slope = (ys[after] - ys[after - 1]) / (xs[after] - xs[after - 1])
    return math.exp(ys[after] + slope * (x - xs[after]))
