"""Overhead: one definition, 1 − kernel / call, with its interval."""

from __future__ import annotations

import pytest

from gemmscope.analysis.breakdown.cpu import derive
from gemmscope.analysis.breakdown.gpu import derive as derive_gpu
from gemmscope.analysis.findings import overhead as rules
from gemmscope.analysis.view import View
from gemmscope.records.base import CellKey
from gemmscope.workload.shapes import Shape
from tests.analysis.test_ranking import cell
from tests.builders import make_backend, make_cell, make_result

KEY = CellKey("numpy-cpu", Shape(64, 64, 64))
BACKENDS = [
    make_backend("numpy-cpu", part="binding", inside="kernel-numpy"),
    make_backend("kernel-numpy", library="numpy", entry="native"),
]


def overhead(call, kernel):
    cells = [cell("numpy-cpu", call), cell("kernel-numpy", kernel)]
    parts = derive(cells, {record.name: record for record in BACKENDS})
    return View(make_result(cells, parts=parts, backends=BACKENDS)).overheads.get(KEY)


def test_it_is_one_minus_kernel_over_call():
    found = overhead([4e-6] * 5, [3e-6] * 5)
    assert found.share.estimate == pytest.approx(0.25)
    assert found.fraction == found.share.estimate
    assert found.difference == pytest.approx(0.0, abs=1e-12)
    assert [part.part for part in found.parts] == ["binding"]


def test_the_share_is_that_of_the_two_times_beside_it():
    """Whoever divides the times of the table gets the share of the table, however much the sets scatter."""
    found = overhead([4e-6, 5e-6, 7e-6, 4.5e-6, 6e-6], [3e-6, 3.1e-6, 4e-6, 2.9e-6, 5e-6])
    assert found.share.estimate == pytest.approx(1 - 3.52e-6 / 5.19e-6, abs=0.02)
    assert found.share.low < found.share.estimate < found.share.high


def test_a_call_that_was_measured_in_further_sets_has_the_share_of_the_common_ones():
    found = overhead([4e-6, 4e-6, 8e-6], [3e-6, 3e-6])
    assert found.share.estimate == pytest.approx(0.25)
    assert 1 - found.kernel.estimate / found.call.estimate == pytest.approx(found.share.estimate)


def test_noise_that_makes_it_negative_counts_as_nothing():
    found = overhead([3e-6] * 5, [3.1e-6] * 5)
    assert found.share.estimate < 0
    assert found.fraction == 0.0


@pytest.mark.parametrize(("limit", "expected"), [(0.5, True), (0.1, False), (0.26, None)])
def test_limits_are_judged_by_the_interval(limit, expected):
    found = overhead([4e-6, 4.2e-6, 3.9e-6, 4.1e-6, 4e-6], [3e-6] * 5)
    assert found.is_below(limit) is expected


def test_one_batch_has_a_share_and_no_interval():
    found = overhead([4e-6], [3e-6])
    assert found.share.estimate == pytest.approx(0.25)
    assert found.share.low is None
    assert found.is_below(0.5) is None


def test_without_the_kernel_nothing_is_said():
    cells = [cell("numpy-cpu", [4e-6] * 5)]
    parts = derive(cells, {record.name: record for record in BACKENDS})
    assert View(make_result(cells, parts=parts, backends=BACKENDS)).overheads == {}


def test_on_a_gpu_the_device_is_the_kernel():
    cells = [cell("torch-gpu", [40e-6] * 5), cell("torch-gpu", [10e-6] * 5, mode="device")]
    record = make_backend("torch-gpu")
    result = make_result(cells, parts=derive_gpu(cells, {"torch-gpu": record}), backends=[record])
    found = View(result).overheads[CellKey("torch-gpu", Shape(64, 64, 64))]
    assert found.share.estimate == pytest.approx(0.75)
    assert [part.part for part in found.parts] == ["launch"]


def test_on_a_gpu_the_binding_is_inside_of_the_launch():
    cells = [
        cell("mlx-gpu", [40e-6] * 5), cell("mlx-gpu", [10e-6] * 5, mode="device"), cell("mlx-cpp-gpu", [35e-6] * 5)
    ]  # fmt: skip
    records = [make_backend("mlx-gpu", part="binding", inside="mlx-cpp-gpu"), make_backend("mlx-cpp-gpu")]
    parts = derive_gpu(cells, {record.name: record for record in records})
    found = View(make_result(cells, parts=parts, backends=records)).overheads[CellKey("mlx-gpu", Shape(64, 64, 64))]
    assert {part.part for part in found.parts} == {"launch", "binding"}
    assert found.difference == pytest.approx(0.0, abs=1e-12)


def test_the_finding_says_the_share_of_the_table():
    cells = [cell("numpy-cpu", [4e-6, 4.1e-6, 3.9e-6]), cell("kernel-numpy", [3e-6, 3.3e-6, 2.9e-6])]
    parts = derive(cells, {record.name: record for record in BACKENDS})
    view = View(make_result(cells, parts=parts, backends=BACKENDS))
    (finding,) = rules.share(view)
    assert finding.evidence["share at 64"] == view.overheads[KEY].fraction


def test_a_call_without_samples_has_the_ratio_of_its_times():
    cells = [make_cell("numpy-cpu", 4e-6), make_cell("kernel-numpy", 3e-6)]
    with_samples = [cell("numpy-cpu", [4e-6] * 5), cell("kernel-numpy", [3e-6] * 5)]
    parts = derive(with_samples, {record.name: record for record in BACKENDS})
    found = View(make_result(cells, parts=parts, backends=BACKENDS)).overheads[KEY]
    assert found.share.estimate == pytest.approx(0.25)
