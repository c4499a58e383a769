"""Figures that cannot be: their cells fail, and take no part in rankings, ratios or parts."""

from __future__ import annotations

import msgspec
import pytest

from gemmscope.analysis.derive import derive
from gemmscope.analysis.roofline import best_rates
from gemmscope.analysis.view import View
from tests.builders import make_ceilings
from tests.runs import World

# Of 64³: 5.2 GFLOP/s, 262 and 10000 times as fast as the peak of 100.
POSSIBLE, IMPOSSIBLE = 1e-4, 5.2e-10


def derived(seconds=IMPOSSIBLE, ceilings=None, backend=None, cell=None):
    run = World({"numpy-cpu": POSSIBLE, "torch-cpu": seconds, "cblas": POSSIBLE}, sizes=(64,)).run()
    backends = [
        msgspec.structs.replace(one, **(backend or {})) if one.name == "torch-cpu" else one for one in run.backends
    ]
    cells = [msgspec.structs.replace(one, **(cell or {})) if one.backend == "torch-cpu" else one for one in run.cells]
    ceilings = ceilings or make_ceilings(peak_gflops=100.0, peak_gflops_one_thread=1.0)
    return derive(msgspec.structs.replace(run, backends=backends, cells=cells, ceilings=ceilings))


def cell_of(result, name="torch-cpu"):
    return next(cell for cell in result.cells if cell.backend == name)


def test_what_no_processor_can_do_is_a_failure():
    result = derived()
    cell = cell_of(result)
    assert (cell.status, cell.seconds, cell.gflops) == ("failed", None, None)
    assert cell.reason.startswith("impossible: ")
    assert "times what the processor can do at most (100 GFLOP/s)" in cell.reason
    assert cell.samples, "what was returned stays in the file"
    view = View(result)
    assert "torch-cpu" not in str(view.rankings)
    assert "torch-cpu" not in {one.backend for one in result.comparisons}
    assert "torch-cpu" not in {one.backend for one in best_rates(result)}
    assert {one.backend: one.status for one in [cell_of(result, "numpy-cpu"), cell_of(result, "cblas")]} == {
        "numpy-cpu": "ok", "cblas": "ok"
    }  # fmt: skip
    assert view.backends["torch-cpu"].status == "failed"
    assert "impossible" in view.backends["torch-cpu"].reason
    assert "torch-cpu is fastest" not in " ".join(finding.text for finding in result.findings)


def test_it_stays_a_failure_when_it_is_looked_at_again():
    once = derived()
    assert cell_of(derive(once)) == cell_of(once)


@pytest.mark.parametrize(
    "given",
    [
        {"seconds": 64**3 * 2 / 350e9},  # a peak that came out too low by a factor of three and a half
        {"ceilings": make_ceilings(peak_gflops=100.0, note="no ceiling for AMX")},
        {"ceilings": make_ceilings(peak_gflops=100.0, instructions="none")},
        {"backend": {"device": "gpu"}},
        {"cell": {"precision": "bf16"}},
    ],
    ids=["a low peak", "no ceiling", "no vectors", "another device", "another precision"],
)
def test_what_may_be_is_left_alone(given):
    assert cell_of(derived(**given)).status == "ok"
