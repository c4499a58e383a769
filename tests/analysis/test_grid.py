"""Frameworks by BLAS libraries: what stands where, which of the two explains the differences, and whether all agree."""

from __future__ import annotations

import re

import pytest

from gemmscope.analysis.findings import grid as findings
from gemmscope.analysis.grid import OWN, effects, grid_of, odd_ones
from gemmscope.analysis.view import View
from gemmscope.report.charts import NoDataError, RunData, chart_kinds, pictures
from gemmscope.report.model import Report
from gemmscope.report.rows.grid import grid_tables
from gemmscope.workload.shapes import Shape
from tests.builders import make_result, make_sampled_cell

S64 = Shape(64, 64, 64)
FRAMEWORKS = {"numpy-cpu": 1.0, "torch-cpu": 1.02, "mlx-cpu": 1.1}
LIBRARIES = {"openblas": 1e-6, "mkl": 2e-6, "reference": 30e-6}
NOISE = (1.0, 1.004, 0.997, 1.001, 0.999)


def grid_cells(frameworks=FRAMEWORKS, libraries=LIBRARIES, own=True, **changes):
    """A cell for every combination: the BLAS's time, times the framework's factor, times some noise for each set."""
    cells = [
        make_sampled_cell(f"{framework}:blas={library}", [seconds * factor * noise for noise in NOISE], **changes)
        for framework, factor in frameworks.items()
        for library, seconds in libraries.items()
    ]
    if own:
        cells += [make_sampled_cell(framework, [5e-6] * len(NOISE), **changes) for framework in frameworks]
    return cells


def view_of(cells):
    return View(make_result(cells))


def test_every_combination_has_its_place():
    grid = grid_of(view_of(grid_cells()))
    assert grid is not None
    assert grid.frameworks == list(FRAMEWORKS)
    assert grid.libraries == [OWN, *LIBRARIES]
    assert grid.names["torch-cpu", "mkl"] == "torch-cpu:blas=mkl"
    assert grid.names["torch-cpu", OWN] == "torch-cpu"


def test_other_options_make_a_row_and_instruments_make_none():
    cells = grid_cells({"numpy-cpu": 1.0}, own=False)
    cells += [make_sampled_cell(f"numpy-cpu:out+blas={library}", [1e-6, 1e-6]) for library in LIBRARIES]
    cells += [make_sampled_cell(f"kernel-numpy:blas={library}", [1e-6, 1e-6]) for library in LIBRARIES]
    cells += [make_sampled_cell(f"cblas:blas={library}", [1e-6, 1e-6]) for library in LIBRARIES]
    result = make_result(cells)
    native = {"kernel-numpy", "cblas"}
    backends = [
        type(one)(**{**{f: getattr(one, f) for f in one.__struct_fields__}, "entry": "native"})
        if one.name.partition(":")[0] in native else one
        for one in result.backends
    ]  # fmt: skip
    grid = grid_of(View(make_result(cells, backends=backends)))
    assert grid is not None
    assert grid.frameworks == ["numpy-cpu", "numpy-cpu:out", "cblas"]


@pytest.mark.parametrize("cells", [
    [],
    grid_cells({"numpy-cpu": 1.0}),
    grid_cells(libraries={"openblas": 1e-6}),
    [make_sampled_cell("numpy-cpu", [1e-6, 1e-6]), make_sampled_cell("torch-cpu", [1e-6, 1e-6])],
])  # fmt: skip
def test_a_run_without_two_of_each_has_none(cells):
    view = view_of(cells)
    assert grid_of(view) is None
    assert grid_tables(view) == {}
    assert findings.blas_or_framework(view) == []
    assert findings.same_results(view) == []


def test_where_the_blas_makes_the_difference_it_is_said_to_decide():
    view = view_of(grid_cells())
    found = effects(view, grid_of(view), S64)
    assert found is not None
    assert found.more == "blas"
    assert found.combinations == 9
    assert found.blas.share.estimate > 0.99
    assert (found.blas.fastest, found.blas.slowest) == ("openblas", "reference")
    assert found.blas.ratio.estimate == pytest.approx(30)
    assert (found.framework.fastest, found.framework.slowest) == ("numpy-cpu", "mlx-cpu")
    assert found.framework.ratio.estimate == pytest.approx(1.1)
    (finding,) = findings.blas_or_framework(view)
    assert finding.verdict == "found"
    assert finding.text.startswith("At 64 the BLAS explains 100 %")
    assert "A call on reference takes 30.0 times as long as on openblas" in re.sub(r" \[[^]]*\]", "", finding.text)


def test_where_the_framework_makes_the_difference_it_is_said_to_decide():
    view = view_of(grid_cells({"numpy-cpu": 1.0, "mlx-cpu": 20.0}, {"openblas": 1e-6, "mkl": 1.1e-6}))
    found = effects(view, grid_of(view), S64)
    assert found is not None
    assert found.more == "framework"
    (finding,) = findings.blas_or_framework(view)
    assert finding.text.startswith("At 64 the framework explains ")


def test_a_library_far_behind_does_not_hide_what_is_left_between_the_others():
    """netlib's BLAS explains nearly all; between two that are alike it is the framework."""
    libraries = {"openblas": 1e-6, "system": 1.002e-6, "reference": 30e-6}
    (finding,) = findings.blas_or_framework(view_of(grid_cells({"numpy-cpu": 1.0, "mlx-cpu": 3.0}, libraries)))
    first, second = finding.text.split(" Among ")
    assert first.startswith("At 64 the BLAS explains ")
    assert second.startswith("openblas and system, which are within a factor of 2, the framework explains ")


