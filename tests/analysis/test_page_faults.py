"""Page faults of a call: counted over samples, exported, and told where they are what an allocation costs."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest

from gemmscope.analysis.figures import measure
from gemmscope.report.exports import to_csv
from tests.builders import make_cell, make_result, make_samples


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
