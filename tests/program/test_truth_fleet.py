"""What bench/truth_fleet.py plans, how its rules judge, and what its table says."""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
import time
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from gemmscope.analysis.runs.fleet import gather
from gemmscope.records.base import Interval
from tests.fleets import make_fleet_run

BENCH = Path(__file__).parent.parent.parent / "bench"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    monkeypatch.delitem(sys.modules, "truth_fleet", raising=False)
    return importlib.import_module("truth_fleet")


def test_every_device_is_planted_as_often_and_half_of_the_runs_have_no_plant(module):
    plan = module.planned(20, ["gpu:0", "gpu:1"], 0)
    assert {name: plan.count(name) for name in plan} == {"gpu:0": 5, "gpu:1": 5, "": 10}
    assert plan == module.planned(20, ["gpu:0", "gpu:1"], 0) != module.planned(20, ["gpu:0", "gpu:1"], 1)


@pytest.mark.parametrize(
    ("slower", "ten", "sigma"),
    [({1: 1.02}, [], ["gpu:1"]), ({1: 1.2}, ["gpu:1"], ["gpu:1"]), ({1: 1.0005}, [], [])],
)
def test_the_rules_judge_the_same_samples(module, slower, ten, sigma):
    run = make_fleet_run(2, slower=slower)
    said = msgspec.to_builtins(gather([("here", run)], margin=0.01))
    measured, named = module.judged(said, run, "gpu:1")
    assert named[module._TEN] == ten
    assert named[module._SIGMA] == sigma
    assert named[module._OURS] == (["gpu:1"] if slower[1] > 1.015 else [])
    assert measured.estimate == pytest.approx(slower[1], abs=0.003)


def trial(module, number, device, named, measured=1.02):
    named = {module._OURS: named, module._TEN: [], module._SIGMA: []}
    achieved = Interval(estimate=1.021, low=1.02, high=1.022) if device else None
    return module.Trial(number, device, 2.0 if device else 0.0, achieved, Interval(estimate=measured), named, 25.0)


def test_the_table_counts_hits_misses_and_false_alarms(module):
    trials = [
        trial(module, 0, "gpu:0", ["gpu:0"]),
        trial(module, 1, "gpu:0", ["gpu:1"]),
        trial(module, 2, "", ["gpu:1"], 1.0),
        trial(module, 3, "", [], 1.0),
    ]
    text = module.table(trials)
    assert "| gemmscope | 1 of 2 [1%, 99%] | 1 of 2 [1%, 99%] | 1 of 2 [1%, 99%] |" in text
    assert "| 10 % of best | 0 of 2" in text
    assert "| gpu:0 | 2 % | +2.10 % (+2.10 to +2.10) | +2.00 % (+2.00 to +2.00) |" in text
    assert "| none | | | +0.00 %" in text


def test_a_line_that_was_cut_off_is_left_out(module, tmp_path):
    file = tmp_path / "truth.jsonl"
    whole = [module.Calibration("gpu:0", 2.0, 20.0, Interval(estimate=1.02)), trial(module, 0, "", [])]
    lines = b"".join(msgspec.json.encode(one) + b"\n" for one in whole)
    file.write_bytes(lines + lines[:40])
    assert module.read(file) == whole
    assert module.read(tmp_path / "nowhere") == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are bound to processors on Linux")
def test_the_load_makes_bursts_and_the_clock_says_a_time(module):
    with module.Program("clock", "cpu:0") as clock, module.Program("load", "cpu:0") as load:
        assert clock.ask("time 0.05")["seconds"] > 0
        load.tell("on 50")
        clock.ask("time 0.3")
        answer = load.ask("off")
        assert answer["bursts"] >= 1
        assert answer["busy"] >= answer["bursts"] * 0.5e-3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux counts it")
def test_a_fleet_of_made_up_hosts_names_the_slow_ones(tmp_path):
    done = subprocess.run(
        [sys.executable, BENCH / "fleet_scale.py", "--hosts", "40"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "40 files" in done.stdout


class Load:
    """A load that takes so many seconds to start."""

    def __init__(self, seconds):
        self._seconds = seconds

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def wait(self):
        pass

    def tell(self, line):
        time.sleep(self._seconds)
        assert line == "on 5.0"


def fleet_program(said="{}", status=0):
    code = f"import sys; print('measuring 64', file=sys.stderr, flush=True); print('{said}'); sys.exit({status})"
    return [sys.executable, "-c", code]


def test_a_run_in_which_the_load_came_late_is_no_trial(module, monkeypatch):
    monkeypatch.setattr(module, "Program", lambda role, device: Load(3.0))
    with pytest.raises(click.ClickException, match=r"the load began .* s after the first window"):
        module.make_trial(0, "cpu:0", 5.0, 2.0, None, fleet_program())


def test_a_run_that_failed_is_no_trial_and_says_why(module, monkeypatch):
    monkeypatch.setattr(module, "Program", lambda role, device: Load(0.0))
    with pytest.raises(click.ClickException, match="gemmscope fleet ended with 3: measuring 64"):
        module.make_trial(0, "cpu:0", 5.0, 2.0, None, fleet_program("", status=3))


def test_a_run_whose_page_failed_has_said_its_answer(module):
    with module.Fleet(fleet_program("[]", status=2)) as fleet:
        assert fleet.said() == []


def test_runs_that_all_fail_end_after_two(module, monkeypatch, tmp_path):
    def fail(*_):
        raise click.ClickException("no page")

    monkeypatch.setattr(module, "make_trial", fail)
    monkeypatch.setattr(module, "Program", lambda role, device: contextlib.nullcontext(Load(0.0)))
    monkeypatch.setattr(
        module, "calibrated", lambda device, *_: module.Calibration(device, 2.0, 1.0, Interval(estimate=1.02))
    )
    done = CliRunner().invoke(
        module.main, ["run", "--devices", "cpu:0,cpu:1", "--runs", "20", "--out", str(tmp_path / "out.jsonl")]
    )
    assert done.exit_code == 1
    assert done.output.count("not recorded, and made again") == 2
    assert "2 runs in a row were not recorded" in done.output
