"""Statistics on distributions whose answers are known."""

from __future__ import annotations

import math
import random
import statistics as fractions

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit

from gemmscope.analysis import processes, statistics
from gemmscope.analysis.runs import drift
from gemmscope.records.base import Interval
from gemmscope.records.model import Sample


def sample(set_, round_, seconds, loops=1, turn=0):
    return Sample(set=set_, round=round_, turn=turn, start=0.0, first_pair=0, loops=loops, seconds=seconds)


@given(st.lists(st.floats(-700, 700), min_size=2, max_size=40))
def test_a_deviation_is_the_exact_one_to_the_last_digits(values):
    """Of logarithms, whose digits end some 1e-16 of the largest below it; the squares of less than 1e-150 are 0."""
    assert statistics.deviation(values) == pytest.approx(
        fractions.stdev(values), rel=1e-12, abs=1e-13 * max(map(abs, values)) + 1e-150
    )


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-9, 1e300, -0.7])
@pytest.mark.parametrize("count", [2, 3, 7, 40])
def test_equal_values_do_not_deviate(value, count):
    assert statistics.deviation([value] * count) == 0.0


def test_t_interval_of_known_numbers():
    # Mean 3, standard deviation √2.5, t(0.975; 4) = 2.776445.
    mean, low, high = statistics.t_interval([1, 2, 3, 4, 5])
    assert mean == 3
    assert high == pytest.approx(3 + 2.7764451 * math.sqrt(2.5) / math.sqrt(5))
    assert low == pytest.approx(3 - 2.7764451 * math.sqrt(2.5) / math.sqrt(5))


def test_one_value_has_no_interval_and_none_no_mean():
    assert statistics.t_interval([2.0]) == (2.0, None, None)
    assert statistics.ratio_interval([2.0]) == Interval(estimate=2.0)
    with pytest.raises(ValueError, match="at least one value"):
        statistics.t_interval([])


def test_an_estimate_of_values_has_their_t_interval():
    values = [0.01, 0.03, 0.02, 0.05]
    estimate = statistics.Estimate.of(values)
    mean, low, high = statistics.t_interval(values)
    assert estimate.mean == pytest.approx(mean)
    assert math.log(estimate.interval().low) == pytest.approx(low)
    assert math.log(estimate.interval().high) == pytest.approx(high)
    assert statistics.Estimate.of([0.1]) == statistics.Estimate(0.1, 0.0, 0)
    with pytest.raises(ValueError, match="at least one value"):
        statistics.Estimate.of([])


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """5 sets of log-normal times, 2000 times over: 95 % of the intervals hold the median, give or take the counting."""
    generator = random.Random(1)
    trials, held = 2000, 0
    for _ in range(trials):
        interval = statistics.ratio_interval([generator.lognormvariate(0.7, 0.05) for _ in range(5)])
        held += interval.low <= math.exp(0.7) <= interval.high
    # Binomial(2000, 0.95) lies within ±4 standard deviations (39) of 1900 but for 6 in 100000.
    assert abs(held - 1900) < 39


def test_medians_are_of_one_product_and_by_set():
    samples = [sample(0, 0, 10, loops=10), sample(0, 1, 3), sample(0, 2, 2), sample(1, 0, 5)]
    assert statistics.set_medians(samples) == {0: 2, 1: 5}


def test_ratios_are_paired_inside_rounds():
    # The machine is twice as slow in every second round; the ratio is 3 in each of them.
    baseline = [sample(0, r, 1 + r % 2) for r in range(6)]
    ours = [sample(0, r, 3 * (1 + r % 2), loops=1) for r in range(6)]
    ratios, rounds = statistics.set_ratios(ours, baseline)
    assert ratios == {0: pytest.approx(3)}
    assert rounds == 6


