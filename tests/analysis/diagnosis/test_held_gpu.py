"""A GPU that is held back, seen by NVML alone: nothing of it can be tried."""

from __future__ import annotations

import msgspec
import pytest

from gemmscope.analysis import diagnosis
from gemmscope.analysis.view import View
from gemmscope.records.gpu import NVML_INDEX, GpuLimits, GpuState
from tests.builders import make_backend, make_machine, make_result, make_sampled_cell, make_samples, make_worker

CARD = GpuLimits(name="NVIDIA H100", power_limit=700, default_power_limit=700, max_sm_mhz=1980)


def diagnosed(*states, card=CARD, backend="torch-gpu"):
    samples = make_samples([21e-3] * 3, rounds=max(1, len(states) // 3))
    samples = [msgspec.structs.replace(one, gpu=state) for one, state in zip(samples, states, strict=False)] or samples
    result = make_result(
        [make_sampled_cell(backend, [], 8192, samples=samples)],
        machine=make_machine(gpus=["NVIDIA H100"], gpu_limits=[CARD, card]),
        backends=[make_backend(backend, worker="torch")],
        workers=[make_worker("torch", backends={backend: {NVML_INDEX: 1}})],
    )
    return [one for one in diagnosis.derive(View(result)) if one.id == "held-gpu"]


FREE = GpuState(sm_mhz=1980.0)
CAPPED = GpuState(sm_mhz=1470.0, held_by=["power cap"])


def test_a_power_cap_that_lowers_the_clock_is_told():
    (found,) = diagnosed(*[CAPPED] * 8, FREE)
    assert (found.subject, found.verdict, found.matters, found.backend) == (
        "power cap",
        "not testable",
        True,
        "torch-gpu",
    )
    assert "the GPU's power cap held its clock down in 8 of 9 readings, to 1470 of 1980 MHz" in found.text
    assert found.remedy.startswith("see the card's limits")


@pytest.mark.parametrize("states", [
    (),
    [FREE] * 9,
    [CAPPED, *[FREE] * 8],
    [GpuState(sm_mhz=1965.0, held_by=["power cap"])] * 9,
    [GpuState(held_by=["power cap"])] * 9,
])  # fmt: skip
def test_a_clock_that_is_up_or_down_once_is_no_cause(states):
    assert diagnosed(*states) == []


def test_heat_has_another_remedy():
    (found,) = diagnosed(*[GpuState(sm_mhz=1200.0, held_by=["heat (hardware)"])] * 9)
    assert "TEMPERATURE" in found.remedy


def test_a_power_limit_below_the_default_is_told_of_the_card_that_was_used():
    (found,) = diagnosed(card=msgspec.structs.replace(CARD, power_limit=500))
    assert "power limit of the NVIDIA H100 is 500 W, and 700 W by default" in found.text
    assert found.remedy == "sudo nvidia-smi --power-limit=700"
    assert (found.backend, found.matters) == ("", True)


def test_other_programs_on_the_card_are_named():
    (found,) = diagnosed(card=msgspec.structs.replace(CARD, others={"train": 3 * 2**30}))
    assert "Other programs were on the NVIDIA H100 before the run: train" in found.text


def test_what_holds_a_gpu_back_does_not_slow_a_processor():
    assert diagnosed(*[CAPPED] * 9, backend="torch-cpu", card=msgspec.structs.replace(CARD, power_limit=500)) == []
