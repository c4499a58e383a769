"""The bench scripts run, and print what they promise. How fast anything is, no test asserts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench"
SCRIPTS = sorted(path.name for path in BENCH.glob("*.py"))


def bench(script, *arguments):
    done = subprocess.run(
        [sys.executable, BENCH / script, *arguments], capture_output=True, text=True, timeout=120, check=False
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
