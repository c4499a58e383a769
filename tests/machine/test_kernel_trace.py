"""What is made of CUPTI's records: those of an H100 that were kept, and those of an imitation."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from gemmscope.machine import kernel_trace
from gemmscope.machine.kernel_trace import Activity, busy_seconds, copies, demangled, kernels
from gemmscope.records.gpu import KernelTrace, short_name

TESTS = Path(__file__).parent.parent
CALLS = 4


@pytest.fixture(scope="module")
def recorded():
    """What an H100 did in four calls, by library and shape."""
    libraries = json.loads((TESTS / "recordings" / "h100_cupti.json").read_text())["libraries"]
    return {
        name: {
            shape: [
                Activity(start, end, text, tuple(grid), tuple(block), kind, size)
                for start, end, text, grid, block, kind, size in activities
            ]
            for shape, activities in shapes.items()
        }
        for name, shapes in libraries.items()
    }


@pytest.fixture
def cupti(monkeypatch):
    """The imitation in the place of cupti-python."""
    monkeypatch.syspath_prepend(TESTS / "imitations" / "cupti_here")
    for name in ("cupti", "cupti.cupti"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    kernel_trace.recorder.cache_clear()
    from cupti import cupti as imitated

    yield imitated
    kernel_trace.recorder.cache_clear()
    for name in ("cupti", "cupti.cupti"):
        sys.modules.pop(name, None)


def trace(activities):
    return KernelTrace(kernels=kernels(activities, CALLS), copies=copies(activities, CALLS), calls=CALLS)


@pytest.mark.parametrize("shape", ["256x256x256", "1024x1024x1024", "8192x8192x8192"])
def test_three_libraries_run_the_same_kernels_in_the_same_time(recorded, shape):
    traces = {name: trace(recorded[name][shape]) for name in ("torch-gpu", "cupy-gpu", "cublas")}
    assert len({one.signature for one in traces.values()}) == 1
    times = [busy_seconds(recorded[name][shape]) / CALLS for name in traces]
    assert max(times) < 1.02 * min(times)
    assert all(one.launches == 1 for found in traces.values() for one in found.kernels)


def test_a_call_may_run_several_kernels_the_longest_first(recorded):
    found = kernels(recorded["cublas"]["256x256x256"], CALLS)
    assert [one.grid for one in found] == [(8, 8, 4), (8, 8, 1)]
    assert found[0].seconds > found[1].seconds
    total = sum(one.seconds * one.launches for one in found)
    assert total == pytest.approx(busy_seconds(recorded["cublas"]["256x256x256"]) / CALLS, rel=0.02)


def test_tf32_is_another_kernel_and_its_name_says_so(recorded):
    plain, reduced = (trace(recorded[name]["1024x1024x1024"]) for name in ("torch-gpu", "torch-gpu:tf32"))
    assert plain.signature != reduced.signature
    assert plain.kernels[0].summary == "sm80_xmma_gemm…tilesize128x64x8, grid 8x16x1, block 128x1x1: 56.5 µs, 1 a call"
    assert reduced.kernels[0].short_name == "sm90_xmma_gemm…tf32…tilesize64x128x32"


def test_copies_from_and_to_the_host_are_counted_apart(recorded):
    found = trace(recorded["torch-gpu:from-host=pageable"]["1024x1024x1024"])
    assert {one.kind: one.launches for one in found.copies} == {"host to device": 2, "device to host": 1}
    assert {one.size for one in found.copies} == {4 * 1024 * 1024}
    assert found.copying > 10 * found.kernels[0].seconds
    assert found.copies[0].summary.startswith("host to device, 4.19 MB: ")


def test_what_runs_at_the_same_time_counts_once():
    assert busy_seconds([Activity(0, 10), Activity(5, 12), Activity(6, 8), Activity(20, 21)]) == pytest.approx(13e-9)
    assert busy_seconds([]) == 0


def test_what_is_too_short_for_the_devices_clock_takes_a_step_of_it():
    assert copies([Activity(5, 5, kind="fill", size=4)], 1)[0].seconds == pytest.approx(1e-9)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("void cutlass::Kernel2<cutlass_80_simt_sgemm_256x128_8x4_nn_align1>(T1::Params)",
         "cutlass_80_simt_sgemm_256x128_8x4_nn_align1"),
        ("void cublasLt::splitKreduce_kernel<(int)32, (int)16, int, float>(cublasLt::Params)", "splitKreduce_kernel"),
        ("void at::native::(anonymous namespace)::fill<float, 4>(float*)", "fill"),
        ("gemm_fusion_dot", "gemm_fusion_dot"),
        ("sm80_xmma_gemm_f32f32_f32f32_f32_nn_n_tilesize64x64x8_stage3_execute_splitK_kernel__5x_cublas",
         "sm80_xmma_gemm…tilesize64x64x8…splitK"),
        ("void gemv2N<int, int, float, float, float, float, 128>(cublasGemvParams)", "gemv2N"),
    ],
)  # fmt: skip
def test_names_are_cut_to_what_tells_kernels_apart(name, short):
    assert short_name(name) == short


def test_a_name_without_an_end_is_cut():
    assert len(short_name("k" * 500)) < 60
    assert "…" in short_name("k" * 500)


def test_mangled_names_are_written_as_in_the_source():
    mangled = "_ZN7cutlass7Kernel2I43cutlass_80_simt_sgemm_256x128_8x4_nn_align1EEvNT_6ParamsE"
    assert short_name(demangled(mangled)) == "cutlass_80_simt_sgemm_256x128_8x4_nn_align1"
    assert demangled("gemm_fusion_dot") == "gemm_fusion_dot"
    assert demangled("_Zbroken") == "_Zbroken"


def test_only_what_runs_meanwhile_is_recorded(cupti):
    recorder = kernel_trace.recorder()
    cupti.launched("before", 1000)
    with recorder.recording() as flush:
        cupti.launched("first", 3000, (8, 2, 1), (128, 1, 1))
        cupti.copied(4096, 700, copy_kind=2)
        first = flush()
        cupti.launched("second", 5000)
        second = flush()
    cupti.launched("after", 1000)
    with recorder.recording() as flush:
        assert flush() == []
    assert [(one.name, one.grid, one.block) for one in first if not one.kind] == [("first", (8, 2, 1), (128, 1, 1))]
    assert [(one.kind, one.size) for one in first if one.kind] == [("device to host", 4096)]
    assert [one.name for one in second] == ["second"]
    assert busy_seconds(first) == pytest.approx(3.7e-6)


def test_a_cupti_that_refuses_says_why(cupti, monkeypatch):
    monkeypatch.setenv("IMITATED_CUPTI_REFUSES", "1")
    with pytest.raises(kernel_trace.CuptiRefusedError, match="CUPTI_ERROR_NOT_COMPATIBLE"):
        kernel_trace.recorder()


def test_without_cupti_python_the_line_to_install_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupti", None)
    kernel_trace.recorder.cache_clear()
    with pytest.raises(kernel_trace.CuptiRefusedError, match="pip install 'cupti-python"):
        kernel_trace.recorder()
