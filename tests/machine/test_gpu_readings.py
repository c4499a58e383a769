"""What GPUs say of themselves while they are measured, by an NVML that is made up."""

from __future__ import annotations

import sys
import time

import pytest

from gemmscope.machine import nvml
from gemmscope.machine.devices import Device
from gemmscope.machine.gpu_readings import Readings
from tests.machine.test_nvml import Nvml

GPUS = [Device("gpu:0", "gpu", "H100", visible="0"), Device("gpu:1", "gpu", "H100", visible="GPU-abc")]


@pytest.fixture
def installed(monkeypatch):
    def install(**changes):
        answers = {"nvmlDeviceGetHandleByUUID": "other card", "nvmlDeviceGetComputeMode": 0} | changes
        monkeypatch.setitem(sys.modules, "pynvml", Nvml(**answers))

    return install


def test_a_reading(installed):
    installed(nvmlDeviceGetComputeRunningProcesses=[object()] * 3)
    readings = Readings(GPUS, time.perf_counter())
    readings.read()
    first, second = readings.taken
    state = readings.cards[0].state()
    assert (first.sm_mhz, first.watts, first.held_by) == (state.sm_mhz, state.watts, state.held_by)
    assert (first.device, second.device, second.processes) == (0, 1, 3)
    assert readings.cards[1].handle == "other card"


def test_it_reads_until_it_is_left(installed):
    installed()
    with Readings(GPUS, time.perf_counter()) as readings:
        while len(readings.taken) < 4:
            time.sleep(0.01)
    assert len(readings.taken) % 2 == 0
    # The list of processes takes longest, and is not asked for each time.
    assert [one.processes for one in readings.taken[:4]] == [0, 0, None, None]


@pytest.mark.parametrize(("mode", "exclusive"), [(0, False), (3, True), (RuntimeError(), False)])
def test_a_card_that_takes_one_process_at_a_time(installed, mode, exclusive):
    installed(nvmlDeviceGetComputeMode=mode)
    assert nvml.card_of("0").is_exclusive() == exclusive


def test_what_cannot_be_counted_is_none(installed):
    installed(nvmlDeviceGetComputeRunningProcesses=RuntimeError())
    assert nvml.card_of("0").processes() is None


def test_without_nvml_there_are_no_readings(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with Readings(GPUS, 0.0) as readings:
        readings.read()
    assert readings.taken == []
    assert readings.cards == {}


def test_processors_are_left_alone(installed):
    installed()
    assert Readings([Device("cpu:0", "cpu", "CPU", processors=(0,))], 0.0).cards == {}
