"""What bench/gpu_machine.sh runs and brings home, with programs that only say how they were called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "bench" / "gpu_machine.sh"

GEMMSCOPE = """#!/bin/bash
echo "gemmscope $*, JAX's cache in ${JAX_COMPILATION_CACHE_DIR-none}"
while [ $# -gt 0 ]; do [ "$1" = --out ] && out=$2; shift; done
[ -n "$out" ] && mkdir -p "$out/figures" && echo '{}' >"$out/results.json" && echo page >"$out/report.html"
exit "${MEASURE_STATUS:-0}"
"""


@pytest.fixture
def machine(tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("nvidia-smi", "python3", "cmake", "c++"):
        (programs / name).write_text(f'#!/bin/bash\necho "{name} $*"\nexit "${{PYTHON_STATUS:-0}}"\n')
    (programs / "gemmscope").write_text(GEMMSCOPE)
    for program in programs.iterdir():
        program.chmod(0o755)

    def run(*arguments, **variables):
        environment = os.environ | {"PATH": f"{programs}:/usr/bin:/bin"} | variables
        done = subprocess.run(
            ["bash", SCRIPT, tmp_path / "out", *arguments], capture_output=True, text=True, env=environment
        )
        return done, tmp_path / "out"

    return run


def ended(text):
    return [line.split()[1] for line in text.splitlines() if line.startswith("== ") and " ended with " in line]


def test_one_call_measures_and_then_tests_as_far_as_the_time_allows(machine):
    done, out = machine()
    assert done.returncode == 0, done.stdout + done.stderr
    steps = ["environment", "build", "measure", "explain", "profiler", "tests", "clocks", "contract"]
    assert list(dict.fromkeys(ended(done.stdout))) == steps
    assert {"results.json", "report.html", "figures.tar.gz", "measure.txt", "tests.txt"} <= {
        path.name for path in out.iterdir()
    }
    measured = (out / "measure.txt").read_text()
    assert "--seconds 400 --experiments 0" in measured
    assert "/jax\n" in measured, "JAX's processes share what the first one found to be fastest"
    assert measured.count("-cpu") == 1, "of the processor's the baseline alone"


def test_steps_can_be_chosen_and_the_budget_set(machine):
    done, out = machine("measure", GEMMSCOPE_SECONDS="33")
    assert done.returncode == 0
    assert "--seconds 33 " in (out / "measure.txt").read_text()
    assert "tests" not in ended(done.stdout)
    done, _ = machine("tests", "contract")
    assert done.returncode == 0, "without a run there are no results to bring home"
    assert "== measure (at" not in done.stdout


def test_a_step_that_fails_is_the_script_s_failure_and_costs_no_other(machine):
    done, out = machine(MEASURE_STATUS="1")
    assert done.returncode == 1
    assert "== measure ended with 1" in (out / "measure.txt").read_text()
    assert "contract" in ended(done.stdout)


def test_time_that_is_up_is_said(machine):
    done, _ = machine(GEMMSCOPE_LAST="0")
    assert done.returncode == 1
    assert "== build ended with 124 before it began: no time was left for it" in done.stdout


def test_where_it_cannot_be_built_nothing_else_is_tried(machine):
    done, _ = machine(PYTHON_STATUS="1")
    assert done.returncode == 1
    assert "gemmscope could not be built, so nothing else can run" in done.stderr
    assert ended(done.stdout)[-1] == "build"


@pytest.mark.parametrize("arguments", [("nonsense",), ("measure", "all")])
def test_a_step_that_is_none_is_refused(machine, arguments):
    done, out = machine(*arguments)
    assert done.returncode == 2
    assert f"there is no step {arguments[-1]}" in done.stderr
    assert not out.exists()
