"""What the bench scripts make of their figures. That they run from end to end, test_bench.py shows."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner

from gemmscope.records.base import Interval
from gemmscope.records.model import Cell, ReferenceWorkload, Sample
from tests.builders import make_backend, make_cell, make_result

pytestmark = pytest.mark.slow

BENCH = Path(__file__).parent.parent.parent / "bench"


@pytest.fixture
def script(monkeypatch):
    """Imports a script by its name, and forgets it again."""
    monkeypatch.syspath_prepend(BENCH)

    def load(name):
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


def samples(*medians):
    """Three rounds a set; the medians of the sets are given."""
    return [
        Sample(set=set_, round=round_, turn=0, start=0.0, first_pair=0, loops=10, seconds=10 * median * factor)
        for set_, median in enumerate(medians)
        for round_, factor in enumerate((0.9, 1.0, 1.3))
    ]


@pytest.mark.parametrize("name", ["original.py", "python_vs_native.py", "peers.py"])
@pytest.mark.parametrize("sizes", ["64,many", "", "-3"])
def test_sizes_that_are_none_are_bad_usage(name, sizes):
    done = subprocess.run([sys.executable, BENCH / name, "--sizes", sizes], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Error" in done.stderr


# --- gpu_clocks.py ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ({"device": 1e-3, "latency": 1.05e-3}, 0),
        ({"device": 1e-3, "latency": 1.05e-3, "slope": 1.01e-3}, 0),
        ({"device": 1e-3, "latency": 1.05e-3, "slope": 1.2e-3}, 1),
        ({"device": 1e-3, "latency": 0.8e-3}, 1),
        ({"device": 1e-3, "latency": 3e-3}, 1),
        ("there is none", 0),
    ],
)
def test_clocks_of_a_gpu_that_do_not_agree_are_status_1(script, monkeypatch, found, status):
    clocks = script("gpu_clocks")
    monkeypatch.setattr(clocks, "asked", lambda name: found)
    done = CliRunner().invoke(clocks.main, ["torch-gpu"])
    assert done.exit_code == status
    assert ("do not agree" in done.output, "unavailable" in done.output) == (status == 1, isinstance(found, str))


# --- python_vs_native.py ---------------------------------------------------------------------------------------------


def cells(python, native):
    return make_cell("cblas-call", 1e-6, samples=python), make_cell("cblas", 1e-6, samples=native)


def test_native_saves_what_the_ratio_says(script):
    module = script("python_vs_native")
    (row,) = module.compare(make_result(list(cells(samples(2e-6, 2e-6, 2e-6), samples(1e-6, 1.02e-6, 0.98e-6)))))
    assert row["ratio"] == pytest.approx(0.5, rel=1e-3)
    assert row["native_seconds"] == pytest.approx(1e-6, rel=1e-3)
    assert row["saved_low"] < row["saved_seconds"] < row["saved_high"]
    assert (row["sets"], row["rounds"]) == (3, 9)
    assert module.in_words(row).startswith("saves 1 µs [0.9")
    assert module.in_words(row).endswith(" a call, 50.0 %")


def test_native_that_is_slower_costs(script):
    module = script("python_vs_native")
    python, native = cells(samples(1e-6, 1e-6), samples(2e-6, 2.02e-6))
    assert module.in_words(module.saving(python, native)).startswith("costs 1.01 µs [0.8")


def test_an_interval_that_holds_one_saves_nothing(script):
    module = script("python_vs_native")
    python, native = cells(samples(1e-3, 1e-3, 1e-3), samples(0.9e-3, 1.1e-3, 1e-3))
    words = module.in_words(module.saving(python, native))
    assert words.startswith("no difference that can be told; between 2")
    assert "e+" not in words


def test_one_set_tells_nothing(script):
    module = script("python_vs_native")
    row = module.saving(*cells(samples(2e-6), samples(1e-6)))
    assert row["low"] is row["saved_high"] is None
    assert "nothing can be told" in module.in_words(row)


def test_cells_that_share_no_round_are_not_compared(script):
    module = script("python_vs_native")
    assert module.compare(make_result(list(cells(samples(1e-6, 1e-6)[:3], samples(1e-6, 1e-6)[3:])))) == []


def test_what_has_no_figure_has_its_reason(script):
    module = script("python_vs_native")
    result = make_result(
        [make_cell("mlx-cpu", None, status="skipped", reason="too slow")],
        backends=[make_backend("mlx-gpu", status="unavailable", reason="no gpu")],
    )
    assert module.missing(result) == {"mlx-gpu": "no gpu", "mlx-cpu at 64x64x64": "too slow"}


# --- peers.py --------------------------------------------------------------------------------------------------------


def a_round(*, fixed=100e-6, **figures):
    return {tool: {"numpy-cpu 64": [(seconds, fixed)] * 3} for tool, seconds in figures.items()}


def rows_of(peers, rounds):
    rounds = [
        {tool: {product: [peers.Piece(*piece) for piece in taken] for product, taken in pieces.items()}
         for tool, pieces in one.items()}
        for one in rounds
    ]  # fmt: skip
    return peers.summarise(rounds, ["timeit"])


def test_peers_go_round_ten_pairs(script):
    peers = script("peering.pieces")
    made = peers.namespace("numpy-cpu", 7)
    pairs = [made["following"]() for _ in range(peers.PAIRS + 1)]
    assert pairs[-1] is pairs[0]
    assert len({id(matrix) for pair in pairs for matrix in pair}) == 2 * peers.PAIRS
    assert all(matrix.dtype == np.float32 and matrix.shape == (7, 7) for pair in pairs for matrix in pair)
    assert np.array_equal(eval(peers.STATEMENT, made), np.matmul(*pairs[1]))


def test_ratios_are_taken_inside_rounds(script):
    rounds = [a_round(gemmscope=1e-6, timeit=1.1e-6), a_round(gemmscope=2e-6, timeit=2e-6),
              a_round(gemmscope=4e-6, timeit=4.8e-6)]  # fmt: skip
    row = rows_of(script("peers"), rounds)["numpy-cpu 64"]
    assert row["gemmscope"] == 2e-6
    assert row["ratios"]["timeit"] == pytest.approx({"median": 1.1, "least": 1.0, "most": 1.2, "rounds": 3})


def test_only_quiet_pieces_say_whether_tools_agree(script):
    peers = script("peers")
    quiet = a_round(gemmscope=1e-6, timeit=1.04e-6)
    noisy = a_round(gemmscope=1e-6, timeit=1.5e-6, fixed=106e-6)
    rows = rows_of(peers, [quiet, noisy])
    assert rows["numpy-cpu 64"]["ratios"]["timeit"]["rounds"] == 1
    assert peers.agreement(rows) == "All medians lie within 5 % of gemmscope's."
    assert peers.agreement(rows_of(peers, [noisy, a_round(gemmscope=1e-6, timeit=1.1e-6)])) == (
        "Further than 5 % from gemmscope: numpy-cpu 64 by timeit."
    )


def test_one_quiet_piece_is_too_few(script):
    peers = script("peers")
    one = a_round(gemmscope=1e-6, timeit=2e-6)
    one["timeit"]["numpy-cpu 64"][1:] = [(2e-6, 150e-6)] * 2
    rows = rows_of(peers, [one])
    assert not rows["numpy-cpu 64"]["ratios"]
    assert peers.agreement(rows) == "Without a quiet round there is no word on whether the tools agree."


def test_gemmscope_and_the_peers_have_each_a_full_speed_of_their_own(script):
    fast, slow = a_round(gemmscope=1e-6), a_round(timeit=1e-6, fixed=130e-6)
    assert rows_of(script("peers"), [fast | slow])["numpy-cpu 64"]["ratios"]["timeit"]["rounds"] == 1


def test_a_product_that_gemmscope_has_not_measured_is_left_out(script):
    rounds = [{"gemmscope": {}, "timeit": {"numpy-cpu 64": [(1e-6, 1e-4)]}}, a_round(gemmscope=2e-6, timeit=2e-6)]
    assert rows_of(script("peers"), rounds)["numpy-cpu 64"]["gemmscope"] == 2e-6


def test_a_piece_has_the_slower_of_the_fixed_products_beside_it(script):
    looks = iter([1.0, 1.2, 1.1, 1.3])
    taken = script("peering.pieces").pieces_of(iter([9.0, 5.0, 6.0, 7.0]), lambda: next(looks))
    assert taken == [(5.0, 1.2), (6.0, 1.2), (7.0, 1.3)]


def test_a_turn_has_the_slower_of_the_references_turns_beside_it(script):
    def sample(turn, start, seconds, round_=0):
        return Sample(set=0, round=round_, turn=turn, start=start, first_pair=0, loops=2, seconds=seconds)

    reference = ReferenceWorkload(
        shape="8x8x8", samples=[sample(1, 1.0, 2.0), sample(1, 3.0, 2.4, 1), sample(1, 3.1, 2.8, 1)]
    )
    interval = Interval(estimate=1.0)
    samples = [sample(0, 0.5, 10.0), sample(2, 2.0, 12.0), sample(2, 2.1, 14.0)]
    result = SimpleNamespace(
        reference=reference, cells=[Cell(backend="numpy-cpu", m=64, n=64, k=64, seconds=interval, samples=samples)]
    )
    assert script("peers").turns_of(result) == {"numpy-cpu 64": [(5.0, 1.0), (6.5, pytest.approx(1.3))]}


def test_the_fixed_product_is_timed(script):
    assert script("peering.pieces").fixed_product() > 0


def test_a_peer_that_is_not_installed_says_so_in_its_column(script, monkeypatch, capsys):
    peers = script("peers")
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    reasons = {"pyperf": peers.absent("pyperf")}
    assert not peers.absent("timeit")
    peers.print_summary(rows_of(peers, [a_round(gemmscope=1e-6, timeit=1e-6)]), ["timeit"], reasons)
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.index("pyperf") == row.index("not installed: pip install pyperf")
    assert heading.index("timeit") == row.index("1.000 [1.000, 1.000] 1")


def test_a_peer_that_fails_says_why(script):
    with pytest.raises(click.ClickException, match=r"ended with 1.*planted"):
        script("common.commands").output_of([sys.executable, "-c", "raise SystemExit('planted')"])
    done = subprocess.run([sys.executable, BENCH / "peers.py", "--peers", "other"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "'other' is none of timeit" in done.stderr


@pytest.mark.parametrize("arguments", [("--shapes", "64,many"), ("--shapes", ""), ("--shapes", "8x8")])
def test_shapes_that_are_none_are_bad_usage(arguments):
    done = subprocess.run([sys.executable, BENCH / "peers.py", "--fresh", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_pyperf_has_no_ordinary_program():
    command = [sys.executable, BENCH / "peers.py", "--fresh", "--peers", "pyperf"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Error: in fresh processes there are timeit and torch.utils.benchmark" in done.stderr


@pytest.mark.parametrize("backend", ["numpy-cpu", "torch-cpu"])
def test_an_ordinary_program_makes_float32_directly(script, backend):
    made = script("peering.program").namespace(backend, 3, 4, 5)
    pairs = [made["following"]() for _ in range(11)]
    assert pairs[10] is pairs[0]
    assert len({id(matrix) for pair in pairs for matrix in pair}) == 20
    assert {(str(a.dtype).removeprefix("torch."), *a.shape, *b.shape) for a, b in pairs} == {("float32", 3, 5, 5, 4)}
    assert tuple(made["multiply"](*pairs[0]).shape) == (3, 4)


ORDINARY = """
import json, sys, runpy
sys.argv[1:] = ["timeit", "numpy-cpu", "3", "4", "5"]
runpy.run_path("peering/program.py", run_name="__main__")
assert not {"gemmscope", "torch", "click", "scipy"} & set(sys.modules)
"""


def test_an_ordinary_program_knows_nothing_of_gemmscope():
    done = subprocess.run([sys.executable, "-c", ORDINARY], capture_output=True, text=True, cwd=BENCH)
    assert done.returncode == 0, done.stderr
    seconds, faults = json.loads(done.stdout)
    assert seconds > 0
    assert faults >= 0


def test_page_faults_are_those_of_one_call(script, monkeypatch):
    program = script("peering.program")
    calls = []
    monkeypatch.setattr(program.resource, "getrusage", lambda who: SimpleNamespace(ru_minflt=7 * len(calls)))
    for measure in (program.by_timeit, program.by_torch):
        names = {"multiply": lambda: calls.append(time.sleep(0.02)), "following": tuple}
        assert measure(names)[1] == 7


def fresh_rows(fresh, theirs, faults=210.0, seconds=1e-3):
    cell = make_cell("numpy-cpu", seconds, 384, samples=samples(*[1e-3] * 10))
    shape = fresh.Shape(384, 384, 384)
    return fresh.rows_of(make_result([cell]), {("numpy-cpu", shape, "timeit"): [(each, faults) for each in theirs]})


def test_fresh_processes_stand_beside_gemmscope(script):
    fresh = script("peering.fresh")
    (row,) = fresh_rows(fresh, [1e-3 + 2e-6 * i for i in range(1, 11)])
    assert (row.shape, row.tool, row.gemmscope.processes, row.other.processes) == ("384x384x384", "timeit", 10, 10)
    assert (row.other.seconds.low, row.other.seconds.high) == (pytest.approx(1.004e-3), pytest.approx(1.018e-3))
    line, _, words = fresh.markdown([row]).splitlines()[2:]
    ours = "| numpy-cpu, 384x384x384 | 1000.0 [980.0, 1020.0] | 10 | not recorded |"
    assert line == f"{ours} timeit | 1011.0 [1004.0, 1018.0] | 10 | 210.0 | 1.011 | yes | overlap |"
    assert words == "All lie within 5 % of gemmscope's."


def test_gemmscopes_page_faults_are_those_of_one_call(script):
    seen = [SimpleNamespace(set=i, loops=10, page_faults=faults) for i, faults in enumerate((2000.0, None, 2100.0))]
    told = script("peering.fresh").seen_by_gemmscope(SimpleNamespace(samples=seen), Interval(estimate=1e-3))
    assert (told.faults, told.processes) == (205.0, 3)


def test_what_lies_further_apart_is_named(script):
    fresh = script("peering.fresh")
    text = fresh.markdown(fresh_rows(fresh, [1.06e-3] * 10))
    assert "| 1.060 | no | apart |" in text
    assert text.endswith("Further than 5 % from gemmscope: numpy-cpu, 384x384x384 by timeit.")


def test_a_cell_without_a_figure_has_no_row(script):
    assert fresh_rows(script("peering.fresh"), [1e-3], seconds=None) == []


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ((1.0, 0.9, 1.1), (1.05, 0.99, 1.2), "each holds the other's median"),
        ((1.0, 0.9, 1.1), (1.2, 1.05, 1.3), "overlap"),
        ((1.0, 0.9, 1.1), (1.2, 1.15, 1.3), "apart"),
        ((1.0, None, None), (1.0, 0.9, 1.1), "no interval"),
    ],
)
def test_how_intervals_lie(script, one, other, words):
    one, other = (Interval(estimate=estimate, low=low, high=high) for estimate, low, high in (one, other))
    cover = script("peering.fresh").cover
    assert cover(one, other) == cover(other, one) == words


def test_peers_work_on_the_threads_that_are_asked_for(script):
    peers = script("peers")
    environment = {"OMP_NUM_THREADS": "3"} | peers.thread_environment("1")
    code = "import json, torch; print(json.dumps(torch.get_num_threads()))"
    assert json.loads(script("common.commands").output_of([sys.executable, "-c", code], environment)) == 1
