"""Carry-over: planted effects are found in the right cell after the right predecessor, and noise shows none."""

from __future__ import annotations

import random

import msgspec
import pytest

from gemmscope.analysis import carry_over
from gemmscope.analysis.findings import carry_over as findings
from gemmscope.analysis.findings import gpu
from gemmscope.analysis.view import View
from gemmscope.records.base import CellKey
from gemmscope.records.model import Sample
from gemmscope.report.model import Report
from gemmscope.workload.shapes import Shape
from tests.builders import make_backend, make_interval, make_result, make_sampled_cell, make_settings

NAMES = ("cublas", "cublas:tf32", "torch-gpu")


def turns(names=NAMES, planted=None, *, seed=0, sizes=(64,), sets=5, rounds=6, each=4, noise=0.01, drift=0.02):
    """Cells of one worker, in turns of blocks in random order, as a schedule makes them.

    Args:
        names: The cells' backends, or backends with a mode.
        planted: What a backend's time is multiplied with after another; None as the other is the first of a turn.
        seed: Of all that is random.
        sizes: The squares.
        sets: How many.
        rounds: In each set.
        each: Samples of a cell in a turn.
        noise: The relative standard deviation of a sample.
        drift: That of a turn, and of a set.
    """
    chance = random.Random(f"{seed}")
    samples = {(name, size): [] for name in names for size in sizes}
    clock = 0.0
    for set_ in range(sets):
        for size in sizes:
            process = {name: chance.gauss(0, drift) for name in names}
            for round_ in range(rounds):
                machine = chance.gauss(0, drift)
                before = None
                for _ in range(each):
                    for name in chance.sample(names, len(names)):
                        seconds = 1e-3 * (1 + process[name] + machine) * (1 + chance.gauss(0, noise))
                        seconds *= (planted or {}).get((name, before), 1.0)
                        samples[name, size].append(Sample(set=set_, round=round_, turn=2, start=clock, first_pair=0,
                                                          loops=1, seconds=seconds))  # fmt: skip
                        clock += seconds
                        before = name
    # In the order of files, which is not that of time.
    return [make_sampled_cell(name, (), size, samples=taken) for (name, size), taken in samples.items()]


def find(cells, margin=0.01):
    return carry_over.find(cells, [cell.key for cell in cells], margin)


def key(name, size=64):
    return CellKey(name, Shape(size, size, size))


@pytest.mark.parametrize("factor", [1.05, 1 / 1.05])
@pytest.mark.parametrize("each", [1, 4])
def test_a_planted_carry_over_is_found_in_its_cell_and_after_its_predecessor(factor, each):
    """With one sample of a cell in a turn, turns cannot be compared within themselves, and sets are."""
    found = find(turns(planted={("cublas", "cublas:tf32"): factor}, each=each, rounds=6 if each > 1 else 30,
                       drift=0.02 if each > 1 else 0.003))  # fmt: skip
    (one,) = found.shown
    tf32, torch = key("cublas:tf32"), key("torch-gpu")
    assert one.cell == key("cublas")
    if each == 1 and factor < 1:
        # Of two predecessors that are both others, the slower one is told.
        assert (one.after, one.others) == (torch, (tf32,))
        factor = 1 / factor
    else:
        assert (one.after, set(one.others)) == (tf32, {torch} if each == 1 else {torch, key("cublas")})
    assert one.change.low < factor < one.change.high
    assert one.change.estimate == pytest.approx(factor, abs=0.01)
    assert (found.tested, found.cells, found.threshold) == (3, 3, 0.005)


def test_noise_alone_shows_none():
    """Five of a hundred runs at most. Without a margin only Holm's method protects; of 200 runs 16 may be chance."""
    found = [turns(seed=seed, rounds=3) for seed in range(200)]
    assert sum(bool(find(cells, margin=0.01).shown) for cells in found) <= 10
    assert sum(bool(find(cells, margin=0.0).shown) for cells in found) <= 16


def test_what_matters_too_little_is_not_reported():
    planted = {("cublas", "cublas:tf32"): 1.004}
    assert find(turns(planted=planted, noise=0.001), margin=0.01).shown == []
    assert [one.cell for one in find(turns(planted=planted, noise=0.001), margin=0.001).shown] == [key("cublas")]


def test_the_place_in_the_turn_is_a_kind_of_its_own():
    planted = {(name, None): 1.04 for name in NAMES}
    found = find(turns(planted=planted, rounds=12))
    assert {(one.cell, one.after) for one in found.shown} == {(key(name), None) for name in NAMES}
    assert found.first.low < 1.04 < found.first.high
    assert find(turns(rounds=12)).first is None


def test_a_first_sample_too_uncertain_in_each_cell_is_seen_in_all_together():
    names = tuple(f"numpy-cpu:threads={count}" for count in range(1, 9))
    found = find(turns(names, {(name, None): 1.04 for name in names}, rounds=16, noise=0.025, sets=6))
    assert len(found.shown) < len(names) / 2
    assert found.first.low > 1.005


def test_two_cells_are_one_test_after_the_other_one():
    found = find(turns(("cublas", "cublas:tf32"), {("cublas", "cublas:tf32"): 1.12}))
    (one,) = found.shown
    assert (one.after, one.others) == (key("cublas:tf32"), (key("cublas"),))


