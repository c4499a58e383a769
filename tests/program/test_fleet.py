"""``gemmscope fleet`` and ``compare --fleet`` as programs: processors stand in for GPUs; times are made up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gemmscope
from gemmscope.errors import UsageError
from gemmscope.machine import cuda_devices, limits
from tests.compiled import shared_library
from tests.typed import typed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(os, "sched_setaffinity") or len(limits.processors()) < 2,
        reason="this system binds no process to a processor, or has one alone",
    ),
]

ROOT = Path(__file__).parent.parent.parent
FILE = Path(__file__).parent.parent / "fleet_backends.py"
PROCESSORS = limits.processors()[:2]
DEVICES = ",".join(f"cpu:{number}" for number in PROCESSORS)


LAUNCHED = [name for name in os.environ if name.startswith(("SLURM", "OMPI", "PMI"))]


def gemmscope_(*arguments, folder=None, **variables):
    environment = {name: value for name, value in os.environ.items() if name not in LAUNCHED}
    return subprocess.run(
        [sys.executable, "-m", "gemmscope", *map(str, arguments)], capture_output=True, text=True, cwd=folder,
        env=environment | variables,
    )  # fmt: skip


def fleet(out, *more, slow="", **variables):
    return gemmscope_("fleet", "--devices", DEVICES, "--backend-file", FILE, "--backends", "made-up", "--sets", 3,
                      "--seconds", 4, "--size", 64, "--out", out, *more, MADE_UP_SLOW=slow, **variables)  # fmt: skip


def test_a_slow_device_is_named_and_the_gate_does_not_hold(tmp_path):
    slow = PROCESSORS[1]
    done = fleet(tmp_path / "out", "--fail-slower-than", "2%", slow=str(slow))
    assert done.returncode == 1, done.stderr
    assert f"cpu:{slow} is 5.0 % ± 0.0 slower than cpu:{PROCESSORS[0]}" in done.stdout
    assert f"taskset --cpu-list {PROCESSORS[0]}" in done.stdout
    assert f"The gate does not hold: more than 2 % slower than their peers: cpu:{slow}." in done.stderr
    assert "is shown to be more than 1 % slower" in (tmp_path / "out" / "fleet.html").read_text()
    again = gemmscope_("compare", tmp_path / "out", "--json", "--fail-slower-than", "10%", "--fleet")
    assert again.returncode == 0
    found = json.loads(again.stdout)
    assert found["simultaneous"]
    assert found["members"][found["stragglers"][0]["member"]]["device"] == f"cpu:{slow}"
    assert fleet(tmp_path / "out").returncode == 2


def test_python_measures_a_fleet_as_the_command_does(tmp_path, monkeypatch):
    slow = PROCESSORS[1]
    monkeypatch.setenv("MADE_UP_SLOW", str(slow))
    told = []
    asked = {"devices": DEVICES, "backends": "made-up", "backend_files": [FILE], "size": 64, "memory": False}
    found = gemmscope.fleet(
        **asked, sets=3, seconds="3s", fail_slower_than=0.02, out=tmp_path / "out", tell=told.append
    )
    assert f"cpu:{slow} is 5.0 % ± 0.0 slower" in repr(found)
    assert found.over_limit == [1]
    assert told[-1] == "measuring 64×64×64"
    assert (tmp_path / "out" / "fleet.html").exists()
    assert gemmscope.compare([tmp_path / "out"], margin=0.01, fail_slower_than=0.02) == found


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"sets": 2}, "sets is 2; an interval needs 3"),
        ({"seconds": 0}, "seconds is 0.0; expected a number above 0"),
        ({"seconds": "soon"}, "duration 'soon'"),
        ({"size": 0}, "size is 0; expected at least 1"),
        ({"seed": -1}, "seed is -1"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"devices": ["cpu:0", "cpu:0"]}, "named twice"),
    ],
)
def test_what_python_cannot_ask_of_a_fleet_is_said(tmp_path, asked, words):
    with pytest.raises(UsageError, match=words):
        gemmscope.fleet(**{"devices": DEVICES, "out": tmp_path / "out"} | asked)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(cuda_devices.shown(os.environ) is not None, reason="CUDA is here, and has no such cards")
def test_each_gpu_is_seen_by_its_own_workers_alone(tmp_path):
    arguments = ("--backends", "made-up-gpu", "--sets", 3, "--seconds", 8, "--size", 64, "--no-memory")
    done = gemmscope_("fleet", "--backend-file", FILE, *arguments, "--out", tmp_path / "out",
                      CUDA_VISIBLE_DEVICES="3,5", MADE_UP_SLOW="5")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "gpu:1 is 5.0 % ± 0.0 slower than gpu:0 (made-up-gpu, throughput at 64×64×64)" in done.stdout
    assert "CUDA_VISIBLE_DEVICES=3\n" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="CUDA's driver is loaded by its name on Linux")
def test_instances_of_mig_are_measured_each_for_itself(tmp_path):
    fake = ROOT / "tests" / "fake_cuda"
    shared_library(tmp_path / "libcuda.so.1", (fake / "fake_driver.cpp").read_text())
    first, second = (f"MIG-00000000-0000-0000-0000-00000000000{i}" for i in "ab")
    variables = {"FAKE_MIG": "0", "CUDA_VISIBLE_DEVICES": f"{first},{second}", "MADE_UP_SLOW": second}
    done = gemmscope_("fleet", "--backend-file", FILE, "--backends", "made-up-gpu", "--sets", 3, "--seconds", 8,
                      "--size", 64, "--no-memory", "--out", tmp_path / "out", **variables,
                      LD_LIBRARY_PATH=str(tmp_path), PYTHONPATH=str(fake))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "gpu:1 is 5.0 % ± 0.0 slower than gpu:0" in done.stdout
    assert f"CUDA_VISIBLE_DEVICES={first}\n" in done.stdout
    assert "gpu:0 and gpu:1: instances of MIG, of which NVML reads the whole card's clocks" in done.stdout
    devices = json.loads((tmp_path / "out" / "fleet.json").read_text())["devices"]
    assert [one["model"] for one in devices] == ["H100 MIG 1g.10gb"] * 2
    assert [one["limits"]["instance"] for one in devices] == ["1g.10gb"] * 2


def test_equal_devices_pass_the_gate_as_json(tmp_path):
    done = fleet(tmp_path / "out", "--fail-slower-than", "2%", "--json", "--no-memory")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["stragglers"] == found["over_limit"] == []
    assert {one["verdict"] for one in found["deviations"]} == {"same"}


def test_ranks_take_their_share_and_write_apart(tmp_path):
    shared = tmp_path / "ranks"
    for rank in range(2):
        variables = {"OMPI_COMM_WORLD_RANK": rank, "OMPI_COMM_WORLD_SIZE": 2, "OMPI_COMM_WORLD_LOCAL_RANK": rank,
                     "OMPI_COMM_WORLD_LOCAL_SIZE": 2, "SLURMD_NODENAME": "n7"}  # fmt: skip
        done = fleet(shared, slow=str(PROCESSORS[1]), **{name: str(value) for name, value in variables.items()})
        assert done.returncode == 0, done.stderr
        assert f"n7 rank {rank}: results in {shared / f'n7-{rank}'}" in done.stderr
        assert bool(done.stdout) == (rank == 0)
    done = gemmscope_("compare", "--fleet", shared, "--fail-slower-than", "2%", "--html", tmp_path / "page.html")
    assert done.returncode == 1
    assert f"n7 cpu:{PROCESSORS[1]} is 5.0 %" in done.stdout
    assert f"taskset --cpu-list {PROCESSORS[0]}" in done.stdout
    assert (tmp_path / "page.html").exists()


def test_a_run_without_a_folder_goes_where_all_ranks_look(tmp_path):
    variables = {"SLURM_JOB_ID": "42", "SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2",
                 "SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_NODEID": "1", "SLURMD_NODENAME": "n2"}  # fmt: skip
    arguments = ("run", "--sizes", "16", "--backends", "numpy-cpu", "--sets", 1, "--seconds", 2)
    done = gemmscope_(*arguments, folder=tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "gemmscope-results/slurm-42.0/n2-1/results.json").read_text())
    assert result["machine"]["launched"]["node"] == "n2"
    assert done.stdout == ""
    again = gemmscope_(*arguments, folder=tmp_path, **variables)
    assert again.returncode == 2
    assert "name another folder with --out" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--devices", "cpu:0,cpu:0"], "named twice"),
        (["--devices", "gpu:77"], "no such GPU"),
        (["--devices", DEVICES, "--sets", "2"], "an interval needs 3 fresh processes"),
        (["--devices", DEVICES, "--backends", "torch-gpu"], "torch-gpu does not compute on cpu"),
        (["--devices", DEVICES, "--backends", "nonsense"], "nonsense"),
        (["--devices", DEVICES, "--size", "200000"], "GiB are free"),
    ],
)
def test_bad_usage_is_said_in_words(tmp_path, arguments, words):
    done = typed("fleet", "--out", tmp_path / "out", *arguments, **dict.fromkeys(LAUNCHED))
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "fleet.json").exists()


def test_a_folder_without_runs_is_said(tmp_path):
    done = typed("compare", "--fleet", tmp_path)
    assert done.returncode == 2
    assert "there is no results.json or fleet.json in it" in done.stderr


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can become somebody else")
def test_the_script_for_real_launchers_says_that_it_was_skipped():
    # Read for it: the checkout may lie where nobody else can look.
    script = (ROOT / "ci/fleet.sh").read_text()
    done = subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True, user=65534, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "SKIPPED: Slurm and Open MPI were not tried here: Slurm's daemons and munge need root"
    )