def test_cells_of_one_turn_are_paired_block_by_block():
    """The machine's speed changes from block to block by far more than the backends differ."""
    generator = random.Random(6)
    speeds = [generator.uniform(1, 5) for _ in range(12)]
    baseline = [sample(0, i // 4, speed) for i, speed in enumerate(speeds)]
    ours = [sample(0, i // 4, 1.02 * speed) for i, speed in enumerate(speeds)]
    ratios, rounds = statistics.set_ratios(ours, baseline)
    assert ratios[0] == pytest.approx(1.02)
    assert rounds == 3
    assert statistics.set_ratios(ours[:-2], baseline)[0][0] == pytest.approx(1.02), "one that ended early"


def test_cells_of_two_turns_are_paired_by_their_medians():
    ours = [sample(0, 0, seconds, turn=1) for seconds in (2.0, 2.2, 90.0)]
    baseline = [sample(0, 0, seconds, turn=0) for seconds in (1.0, 1.1, 1.2)]
    assert statistics.set_ratios(ours, baseline)[0][0] == pytest.approx(2.0)


def test_a_round_without_the_baseline_says_nothing():
    ratios, rounds = statistics.set_ratios([sample(0, 0, 2), sample(0, 1, 9), sample(1, 0, 9)], [sample(0, 0, 1)])
    assert ratios == {0: pytest.approx(2)}
    assert rounds == 1
    assert statistics.set_ratios([sample(0, 0, 1)], [sample(1, 0, 1)]) == ({}, 0)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.90, 0.98, "faster"),
        (0.90, 0.995, "unclear"),
        (0.995, 1.005, "same"),
        (1.02, 1.05, "slower"),
        (1.005, 1.05, "unclear"),
        (0.5, 2.0, "unclear"),
        (None, None, "unclear"),
        (1 / 1.01, 1.01, "same"),
        (0.5, 1 / 1.01, "unclear"),
    ],
)
def test_verdicts(low, high, expected):
    assert statistics.verdict(Interval(estimate=1.0, low=low, high=high), 0.01) == expected


@given(st.lists(st.floats(1e-9, 1e3), min_size=2, max_size=8), st.floats(0, 0.2))
def test_a_verdict_turns_around_with_its_ratio(values, margin):
    ratio = statistics.ratio_interval(values)
    inverse = statistics.ratio_interval([1 / value for value in values])
    turned = {"faster": "slower", "slower": "faster", "same": "same", "unclear": "unclear"}
    one, other = statistics.verdict(ratio, margin), statistics.verdict(inverse, margin)
    # On the very edge of the margin rounding may decide.
    edges = (1 + margin, 1 / (1 + margin))
    if not any(math.isclose(bound, edge, rel_tol=1e-9) for bound in (ratio.low, ratio.high) for edge in edges):
        assert other == turned[one]


def test_the_p_value_of_a_verdict_is_that_of_students_t():
    # Mean 0.1, standard error 0.01, 4 degrees of freedom, edge ln 1.01: t = (0.1 - 0.00995) / 0.01.
    step = 0.01 * math.sqrt(5) / math.sqrt(2.5)
    logs = [0.1 + step * i for i in (-2, -1, 0, 1, 2)]
    assert statistics.over_sets(logs).verdict_probability(0.01) == pytest.approx(0.000421, rel=0.01)
    assert statistics.over_sets([-value for value in logs]).verdict_probability(0.01) == pytest.approx(
        0.000421, rel=0.01
    )
    assert statistics.over_sets([0.1]).verdict_probability(0.01) == 1.0
    assert statistics.over_sets([0.0, 0.0]).verdict_probability(0.01) == 0.0
    assert statistics.over_sets([1.0, 1.0]).verdict_probability(0.01) == 0.0


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(0.001, 0.2))
def test_a_verdict_and_its_p_value_agree(logs, margin):
    ratio = statistics.ratio_interval([math.exp(value) for value in logs])
    probability = statistics.over_sets(logs).verdict_probability(margin)
    if not math.isclose(probability, statistics.VERDICT_LEVEL, rel_tol=1e-6) and statistics.half_width(ratio) > 1e-9:
        assert (statistics.verdict(ratio, margin) != "unclear") == (probability < statistics.VERDICT_LEVEL)


# --- One bad set ------------------------------------------------------------------------------------------------------

GOOD = [0.010, 0.012, 0.009, 0.011, 0.008, 0.012]


