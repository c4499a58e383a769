"""What is said of kernels on a GPU: of a run on an H100 that was kept, and of made-up ones."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import gemmscope
from gemmscope.analysis import findings
from gemmscope.analysis.findings import gpu_kernels
from gemmscope.analysis.view import View
from gemmscope.records.gpu import GpuState, Kernel, KernelTrace, TracedKernels
from tests.builders import make_backend, make_machine, make_result, make_sampled_cell, make_samples

RECORDED = Path(__file__).parent.parent / "recordings" / "h100_run.json"
MICRO = 1e-6
H100 = make_machine(gpus=["NVIDIA H100 80GB HBM3"])


@pytest.fixture(scope="module")
def recorded():
    return gemmscope.load(RECORDED)


def said(result, id_):
    return [finding for finding in result.findings if finding.id == id_]


def test_an_h100s_kernels_are_told_at_three_sizes(recorded):
    small, middle, large = said(recorded, "gpu-kernels")
    assert small.text == (
        "On the GPU at 64 torch-gpu, cupy-gpu and cublas run the same kernel (sm80_xmma_gemm…tilesize32x32x8, 3.18 µs "
        "in each); jax-gpu runs gemm_fusion_dot_general_1, 2.06 µs. Launching and waiting take 13.1 µs in cublas, "
        "16.8 µs in torch-gpu and 61.1 µs in jax-gpu; too noisy to tell in cupy-gpu."
    )
    assert middle.shapes == ["1024x1024x1024"]
    assert "(sm80_xmma_gemm…tilesize128x64x8, 5" in middle.text
    assert "run the same kernel (sm80_xmma_gemm…tilesize256x128x8, 21.1 ms to 21.4 ms)" in large.text
    assert "jax-gpu runs cutlass_80_simt_sgemm_256x128_8x4_nn_align1, 21.2 ms" in large.text
    assert large.evidence["torch-gpu, seconds on the device"] == pytest.approx(21.14e-3, rel=1e-3)


def test_on_an_h100_events_agree_with_cupti_and_the_slope_holds_launches(recorded):
    events, slope = said(recorded, "gpu-clock-check")
    assert (events.verdict, slope.verdict) == ("found", "not found")
    assert events.text.startswith("The events agree with CUPTI's times to within 2.3 %")
    assert slope.text.startswith("The slope over chained products reads 5.1 % more than CUPTI for jax-gpu at 1024")


def test_the_parts_of_an_h100s_calls_are_of_the_kernels_own_times(recorded):
    parts = {(part.part, part.m): part for part in recorded.parts if part.backend == "torch-gpu"}
    assert parts["device", 64].seconds.estimate == pytest.approx(3.18e-6, rel=1e-2)
    assert all(parts["device", size].reason == "" for size in (64, 256, 1024, 8192))


def test_an_h100s_transfers_are_told_beside_what_copies_cost(recorded):
    (finding,) = said(recorded, "gpu-transfers")
    assert finding.text.startswith("Copies cost torch-gpu:from-host=pageable ")
    assert finding.text.endswith("of a call at 8192; by the GPU's clock the transfers take 68.5 ms.")


def traced(name, micros, *kernels, size=1024, clock=1980.0, held=(), other=None, other_clock="events"):
    """A backend's device cell of three sets, and what was seen in each."""
    samples = make_samples([micros * MICRO] * 3)
    state = GpuState(sm_mhz=clock, held_by=list(held))
    samples = [msgspec.structs.replace(sample, gpu=state) for sample in samples]
    cell = make_sampled_cell(name, [], size, mode="device", clock="CUPTI", samples=samples)
    found = [Kernel(name=one, grid=(8, 8, 1), block=(128, 1, 1), launches=1, seconds=micros * MICRO) for one in kernels]
    trace = KernelTrace(calls=10, kernels=found, other_clock=other_clock if other else "",
                        other_seconds=other and other * MICRO)  # fmt: skip
    return cell, [TracedKernels(**cell.key.fields, set=set_, trace=trace) for set_ in range(3)]


def view(*cells):
    kernels = [one for _, traces in cells for one in traces]
    baseline = [make_backend("cublas", device="gpu", entry="native") for cell, _ in cells if cell.backend == "cublas"]
    return View(make_result([cell for cell, _ in cells], kernels=kernels, machine=H100, backends=baseline))


def test_who_runs_no_kernel_of_another_is_said_as_well():
    (finding,) = gpu_kernels.same_kernels(view(traced("torch-gpu", 56, "a"), traced("jax-gpu", 50, "b", "c")))
    assert finding.verdict == "not found"
    assert finding.text == "On the GPU at 1024 torch-gpu runs a, 56.0 µs; jax-gpu runs b and c, 50.0 µs."