def test_modes_are_cells_of_their_own():
    """The device's own time is slower after calls that were waited for."""
    waited, device = turns(("torch-gpu", "device"), {("device", "torch-gpu"): 1.1})
    found = find([waited, msgspec.structs.replace(device, backend="torch-gpu", mode="device")])
    (one,) = found.shown
    assert (one.cell.mode, one.after.mode) == ("device", "latency")


def test_rounds_of_two_shapes_are_different_turns():
    found = find(turns(sizes=(64, 128), planted={("cublas", None): 1.05}, rounds=20))
    assert {(one.cell.shape.m, one.after) for one in found.shown} == {(64, None), (128, None)}


@pytest.mark.parametrize(
    "cells",
    [
        turns(("numpy-cpu",), each=1),  # always the first
        turns(sets=2),
        [make_sampled_cell("numpy-cpu", (1e-6,) * 5), make_sampled_cell("torch-cpu", (1e-6,) * 5)],  # always the same
    ],
)
def test_what_cannot_be_tested_is_counted_and_not_spoken_of(cells):
    found = find(cells)
    assert (found.shown, found.tested, found.cells) == ([], 0, len(cells))
    assert findings.carry_over(View(make_result(cells))) == []


def test_a_cell_alone_is_tested_for_its_place_in_the_turn():
    (one,) = find(turns(("numpy-cpu",), {("numpy-cpu", None): 1.03}, rounds=20)).shown
    assert (one.after, one.others) == (None, ())


# --- What is said of it -----------------------------------------------------------------------------------------------


def said(cells, **changes):
    settings = make_settings(margin=0.01)
    return findings.carry_over(View(make_result(cells, settings=settings, **changes)))


def test_a_finding_names_sizes_once_and_what_to_do():
    cells = turns(NAMES[:2], {("cublas", "cublas:tf32"): 1.12}, sizes=(4096, 8192), noise=0.002)
    backends = [make_backend(name, device="gpu") for name in NAMES[:2]]
    (finding,) = said(cells, backends=backends)
    assert (finding.id, finding.verdict) == ("carry-over", "found")
    assert finding.text.startswith("cublas takes 12 % [12, 12] longer at 4096 and 12 % [12, 12] longer at 8192 right ")
    assert finding.text.endswith(
        "right after cublas:tf32 than after itself: the clock or the power state of the GPU carries over; ask for "
        "them in separate runs. (4 of 4 cells could be tested.)"
    )
    assert finding.evidence["cublas at 8192, after cublas:tf32"] == pytest.approx(0.12, abs=0.005)
    assert (finding.backends, finding.shapes) == (["cublas"], ["4096x4096x4096", "8192x8192x8192"])


def test_a_cell_that_is_faster_after_itself():
    names = ("numpy-cpu", "kernel-numpy", "numpy-cpu:out")
    (finding,) = said(turns(names, {("numpy-cpu", "numpy-cpu"): 0.9}, noise=0.002))
    assert "numpy-cpu takes 10 % [10, 10] less at 64 right after itself than after the others" in finding.text
    assert "caches, clocks or thread pools carries over; ask for them in separate runs" in finding.text


def test_first_samples_of_many_cells_are_one_finding():
    (finding,) = said(turns(planted={(name, None): 1.04 for name in NAMES}, rounds=12, noise=0.002))
    assert finding.text.startswith("The first sample of a turn takes 4")
    assert "longer in the median over cells" in finding.text
    assert "in cublas at 64" in finding.text


def test_experiments_ran_before_though_findings_do_not_look_at_them():
    cells = turns(planted={("cublas", "cublas:tf32"): 1.12}, noise=0.002)
    backends = [make_backend("cublas:tf32", experiment=True)]
    (finding,) = said(cells, backends=backends)
    assert "right after cublas:tf32" in finding.text
    assert finding.evidence["cells"] == 2


def test_calls_that_do_nothing_are_not_tested():
    cells = turns(("null-python", "numpy-cpu"), {("null-python", "numpy-cpu"): 1.5})
    (finding,) = said(cells)
    assert (finding.verdict, finding.evidence["cells"]) == ("not found", 1)


def test_where_nothing_is_shown_one_line_says_so():
    result = make_result(turns())
    view = View(result)
    (finding,) = findings.carry_over(view)
    assert finding.verdict == "not found"
    assert "3 of 3 cells could be tested, for changes above 0.5 %" in finding.text
    report = Report(msgspec.structs.replace(result, findings=[finding]))
    assert finding.text in report.steadiness
    assert finding.text not in Report(result).steadiness


def equal_terms(planted):
    """Two backends that differ by a twelfth, on the device too, and a sibling of one of them."""
    cells = turns(("cublas", "cublas:tf32"), planted, noise=0.002)
    other = make_sampled_cell("torch-gpu", (0.9e-3,) * 5)
    calls = [msgspec.structs.replace(cell, precision="tf32" if ":" in cell.backend else "float32")
             for cell in (*cells, other)]  # fmt: skip
    devices = [
        msgspec.structs.replace(cell, mode="device", samples=[], seconds=make_interval(cell.seconds.estimate))
        for cell in calls
    ]
    (finding,) = gpu.gpu_equal_precision(View(make_result([*calls, *devices])))
    return finding.text


def test_a_difference_that_may_be_carry_over_is_not_blamed_on_a_kernel():
    text = equal_terms({("cublas", "cublas:tf32"): 1.25})
    assert "but cublas takes 25 % [25, 25] longer right after cublas:tf32 than otherwise" in text
    assert "another kernel" not in text
    assert "another kernel, or another clock" in equal_terms({})
