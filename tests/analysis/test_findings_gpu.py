"""What is said about GPUs: each rule on made-up results, for both outcomes."""

from __future__ import annotations

from gemmscope.analysis.breakdown.gpu import derive
from gemmscope.analysis.findings import gpu
from tests.analysis.test_findings import cell, only, view
from tests.builders import make_backend, make_sampled_cell


def reduced(backend, micros, size=64):
    return cell(backend, micros, size, precision="tf32", relative_error=2.9e-4)


def test_tf32_is_named_as_the_cause_with_what_it_would_be_mistaken_for():
    finding = only(gpu.tf32_as_cause(view(
        cell("torch-gpu", 98.0, 8192), cell("mlx-gpu", 100.0, 8192), reduced("mlx-gpu:tf32", 14.7, 8192),
    )))  # fmt: skip
    assert finding.verdict == "found"
    assert "because of TF32, not because of the library: at 8192 it takes 0.15" in finding.text
    assert "relative error 2.9e-04 against 3.1e-07" in finding.text
    assert (
        "Compared with torch-gpu in full precision it looks 6.7× as fast; at equal precision it is 0.98" in finding.text
    )
    assert finding.backends == ["mlx-gpu:tf32", "mlx-gpu"]


def test_tf32_that_gains_nothing_is_no_cause():
    finding = only(gpu.tf32_as_cause(view(cell("torch-gpu", 10.0), reduced("torch-gpu:tf32", 10.0))))
    assert finding.verdict == "not found"
    assert "no measurable difference" in finding.text
    assert gpu.tf32_as_cause(view(cell("torch-gpu", 10.0))) == []


def test_what_is_too_noisy_to_tell_is_not_called_a_difference_that_cannot_be_measured():
    wild = make_sampled_cell("torch-gpu:tf32", [2e-6, 9e-6, 30e-6], precision="tf32", relative_error=2.9e-4)
    finding = only(gpu.tf32_as_cause(view(cell("torch-gpu", 10.0), wild)))
    assert finding.verdict == "not found"
    assert finding.text.startswith("It is too noisy to tell whether TF32 makes torch-gpu faster at 64: it takes 0.8")


def crossing():
    return [
        cell("numpy-cpu", 1.0, 64), cell("torch-gpu", 10.0, 64), cell("torch-gpu:from-host=pinned", 20.0, 64),
        cell("numpy-cpu", 100.0, 512), cell("torch-gpu", 12.0, 512), cell("torch-gpu:from-host=pinned", 120.0, 512),
        cell("numpy-cpu", 900.0, 1024), cell("torch-gpu", 20.0, 1024), cell("torch-gpu:from-host=pinned", 300.0, 1024),
    ]  # fmt: skip


def test_the_threshold_is_named_with_and_without_copies():
    finding = only(gpu.gpu_threshold(view(*crossing())))
    assert finding.verdict == "found"
    assert "with its operands on the GPU from 512 on (0.12" in finding.text
    assert "copied at every call (pinned) from 1024 on (0.33" in finding.text
    assert finding.evidence == {"torch-gpu, faster from": "512", "torch-gpu:from-host=pinned, faster from": "1024"}


def test_a_gpu_that_is_never_ahead_has_no_threshold():
    finding = only(gpu.gpu_threshold(view(cell("numpy-cpu", 1.0), cell("torch-gpu", 10.0))))
    assert finding.verdict == "not found"
    assert "at no size up to 64" in finding.text
    assert gpu.gpu_threshold(view(cell("numpy-cpu", 1.0))) == []


def test_reduced_precision_wins_no_threshold():
    assert gpu.gpu_threshold(view(cell("numpy-cpu", 100.0), reduced("torch-gpu", 10.0))) == []


def launched(*times):
    cells = [
        one
        for size, micros, device in times
        for one in (cell("torch-gpu", micros, size), cell("torch-gpu", device, size, mode="device"))
    ]
    return view(*cells, parts=derive(cells, {"torch-gpu": make_backend("torch-gpu")}))


def test_small_sizes_are_bound_by_launches():
    finding = only(gpu.gpu_launch_bound(launched((64, 10.0, 2.0), (1024, 100.0, 90.0))))
    assert finding.verdict == "found"
    assert "bound by launches at 64: launch and wait take 80 % [80, 80] of a call at 64, 10 % [10, 10]" in finding.text
    assert finding.shapes == ["64x64x64"]


def test_large_sizes_are_not_bound_by_launches():
    finding = only(gpu.gpu_launch_bound(launched((1024, 100.0, 90.0))))
    assert finding.verdict == "not found"
    assert "at no size measured" in finding.text
    assert gpu.gpu_launch_bound(view(cell("torch-gpu", 10.0))) == []


def test_at_equal_precision_a_tie_is_called_one():
    finding = only(gpu.gpu_equal_precision(view(
        cell("torch-gpu", 98.0, 64), cell("mlx-gpu", 300.0, 64),
        cell("torch-gpu", 98.0, 8192), cell("mlx-gpu", 100.0, 8192), cell("cublas", 97.0, 8192),
    )))  # fmt: skip
    assert finding.verdict == "found"
    assert "mlx-gpu, torch-gpu and cublas tie at 8192" in finding.text
    assert finding.shapes == ["8192x8192x8192"]


def test_at_equal_precision_a_difference_is_placed():
    """Once the device is slower itself, once only what is around it."""
    for device, words in ((147.0, "1.50 of it on the device alone"), (98.0, "the difference is launch and wait")):
        finding = only(gpu.gpu_equal_precision(view(
            cell("torch-gpu", 100.0), cell("torch-gpu", 98.0, mode="device"),
            cell("mlx-gpu", 150.0), cell("mlx-gpu", device, mode="device"),
        )))  # fmt: skip
        assert finding.verdict == "not found"
        assert words in finding.text
    unknown = only(gpu.gpu_equal_precision(view(cell("torch-gpu", 100.0), cell("mlx-gpu", 150.0))))
    assert "not known for both" in unknown.text


def test_other_precisions_are_not_on_equal_terms():
    assert gpu.gpu_equal_precision(view(cell("torch-gpu", 98.0), reduced("mlx-gpu", 14.0))) == []
