"""What truth.py plants, judges and counts. How fast anything is, no test asserts."""

from __future__ import annotations

import importlib
import json
import os
import random
import statistics
import subprocess
import sys
from array import array
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest

pytestmark = pytest.mark.slow

BENCH = Path(__file__).parent.parent.parent / "bench"
OLD = BENCH.parent / "docs" / "results" / "truth" / "xeon-16.jsonl"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module


class Clock:
    """A time that passes only where something is said to take it: a look 60 ns, of which 25 before it is read."""

    def __init__(self):
        self.now = 0.0
        self.interrupted = set()
        self.looks = 0

    def seconds(self):
        self.looks += 1
        self.now += 1e-3 if self.looks in self.interrupted else 25e-9
        read = self.now
        self.now += 35e-9
        return read

    def nanoseconds(self):
        return round(self.seconds() * 1e9)

    def calls(self, planted, per_cent, count=2000, product=lambda: 150e-6):
        """Seconds of so many calls, and the median of what their ledger holds."""
        ratios = array("d")

        def multiply():
            self.now += product()

        call = planted.slowed(multiply, per_cent, ratios, self.seconds, self.nanoseconds)
        start = self.now
        for _ in range(count):
            call()
        assert len(ratios) == count
        return self.now - start, statistics.median(ratios)


# --- What is planted -------------------------------------------------------------------------------------------------


def test_every_slow_down_has_its_backend(module):
    planted = module("planted")
    classes = [member for name, member in vars(planted).items() if name.startswith("Planted")]
    assert sorted(member.per_cent for member in classes) == [0, 0, 1, 2, 5, 10]
    assert {member.name for member in classes} == {planted.BASE, *map(planted.name_of, planted.SLOWDOWNS)}


@pytest.mark.parametrize("product", [150e-6, 7e-3])
@pytest.mark.parametrize("per_cent", [0, 1, 2, 5, 10])
def test_a_plant_is_as_large_as_it_says(module, per_cent, product):
    planted = module("planted")
    base, base_noted = Clock().calls(planted, 0, product=lambda: product)
    slow, slow_noted = Clock().calls(planted, per_cent, product=lambda: product)
    # Half a look late in every call, which is what the carry is there against, would be 0.02 % of 150 µs.
    assert 100 * (slow / base - 1) == pytest.approx(per_cent, abs=0.001 + 0.002 * per_cent)
    # A single wait is uncertain by a look, 0.04 %: so is their median, but not their mean.
    assert 100 * (slow_noted / base_noted - 1) == pytest.approx(per_cent, abs=0.01 + 0.002 * per_cent)


def test_a_wait_that_was_interrupted_does_not_cost_the_next_ones_theirs(module):
    planted = module("planted")
    clock = Clock()
    clock.interrupted = set(range(1000, 40000, 1000))
    draw = random.Random(0)
    _, noted = clock.calls(planted, 5, product=lambda: draw.uniform(140e-6, 160e-6))
    assert 100 * (noted - 1) == pytest.approx(5, abs=0.2)


def test_all_plants_of_a_process_multiply_the_same_arrays(module):
    planted = module("planted")
    pairs = [(np.eye(4, dtype=np.float32), np.full((4, 4), i, np.float32)) for i in range(3)]
    operands = SimpleNamespace(m=4, n=4, k=4, converted=lambda place, convert: pairs)
    backends = [planted.Planted(), planted.Planted10()]
    for backend in backends:
        backend.prepare(operands)
    products = [backend.product(2) for backend in backends]
    assert products[0] is products[1]
    assert np.array_equal(products[0], pairs[2][1])
    assert all(backend.run(5, 0) > 0 for backend in backends)


def test_ledgers_of_several_processes_come_together(module, tmp_path, monkeypatch):
    planted = module("planted")
    assert planted.achieved(tmp_path, "planted-2") is None
    monkeypatch.setenv(planted.LEDGERS, str(tmp_path))
    for name, ratios in ((planted.BASE, [1.0]), ("planted-2", [1.01, 1.02]), ("planted-2", [1.5])):
        ledger = planted.Ledger(name)
        ledger.ratios.extend(ratios)
        ledger.keep()
        assert not ledger.ratios
        ledger.keep()
    assert planted.achieved(tmp_path, "planted-2") == pytest.approx(2)


