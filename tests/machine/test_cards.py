"""Which card is meant, whatever CUDA's order and however it is listed: a driver and an NVML that count differently."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiled import shared_library

FAKE = Path(__file__).parent.parent / "fake_cuda"
H100, A100, H200 = (f"GPU-00000000-0000-0000-0000-00000000000{i}" for i in range(3))
FIRST, SECOND = (f"MIG-00000000-0000-0000-0000-00000000000{i}" for i in "ab")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CUDA's driver is loaded by its name on Linux")

# Every device as `gemmscope fleet` has it, with NVML's name and clock of its card, and what a worker of its takes.
PROGRAM = """
import json, os, sys
from gemmscope.errors import UsageError
from gemmscope.machine import cuda_devices, devices, nvml
try:
    found = devices.gpus()
except UsageError as error:
    print(json.dumps(str(error)))
    sys.exit()
seen = []
for one in found:
    card = nvml.card_of(one.visible)
    os.environ |= one.environment
    taken = nvml.card()
    nvml.card.cache_clear()
    seen.append([one.model, one.selector, card and card.clock(), taken and taken.clock(), card and card.profile])
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("driver")
    shared_library(folder / "libcuda.so.1", (FAKE / "fake_driver.cpp").read_text())
    return folder


@pytest.fixture
def ask(folder):
    def asked(program=PROGRAM, **variables):
        plain = {name: value for name, value in os.environ.items() if not name.startswith("CUDA")}
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            env=plain | {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(FAKE)} | variables,
        )  # fmt: skip
        return json.loads(done.stdout)

    return asked


def told(*devices):
    """As the program says them: model, entry, and twice the clock that names the card."""
    clocks = {"H100": 1000, "A100": 1001, "H200": 1002}
    return [[model, entry, clocks[model], clocks[model], ""] for model, entry in devices]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, [("H200", "0"), ("H100", "1"), ("A100", "2")]),
        ({"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}, [("H200", "0"), ("H100", "1"), ("A100", "2")]),
        ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, [("H100", "0"), ("A100", "1"), ("H200", "2")]),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, [("A100", "2"), ("H200", "0")]),
        ({"CUDA_VISIBLE_DEVICES": "2,0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, [("H200", "2"), ("H100", "0")]),
        ({"CUDA_VISIBLE_DEVICES": f"{A100},{H200}"}, [("A100", A100), ("H200", H200)]),
        ({"CUDA_VISIBLE_DEVICES": A100[:-1]}, [("H100", A100[:-1])]),
        ({"CUDA_VISIBLE_DEVICES": f"1,{H200}"}, [("H100", "1"), ("H200", H200)]),
        ({"CUDA_VISIBLE_DEVICES": "1,7,0"}, [("H100", "1")]),
        ({"CUDA_VISIBLE_DEVICES": "1,-1,0"}, [("H100", "1")]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "GPU-none"}, []),
    ],
    ids=str,
)
def test_a_card_is_the_one_that_cuda_means(ask, variables, expected):
    assert ask(**variables) == told(*expected)


def test_each_instance_of_mig_is_a_device_of_its_card(ask):
    found = ask(FAKE_MIG="0", CUDA_VISIBLE_DEVICES=f"{SECOND},{FIRST}")
    assert found == [["H100 MIG 1g.10gb", uuid, 1000, 1000, "1g.10gb"] for uuid in (SECOND, FIRST)]


def test_a_card_that_is_cut_shows_one_instance_by_any_name(ask):
    for entry in ("0", H100):
        ((_, selector, clock, taken, profile),) = ask(
            FAKE_MIG="0", CUDA_DEVICE_ORDER="PCI_BUS_ID", CUDA_VISIBLE_DEVICES=entry
        )
        assert (selector, clock, taken, profile) == (entry, 1000, 1000, "1g.10gb")


def test_instances_beside_whole_cards_are_refused(ask):
    said = ask(FAKE_MIG="0", CUDA_VISIBLE_DEVICES=f"{FIRST},1")
    assert said.startswith(f"CUDA_VISIBLE_DEVICES={FIRST},1 lists whole GPUs beside instances of MIG")


def test_what_nvml_says_of_an_instance_is_told_from_what_it_says_of_its_card(ask):
    program = (
        "import json; from gemmscope.machine import nvml; card = nvml.card(); limits = card.limits()\n"
        "print(json.dumps([card.index(), card.processes(), limits.memory_bytes, limits.others, limits.summary]))"
    )
    index, processes, memory, others, summary = ask(program, FAKE_MIG="0", CUDA_VISIBLE_DEVICES=FIRST)
    assert (index, processes, memory, others) == (0, 0, 10 * 2**30, {})
    assert summary.startswith("MIG instance 1g.10gb of a card with SM clock up to")


def test_a_number_is_no_card_of_nvml_s_where_cuda_counts_otherwise(ask, tmp_path):
    """Without a driver to ask, nothing is guessed."""
    expected = {"FASTEST_FIRST": [None, None], "PCI_BUS_ID": [1001, None]}
    for order, clocks in expected.items():
        (one,) = ask(CUDA_DEVICE_ORDER=order, CUDA_VISIBLE_DEVICES="1", LD_LIBRARY_PATH=str(tmp_path))
        assert one[2:4] == clocks
        assert one[0] == ("A100" if order == "PCI_BUS_ID" else "GPU")
