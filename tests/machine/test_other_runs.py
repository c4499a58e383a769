"""Another gemmscope at work on the same processors: it is seen, and said wherever the run is reported."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gemmscope.analysis.findings import quality
from gemmscope.analysis.view import View
from gemmscope.machine import limits
from gemmscope.machine.surroundings import WORKER, Watch, other_runs
from gemmscope.records.evidence import Surroundings
from gemmscope.report.html.facts import surroundings_table
from gemmscope.report.model import Report
from gemmscope.report.sections import for_screen
from tests.builders import make_cell, make_machine, make_result
from tests.fleets import make_launched

# A process that only waits, and has the command line of a worker.
WAITS = [sys.executable, "-c", "import sys; sys.stdin.read()", "-m", WORKER]


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch):
    """Real runs on this machine, which come and go, are none of these tests': they see what descends from them."""

    def is_ours(process):
        try:
            return os.getpid() in (parent.pid for parent in process.parents())
        except psutil.Error:  # gone
            return False

    every = psutil.process_iter
    monkeypatch.setattr(psutil, "process_iter", lambda names: filter(is_ours, every(names)))


@pytest.fixture
def another():
    """A run of somebody else's: its worker is not our child."""
    start = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    with subprocess.Popen([sys.executable, "-c", start, *WAITS], stdin=subprocess.PIPE) as parent:
        while not other_runs(limits.processors()):
            assert parent.poll() is None
            time.sleep(0.02)
        yield
        parent.stdin.close()


@pytest.mark.usefixtures("another")
def test_a_worker_of_another_run_is_counted_on_its_processors_alone():
    assert other_runs(limits.processors()) == 1
    assert other_runs([10**6]) == 0


def test_our_own_workers_are_not():
    with subprocess.Popen(WAITS, stdin=subprocess.PIPE) as own:
        time.sleep(0.2)
        assert other_runs(limits.processors()) == 0
        own.stdin.close()


@pytest.mark.usefixtures("another")
def test_one_that_ends_during_a_set_counts():
    watch = Watch()
    assert watch.end(0).other_runs == 1


def result(*counts, **changes):
    sets = [
        Surroundings(set=i, seconds=1.0, processors=2, other_seconds=0.1, other_runs=n) for i, n in enumerate(counts)
    ]
    return make_result([make_cell("numpy-cpu")], surroundings=sets, **changes)


def test_it_is_said_at_the_end_of_a_run_in_the_findings_and_on_the_page():
    (finding,) = quality.other_runs(View(result(0, 1, 1)))
    assert finding.text.startswith("Another gemmscope was measuring on the same processors at the same time, in 2 of 3")
    shown = for_screen(Report(result(0, 1, 1, findings=[finding])), Path("here"))
    assert finding.text in [getattr(block, "text", "") for block in shown]
    assert surroundings_table(result(0, 1, 1).surroundings)["other runs of gemmscope"] == ["2 batches"]


def test_several_and_another_rank_are_said():
    rank = make_launched("n1", 1, local_size=2)
    (finding,) = quality.other_runs(View(result(2, 3, machine=make_machine(launched=rank))))
    assert finding.text.startswith("Up to 3 other runs of gemmscope (another rank of this job, perhaps) were measuring")


def test_alone_nothing_is_said():
    assert quality.other_runs(View(result(0, 0))) == []
    assert "other runs of gemmscope" not in surroundings_table(result(0).surroundings)