# --- Methods ---------------------------------------------------------------------------------------------------------


def test_blocks_alternate_and_their_first_call_is_not_timed(module):
    methods = module("trials.methods")
    time = [0.0]
    order = []

    def call(name, seconds):
        def do():
            order.append(name)
            time[0] += seconds if len(order) > 1 and order[-2] == name else 1.0

        return do

    base, planted = call("base", 0.01), call("planted", 0.02)
    ratios = methods.block_ratios(base, planted, 30, random.Random(1), lambda: time[0])
    assert ratios == [pytest.approx(2.0)] * len(ratios)
    assert len(order) == 2 * methods.BLOCK * len(ratios)
    firsts = order[:: 2 * methods.BLOCK]
    assert {"base", "planted"} == set(firsts)


def pyperf_file(path, values):
    pyperf = pytest.importorskip("pyperf", reason="pip install pyperf")
    pyperf.BenchmarkSuite([
        pyperf.Benchmark([pyperf.Run([value], metadata={"name": "timeit"}, collect_metadata=False) for value in values])
    ]).dump(str(path))  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("values", "margin", "verdict"),
    [
        ([1.0201, 1.0202, 1.0203], 0.01, "slower"),
        ([0.9801, 0.9802, 0.9803], 0.01, "faster"),
        ([1.0201, 1.0202, 1.0203], 0.03, "unclear"),  # --min-speed
        ([1.0, 1.2, 0.9], 0.01, "unclear"),  # the t-test
    ],
)
def test_pyperf_has_a_verdict_of_its_own(module, tmp_path, values, margin, verdict):
    methods = module("trials.methods")
    base = pyperf_file(tmp_path / "base.json", [1.0001, 1.0, 0.9999])
    other = pyperf_file(tmp_path / "other.json", values)
    outcome = methods.pyperf_compare(base, other, 2, methods.Task(32, 1.0, margin, 0))
    assert outcome.verdict == verdict
    assert outcome.ratio == pytest.approx(statistics.fmean(values))


def test_a_ratio_is_held_against_the_margin(module):
    methods = module("trials.methods")
    seconds = {"planted-0": 0.98, "planted-1": 1.004, "planted-2": 1.02, "planted-5": 1.05, "planted-10": 1.1}
    outcomes = methods.by_ratio(lambda per_cent, name: seconds.get(name, 1.0), 0.005)
    assert [outcome.verdict for outcome in outcomes] == ["faster", "same", "slower", "slower", "slower"]


# --- Conditions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "count"), [("idle", 0), ("noisy", 2), ("burst", 1)])
def test_neighbours_end_with_their_condition(module, name, count):
    conditions = module("trials.conditions")
    with conditions.condition_of(name, 0) as neighbours:
        assert len(neighbours) == count
        assert all(neighbour.poll() is None for neighbour in neighbours)
    assert all(neighbour.returncode for neighbour in neighbours)


@pytest.mark.parametrize("name", ["noisy", "burst"])
def test_neighbours_end_without_their_parent(name):
    # Its parent is this process, which is not the one that it is told.
    command = [sys.executable, BENCH / "trials" / "conditions.py", name, "0", str(os.getppid())]
    assert subprocess.run(command, timeout=250, capture_output=True).returncode == 0


def test_a_burst_and_its_pause_last_as_long_as_they_should(module, monkeypatch):
    conditions = module("trials.conditions")
    lengths = {"work": [], "rest": []}
    monkeypatch.setattr(conditions, "work", lambda seconds, parent: lengths["work"].append(seconds))
    monkeypatch.setattr(conditions, "rest", lambda seconds, parent: lengths["rest"].append(seconds))
    looks = iter([7] * 20 + [1])
    monkeypatch.setattr(conditions.os, "getppid", lambda: next(looks))
    monkeypatch.setattr(sys, "argv", ["conditions.py", "burst", "0", "7"])
    conditions.main()
    assert len(lengths["work"]) == 40
    assert lengths["work"][::2] == lengths["work"][1::2]  # two threads, for as long
    assert all(2 <= seconds <= 6 for seconds in lengths["work"])
    assert all(4 <= seconds <= 10 for seconds in lengths["rest"][1:])
    assert 0 <= lengths["rest"][0] <= 10


# --- Records and tables ----------------------------------------------------------------------------------------------


