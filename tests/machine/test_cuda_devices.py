"""Which GPU a process is left with, by an imitation of CUDA's driver that reads the variable as the real one does."""

from __future__ import annotations

import os
import sys
import uuid

import pytest

from gemmscope.backends import registry
from gemmscope.errors import BackendUnavailable, UsageError
from gemmscope.machine import cuda_devices, nvml
from gemmscope.measure.protocol import Open
from gemmscope.measure.survey import plan_workers
from gemmscope.measure.worker import Worker
from gemmscope.workload.operands import SharedMemory

KNOWN = registry.built_in()


class Driver:
    """A driver of so many GPUs; the UUID of each ends with its number."""

    def __init__(self, gpus):
        self._all = [str(i) for i in range(gpus)]

    def _visible(self):
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        return self._all if shown is None else [one for one in shown.split(",") if one in self._all]

    def cuInit(self, flags):  # noqa: N802
        return 0 if self._visible() else 100

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = len(self._visible())
        return 0

    def cuDeviceGet(self, device, ordinal):  # noqa: N802
        device._obj.value = int(self._visible()[ordinal])
        return 0

    def cuDeviceGetUuid(self, name, device):  # noqa: N802
        name._obj[:] = uuid.UUID(int=device.value).bytes
        return 0


@pytest.fixture(autouse=True)
def four_gpus(monkeypatch):
    # Set first, so that what is set under test is taken back.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(cuda_devices, "_driver", lambda: Driver(4))


@pytest.mark.parametrize(("shown", "index", "left"), [(None, 2, 2), ("3,1", 0, 3), ("3, 1", 1, 1)])
def test_a_gpu_is_counted_among_those_that_are_visible(monkeypatch, shown, index, left):
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    cuda_devices.choose(index)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == str(left)
    assert cuda_devices.first_uuid() == f"GPU-{uuid.UUID(int=left)}"


@pytest.mark.parametrize(("shown", "index"), [(None, 4), ("3,1", 2), ("", 0)])
def test_a_gpu_that_is_not_there_is_no_other_one(monkeypatch, shown, index):
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    with pytest.raises(BackendUnavailable, match=f"no GPU {index}"):
        cuda_devices.choose(index)


def test_without_cuda_there_is_nothing_to_choose_from(monkeypatch):
    monkeypatch.setattr(cuda_devices, "_driver", lambda: None)
    assert cuda_devices.first_uuid() is None
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(BackendUnavailable, match="macOS"):
        cuda_devices.choose(0)


def test_backends_of_a_library_share_a_process_by_gpu():
    names = ["mlx-gpu:device=1", "mlx-cpp-gpu:device=1", "mlx-gpu", "mlx-gpu:device=0"]
    workers = plan_workers([KNOWN.variant(name) for name in names], KNOWN, {})
    assert [[v.name for v in one.variants] for one in workers] == [names[:2], [names[2]], [names[3]]]
    layer = KNOWN.layer(KNOWN.variant(names[0]))
    assert layer is not None
    assert layer.inside == names[1]


@pytest.mark.parametrize(
    "text", ["torch-gpu:device", "torch-gpu:device=-1", "torch-gpu:device=01", "cupy-gpu:device=a"]
)
def test_a_device_is_a_whole_number(text):
    with pytest.raises(UsageError, match="device takes a whole number from 0 on"):
        KNOWN.variant(text)


def test_every_backend_on_cuda_has_the_option():
    on_gpu = [backend for backend in KNOWN.backends.values() if backend.device == "gpu"]
    assert on_gpu
    for backend in on_gpu:
        assert "device" in [option.name for option in backend.options], backend.name


def test_a_worker_chooses_once_for_all_its_variants(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    memory = SharedMemory.create(1)
    try:
        variants = [KNOWN.variant(f"cublas:{options}") for options in ("device=1", "device=1+tf32")]
        Worker(memory).answer(Open(variants=variants))
    finally:
        memory.close()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_the_clock_is_read_of_the_gpu_that_cuda_takes(monkeypatch):
    class Nvml:
        NVML_CLOCK_SM = 1
        NVMLError = RuntimeError

        def nvmlInit(self): ...  # noqa: N802

        def nvmlDeviceGetHandleByUUID(self, name):  # noqa: N802
            return {f"GPU-{uuid.UUID(int=2)}": "third"}[name]

        def nvmlDeviceGetClockInfo(self, card, clock):  # noqa: N802
            return {"third": 1980}[card]

    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    cuda_devices.choose(2)
    nvml.card.cache_clear()
    try:
        assert nvml.card().clock() == 1980.0
    finally:
        nvml.card.cache_clear()
