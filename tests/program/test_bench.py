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
    data = json.loads(bench("original.py", "--sizes", "16,32", "--warm-up", "1", "--json"))
    rows = {(row["backend"], row["size"]): row for row in data}
    assert {("numpy-cpu", 16), ("torch-cpu", 32), ("mlx-cpu", 16)} <= set(rows)
    assert all(row["mean"] > 0 for row in rows.values())
    assert rows["numpy-cpu", 16]["speedup"] == 1
    assert "numpy-cpu" in bench("original.py", "--sizes", "16", "--copies", "--no-sync")


def test_python_vs_native():
    data = json.loads(bench("python_vs_native.py", "--sizes", "16", "--seconds", "4", "--sets", "2", "--json"))
    rows = {(row["python"], row["native"]): row for row in data["rows"]}
    assert {("cblas-call", "cblas"), ("mlx-cpu", "mlx-cpp-cpu"), ("numpy-cpu:out", "cblas-call")} <= set(rows)
    for row in rows.values():
        assert row["low"] <= row["ratio"] <= row["high"]
        assert row["saved_seconds"] == pytest.approx(row["python_seconds"] * (1 - row["ratio"]))


def test_a_trial_of_every_peer_is_made_once(tmp_path):
    path = tmp_path / "truth.jsonl"
    methods = "plain loop,alternating loop,torch.utils.benchmark,pyperf"
    arguments = (
        "truth.py", "run", "--trials", "1", "--size", "32", "--seconds", "1", "--margin", "0.5%",
        "--methods", methods, "--conditions", "idle", "--out", str(path),
    )  # fmt: skip
    bench(*arguments)
    trials = [json.loads(line) for line in path.read_text().splitlines()]
    assert {trial["method"] for trial in trials} == set(methods.split(","))
    for trial in trials:
        assert (trial["margin"], trial["budget"]) == (0.005, 1.0)
        for outcome in trial["outcomes"]:
            assert isinstance(outcome["achieved"], float)
            assert (outcome["low"] is None) == (trial["method"] != "alternating loop")
    before = path.read_text()
    bench(*arguments)
    assert path.read_text() == before
    other = [sys.executable, BENCH / "truth.py", "run", "--size", "33", "--out", path]
    done = subprocess.run(other, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "Error: truth.jsonl has trials of size 32 with margin 0.005; name another file with --out\n"


def test_gemmscopes_trial_says_what_was_achieved_in_its_workers():
    arguments = ("truth.py", "one", "gemmscope", "noisy", "32", "3", "0.01", "0")
    trial = json.loads(bench(*arguments))
    assert [outcome["per_cent"] for outcome in trial["outcomes"]] == [0, 1, 2, 5, 10]
    for outcome in trial["outcomes"]:
        assert isinstance(outcome["achieved"], float)
        assert outcome["low"] <= outcome["ratio"] <= outcome["high"]


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


def test_peers_in_fresh_processes():
    arguments = (
        "peers.py",
        "--fresh",
        "--shapes",
        "16,8x24x32",
        "--processes",
        "1",
        "--seconds",
        "3",
        "--threads",
        "1",
    )
    rows = json.loads(bench(*arguments, "--json"))
    assert [(row["backend"], row["shape"], row["tool"]) for row in rows] == [
        (backend, shape, tool)
        for backend, tools in (("numpy-cpu", ["timeit"]), ("torch-cpu", ["timeit", "torch.utils.benchmark"]))
        for shape in ("16x16x16", "8x24x32")
        for tool in tools
    ]
    for row in rows:
        assert row["gemmscope"]["seconds"]["median"] > 0
        assert row["other"]["seconds"]["median"] > 0
        assert row["other"]["faults"] >= 0


@pytest.mark.parametrize("peer", ["timeit", "torch.utils.benchmark", "pyperf"])
def test_every_peer_times_the_same_call(peer):
    pieces = json.loads(bench("peers.py", "--peer", peer, "--backend", "numpy-cpu", "--sizes", "16"))
    assert list(pieces) == ["numpy-cpu 16"]
    assert len(pieces["numpy-cpu 16"]) > 1
    assert all(seconds > 0 for seconds, _ in pieces["numpy-cpu 16"])
