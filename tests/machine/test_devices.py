"""The devices of a host: GPUs as they are visible, processors, and what is no name of either."""

from __future__ import annotations

import os

import pytest

from gemmscope.errors import UsageError
from gemmscope.machine import cuda_devices, devices, gpu, limits, nvml
from gemmscope.records.gpu import GpuLimits

MODELS = ["H100", "H100", "H200"]

bound = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to a processor")


@pytest.fixture(autouse=True)
def no_driver(monkeypatch):
    monkeypatch.setattr(cuda_devices, "shown", lambda environ: None)


@pytest.fixture
def three(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(nvml, "limits", list)
    monkeypatch.setattr(gpu, "names", lambda: MODELS)


def test_every_gpu_has_a_worker_that_sees_it_alone(three):
    found = devices.named(["gpu"])
    assert [one.name for one in found] == ["gpu:0", "gpu:1", "gpu:2"]
    assert [one.model for one in found] == MODELS
    assert found[2].environment == {"CUDA_VISIBLE_DEVICES": "2", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_what_is_visible_is_numbered():
    found = devices.gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-abc"}, MODELS)
    assert [(one.name, one.visible, one.model) for one in found] == [
        ("gpu:0", "2", "H200"), ("gpu:1", "GPU-abc", "GPU")
    ]  # fmt: skip
    assert devices.gpus({"CUDA_VISIBLE_DEVICES": ""}, MODELS) == []
    assert len(devices.gpus({"CUDA_VISIBLE_DEVICES": "1,-1,0"}, MODELS)) == 1


def test_nvml_says_which_gpus_a_container_has(three, monkeypatch):
    monkeypatch.setattr(nvml, "limits", lambda: [GpuLimits(name="A100")])
    assert [one.model for one in devices.named(["gpu"])] == ["A100"]


@bound
def test_processors():
    first, *_ = limits.processors()
    (one,) = devices.named([f"cpu:{first}"])
    assert one.processors == (first,)
    assert one.environment == {}
    assert [device.processors[0] for device in devices.named(["cpu"])] == limits.processors()


@bound
def test_what_starts_inside_is_bound_and_nothing_after_it():
    before = os.sched_getaffinity(0)
    (one,) = devices.named([f"cpu:{min(before)}"])
    with one.binding():
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


@bound
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["gpu:3"], "no such GPU is seen here; there are: gpu:0, gpu:1, gpu:2"),
        (["gpu:0-1"], "expected gpu:1, cpu:0, cpu:0-7"),
        (["card"], "expected gpu:1, cpu:0, cpu:0-7"),
        (["gpu:0", "gpu"], "named twice"),
        (["cpu:99999"], "processors that may be used here"),
        (["cpu:1-0"], "processors that may be used here"),
        (["gpu:0", "cpu"], "are no peers"),
    ],
)
def test_what_is_no_device_is_said(three, names, words):
    with pytest.raises(UsageError, match=words):
        devices.named(names)


def test_a_gpu_that_is_listed_twice_is_no_peer_of_itself(three, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0,1")
    with pytest.raises(UsageError, match="CUDA_VISIBLE_DEVICES=1,0,1: gpu:2 is the same GPU as gpu:0"):
        devices.named(["gpu"])
    assert [one.visible for one in devices.named(["gpu:0", "gpu:1"])] == ["1", "0"]


@bound
def test_processors_need_no_driver(monkeypatch):
    monkeypatch.setattr(devices, "gpus", lambda: pytest.fail("nobody asked for GPUs"))
    assert devices.named(["cpu"])


def test_without_a_gpu_processors_are_suggested(monkeypatch):
    monkeypatch.setattr(nvml, "limits", list)
    monkeypatch.setattr(gpu, "names", list)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(UsageError, match="no GPU is seen here; --devices cpu:0,cpu:1"):
        devices.named(["gpu"])
