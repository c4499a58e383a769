"""AMX, the undocumented matrix unit of Apple's M1 to M3: who may ask for it, and what if its process dies."""

from __future__ import annotations

import os
import sys

import pytest

from gemmscope.analysis.assemble import best
from gemmscope.errors import UsageError, WorkerLost
from gemmscope.machine import amx, ceilings
from gemmscope.measure.settings import make_settings
from gemmscope.records.events import CeilingsSeen
from tests.builders import make_ceilings
from tests.fakes import World
from tests.macs import MACS

ASKED = {"pairs": 1, "sets": 1, "margin": 0.01, "seed": 0, "sizes": [64], "backends": "numpy-cpu"}


@pytest.fixture
def python(monkeypatch, tmp_path):
    """Puts a program of a test's own in the place of the interpreter that measures."""

    def put(script):
        file = tmp_path / "python"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        monkeypatch.setattr(sys, "executable", os.fspath(file))

    return put


@pytest.mark.parametrize(("model", "said"), [("M1", ""), ("M1 Max", ""), ("M2", ""), ("M4", "SME"), ("M4 Pro", "SME")])
def test_macs_with_amx(model, said):
    reason = amx.why_not(MACS[model].sysctl, "darwin", "arm64")
    assert bool(reason) == bool(said)
    assert said in reason


@pytest.mark.parametrize(
    ("chip", "system", "architecture", "said"),
    [
        ("Apple M3 Ultra", "darwin", "arm64", ""),
        ("Apple M1 (Virtual)", "darwin", "arm64", ""),
        ("Apple M10", "darwin", "arm64", "this is Apple M10"),
        ("Intel(R) Core(TM) i7", "darwin", "x86_64", "this is Intel(R) Core(TM) i7"),
        ("Apple M2", "darwin", "x86_64", "install one for arm64"),
        ("", "darwin", "arm64", "this is an unknown processor"),
        ("Apple M2", "linux", "aarch64", "this system is not macOS"),
    ],
)
def test_what_else_is_refused(chip, system, architecture, said):
    values = {"machdep.cpu.brand_string": chip.encode()}
    reason = amx.why_not(values.get, system, architecture)
    assert bool(reason) == bool(said)
    assert said in reason


def test_a_run_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(amx, "why_not", lambda: "this is an abacus")
    with pytest.raises(UsageError, match="AMX cannot be measured here: this is an abacus"):
        make_settings(**ASKED, amx=True)
    assert not make_settings(**ASKED).amx
    monkeypatch.setattr(amx, "why_not", lambda: "")
    assert make_settings(**ASKED, amx=True).amx


def test_the_peaks_are_what_the_process_says(python):
    python('echo hello; echo "{\\"$4\\": 3000.5, \\"$5\\": 1475.0}"')  # python -P -m gemmscope.machine.amx 8 1
    assert amx.peaks({1, 8}) == {8: 3000.5, 1: 1475.0}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -ILL $$", "its process was killed by SIGILL"),
        ("echo first >&2; echo last >&2; exit 3", "its process ended with status 3: last"),
        ("exit 3", "its process ended with status 3: it said nothing"),
        ("exec sleep 60", "its process did not end within 0 s"),
    ],
)
def test_a_process_that_dies_is_a_reason(python, monkeypatch, script, said):
    python(script)
    if "sleep" in script:
        monkeypatch.setattr(amx, "_TIMEOUT", 0.2)
    with pytest.raises(WorkerLost, match=said):
        amx.peaks([1])


def test_a_process_that_cannot_be_started_is_a_reason(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(WorkerLost, match="its process could not be started: No such file or directory"):
        amx.peaks([1])


def test_a_build_without_it_says_so():
    """The real process: this is no Mac, or one whose AMX may be executed."""
    if sys.platform == "darwin":
        pytest.skip("it would execute AMX; to run this, use Linux")
    with pytest.raises(WorkerLost, match="status 1: RuntimeError: AMX: gemmscope was not built for macOS on arm64"):
        amx.peaks([1])


def test_its_peak_is_the_ceiling(monkeypatch):
    monkeypatch.setattr(amx, "peaks", lambda counts: {each: 1475.0 * min(each, 2) for each in counts})
    found = ceilings.measure(4, use_amx=True)
    assert (found.instructions, found.peak_gflops, found.peak_gflops_one_thread) == ("AMX", 2950.0, 1475.0)
    assert (found.saturating_threads, found.note) == (2, "")


def test_a_process_that_dies_costs_no_more_than_the_peak_of_amx(python):
    python("kill -ILL $$")
    found = ceilings.measure(1, use_amx=True)
    assert found.instructions != "AMX"
    assert found.peak_gflops > 0
    assert found.note.endswith("AMX, which was asked for, could not be measured: its process was killed by SIGILL")


@pytest.mark.parametrize("asked", [False, True])
def test_whoever_asks_for_it_gets_it_in_a_short_run_too(asked):
    world = World()
    events = world.run(["cblas"], reference=True, seconds=10.0, amx=asked)
    assert len([event for event in events if isinstance(event, CeilingsSeen)]) == int(asked)
    assert [request.amx for _, request in world.log if type(request).__name__ == "MeasureCeilings"] == [True] * asked


def test_peaks_of_two_kinds_are_not_mixed():
    """A process that died in one set, and not in the other."""
    matrix = make_ceilings(instructions="AMX", peak_gflops=2950.0, peak_gflops_one_thread=1475.0)
    vectors = make_ceilings(instructions="NEON", peak_gflops=400.0, bandwidth=30e9, note="no ceiling")
    assert best(matrix, vectors) == best(vectors, matrix) == matrix