@pytest.mark.parametrize("bad", [1.67, -0.5, 0.1])
def test_a_set_that_lies_apart_does_not_count(bad):
    """As seen beside a neighbour that computed now and then: a ratio of 1.28 [0.72, 2.29] because of one set."""
    values = [*GOOD[:3], bad, *GOOD[3:]]
    assert statistics.apart(values) == [3]
    assert statistics.over_sets(values) == statistics.over_sets(GOOD)
    interval = statistics.ratio_interval([math.exp(value) for value in values])
    assert statistics.half_width(interval) < 0.01


def test_two_of_eight_sets_may_lie_apart():
    assert statistics.apart([*GOOD, 0.9, -0.3]) == [6, 7]


def test_processes_of_another_kind_are_kept():
    """Two that lie together are no disturbance: a process can settle on another kernel, and then stays with it."""
    assert statistics.apart([*GOOD, 0.300, 0.302]) == []
    assert statistics.over_sets([*GOOD, 0.300, 0.302]).mean > 0.08


@pytest.mark.parametrize("values", [[0.1], [0.1, 5.0], [0.1, 0.1, 5.0], [0.1, 0.1, 0.1, 0.1]])
def test_of_few_sets_or_equal_ones_none_lies_apart(values):
    assert statistics.apart(values) == []


@pytest.mark.slow
@pytest.mark.parametrize("sets", [4, 5, 8, 20])
def test_intervals_hold_without_disturbances_and_are_shorter_with_them(sets):
    random = np.random.default_rng(sets)
    trials = 3000
    calm = random.normal(size=(trials, sets))
    spoilt = calm * np.where(random.random((trials, sets)) < 0.1, 10, 1)
    for values, covered in ((calm, 0.94), (spoilt, 0.94)):
        intervals = [statistics.t_interval(list(row)) for row in values]
        assert np.mean([low <= 0 <= high for _, low, high in intervals]) > covered
    widths = np.median([high - low for _, low, high in intervals])
    plain = np.median(2 * stdtrit(sets - 1, 0.975) * spoilt.std(axis=1, ddof=1) / math.sqrt(sets))
    assert widths < plain * (1.001 if sets < 8 else 0.9)


def test_holm_by_hand():
    # Holm's own arithmetic: 0.01 <= 0.05/4, 0.013 <= 0.05/3, 0.03 > 0.05/2: the rest falls with it.
    assert statistics.holm([0.03, 0.01, 0.04, 0.013], 0.05) == [False, True, False, True]
    assert statistics.holm([], 0.05) == []
    assert statistics.holm([0.05], 0.05) == [True]


def test_holm_keeps_its_promise():
    """20 tests of nothing, 2000 times: in at most 5 % of them even one is called something."""
    generator = random.Random(3)
    wrong = sum(any(statistics.holm([generator.random() for _ in range(20)], 0.05)) for _ in range(2000))
    assert wrong < 100 + 4 * math.sqrt(95)


def test_half_widths():
    assert statistics.half_width(Interval(estimate=1.0, low=math.exp(-0.1), high=math.exp(0.3))) == pytest.approx(0.2)
    assert statistics.half_width(Interval(estimate=1.0)) == math.inf
    assert statistics.half_width(Interval(estimate=1.0, low=0.0, high=1.0)) == math.inf


def test_processes_of_two_kinds_are_told_apart():
    generator = random.Random(4)

    def process(set_, seconds):
        return [sample(set_, r, seconds * generator.lognormvariate(0, 0.03)) for r in range(20)]

    kinds = [1.0, 4.0, 1.02, 0.99, 4.1]
    fast, slow = processes.process_modes([s for i, seconds in enumerate(kinds) for s in process(i, seconds)])
    assert (fast.sets, slow.sets) == ([0, 2, 3], [1, 4])
    assert fast.seconds == pytest.approx(1.0, rel=0.05)
    assert slow.seconds == pytest.approx(4.05, rel=0.05)
    one_in_five = [s for i, seconds in enumerate([1.0, 1.0, 4.5, 1.0, 1.0]) for s in process(i, seconds)]
    assert [mode.sets for mode in processes.process_modes(one_in_five)] == [[0, 1, 3, 4], [2]]


