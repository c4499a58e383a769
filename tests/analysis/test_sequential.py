"""Intervals that hold whenever a run stops: by arithmetic, and by simulated runs that stop at their first verdict."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from gemmscope.analysis import sequential, statistics

MOST_SETS = 40
# Of the logarithm of a ratio, between sets.
SCATTER = 0.05


def test_looks_become_rarer():
    assert list(itertools.takewhile(lambda sets: sets < 30, sequential.looks(5))) == [5, 8, 13, 21]
    assert [sets for sets in range(1, 14) if sequential.is_look(sets, 5)] == [5, 8, 13]


def test_the_first_look_takes_its_share_of_the_level():
    assert sequential.nominal_level(0.05, 5, 5) == pytest.approx(0.05 * sequential.spent(5, 5), rel=1e-6)
    assert sequential.nominal_level(0.05, 2, 5) == sequential.nominal_level(0.05, 5, 5), "a run that was cut short"
    assert 0.5 < sequential.spent(5, 5) < 0.6 < sequential.spent(7, 5) < sequential.spent(100, 5) < 1


@given(st.floats(1e-9, 0.4), st.integers(3, 30), st.integers(3, 6))
def test_the_level_of_a_look_and_of_all_are_inverse(level, sets, first):
    nominal = sequential.nominal_level(level, sets, first)
    assert 0 < nominal < level
    assert sequential.overall_level(nominal, sets, first) == pytest.approx(level, rel=1e-6)


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_all_looks_together_spend_the_level(level):
    """Of normal sums, with a known variance: as many runs exceed at any look as the level says."""
    random = np.random.default_rng(3)
    sums = np.cumsum(random.normal(size=(40_000, MOST_SETS)), axis=1)
    beyond = np.zeros(len(sums), bool)
    for sets in itertools.takewhile(lambda sets: sets <= MOST_SETS, sequential.looks(5)):
        beyond |= np.abs(sums[:, sets - 1]) / math.sqrt(sets) > -ndtri(sequential.nominal_level(level, sets, 5) / 2)
    spent = level * sequential.spent(34, 5)
    assert beyond.mean() == pytest.approx(spent, abs=4 * math.sqrt(spent / len(sums)))


def stopped(logs: np.ndarray, first: int, margin: float) -> str:
    """The verdict at which a run stops that takes a further set as long as there is none."""
    for sets in itertools.takewhile(lambda sets: sets <= MOST_SETS, sequential.looks(first)):
        estimate = statistics.over_sets(list(logs[:sets]))
        ratio = estimate.interval(1 - sequential.nominal_level(1 - statistics.CONFIDENCE, sets, first))
        if (verdict := statistics.verdict(ratio, margin)) != "unclear":
            return verdict
    return "unclear"


def share_of(verdicts: set[str], ratio: float, first: int, margin: float, seed: int, runs: int = 1500) -> float:
    random = np.random.default_rng(seed)
    logs = random.normal(math.log(ratio), SCATTER, size=(runs, MOST_SETS))
    return sum(stopped(row, first, margin) in verdicts for row in logs) / runs


@pytest.mark.slow
@pytest.mark.parametrize("first", [3, 5])
def test_identical_work_is_not_called_different_however_long_a_run_goes_on(first):
    """At most 5 %, stopping at the first verdict, with up to 40 sets; a fixed 95 % interval errs in 15 %."""
    three_sigma = 3 * math.sqrt(0.05 * 0.95 / 1500)
    assert share_of({"faster", "slower"}, 1.0, first, 1e-6, seed=first) <= 0.05 + three_sigma


@pytest.mark.slow
@pytest.mark.parametrize("first", [3, 5])
def test_what_lies_at_the_margin_is_not_called_beyond_it(first):
    """At most 2.5 %, stopping at the first verdict, with up to 40 sets."""
    three_sigma = 3 * math.sqrt(0.025 * 0.975 / 1500)
    assert share_of({"slower"}, 1.02, first, 0.02, seed=10 + first) <= 0.025 + three_sigma
    assert share_of({"faster"}, 1 / 1.02, first, 0.02, seed=20 + first) <= 0.025 + three_sigma
    assert share_of({"same"}, 1.02, first, 0.02, seed=30 + first) <= 0.025 + three_sigma


def test_a_difference_is_found():
    assert share_of({"slower"}, 1.15, 5, 0.01, seed=1, runs=200) > 0.95
