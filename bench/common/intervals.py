"""Exact intervals: of a share, and of a median."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from gemmscope.records.base import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence


def clopper_pearson(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson, Biometrika 26, 1934)."""
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = float(betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return low, high


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The median, between the order statistics that the sign test does not reject; no bounds for fewer than six values.

    For ten values the second and the ninth, which hold 97.9 % (Conover, Practical Nonparametric Statistics, 1999).
    """
    from scipy.special import bdtr

    ordered = sorted(values)
    rank = 0
    while bdtr(rank, len(ordered), 0.5) <= (1 - confidence) / 2:
        rank += 1
    estimate = statistics.median(ordered)
    if rank == 0:
        return Interval(estimate=estimate)
    return Interval(estimate=estimate, low=ordered[rank - 1], high=ordered[-rank])