def test_a_machine_that_changed_is_not_taken_for_processes_of_several_kinds():
    generator = random.Random(7)
    speeds = [1.0, 1.5, 1.0, 1.45, 1.02]  # the machine, by set

    def cell(seconds, odd=()):
        return [
            sample(i, r, seconds * speed * (4 if i in odd else 1) * generator.lognormvariate(0, 0.02))
            for i, speed in enumerate(speeds)
            for r in range(20)
        ]

    cells = [cell(1e-6), cell(2e-6), cell(5e-6, odd=(1,)), cell(1e-3)]
    factors = processes.machine_factors([statistics.set_medians(samples) for samples in cells])
    assert factors[1] / factors[0] == pytest.approx(1.5, rel=0.05)
    assert [bool(processes.process_modes(samples, factors)) for samples in cells] == [False, False, True, False]
    assert [mode.sets for mode in processes.process_modes(cells[2], factors)] == [[0, 2, 3, 4], [1]]
    assert processes.process_modes(cells[0]), "without the factors it would be"
    assert processes.machine_factors([{0: 1.0}, {0: 2.0}]) == {}, "two cells do not tell what is common"


@pytest.mark.parametrize("scatter", [0.0, 0.02, 0.3])
def test_processes_of_one_kind_are_not(scatter):
    generator = random.Random(5)
    found = 0
    for _ in range(200):
        samples = [sample(i, r, generator.lognormvariate(0, scatter)) for i in range(5) for r in range(20)]
        found += bool(processes.process_modes(samples))
    assert found <= 4


def test_processes_that_scatter_widely_have_no_groups():
    samples = [sample(i, r, 1.5**i) for i in range(5) for r in range(5)]
    assert processes.process_modes(samples) == []
    assert processes.process_modes(samples[:10]) == [], "and two processes cannot tell"


def test_intervals_of_extreme_values_stay_numbers():
    interval = statistics.ratio_interval([1e-300, 1e300])
    assert math.isfinite(interval.high)
    assert interval.low >= 0


def test_spreads():
    steady = [sample(s, r, 1.0) for s in range(3) for r in range(4)]
    assert statistics.spread_within(steady) == 0
    assert statistics.spread_between(statistics.set_medians(steady)) == 0
    assert statistics.spread_within([sample(0, 0, 1.0)]) is None
    assert statistics.spread_between({0: 1.0}) is None
    generator = random.Random(2)
    noisy = [sample(s, r, generator.gauss(1.0, 0.03)) for s in range(40) for r in range(40)]
    assert statistics.spread_within(noisy) == pytest.approx(0.03, rel=0.1)
    apart = [sample(s, r, 1 + 0.1 * (s % 2)) for s in range(4) for r in range(3)]
    assert statistics.spread_within(apart) == 0
    assert statistics.spread_between(statistics.set_medians(apart)) == pytest.approx(math.log(1.1) / math.sqrt(3))


