"""What truth_causes.py plants, judges and counts. How fast anything is, no test asserts."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import msgspec
import pytest
from click.testing import CliRunner

from gemmscope.analysis.diagnosis.causes import own_options, thread_count
from gemmscope.backends.base import thread_environment
from gemmscope.machine import environment
from gemmscope.records.base import Interval
from gemmscope.records.diagnosis import Diagnosis

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="causes are planted on Linux"),
]

BENCH = Path(__file__).parent.parent.parent / "bench"


@pytest.fixture
def causes(monkeypatch):
    """The script, and the modules of its package by their names."""
    monkeypatch.syspath_prepend(BENCH)
    for name in [name for name in sys.modules if name == "truth_causes" or name.split(".")[0] == "causes"]:
        monkeypatch.delitem(sys.modules, name)
    script = importlib.import_module("truth_causes")
    parts = ("plants", "surroundings", "judging", "remedies")
    return SimpleNamespace(script=script, **{name: importlib.import_module(f"causes.{name}") for name in parts})


def plant(causes, words):
    return next(each for each in causes.plants.PLANTS if words in each.name)


def made(causes, name, *told, number=0, achieved=None, others=0.0, planted="confirmed"):
    """A trial in which these were named, as the script would record it."""
    first, right = causes.judging.judged(plant(causes, name), told, others)
    return causes.judging.Trial(
        plant=plant(causes, name).name, number=number, seconds=30.0, first=first, matters=list(told), right=right,
        planted=planted, promised=first.gain if first else None, achieved=achieved, note="", others=others, versions={},
    )  # fmt: skip


# --- What is planted -------------------------------------------------------------------------------------------------


def test_there_are_enough_of_them(causes):
    assert len({each.name for each in causes.plants.PLANTS}) == len(causes.plants.PLANTS)
    assert sum(not each.healthy for each in causes.plants.PLANTS) >= 20
    assert sum(each.healthy for each in causes.plants.PLANTS) >= 4
    short = [each for each in causes.plants.PLANTS if each.short]
    assert len(short) in (4, 5)
    assert sum(each.healthy for each in short) == 1
    assert {need for each in causes.plants.PLANTS for need in each.needs} == set(causes.surroundings.NEEDS)


def test_a_plants_environment_is_clean_of_the_machines_own_variables(causes, monkeypatch):
    own = {
        "OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "512", "NVPL_BLAS_DEBUG_CPU_TYPE": "1",
        "OMP_NUM_THREADS": "3", "LD_PRELOAD": "libother.so", "MALLOC_ARENA_MAX": "1",
    }  # fmt: skip
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    kept = {"LD_LIBRARY_PATH": "/somewhere", "HOME": "/home/somebody"}
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    for each in causes.plants.PLANTS:
        found = causes.surroundings.surroundings(each)
        assert kept.items() <= found.items()
        set_ = {name for name in found if environment.variable(name) is not None} - causes.surroundings._KEPT
        assert set_ == set(each.environment), each.name
        assert not any("{c" in found[name] for name in each.environment), each.name


def test_what_is_bound_names_a_processor_that_may_be_used(causes, monkeypatch):
    monkeypatch.setattr(causes.surroundings, "processors", lambda: [5, 7])
    assert causes.surroundings.surroundings(plant(causes, "GOMP_CPU_AFFINITY"))["GOMP_CPU_AFFINITY"] == "5"
    assert causes.surroundings.surroundings(plant(causes, "OMP_PLACES"))["OMP_PLACES"] == "{5}"
    assert causes.surroundings.surroundings(plant(causes, "healthy, numpy-cpu, 1000, OMP"))["OMP_NUM_THREADS"] == "2"


def test_a_plant_is_skipped_with_the_reason(causes, monkeypatch, capsys):
    monkeypatch.setitem(causes.surroundings.NEEDS, "torch-gpu", lambda: False)
    assert causes.surroundings.can_be_planted([plant(causes, "NVIDIA_TF32")]) == []
    assert capsys.readouterr().err == "skipped: torch-gpu, 2048: NVIDIA_TF32_OVERRIDE=1 (needs torch-gpu)\n"


def test_conditions_hold_while_a_plant_lasts(causes):
    first = causes.surroundings.processors()[0]
    code = "import os; print(os.sched_getaffinity(0))"
    bound = msgspec.structs.replace(plant(causes, "healthy, numpy-cpu, 48"), processors=1)
    with causes.surroundings.planted(bound) as begin:
        done = subprocess.run([*begin, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{{{first}}}"
    busy = msgspec.structs.replace(plant(causes, "numpy-cpu, 1000: busy"), neighbours=1.0)
    before = children()
    with causes.surroundings.planted(busy):
        assert len(children() - before) == len(causes.surroundings.processors())
    assert children() == before


def children():
    import psutil

    return {child.pid for child in psutil.Process().children()}


def test_a_quota_is_a_cgroups_and_goes_with_it(causes):
    if causes.surroundings.quota_folder() is None:
        pytest.skip("no cgroup here takes a quota from this user")
    from gemmscope.machine.limits import cpu_quota

    before = cpu_quota()
    with causes.surroundings.planted(plant(causes, "a quota")) as begin:
        folder = Path(begin[-1]).parent
        code = "from gemmscope.machine.limits import cpu_quota; print(cpu_quota())"
        done = subprocess.run([*begin, sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert folder.is_dir()
    assert float(done.stdout) == 1.0
    assert not folder.exists()
    assert cpu_quota() == before


# --- What is right ---------------------------------------------------------------------------------------------------


def test_the_planted_cause_has_to_come_first(causes):
    named = causes.judging.Named
    threads = plant(causes, "numpy-cpu, 1000: OPENBLAS_NUM_THREADS")
    true = named("environment-variable", "OPENBLAS_NUM_THREADS", "confirmed", 2.0)
    other = named("leading-dimension", "1024", "confirmed", 1.1)
    assert causes.judging.judged(threads, [true, other], 0.0) == (true, True)
    assert causes.judging.judged(threads, [other, true], 0.0) == (other, False)
    assert causes.judging.judged(threads, [], 0.0) == (None, False)
    assert not causes.judging.judged(threads, [named("environment-variable", "OMP_NUM_THREADS", "confirmed")], 0.0)[1]


def test_a_busy_machine_is_passed_over_where_it_is_true(causes):
    busy = causes.judging.Named("busy-machine", "make", "not testable")
    true = causes.judging.Named("environment-variable", "OPENBLAS_NUM_THREADS", "confirmed", 2.0)
    threads = plant(causes, "numpy-cpu, 1000: OPENBLAS_NUM_THREADS")
    assert causes.judging.judged(threads, [busy, true], 0.0) == (busy, False)
    assert causes.judging.judged(threads, [busy, true], 0.5) == (true, True)
    assert causes.judging.judged(plant(causes, "numpy-cpu, 1000: busy"), [busy, true], 0.5) == (busy, True)
    healthy = plant(causes, "healthy, numpy-cpu, 48")
    assert causes.judging.judged(healthy, [busy], 0.5) == (None, True)
    assert causes.judging.judged(healthy, [busy], 0.0) == (busy, False)


def test_on_amd_mkl_is_a_cause_too_and_may_come_first_beside_the_planted_one(causes):
    cbwr = plant(causes, "MKL_CBWR=COMPATIBLE")
    mkl = causes.judging.Named("mkl-on-amd", "MKL", "confirmed", 4.0)
    told = causes.judging.Named("environment-variable", "MKL_CBWR", "confirmed", 2.0)
    untested = causes.judging.Named("environment-variable", "MKL_CBWR", "untested")
    both = causes.judging.Named("combined", "MKL_CBWR + MKL", "confirmed", 4.1)
    assert causes.judging.judged(cbwr, [mkl, told], 0.0) == (mkl, True)
    assert causes.judging.judged(cbwr, [told, mkl], 0.0) == (told, True)
    assert causes.judging.judged(cbwr, [both, mkl, told], 0.0) == (both, True)
    assert causes.judging.judged(cbwr, [mkl, untested], 0.0) == (mkl, False)


# --- What the remedy brings ------------------------------------------------------------------------------------------


def test_every_remedy_of_an_option_can_be_applied(causes):
    for option, (*_, remedy) in own_options._OPTIONS.items():
        program = causes.remedies.Program("numpy", {option: "view"})
        changed = causes.remedies.remedied(program, remedy)
        if option == "qos":  # macOS
            assert changed is None
        else:
            assert changed.options == ({"self": "copy"} if option == "self" else {}), option


def test_remedies_are_applied_to_the_letter(causes, monkeypatch):
    monkeypatch.setattr(causes.remedies, "blas_shim", lambda: "/somewhere/libgemmscope_blas.so")
    program = causes.remedies.program_of("numpy-cpu:threads=1+strided+OPENBLAS_CORETYPE=Haswell")
    assert program.options == {"strided": ""}
    assert program.environment == thread_environment("1") | {"OPENBLAS_CORETYPE": "Haswell"}
    assert causes.remedies.remedied(program, "ask for more threads").environment == {"OPENBLAS_CORETYPE": "Haswell"}
    both = causes.remedies.remedied(program, "unset OPENBLAS_CORETYPE OMP_NUM_THREADS; np.matmul(a, b, out=c)")
    assert both.environment["OPENBLAS_CORETYPE"] is both.environment["OMP_NUM_THREADS"] is None
    assert both.options == {"strided": "", "out": ""}
    plain = causes.remedies.program_of("torch-gpu")
    assert plain == causes.remedies.Program("torch", {"gpu": ""})
    asked = SimpleNamespace(machine=SimpleNamespace(system="Debian GNU/Linux 12"), called=None, library="numpy")
    few = causes.remedies.remedied(plain, thread_count.remedy_for(asked, 1))
    assert few.environment == dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    shim = causes.remedies.remedied(plain, "LD_PRELOAD=$(gemmscope blas-shim) python your_program.py")
    assert shim.environment == causes.remedies.program_of("torch-cpu:blas=openblas").environment
    assert (
        causes.remedies.remedied(plain, "keep the operands in arrays with 1040 columns, and so on").options["pitch"]
        == "1040"
    )
    assert causes.remedies.remedied(plain, "buy another computer") is None


def test_the_achieved_gain_is_of_pairs_that_take_turns(causes, monkeypatch):
    asked = []

    def seconds_of(program, plant, begin, seed):
        asked.append((program.environment.get("OPENBLAS_NUM_THREADS", ""), seed))
        return 1.0 if program.environment else 2.0

    monkeypatch.setattr(causes.remedies, "seconds_of", seconds_of)
    threads = plant(causes, "numpy-cpu, 1000: OPENBLAS_NUM_THREADS")
    gain, note = causes.remedies.achieved_gain(threads, "unset OPENBLAS_NUM_THREADS", [], 7)
    assert gain == pytest.approx(2.0)
    assert not note
    assert asked == [("", 7), (None, 7), (None, 8), ("", 8), ("", 9), (None, 9)]
    gain, note = causes.remedies.achieved_gain(threads, "buy another computer", [], 7)
    assert gain is None
    assert "buy another computer" in note


@pytest.mark.parametrize(
    ("library", "options"),
    [("numpy", ""), ("numpy", "out,strided"), ("numpy", "pitch=64,subnormal"), ("numpy", "self=view,cold"),
     ("numpy", "self=copy"), ("torch", "transposed=ab,out"), ("numpy", "beside=torch"), ("mlx", "")],
)  # fmt: skip
@pytest.mark.parametrize("average", [(), ("--mean",)])
def test_the_ordinary_program_says_how_long_a_call_takes(library, options, average):
    pytest.importorskip("mlx.core" if library == "mlx" else library)
    command = [sys.executable, BENCH / "planted_program.py", "time", library, "24x24x24", "--options", options,
               "--seconds", "0.01", *average]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0


def test_the_ordinary_program_lays_operands_out_as_told(monkeypatch):
    import numpy as np

    monkeypatch.syspath_prepend(BENCH)
    program = importlib.import_module("planted_program")
    generator = np.random.default_rng(0)
    a, b = program.operands(3, 4, 5, {"strided": ""}, generator)
    assert (a.shape, b.shape) == ((3, 5), (5, 4))
    assert (a.strides, b.strides) == ((40, 8), (32, 8))
    a, b = program.operands(3, 4, 5, {"pitch": "100", "transposed": "b"}, generator)
    assert (a.strides, b.strides) == ((400, 4), (4, 400))
    a, b = program.operands(3, 3, 5, {"self": "view"}, generator)
    assert np.shares_memory(a, b)
    a, b = program.operands(3, 3, 5, {"self": "copy"}, generator)
    assert not np.shares_memory(a, b)
    assert (b == a.T).all()
    assert abs(program.operands(3, 4, 5, {"subnormal": ""}, generator)[0]).max() < 2.0**-126


# --- Trials ----------------------------------------------------------------------------------------------------------


def diagnosis(cause, subject, verdict="confirmed", gain=2.0, remedy="unset OPENBLAS_NUM_THREADS"):
    return Diagnosis(
        id=cause, subject=subject, verdict=verdict, matters=True, remedy=remedy,
        gain=None if gain is None else Interval(estimate=gain),
    )  # fmt: skip


@pytest.fixture
def quiet(causes, monkeypatch):
    """Nothing is measured: a diagnosis says what the test says, and a process takes a second less with a remedy."""
    monkeypatch.setattr(causes.script, "busy_share", lambda: 0.0)
    monkeypatch.setattr(causes.surroundings, "why_not", lambda plant: "")
    monkeypatch.setattr(causes.script, "planted", lambda plant: contextlib_null())
    monkeypatch.setattr(causes.remedies, "blas_shim", lambda: "/somewhere/libgemmscope_blas.so")
    monkeypatch.setattr(
        causes.remedies, "seconds_of", lambda program, plant, begin, seed: 2.0 - bool(program.environment)
    )
    return causes


def contextlib_null():
    import contextlib

    return contextlib.nullcontext([])


def truly(causes):
    """A gemmscope that is right about everything."""

    def diagnosed(plant, seconds, begin):
        if plant.healthy:
            return []
        cause, subject = plant.right[0]
        subject = "libblas.so" if cause == "reference-blas" else re.sub(r"\\(.)", r"\1", subject)
        return [diagnosis(cause, subject)]

    return diagnosed


def test_a_trial_holds_what_was_promised_against_what_was_achieved(quiet, monkeypatch):
    monkeypatch.setattr(quiet.script, "diagnosed", truly(quiet))
    one = quiet.script.trial(plant(quiet, "numpy-cpu, 1000: OPENBLAS_NUM_THREADS"), 3, 20.0)
    assert (one.right, one.planted, one.promised, one.achieved) == (True, "confirmed", 2.0, pytest.approx(2.0))
    assert (one.number, one.first.id) == (3, "environment-variable")
    assert "numpy" in one.versions
    assert msgspec.json.decode(msgspec.json.encode(one), type=quiet.judging.Trial) == one


def test_a_trial_without_a_gain_says_why(quiet, monkeypatch):
    busy = plant(quiet, "numpy-cpu, 1000: busy")
    monkeypatch.setattr(quiet.script, "diagnosed", lambda *_: [diagnosis("busy-machine", "make", "not testable", None)])
    one = quiet.script.trial(busy, 0, 20.0)
    assert (one.right, one.planted, one.achieved, one.note) == (True, "not testable", None, "no gain was promised")
    monkeypatch.setattr(quiet.script, "diagnosed", lambda *_: [])
    one = quiet.script.trial(busy, 0, 20.0)
    assert (one.right, one.planted, one.first, one.note) == (False, "", None, "nothing was named")


def run(causes, *arguments):
    return CliRunner().invoke(causes.script.main, ["run", *map(str, arguments)])


def test_short_mode_makes_each_plain_plant_once(quiet, monkeypatch):
    monkeypatch.setattr(quiet.script, "diagnosed", truly(quiet))
    done = run(quiet, "--short")
    assert done.exit_code == 0, done.output
    short = [each for each in quiet.plants.PLANTS if each.short]
    for each in short:
        assert f"| {each.name} |" in done.output
    assert f"named first in {len(short) - 1} of {len(short) - 1} " in done.output
    assert "Healthy controls with a confirmed cause: 0 of 1 " in done.output


def test_short_mode_fails_where_it_is_wrong_twice(quiet, monkeypatch):
    asked = []

    def diagnosed(plant, seconds, begin):
        asked.append(plant.name)
        if plant.healthy and asked.count(plant.name) == 1:
            return [diagnosis("threads-hurt", "1")]
        if "Nehalem" in plant.name:
            return [diagnosis("allocation", "out")]
        return [diagnosis("busy-machine", "make", "not testable", None), *truly(quiet)(plant, seconds, begin)]

    monkeypatch.setattr(quiet.script, "diagnosed", diagnosed)
    done = run(quiet, "--short")
    assert done.exit_code == 1
    wrong = plant(quiet, "numpy-cpu, 1000: OPENBLAS_CORETYPE=Nehalem")
    assert re.findall("wrong twice: (.*)", done.output) == [wrong.name]
    assert [asked.count(each.name) for each in quiet.plants.PLANTS if each.short] == [
        2 if each.healthy or each == wrong else 1 for each in quiet.plants.PLANTS if each.short
    ]


def test_a_run_goes_on_where_it_was_cut_off(quiet, monkeypatch, tmp_path):
    asked = []

    def diagnosed(plant, seconds, begin):
        asked.append(plant.name)
        if len(asked) == 2:
            raise click.ClickException("planted")
        return truly(quiet)(plant, seconds, begin)

    monkeypatch.setattr(quiet.script, "diagnosed", diagnosed)
    path = tmp_path / "causes.jsonl"
    arguments = ("--trials", 2, "--only", "healthy", "--out", path)
    done = run(quiet, *arguments)
    assert done.exit_code == 0, done.output
    assert "failed: planted" in done.output
    count = sum(each.healthy for each in quiet.plants.PLANTS)
    assert len(asked) == 2 * count
    # Every plant has its first trial before any has its second.
    assert len(set(asked[:count])) == count
    assert path.read_text().count("\n") == 2 * count - 1
    assert run(quiet, *arguments).exit_code == 0
    assert len(asked) == 2 * count + 1
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({(line["plant"], line["number"]) for line in lines}) == 2 * count


def test_a_plant_that_is_unknown_is_a_sentence():
    command = [sys.executable, BENCH / "truth_causes.py", "run", "--only", "unheard-of"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 2
    assert "no plant's name contains 'unheard-of'" in done.stderr
    assert "healthy, numpy-cpu, 48" in done.stderr
    assert "Traceback" not in done.stderr


# --- Tables ----------------------------------------------------------------------------------------------------------


def test_the_table_counts_what_its_trials_say(causes, tmp_path):
    named = causes.judging.Named
    threads = [named("environment-variable", "OPENBLAS_NUM_THREADS", "confirmed", 2.0)]
    pitch = [named("leading-dimension", "1024", "confirmed", 1.2)]
    trials = [
        made(causes, "numpy-cpu, 1000: OPENBLAS_NUM_THREADS", *threads, achieved=1.95),
        made(causes, "numpy-cpu, 1000: OPENBLAS_NUM_THREADS", *threads, number=1, achieved=1.6),
        made(causes, "numpy-cpu, 1000: OPENBLAS_NUM_THREADS", *pitch, number=2, achieved=1.2, planted="untested"),
        made(causes, "numpy-cpu, 1000: busy", number=0, planted=""),
        made(causes, "healthy, numpy-cpu, 48"),
        made(causes, "healthy, numpy-cpu, 1024", *pitch, achieved=1.0, others=0.5),
    ]
    path = tmp_path / "causes.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in trials))
    done = CliRunner().invoke(causes.script.main, ["table", str(path)])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == (
        "| planted | environment-variable | leading-dimension | nothing | right | verdicts on what was planted |"
    )
    assert lines[2:6] == [
        "| numpy-cpu, 1000: OPENBLAS_NUM_THREADS=1 | 2 | 1 |  | 2 of 3 | 2 confirmed, 1 untested |",
        "| numpy-cpu, 1000: busy neighbours |  |  | 1 | 0 of 1 | 1 not suspected |",
        "| healthy, numpy-cpu, 48 |  |  | 1 | 1 of 1 |  |",
        "| healthy, numpy-cpu, 1024 |  | 1 |  | 0 of 1 |  |",
    ]
    # Clopper and Pearson's exact interval of 2 in 4 is [0.068, 0.932], of 1 in 2 [0.013, 0.987].
    assert "The planted cause is named first in 2 of 4 [7%, 93%]." in lines
    assert "Healthy controls with a confirmed cause: 1 of 2 [1%, 99%]." in lines
    assert "In 1 of 6 trials other programs were at work." in lines
    assert "| numpy-cpu, 1000: OPENBLAS_NUM_THREADS=1 | 2.00 | 1.60 | +3% | +25% |" in lines
    assert "| healthy, numpy-cpu, 1024 | 1.20 | 1.00 | +20% | +20% |" in lines
    assert lines[-1].startswith("Promised gains within 5% of the achieved: 2 of 4 ")


def test_a_table_of_nothing_is_a_table(causes):
    assert "named first in 0 of 0" in causes.script.table([])
