"""The one ranking: who is fastest at a shape, and who is tied with it."""

from __future__ import annotations

import pytest

from gemmscope.analysis.findings import speed
from gemmscope.analysis.view import View
from gemmscope.records.base import Interval
from gemmscope.records.model import Cell, Sample
from gemmscope.workload.shapes import Shape
from tests.builders import make_backend, make_cell, make_result

S64 = Shape(64, 64, 64)


def cell(backend, by_set, size=64, **changes):
    """A cell whose sets have these seconds; sets of two cells with the same number are paired."""
    samples = [
        Sample(set=set_, round=round_, turn=0, start=0.0, first_pair=0, loops=1, seconds=seconds)
        for set_, seconds in enumerate(by_set) for round_ in range(3)
    ]  # fmt: skip
    mean = sum(by_set) / len(by_set)
    return make_cell(backend, mean, size=size, samples=samples, **changes)


def ranking(*cells, shape=S64, **changes):
    return View(make_result(list(cells), **changes)).rankings[shape]


# The machine is up to four times slower in some sets than in others, for both backends alike.
WEATHER = (1.0, 2.0, 4.0, 1.5, 3.0)
STEADY = (1.0, 1.0001, 0.9999, 1.00005, 0.99995)


def test_what_is_clear_only_in_pairs_is_settled():
    # The intervals of the two times overlap widely, and by them alone nothing could be said.
    found = ranking(cell("numpy-cpu", [w * 1e-6 for w in WEATHER]), cell("torch-cpu", [w * 1.1e-6 for w in WEATHER]))
    assert found.first == "numpy-cpu"
    assert found.behind == ["torch-cpu"]
    assert found.is_settled


def test_a_difference_below_the_margin_is_a_tie():
    # The intervals of the two times do not overlap, but the difference is smaller than what is worth naming.
    found = ranking(cell("numpy-cpu", [s * 1e-6 for s in STEADY]), cell("torch-cpu", [s * 1.005e-6 for s in STEADY]))
    assert found.first == "numpy-cpu"
    assert found.tied == ["torch-cpu"]
    assert not found.is_settled


def test_a_cell_without_a_slow_set_does_not_win_by_that():
    """In the last set the machine was slow. One backend was not measured then: its mean is lower, its ratio is not."""
    numpy = [1e-6, 1.001e-6, 0.999e-6, 1e-6, 3e-6]
    torch = [1.1e-6, 1.101e-6, 1.099e-6, 1.1e-6]
    found = ranking(cell("numpy-cpu", numpy), cell("torch-cpu", torch))
    assert sum(torch) / 4 < sum(numpy) / 5
    assert (found.first, found.behind) == ("numpy-cpu", ["torch-cpu"])


def test_the_order_is_that_of_the_ratios():
    found = ranking(
        cell("numpy-cpu", [2e-6, 2e-6, 6e-6]), cell("torch-cpu", [1e-6, 1e-6, 3e-6]), cell("mlx-cpu", [1.5e-6, 1.5e-6])
    )
    assert found.ranked == ["torch-cpu", "mlx-cpu", "numpy-cpu"]


def test_the_finding_and_the_ranking_agree():
    for factor in (1.1, 1.005):
        cells = [cell("numpy-cpu", [s * 1e-6 for s in STEADY]), cell("torch-cpu", [s * factor * 1e-6 for s in STEADY])]
        view = View(make_result(cells))
        (finding,) = speed.fastest(view)
        found = view.rankings[S64]
        assert finding.backends[0] == found.first
        assert (finding.verdict == "found") == found.is_settled
        assert ("with torch-cpu" in finding.text) == ("torch-cpu" in found.tied)


@pytest.mark.parametrize("name", ["kernel-numpy", "mlx-cpp-cpu", "cblas", "cublas"])
def test_an_instrument_never_wins(name):
    fast = cell(name, [1e-9] * 5)
    found = ranking(fast, cell("numpy-cpu", [1e-6] * 5), backends=[make_backend(name, entry="native")])
    assert found.ranked == ["numpy-cpu"]


def test_the_floor_of_the_harness_never_wins():
    assert ranking(cell("null-python", [1e-9] * 5), cell("numpy-cpu", [1e-6] * 5)).ranked == ["numpy-cpu"]


def test_reduced_precision_is_named_and_not_ranked():
    found = ranking(cell("mlx-gpu:tf32", [1e-9] * 5, precision="tf32"), cell("numpy-cpu", [1e-6] * 5))
    assert found.ranked == ["numpy-cpu"]
    assert found.reduced == ["mlx-gpu:tf32"]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_an_impossible_time_is_named_and_not_ranked(seconds):
    odd = Cell(backend="torch-cpu", m=64, n=64, k=64, seconds=Interval(estimate=seconds, low=seconds, high=seconds))
    found = ranking(odd, cell("numpy-cpu", [1e-6] * 5))
    assert found.ranked == ["numpy-cpu"]
    assert found.impossible == ["torch-cpu"]


def test_throughput_and_device_times_are_not_ranked():
    found = ranking(
        cell("numpy-cpu", [1e-6] * 5),
        cell("mlx-gpu", [2e-6] * 5),
        cell("mlx-gpu", [1e-7] * 5, mode="throughput"),
        cell("mlx-gpu", [1e-8] * 5, mode="device"),
    )
    assert found.ranked == ["numpy-cpu", "mlx-gpu"]


def test_one_batch_of_processes_settles_nothing():
    found = ranking(cell("numpy-cpu", [1e-6]), cell("torch-cpu", [9e-6]))
    assert found.tied == ["torch-cpu"]
    assert not found.has_intervals


def test_verdicts_hold_for_all_shapes_together():
    """One comparison that is just clear enough alone is a tie where it is one of many."""
    by_set = [1.0, 1.0, 1.0, 1.0, 1.0]
    near = [1.06, 1.02, 1.05, 1.03, 1.04]
    pair = [cell("numpy-cpu", [s * 1e-6 for s in by_set]), cell("torch-cpu", [s * 1e-6 for s in near])]
    assert ranking(*pair).is_settled
    noise = [
        one
        for size in (8, 16, 32, 128, 256, 512, 1024, 2048)
        for one in (cell("numpy-cpu", [1e-6] * 5, size=size), cell("torch-cpu", [w * 1e-6 for w in WEATHER], size=size))
    ]
    assert ranking(*pair, *noise).tied == ["torch-cpu"]


def test_a_shape_at_which_nothing_can_be_ranked():
    found = ranking(make_cell("null-python", 1e-9))
    assert (found.first, found.ranked, found.tied, found.is_settled) == ("", [], [], False)
