"""The bench scripts run, and print what they promise. How fast anything is, no test asserts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCH = Path(__file__).parent.parent.parent / "bench"
# These are no scripts: they are what truth.py and truth_layers.py measure.
SCRIPTS = sorted(path.name for path in BENCH.glob("*.py") if not path.name.startswith("planted"))


def bench(script, *arguments):
    done = subprocess.run(
        [sys.executable, BENCH / script, *arguments], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_stands_alone_with_help(script):
    assert "--help" in bench(script, "--help")


def test_call_overhead():
    data = json.loads(bench("call_overhead.py", "--rounds", "5", "--calls", "50", "--json"))
    rows = data["candidates"]
    assert rows["np.matmul(a, b, out)"]["ratio"] == 1
    assert {"native.sgemm(a, b, out)", "plan()", "cblas_sgemm in a C++ loop"} <= set(rows)
    assert all(row["median_ns"] > 0 for row in rows.values())
    assert "of np.matmul(a, b, out)" in bench("call_overhead.py", "--rounds", "3", "--calls", "20")


def test_original():
    data = json.loads(bench("original.py", "--sizes", "16,32", "--seconds", "3", "--json"))
    rows = {(row["backend"], row["size"]): row for row in data["rows"]}
    assert {("numpy-cpu", 16), ("torch-cpu", 32), ("mlx-cpu", 16)} <= set(rows)
    assert all(row["mean"] > 0 and row["gemmscope"] > 0 for row in rows.values())
    assert rows["numpy-cpu", 16]["speedup"] == 1
    assert {name for name, _ in rows} | set(data["absent"]) == {
        "numpy-cpu", "torch-cpu", "torch-gpu", "mlx-cpu", "mlx-gpu",
    }  # fmt: skip
    text = bench("original.py", "--sizes", "16", "--no-gemmscope", "--copies", "--no-sync", "--warm-up", "1")
    assert "numpy-cpu" in text


def test_python_vs_native():
    data = json.loads(bench("python_vs_native.py", "--sizes", "16", "--seconds", "4", "--sets", "2", "--json"))
    rows = {(row["python"], row["native"]): row for row in data["rows"]}
    assert {("cblas-call", "cblas"), ("mlx-cpu", "mlx-cpp-cpu"), ("numpy-cpu:out", "cblas-call")} <= set(rows)
    for row in rows.values():
        assert row["low"] <= row["ratio"] <= row["high"]
        assert row["saved_seconds"] == pytest.approx(row["python_seconds"] * (1 - row["ratio"]))


def test_truth_counts_what_its_trials_say(tmp_path):
    path = tmp_path / "truth.jsonl"
    outcome = '{"per_cent":%d,"ratio":1.0,"verdict":"%s"}'
    lines = []
    for number in range(10):
        verdicts = ["unclear" if number else "faster", "same", "slower", "slower", "slower"]
        outcomes = ",".join(outcome % pair for pair in zip((0, 1, 2, 5, 10), verdicts, strict=True))
        lines.append(f'{{"method":"gemmscope","condition":"idle","number":{number},"size":64,"seconds":3.0,'
                     f'"outcomes":[{outcomes}]}}')  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    row = bench("truth.py", "table", str(path)).splitlines()[2]
    # Clopper and Pearson's exact interval of 1 in 10 is [0.0025, 0.445], of 0 in 10 [0, 0.308], of 10 in 10 [0.692, 1].
    assert row == (
        "| gemmscope | idle | 10 | 3 s | 1 of 10 [0%, 45%] | 0 of 10 [0%, 31%] | 10 of 10 [69%, 100%] | "
        "10 of 10 [69%, 100%] | 10 of 10 [69%, 100%] |"
    )


def test_truth_makes_no_trial_twice(tmp_path):
    path = tmp_path / "truth.jsonl"
    arguments = ("run", "--trials", "1", "--size", "32", "--methods", "plain loop", "--out", str(path))
    bench("truth.py", *arguments)
    before = path.read_text()
    assert before.count("\n") == 2
    bench("truth.py", *arguments)
    assert path.read_text() == before


def test_planted_slow_downs_are_what_they_say():
    sys.path.insert(0, str(BENCH))
    try:
        import planted
    finally:
        sys.path.remove(str(BENCH))
    classes = [member for name, member in vars(planted).items() if name.startswith("Planted")]
    assert sorted(member.per_cent for member in classes) == [0, 0, 1, 2, 5, 10]
    assert {member.name for member in classes} == {"planted-base", *(f"planted-{x}" for x in planted.SLOWDOWNS)}


PROBED = """
import ctypes, sys, time
import mlx.core as mx
import numpy as np
a, b = (np.random.default_rng(i).random((70, 70), np.float32) for i in range(2))
def multiply():
    with mx.stream(mx.cpu):
        return np.array(mx.matmul(mx.array(a), mx.array(b)))
assert np.allclose(multiply(), a.astype(float) @ b, rtol=1e-4)
probe = ctypes.CDLL(None)
probe.gemmscope_probe_nanoseconds.restype = ctypes.c_int64
probe.gemmscope_probe_calls.restype = ctypes.c_int64
assert probe.gemmscope_probe_calls() == 1 and probe.gemmscope_probe_nanoseconds() > 0
probe.gemmscope_probe_delay.argtypes = [ctypes.c_int64]
probe.gemmscope_probe_delay(50_000_000)
start = time.perf_counter()
multiply()
assert time.perf_counter() - start >= 0.05
print("slowed")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's; run this there")
def test_the_probe_sees_mlxs_kernel_and_can_slow_it_down():
    pytest.importorskip("mlx.core", reason="install mlx to run this")
    sys.path.insert(0, str(BENCH))
    try:
        import planted_layers
    finally:
        sys.path.remove(str(BENCH))
    environment = os.environ | {"LD_PRELOAD": str(planted_layers.probe_file())}
    done = subprocess.run([sys.executable, "-c", PROBED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "slowed" in done.stdout


def test_reliability_writes_its_table_into_a_document(tmp_path):
    path = tmp_path / "doc.md"
    path.write_text("before\n<!-- made by bench/reliability.py -->\nold\n<!-- end -->\nafter\n")
    printed = bench(
        "reliability.py", "--only", "standard output is full", "--times", "2", "--kills", "0", "--write", path
    )
    (row,) = [line for line in printed.splitlines() if "/dev/full" in line]
    assert "| 2 | status 1 with words |" in row
    assert row.endswith("| nothing |")
    text = path.read_text()
    assert row in text
    assert "old" not in text
    assert text.startswith("before\n<!--")
    assert text.endswith("<!-- end -->\nafter\n")


def test_peers():
    arguments = ("peers.py", "--sizes", "16", "--rounds", "1", "--seconds", "3", "--peers", "timeit")
    (only,) = json.loads(bench(*arguments, "--json"))["rounds"]
    assert set(only) == {"gemmscope", "timeit"}
    for pieces in only.values():
        assert set(pieces) == {"numpy-cpu 16", "torch-cpu 16"}
        assert all(seconds > 0 and fixed > 0 for taken in pieces.values() for seconds, fixed in taken)


@pytest.mark.parametrize("peer", ["timeit", "torch.utils.benchmark", "pyperf"])
def test_every_peer_times_the_same_call(peer):
    pieces = json.loads(bench("peers.py", "--peer", peer, "--backend", "numpy-cpu", "--sizes", "16"))
    assert list(pieces) == ["numpy-cpu 16"]
    assert len(pieces["numpy-cpu 16"]) > 1
    assert all(0 < seconds < 1 for seconds, _ in pieces["numpy-cpu 16"])
