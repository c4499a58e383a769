"""What tests/backends/test_gpu.py asks of a machine with a GPU, on records of one, and what it does with answers."""

from __future__ import annotations

import functools
import json
import types
from pathlib import Path

import pytest

from gemmscope.machine.kernel_trace import Activity
from gemmscope.records.gpu import short_name
from tests.backends import test_gpu
from tests.backends.test_gpu import all_told, launches, profiled_launches

RECORDED = Path(__file__).parent.parent / "recordings" / "h100_cupti.json"
SIZES = ("256x256x256", "1024x1024x1024", "8192x8192x8192")


@functools.cache
def recorded(name, shape):
    activities = json.loads(RECORDED.read_text())["libraries"][name][shape]
    return [Activity(start, end, *rest[:1], *map(tuple, rest[1:3]), *rest[3:]) for start, end, *rest in activities]


@pytest.mark.parametrize("shape", SIZES)
def test_a_call_launches_a_whole_number_of_kernels_and_libraries_the_same(shape):
    seen = [launches(recorded(name, shape), 4) for name in ("torch-gpu", "cupy-gpu", "cublas")]
    assert seen[0] == seen[1] == seen[2]
    assert seen[0]
    assert all(count == 1 for _, _, count in seen[0])
    assert launches([], 1) == []


def test_a_kernel_that_is_not_of_the_calls_is_seen():
    activities = recorded("cublas", SIZES[1])
    lost = launches(activities[1:], 4)
    assert not all(count == int(count) for _, _, count in lost)


def test_a_profile_is_counted_as_the_records_are():
    counted = {short_name(name): count for name, _, count in launches(recorded("torch-gpu", SIZES[1]), 4)}

    def average(key, count, device):
        return types.SimpleNamespace(key=key, count=count, device_type=types.SimpleNamespace(name=device))

    names = {one.name for one in recorded("torch-gpu", SIZES[1]) if not one.kind}
    averages = [
        *(average(name, 40, "CUDA") for name in names), average("cudaLaunchKernel", 10, "CPU"),
        average("Memcpy HtoD (Pageable -> Device)", 10, "CUDA"), average("Memset (Device)", 3, "CUDA"),
    ]  # fmt: skip
    assert profiled_launches(averages, 40) == counted


def test_a_task_that_fails_costs_itself(monkeypatch):
    monkeypatch.setattr(test_gpu, "made", lambda variant: None)

    def failing(variant):
        raise ValueError(f"on purpose, in {variant}")

    told = all_told("torch-gpu", ["bad", "good"], {"bad": failing, "good": lambda variant: {"variant": variant}})
    assert "ValueError: on purpose, in torch-gpu" in told["bad"]["raised"]
    assert told["good"] == {"variant": "torch-gpu"}


def test_a_library_is_loaded_once_for_all_that_is_asked(monkeypatch):
    asked = []

    def answering(arguments, **options):
        asked.append(arguments[2:])
        told = {task: {"of": arguments[2]} for task in arguments[3:]}
        return types.SimpleNamespace(returncode=0, stdout=json.dumps(told), stderr="")

    monkeypatch.setattr(test_gpu.subprocess, "run", answering)
    monkeypatch.setattr(test_gpu, "said", functools.cache(test_gpu.said.__wrapped__))
    for task in test_gpu.OF_A_LIBRARY:
        assert test_gpu.asked("torch-gpu", task) == {"of": "torch-gpu"}
    assert test_gpu.asked("torch-gpu:tf32", "error") == {"of": "torch-gpu:tf32"}
    assert test_gpu.asked("torch-gpu", test_gpu.ALONE) == {"of": "torch-gpu"}
    assert asked == [
        ["torch-gpu", *test_gpu.OF_A_LIBRARY], ["torch-gpu:tf32", "error"], ["torch-gpu", test_gpu.ALONE],
    ]  # fmt: skip


def test_variants_of_what_cannot_run_are_not_asked(monkeypatch):
    asked = []

    def answering(arguments, **options):
        asked.append(arguments[2])
        return types.SimpleNamespace(returncode=0, stdout='{"unavailable": "no GPU"}', stderr="")

    monkeypatch.delenv("GEMMSCOPE_NEEDS_GPU", raising=False)
    monkeypatch.setattr(test_gpu.subprocess, "run", answering)
    monkeypatch.setattr(test_gpu, "said", functools.cache(test_gpu.said.__wrapped__))
    for variant in ("jax-gpu", "jax-gpu:tf32", "jax-gpu:from-host=pageable"):
        with pytest.raises(pytest.skip.Exception, match="no GPU"):
            test_gpu.asked(variant, "error")
    assert asked == ["jax-gpu"]