def made(module, number, **changes):
    records = module("trials.records")
    verdicts = ["faster" if number == 0 else "unclear", "same", "slower", "slower", "slower"]
    ratios = [1.01 if number % 2 else 1 / 1.01, 1.01, 1.02, 1.05, 1.1]
    outcomes = [
        records.Outcome(per_cent, ratio, verdict, ratio / 1.02, ratio * 1.02, per_cent + 0.01 * number)
        for per_cent, ratio, verdict in zip((0, 1, 2, 5, 10), ratios, verdicts, strict=True)
    ]
    fields = {"method": "gemmscope", "condition": "burst", "size": 64, "seconds": 4.0, "outcomes": outcomes}
    return records.Trial(number=number, **fields | changes)


def test_the_table_counts_what_trials_say(module):
    text = module("trials.table").table([made(module, number) for number in range(10)]).splitlines()
    # Clopper and Pearson's exact interval of 1 in 10 is [0.0025, 0.445], of 0 in 10 [0, 0.308], of 10 in 10 [0.692, 1].
    assert text[2] == (
        "| gemmscope | burst | 10 | 4 s | 1 of 10 [0%, 45%], truly 0.04 % | 0 of 10 [0%, 31%], truly 1.04 % | "
        "10 of 10 [69%, 100%], truly 2.04 % | 10 of 10 [69%, 100%], truly 5.04 % | "
        "10 of 10 [69%, 100%], truly 10.04 % |"
    )
    # log 1.01 = 0.00995, five above and five below: a standard deviation of 0.00995·√(10/9), times √4. Half-widths are
    # logarithmic: log 1.02 = 0.0198.
    assert text[6] == "| gemmscope | burst | 2.10 %·√s | 1.98% | 1.98% |"
    assert text[-1] == "The smallest difference worth naming was 1 %."


def test_one_trial_has_no_standard_deviation(module):
    assert module("trials.table").sharpness([made(module, 0)]) is None


def test_trials_from_before_sizes_were_measured_load(module):
    done = subprocess.run([sys.executable, BENCH / "truth.py", "table", OLD], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| gemmscope | idle | 100 | 12 s | 0 of 100 [0%, 4%] | 73 of 100 [63%, 81%] |" in done.stdout
    assert "| gemmscope | idle | 0.50 %·√s | – | – |" in done.stdout
    records = module("trials.records")
    with pytest.raises(click.ClickException, match="unmeasured plants; name another file"):
        records.check_goes_on(records.read(OLD), OLD, 256, 0.01)


@pytest.mark.parametrize("line", ["{}", "no JSON", json.dumps({"method": "gemmscope", "outcomes": [3]})])
@pytest.mark.parametrize(
    ("script", "kind"), [("truth.py", "trial"), ("truth_causes.py", "trial"), ("truth_runs.py", "pair")]
)
def test_a_line_that_is_none_is_refused_in_one_line(tmp_path, script, kind, line):
    path = tmp_path / "trials.jsonl"
    path.write_text(line)
    done = subprocess.run([sys.executable, BENCH / script, "table", path], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: trials.jsonl, line 1 is no {kind} of bench/{script}: ")
    assert done.stderr.count("\n") == 1


def test_trials_of_two_margins_make_no_table(module, tmp_path):
    import msgspec

    path = tmp_path / "trials.jsonl"
    path.write_bytes(b"\n".join(msgspec.json.encode(made(module, 0, margin=margin)) for margin in (0.005, 0.01)))
    with pytest.raises(click.ClickException, match=r"of size 64 with margin 0\.005 and of size 64 with margin 0\.01"):
        module("trials.records").read(path)


def test_names_that_are_none_are_bad_usage():
    command = [sys.executable, BENCH / "truth.py", "run", "--conditions", "idle,windy"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "'windy' is none of idle, noisy, burst" in done.stderr


@pytest.mark.parametrize(
    ("count", "low", "high"), [(5, None, None), (6, 1, 6), (10, 2, 9), (100, 40, 61), (101, 41, 61)]
)
def test_the_interval_of_a_median_is_the_sign_tests(module, count, low, high):
    interval = module("common.intervals").median_interval(range(1, count + 1))
    assert (interval.estimate, interval.low, interval.high) == ((count + 1) / 2, low, high)