def test_one_library_alone_has_nothing_to_share():
    assert gpu_kernels.same_kernels(view(traced("torch-gpu", 56, "a"))) == []


def test_the_baseline_is_held_against_those_with_its_kernel():
    (finding,) = gpu_kernels.baseline(view(traced("torch-gpu", 56, "a"), traced("cublas", 56.3, "a")))
    assert finding.verdict == "found"
    assert finding.text == (
        "cublas, the baseline on the GPU, runs the kernels of torch-gpu at 1024, and its time on the device is theirs "
        "to within 0.5 %."
    )


def test_a_baseline_that_is_off_is_told_with_its_clock():
    slow = traced("cublas", 60, "a", clock=1755.0, held=["power cap"])
    (finding,) = gpu_kernels.baseline(view(traced("torch-gpu", 56, "a"), slow))
    assert finding.verdict == "not found"
    assert finding.text.endswith(
        "but at 1024 its time on the device is 7.1 % more than that of torch-gpu, at an SM clock of 1755 against "
        "1980 MHz, held down by power cap."
    )


def test_another_kernel_and_a_short_one_are_no_measure_of_the_baseline():
    assert gpu_kernels.baseline(view(traced("torch-gpu", 56, "a"), traced("cublas", 70, "b"))) == []
    assert gpu_kernels.baseline(view(traced("torch-gpu", 3, "a"), traced("cublas", 4, "a"))) == []


@pytest.mark.parametrize(("one", "other", "why"), [
    (traced("mlx-gpu", 60, "a"), traced("torch-gpu", 50, "b"), ": other kernels (a against b)"),
    (traced("mlx-gpu", 60, "a"), traced("torch-gpu", 50, "a"), ", though both run the same kernels, at the same clock"),
    (traced("mlx-gpu", 60, "a", clock=1500.0), traced("torch-gpu", 50, "a"),
     ", though both run the same kernels, at an SM clock of 1500 against 1980 MHz"),
])  # fmt: skip
def test_why_two_differ_on_the_device(one, other, why):
    seen = view(one, other)
    assert gpu_kernels.why_apart(seen, "mlx-gpu", "torch-gpu", seen.shapes[0]) == why
    assert gpu_kernels.why_apart(seen, "mlx-gpu", "cublas", seen.shapes[0]) == ""


def test_most_sets_say_which_kernel_it_is():
    cell, traces = traced("torch-gpu", 56, "a")
    _, (odd, *_) = traced("torch-gpu", 56, "b")
    seen = view((cell, [odd, *traces]))
    assert seen.trace("torch-gpu", seen.shapes[0]).kernels[0].name == "a"


def test_without_cupti_the_line_to_install_it_is_said_once():
    cell = make_sampled_cell("torch-gpu", [56 * MICRO] * 3, 1024, mode="device", clock="events")
    (finding,) = gpu_kernels.not_seen(View(make_result([cell], machine=H100)))
    assert "pip install 'cupti-python>=13,<14'" in finding.text
    assert finding.text.endswith("Its times are by events.")
    assert gpu_kernels.not_seen(View(make_result([cell]))) == [], "no NVIDIA GPU, no CUPTI"
    assert gpu_kernels.not_seen(view(traced("torch-gpu", 56, "a"))) == []


def test_a_refusal_is_said_with_its_reason():
    cell = make_sampled_cell("torch-gpu", [56 * MICRO] * 3, 1024, mode="device", clock="events")
    refused = TracedKernels(**cell.key.fields, set=0, trace=KernelTrace(clock="events", reason="CUPTI refuses: NO"))
    (finding,) = gpu_kernels.not_seen(View(make_result([cell], machine=H100, kernels=[refused])))
    assert "not recorded, because CUPTI refuses: NO." in finding.text


def test_a_refusal_in_some_sets_is_said_so():
    cell = make_sampled_cell("torch-gpu", [56 * MICRO] * 3, 1024, mode="device", clock="CUPTI and events")
    (finding,) = gpu_kernels.not_seen(View(make_result([cell], machine=H100)))
    assert "not recorded in every batch" in finding.text
    assert finding.text.endswith("Its times are by CUPTI and events.")


def test_the_rules_are_among_all_rules(recorded):
    ids = {finding.id for finding in findings.derive(recorded)}
    assert {"gpu-kernels", "gpu-baseline", "gpu-clock-check"} <= ids
