"""Page faults of a call: counted over samples, exported, and told where they are what an allocation costs."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest

from gemmscope.analysis.figures import measure
from gemmscope.analysis.findings import overhead
from gemmscope.report.exports import to_csv
from tests.analysis.test_findings import MICRO, cell, only, with_parts
from tests.builders import make_backend, make_cell, make_result, make_samples


def faulting(*counts, loops=10):
    """A cell with one sample for each number of page faults; None where they were not counted."""
    samples = make_samples([1e-6], rounds=len(counts), loops=loops)
    return make_cell("numpy-cpu", None, samples=[
        msgspec.structs.replace(sample, page_faults=count) for sample, count in zip(samples, counts, strict=True)
    ])  # fmt: skip


def test_page_faults_are_those_of_one_call_where_they_were_counted():
    assert measure(faulting(2200.0, 2000.0, None), None).page_faults == pytest.approx(210)
    assert measure(faulting(0.0, 1.0), None).page_faults == pytest.approx(0.05)


def test_page_faults_that_nobody_counted_are_not_known():
    assert measure(faulting(None, None), None).page_faults is None


def test_page_faults_are_a_column_of_the_csv_file():
    cells = [measure(faulting(2200.0), None), measure(faulting(None), None)]
    rows = list(csv.DictReader(io.StringIO(to_csv(make_result(cells)))))
    assert [row["page_faults"] for row in rows] == ["220.0", ""]


def calls(faults, out_faults, backend="numpy-cpu", out="numpy-cpu:out"):
    """A call of 518 µs at 384, of which 170 are its new output."""
    backends = [make_backend(backend, part="allocation", inside=out),
                make_backend(out, part="binding", inside="kernel-numpy"),
                make_backend("kernel-numpy", entry="native")]  # fmt: skip
    return with_parts(
        cell(backend, 518.0, 384, page_faults=faults), cell(out, 348.0, 384, page_faults=out_faults),
        cell("kernel-numpy", 340.0, 384), backends=backends,
    )  # fmt: skip


def test_an_allocation_that_page_faults_says_so_and_what_avoids_it():
    finding = only(overhead.allocation(calls(220.3, 0.0)))
    assert finding.text == (
        "Allocating the output in a fresh heap costs numpy-cpu 170 µs (33 %) per call at 384. "
        "Each call page-faults 220 times at 384: numpy-cpu:out or a warmed heap avoids it."
    )
    assert finding.evidence["allocation at 384, seconds"] == pytest.approx(170 * MICRO, rel=0.01)
    assert finding.evidence["page faults per call at 384"] == 220.3


def test_the_state_of_the_heap_is_named_with_the_part():
    assert "allocation in a fresh heap 170" in only(overhead.share(calls(220.3, 0.0))).text
    assert "allocation 170" in only(overhead.share(calls(None, None))).text
    warmed = calls(0.0, 0.0, "numpy-cpu:heap=warm", "numpy-cpu:out+heap=warm")
    finding = only(overhead.allocation(warmed))
    assert "Allocating the output in a warmed heap costs" in finding.text
    assert "numpy-cpu:out+heap=warm avoids it." in finding.text


@pytest.mark.parametrize(("faults", "out_faults"), [(0.4, 0.0), (220.0, 220.0), (220.0, None), (None, None)])
def test_faults_are_blamed_only_where_calls_have_them_because_of_the_output(faults, out_faults):
    text = only(overhead.allocation(calls(faults, out_faults))).text
    assert "page-faults" not in text
    assert text.endswith("numpy-cpu:out avoids it.")
