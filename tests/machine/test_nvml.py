"""What NVML says of a card, by an imitation that says what an H100 did."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gemmscope.machine import gpu, nvml
from gemmscope.records.gpu import GpuLimits

RECORDED = json.loads((Path(__file__).parent.parent / "recordings" / "h100_nvml.json").read_text())


class Nvml:
    """One H100 under its power cap; what a test gives in ``changes`` is answered, or raised, instead."""

    NVML_CLOCK_SM = "sm"
    NVML_CLOCK_MEM = "memory"
    NVML_TEMPERATURE_GPU = "gpu"

    def __init__(self, **changes):
        (limits,) = RECORDED["limits"]
        state = RECORDED["states"][-2][1]
        raw = RECORDED["raw"]
        self._answers = {
            "nvmlInit": None,
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "card",
            "nvmlDeviceGetIndex": 0,
            "nvmlDeviceGetName": limits["name"].encode(),  # older bindings give bytes
            "nvmlSystemGetDriverVersion": limits["driver"],
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=limits["memory_bytes"]),
            "nvmlDeviceGetMaxClockInfo": limits["max_sm_mhz"],
            "nvmlDeviceGetClockInfo": state["sm_mhz"],
            "nvmlDeviceGetPowerUsage": state["watts"] * 1e3,
            "nvmlDeviceGetTemperature": state["celsius"],
            "nvmlDeviceGetCurrentClocksEventReasons": int(raw["nvmlDeviceGetCurrentClocksEventReasons"]),
            "nvmlDeviceGetEnforcedPowerLimit": int(raw["nvmlDeviceGetEnforcedPowerLimit"]),
            "nvmlDeviceGetPowerManagementDefaultLimit": int(raw["nvmlDeviceGetPowerManagementDefaultLimit"]),
            "nvmlDeviceGetMigMode": json.loads(raw["nvmlDeviceGetMigMode"]),
            "nvmlDeviceGetEccMode": json.loads(raw["nvmlDeviceGetEccMode"]),
            "nvmlDeviceGetPersistenceMode": int(raw["nvmlDeviceGetPersistenceMode"]),
            "nvmlDeviceGetComputeRunningProcesses": [],
        } | changes

    def __getattr__(self, name):
        answer = self._answers[name]

        def answered(*_):
            if isinstance(answer, Exception):
                raise answer
            return answer

        return answered


def limits(monkeypatch, **changes):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(**changes))
    (found,) = nvml.limits()
    return found


def test_a_card_as_it_is_set_up(monkeypatch):
    found = limits(monkeypatch)
    assert (found.name, found.power_limit, found.default_power_limit) == ("NVIDIA H100 80GB HBM3", 700, 700)
    assert (found.mig, found.ecc, found.persistence, found.max_sm_mhz) == (False, True, True, 1980)
    assert found.summary == (
        "power limit 700 W, SM clock up to 1980 MHz, MIG off, ECC on, persistence mode on, driver 580.159.04"
    )


def test_a_limit_below_the_default_and_other_programs_show(monkeypatch):
    others = [SimpleNamespace(pid=0, usedGpuMemory=3 * 2**30), SimpleNamespace(pid=0, usedGpuMemory=None)]
    monkeypatch.setattr(nvml, "_process_name", lambda pid: "train")
    found = limits(monkeypatch, nvmlDeviceGetEnforcedPowerLimit=500_000, nvmlDeviceGetComputeRunningProcesses=others)
    assert found.others == {"train": 3 * 2**30}
    assert found.summary.startswith("power limit 500 of 700 W, ")
    assert found.summary.endswith("in use by train")


def test_what_a_card_does_not_say_is_none_and_costs_nothing_else(monkeypatch):
    found = limits(monkeypatch, nvmlDeviceGetMigMode=RuntimeError("Not Supported"), nvmlDeviceGetEccMode=OSError())
    assert (found.mig, found.ecc, found.power_limit) == (None, None, 700)


def test_a_process_that_cannot_be_seen_is_another_one():
    assert nvml._process_name(2**22 + 1) == "another process"


def test_without_nvml_there_is_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    nvml.card.cache_clear()
    assert nvml.limits() == []
    assert nvml.card() is None
    nvml.card.cache_clear()


@pytest.mark.parametrize(
    ("bits", "held"),
    [(0x4, ["power cap"]), (0x1, []), (0x100, []), (0x24, ["power cap", "heat"]), (0x80, ["power brake"])],
)
def test_what_holds_the_clocks_down_is_named(bits, held):
    state = nvml.Card(Nvml(nvmlDeviceGetCurrentClocksEventReasons=bits), "card").state()
    assert state.held_by == held
    assert (state.sm_mhz, state.memory_mhz, state.celsius) == (1470.0, 1470.0, 59.0)
    assert state.watts == pytest.approx(701.088)


def test_older_bindings_have_an_older_name_for_the_reasons():
    older = Nvml(nvmlDeviceGetCurrentClocksThrottleReasons=0x40)
    del older._answers["nvmlDeviceGetCurrentClocksEventReasons"]

    class Older:
        NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = "sm", "memory", "gpu"

        def __getattr__(self, name):
            if name not in older._answers:
                raise AttributeError(name)
            return getattr(older, name)

    assert nvml.Card(Older(), "card").state().held_by == ["heat (hardware)"]


def test_missing_tools_are_said_where_there_is_an_nvidia_gpu_alone(monkeypatch):
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: None)
    assert gpu.missing_tools(["Apple M4 GPU"]) == gpu.missing_tools([]) == []
    kernels, clocks = gpu.missing_tools(["NVIDIA H100 80GB HBM3"])
    assert "pip install 'cupti-python>=13,<14'" in kernels
    assert "pip install nvidia-ml-py" in clocks
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: "here")
    assert gpu.missing_tools(["NVIDIA H100 80GB HBM3"]) == []


def test_limits_that_nothing_is_known_of_say_nothing():
    assert GpuLimits(name="NVIDIA GPU").summary == ""


def test_limits_of_an_instance_of_mig_say_what_is_the_card_s():
    said = GpuLimits(name="H100 MIG 1g.10gb", instance="1g.10gb", power_limit=700, mig=True, others={"train": 1})
    assert said.summary == "MIG instance 1g.10gb of a card with power limit 700 W and MIG on, in use by train"


def test_an_instance_without_a_name_is_not_taken_for_a_card():
    unnamed = nvml.Card(Nvml(nvmlDeviceGetName=RuntimeError()), "card", "instance")
    assert unnamed.profile == "of a profile that NVML does not name"
    assert nvml.Card(Nvml(), "card").profile == ""