def test_differences_within_the_margin_are_none():
    view = view_of(grid_cells({"numpy-cpu": 1.0, "torch-cpu": 1.001}, {"openblas": 1e-6, "mkl": 1.0012e-6}))
    (finding,) = findings.blas_or_framework(view)
    assert finding.text == "At 64 all 4 combinations take the same time, to within the margin."


def test_the_loop_in_cpp_is_a_row_where_there_is_one_framework_alone():
    cells = grid_cells({"numpy-cpu": 1.0}, own=False)
    cells += [make_sampled_cell(f"cblas:blas={library}", [s, s * 1.01]) for library, s in LIBRARIES.items()]
    (finding,) = findings.blas_or_framework(view_of(cells))
    assert "one by cblas takes 1.00" in finding.text


def test_nothing_is_decided_by_noise():
    cells = [
        make_sampled_cell(f"{framework}:blas={library}", by_set)
        for framework, library, by_set in (
            ("numpy-cpu", "openblas", [1e-6, 2e-6, 3e-6]), ("numpy-cpu", "mkl", [3e-6, 1e-6, 2e-6]),
            ("torch-cpu", "openblas", [2e-6, 3e-6, 1e-6]), ("torch-cpu", "mkl", [1e-6, 1e-6, 2e-6]),
        )
    ]  # fmt: skip
    (finding,) = findings.blas_or_framework(view_of(cells))
    assert finding.verdict == "not found"
    assert "it is open whether the BLAS (" in finding.text


def test_equal_times_explain_nothing_and_break_nothing():
    view = view_of(grid_cells(dict.fromkeys(FRAMEWORKS, 1.0), dict.fromkeys(LIBRARIES, 1e-6)))
    found = effects(view, grid_of(view), S64)
    assert found is not None
    assert found.more == ""


def test_a_library_that_one_framework_lacks_takes_no_part():
    cells = [cell for cell in grid_cells() if cell.backend != "mlx-cpu:blas=mkl"]
    view = view_of(cells)
    found = effects(view, grid_of(view), S64)
    assert found is not None
    assert found.combinations == 6
    assert len(grid_tables(view)[S64].rows) == 3


def with_digests(counted=1.0, **changed):
    """The grid at two sizes, with the same digest down each column but for the cells that are named, at 64 alone."""
    cells = [cell for size in (64, 128) for cell in grid_cells(own=False, size=size)]
    for number, cell in enumerate(cells):
        framework, _, library = cell.backend.partition(":blas=")
        named = f"{framework.removesuffix('-cpu')}_{library}"
        digest = changed.get(named, library) if cell.m == 64 else library
        calls = counted if cell.m == 64 and named == "numpy_mkl" else 1.0
        fields = {name: getattr(cell, name) for name in cell.__struct_fields__}
        cells[number] = type(cell)(**fields | {"digests": {0: digest, number + 1: "its own"}, "blas_calls": calls})
    return view_of(cells)


def test_results_are_compared_down_each_column():
    view = with_digests()
    assert [odd_ones(view, grid_of(view), S64, library) for library in LIBRARIES] == [[], [], []]
    (finding,) = findings.same_results(view)
    assert finding.text == (
        "On the same BLAS the results of all frameworks are the same, to the last bit "
        "(openblas, mkl and reference, at 64 and 128). Every call of a framework was one call of the BLAS, as counted."
    )


def test_who_computes_another_result_is_named_with_library_and_shape():
    view = with_digests(torch_mkl="another")
    assert [odd_ones(view, grid_of(view), S64, library) for library in LIBRARIES] == [[], ["torch-cpu"], []]
    (finding,) = findings.same_results(view)
    assert "but they differ with torch-cpu on mkl at 64." in finding.text
    assert finding in [one for one in findings.same_results(view) if one.verdict == "found"], "it must be printed"


def test_where_all_differ_all_are_named():
    view = with_digests(numpy_mkl="one", torch_mkl="another")
    assert odd_ones(view, grid_of(view), S64, "mkl") == list(FRAMEWORKS)


def test_calls_that_are_not_one_are_named_at_their_shape():
    (finding,) = findings.same_results(with_digests(counted=2.0))
    assert "as counted: numpy-cpu:blas=mkl at 64 (2)." in finding.text


def test_without_digests_nothing_is_said_of_results():
    view = view_of(grid_cells())
    assert odd_ones(view, grid_of(view), S64, "mkl") is None
    assert findings.same_results(view) == []


def test_the_table_is_relative_to_the_fastest_combination():
    (table,) = grid_tables(view_of(grid_cells())).values()
    texts = {row.backend: [column.of(row) for column in table.columns] for row in table.rows}
    assert [column.heading for column in table.columns] == ["framework", "its own", "openblas", "mkl", "reference"]
    assert texts["numpy-cpu"][2] == "1.00 µs (1.0×)"
    assert texts["mlx-cpu"][4] == "33.0 µs (33×)"
    tones = {column.heading: column.tone(table.rows[0]) for column in table.columns}
    assert (tones["openblas"], tones["reference"]) == ("good", "bad")


def test_the_chart_has_a_cell_for_every_combination_and_is_not_missed_without():
    cells = grid_cells() + [
        make_sampled_cell(cell.backend, [sample.seconds / sample.loops for sample in cell.samples], size=128)
        for cell in grid_cells()
    ]
    drawn = pictures(RunData(view_of(cells)))["grid"]
    assert not isinstance(drawn, NoDataError)
    assert len(drawn.data["grid"]) == 2 * 12
    drawn.chart.to_dict()  # Altair validates it against the schema
    assert isinstance(pictures(RunData(view_of([])))["grid"], NoDataError)
    assert chart_kinds()["grid"].optional


def test_a_report_has_the_grid():
    assert list(Report(make_result(grid_cells())).grids) == [S64]