class TestBetweenRuns:
    """What two runs differ by: Welch's t over sets, and what runs themselves are random by."""

    def test_welch_is_that_of_scipy(self):
        from scipy.stats import ttest_ind

        before, after = [0.1, 0.2, 0.15, 0.3], [0.5, 0.42, 0.61, 0.3, 0.55]
        told = ttest_ind(after, before, equal_var=False)
        found = drift.welch(before, after)
        assert found.above(0.0) == pytest.approx(told.pvalue / 2)
        low, high = told.confidence_interval(0.95)
        interval = found.interval()
        assert (interval.low, interval.high) == pytest.approx((math.exp(low), math.exp(high)))

    def test_runs_without_spread_or_without_sets_enough(self):
        certain = drift.welch([1.0, 1.0], [1.5, 1.5])
        assert (certain.mean, certain.error) == (0.5, 0.0)
        assert (certain.above(0.4), certain.above(0.6), certain.below(0.6)) == (0.0, 1.0, 0.0)
        alone = drift.welch([1.0], [1.5, 1.6])
        assert alone.interval().low is None
        assert alone.above(0.0) == alone.below(0.0) == alone.verdict_probability(0.01) == 1.0
        assert drift.between_runs(alone, []) == alone
        with pytest.raises(ValueError, match="at least one set in each run"):
            drift.welch([], [1.0])

    def test_drift_is_that_of_what_did_not_change(self):
        chance = random.Random(0)
        for true in (0.0, 0.03):
            moves = [statistics.Estimate(chance.gauss(0, math.hypot(true, 0.01)), 0.01, 8) for _ in range(400)]
            assert math.sqrt(drift.drift_variance(moves)) == pytest.approx(true, abs=0.004)

    def test_errors_that_are_too_small_are_known_by_the_moves_of_others(self):
        chance = random.Random(2)
        for factor in (1.0, 1.5, 3.0):
            errors = [0.004 * math.exp(chance.gauss(0, 0.5)) for _ in range(400)]
            moves = [statistics.Estimate(chance.gauss(0, factor * error), error, 8) for error in errors]
            assert math.sqrt(drift.inflation(moves)) == pytest.approx(factor, rel=0.08)
            strays = [statistics.Estimate(1.5, 0.01, 8)] * 20
            assert math.sqrt(drift.inflation([*moves, *strays])) < 1.2 * factor
            change = statistics.Estimate(0.05, 0.006, 10)
            assert drift.inflated(change, moves, 1.25).error == pytest.approx(factor * 0.006, rel=0.1)
        guess = drift.inflated(change, [], 1.25)
        assert guess.error == pytest.approx(math.hypot(0.006, math.sqrt(1.25) * 0.01))
        assert drift.inflation([]) == 1.0
        nothing = statistics.Estimate(0.05, math.inf, 0)
        assert drift.inflated(nothing, moves, 1.25) == nothing

    def test_a_few_that_did_change_hardly_count(self):
        chance = random.Random(1)
        moves = [statistics.Estimate(chance.gauss(0, 0.014), 0.01, 8) for _ in range(40)]
        quiet = math.sqrt(drift.drift_variance(moves))
        changed = [statistics.Estimate(1.5, 0.01, 8)] * 8
        assert quiet < math.sqrt(drift.drift_variance([*moves, *changed])) < 2 * quiet

    def test_a_guess_stands_in_where_nothing_did_not_change(self):
        guess = drift.drift_variance([])
        assert 0.005 < math.sqrt(guess) < 0.02
        one_set = statistics.Estimate(5.0, math.inf, 0)
        assert drift.drift_variance([one_set]) == guess
        moved = statistics.Estimate(0.1, 0.001, 8)
        assert guess < drift.drift_variance([moved]) < drift.drift_variance([moved] * 20) < 1.3 * 0.1**2

    def test_a_change_is_never_more_certain_than_its_sets(self):
        change = statistics.Estimate(0.1, 0.01, 8)
        quiet = [statistics.Estimate(0.0, 0.01, 8)] * 50
        for unchanged in ([], quiet, [change]):
            widened = drift.between_runs(change, unchanged)
            assert widened.mean == change.mean
            assert widened.error > change.error
        assert drift.between_runs(change, quiet).error == pytest.approx(change.error, rel=0.05)

    def test_the_nearest_of_a_reference_is_found_in_time_and_within_the_set(self):
        def at(set_, start, seconds):
            return Sample(set=set_, round=0, turn=0, start=start, first_pair=0, loops=1, seconds=seconds)

        reference = [at(0, 0.0, 1.0), at(0, 10.0, 2.0), at(1, 20.0, 4.0)]
        samples = [at(0, 9.0, 6.0), at(1, 11.0, 8.0), at(2, 21.0, 1.0)]
        assert statistics.nearest_ratios(samples, reference) == {0: pytest.approx(3.0), 1: pytest.approx(2.0)}

    def test_the_nearest_of_many_is_found_without_looking_at_all_of_them(self):
        looks = 0

        class Counted:
            set, loops = 0, 1

            def __init__(self, start, seconds):
                self._start, self.seconds = start, seconds

            @property
            def start(self):
                nonlocal looks
                looks += 1
                return self._start

        count = 1000
        reference = [Counted(i, 1.0) for i in range(count)]
        samples = [Counted(i + 0.4, 3.0) for i in range(count)]
        ratios = statistics.nearest_ratios(samples, reference)
        assert ratios == {0: pytest.approx(3.0)}
        assert looks < 30 * count
