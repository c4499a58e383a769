"""The first sentence about a run, and the table under it: they say what the ranking says."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from gemmscope.analysis.findings.headline import headline as rule
from gemmscope.analysis.headline import NOTHING, headline
from gemmscope.analysis.view import View
from gemmscope.records.diagnosis import Diagnosis
from gemmscope.report.model import Report
from gemmscope.report.rows.overview import note, overview
from gemmscope.report.terminal import print_end
from tests.builders import make_result, make_sampled_cell

STEADY = (1.0, 1.0001, 0.9999, 1.00005, 0.99995)
WILD = (1.0, 1.4, 0.7, 1.2, 0.9)


def cells(size, **seconds):
    """Cells of one size; names have underscores, and ``_wild`` at their end makes a cell that scatters."""
    made = []
    for name, value in seconds.items():
        scatter = WILD if name.endswith("_wild") else STEADY
        backend = name.removesuffix("_wild").replace("__", ":").replace("_", "-")
        made.append(make_sampled_cell(backend, [value * factor for factor in scatter], size=size))
    return made


def said(*made):
    found = rule(View(make_result([cell for some in made for cell in some])))
    return found[0].text if found else ""


def test_who_is_fastest_and_by_how_much():
    text = said(cells(64, numpy_cpu=1e-6, torch_cpu=2e-6, mlx_cpu=25e-6), cells(256, numpy_cpu=1e-4, torch_cpu=1.5e-4))
    assert text == "numpy-cpu is fastest at 64 and 256; torch-cpu takes 1.5 to 2.0 times as long, mlx-cpu 25."


def test_a_tie_at_some_sizes_is_named_there():
    text = said(cells(64, numpy_cpu=1e-6, torch_cpu=1.001e-6), cells(256, numpy_cpu=1e-4, torch_cpu=2e-4))
    assert (
        text
        == "numpy-cpu is fastest at 64 and 256 (tied with torch-cpu at 64); torch-cpu takes up to 2.0 times as long."
    )


def test_a_tie_everywhere():
    text = said(cells(64, numpy_cpu=1e-6, torch_cpu=1.001e-6, mlx_cpu=9e-6))
    assert text == "numpy-cpu and torch-cpu are tied for fastest at 64; mlx-cpu takes 9.0 times as long."


def test_one_that_is_never_alone_in_front_is_tied():
    text = said(
        cells(64, numpy_cpu=1e-6, torch_cpu=1.001e-6, mlx_cpu=2e-6),
        cells(256, numpy_cpu=1e-4, torch_cpu=2e-4, mlx_cpu=1.001e-4),
    )
    lead = "numpy-cpu is tied for fastest at 64 and 256 (with torch-cpu at 64 and with mlx-cpu at 256)"
    assert text == f"{lead}; mlx-cpu takes up to 2.0 times as long, torch-cpu up to 2.0."


def test_another_is_fastest_at_another_size():
    text = said(cells(64, numpy_cpu=1e-6, torch_cpu=2e-6), cells(256, numpy_cpu=2e-4, torch_cpu=1e-4))
    assert text.startswith("numpy-cpu is fastest at 64, torch-cpu at 256; ")


def test_many_sizes_are_named_in_short():
    sizes = (64, 128, 256, 512)
    text = said(*(cells(size, numpy_cpu=1e-6, torch_cpu=2e-6) for size in sizes))
    assert text == "numpy-cpu is fastest at every size; torch-cpu takes 2.0 times as long."
    text = said(*(cells(size, numpy_cpu=1e-6 * (3 if size == 64 else 1), torch_cpu=2e-6) for size in sizes))
    assert text.startswith("torch-cpu is fastest at 64, numpy-cpu from 128 to 512; ")
    text = said(*(cells(size, numpy_cpu=1e-6 * (3 if size == 128 else 1), torch_cpu=2e-6) for size in sizes))
    assert text.startswith("numpy-cpu is fastest at 64, 256 and 512, torch-cpu at 128; ")


def test_the_reason_is_in_it_where_it_is_known():
    made = [*cells(64, numpy_cpu=1e-6, mlx_cpu=25e-6)]
    known = Diagnosis(id="reference-blas", backend="mlx-cpu", verdict="confirmed", matters=True, brief="it is slow")
    doubt = Diagnosis(id="x", backend="mlx-cpu", verdict="refuted", brief="it is wrong")
    (found,) = rule(View(msgspec.structs.replace(make_result(made), diagnoses=[doubt, known])))
    assert found.text == "numpy-cpu is fastest at 64; mlx-cpu takes 25 times as long (it is slow)."


def test_what_is_far_behind_and_not_shown_to_be_is_not_called_tied():
    made = cells(64, numpy_cpu=1e-6, torch_cpu=1.001e-6, mlx_cpu_wild=1.25e-6)
    assert said(made) == (
        "numpy-cpu and torch-cpu are tied for fastest at 64; mlx-cpu takes 1.26 times as long (not settled)."
    )
    found = overview(View(made_result := make_result(made)))
    marks = {row.backend: one.mark for row in found.rows for one in row.standings.values()}
    assert marks == {"numpy-cpu": "*", "torch-cpu": "=", "mlx-cpu": "?"}
    assert "? too noisy to tell" in note(made_result, found)
    assert said(cells(64, numpy_cpu=1e-6, mlx_cpu_wild=1.25e-6)).startswith("numpy-cpu has the shortest times at 64;")


def test_variants_and_our_own_call_are_not_in_it():
    text = said(cells(64, numpy_cpu__out=0.5e-6, cblas_call=0.4e-6, numpy_cpu=1e-6, torch_cpu=2e-6))
    assert text == "Of the libraries, numpy-cpu is fastest at 64; torch-cpu takes 2.0 times as long."
    behind = said(cells(64, cblas_call=1.5e-6, numpy_cpu=1e-6, torch_cpu=2e-6))
    assert behind == "numpy-cpu is fastest at 64; torch-cpu takes 2.0 times as long.", "nothing to be told apart"


def test_what_all_share_is_said_once():
    one = cells(64, numpy_cpu=1e-6, torch_cpu_wild=1.3e-6, mlx_cpu_wild=1.5e-6)
    two = cells(256, numpy_cpu=1.1e-4, torch_cpu_wild=0.8e-4)
    assert said(one) == (
        "numpy-cpu has the shortest times at 64; torch-cpu takes 1.31 times as long, mlx-cpu 1.52; none of these "
        "differences is settled."
    )
    assert said(one, two).startswith("numpy-cpu has the shortest times at 64, torch-cpu at 256; ")
    some = said(cells(64, numpy_cpu=1e-6, torch_cpu=2e-6, mlx_cpu_wild=1.5e-6))
    assert some.endswith("mlx-cpu takes 1.52 times as long (not settled), torch-cpu 2.0.")


def test_what_the_ranking_calls_a_tie_is_one_here_too():
    view = View(make_result(cells(64, numpy_cpu=1e-6, torch_cpu_wild=1.06e-6)))
    (found,) = rule(view)
    assert next(iter(view.rankings.values())).tied == ["torch-cpu"]
    assert found.text == "numpy-cpu and torch-cpu are tied for fastest at 64."


@pytest.mark.parametrize("made", [[], cells(64, numpy_cpu=1e-6), cells(64, numpy_cpu=1e-6, numpy_cpu__out=1e-6)])
def test_one_library_alone_has_no_headline(made):
    assert said(made) == ""
    assert headline([]) == NOTHING


def test_the_table_marks_the_fastest_and_its_ties():
    made = cells(64, numpy_cpu=1e-6, torch_cpu=1.001e-6, mlx_cpu=9e-6)
    table = overview(View(make_result([*made, *cells(256, numpy_cpu=2e-4, torch_cpu=1e-4)])))
    assert table is not None
    rows = {row.backend: [column.of(row) for column in table.columns] for row in table.rows}
    assert list(rows) == ["torch-cpu", "numpy-cpu", "mlx-cpu"], "the fastest at the largest shape stands first"
    assert rows["numpy-cpu"][1] == "* 1.00 µs"
    assert rows["torch-cpu"][1] == "= 1.00 µs"
    assert rows["mlx-cpu"][1:3] == ["9.00 µs", ""]
    assert rows["mlx-cpu"][3:] == ["", ""], "not measured there"


def test_variants_are_the_first_to_be_left_out():
    names = {f"numpy_cpu__threads={n}": (2 + n) * 1e-6 for n in range(1, 20)}
    table = overview(View(make_result(cells(64, numpy_cpu=9e-6, torch_cpu=50e-6, **names))))
    assert table is not None
    shown = [row.backend for row in table.rows]
    assert len(shown) == 10
    assert shown[0] == "numpy-cpu:threads=1"
    assert {"numpy-cpu", "torch-cpu"} <= set(shown)


def test_the_end_of_a_run_fits_a_terminal_and_has_all_that_is_wanted_first():
    sizes = (64, 128, 256, 512)
    seconds = {"numpy_cpu": 1e-6, "torch_cpu": 2e-6, "mlx_cpu": 60e-6}
    made = [c for size in sizes for c in cells(size, **{name: size * value for name, value in seconds.items()})]
    result = make_result(made, findings=rule(View(make_result(made))))
    console = Console(width=80, force_terminal=True, record=True, file=io.StringIO())
    print_end(result, Path("some-folder"), console)
    lines = console.export_text().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) <= 24
    assert lines[0].startswith("numpy-cpu is fastest at every size")
    text = " ".join(" ".join(lines).split())
    assert "Measured in 5 batches of fresh processes" in text
    assert "'gemmscope report some-folder' prints all tables and findings" in text


def test_a_report_without_anything_ranked_has_no_overview():
    assert Report(make_result([])).overview is None
