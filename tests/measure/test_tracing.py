"""A whole run with an imitated CUPTI, on a backend that says that it computes on a GPU."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

import gemmscope
from gemmscope.analysis.statistics import set_medians
from gemmscope.measure import tracing
from gemmscope.workload.shapes import Shape

HERE = Path(__file__).parent.parent / "imitations" / "cupti_here"
ON_GPU = HERE / "on_gpu.py"

pytestmark = pytest.mark.usefixtures("no_reports")


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(HERE))  # the workers' alone

    def ran(**settings):
        return gemmscope.run(
            sizes=16,
            backends="imitated-gpu",
            backend_files=[str(ON_GPU)],
            seconds=2,
            sets=2,
            experiments=0,
            out=tmp_path,
            **settings,
        )

    return ran


def device(result):
    return next(cell for cell in result.cells if cell.mode == "device")


def test_the_kernels_of_the_librarys_own_call_are_seen_in_every_set(run):
    result = run()
    assert [one.set for one in result.kernels] == [0, 1]
    (kernel,) = result.kernels[0].trace.kernels
    assert (kernel.short_name, kernel.grid, kernel.block) == ("sm80_xmma_gemm…tilesize32x32x8", (8, 8, 1), (128, 1, 1))
    assert (kernel.launches, kernel.seconds) == (1, pytest.approx(3e-6))
    cell = device(result)
    assert (cell.clock, cell.status) == ("CUPTI", "ok")
    assert cell.seconds.estimate == pytest.approx(3e-6)
    assert cell.seconds.low is not None
    assert result.kernels[0].trace.other_clock == "events"
    assert result.kernels[0].trace.other_seconds == pytest.approx(3.5e-6)
    launch = next(part for part in result.parts if part.part == "launch")
    call = next(cell for cell in result.cells if cell.mode == "latency")
    calls = set_medians(call.samples).values()
    assert launch.seconds.estimate == pytest.approx(statistics.mean(calls) - 3e-6)


def test_a_cupti_that_refuses_leaves_the_time_to_the_backends_own_clock(run, monkeypatch):
    monkeypatch.setenv("IMITATED_CUPTI_REFUSES", "1")
    result = run()
    assert {one.trace.reason for one in result.kernels} == {"CUPTI refuses: CUPTI_ERROR_NOT_COMPATIBLE"}
    cell = device(result)
    assert (cell.clock, cell.status) == ("events", "ok")
    assert cell.seconds.estimate == pytest.approx(3.5e-6)


def test_a_call_that_cannot_be_looked_at_keeps_its_times(run, monkeypatch):
    monkeypatch.setenv("IMITATED_GPU_IS_FULL", "1")
    result = run()
    cell = device(result)
    assert (cell.status, cell.reason) == ("skipped", "MemoryError: on purpose")
    assert result.backends[0].status == "ok"
    assert next(cell for cell in result.cells if cell.mode == "latency").status == "ok"


@pytest.mark.parametrize(
    ("size", "there", "taken"), [(64, 10, 10), (1024, 10, 10), (4096, 10, 2), (8192, 10, 1), (16384, 10, 1)]
)
def test_so_many_pairs_are_copied_again_as_no_cache_holds(size, there, taken):
    assert tracing.pairs(Shape(size, size, size), there) == taken


@pytest.mark.parametrize("seconds", [0.0, 1e-6, 20e-6, 1e-3, 20e-3, 1.0])
def test_looking_costs_little_more_than_the_calls_themselves(seconds):
    assert tracing.cost(seconds) < 0.2 + 11 * max(seconds, 2e-3)
