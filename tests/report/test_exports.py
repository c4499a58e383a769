"""What a run becomes elsewhere: CSV, Markdown, pyperf's JSON, pandas, a notebook, a script."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import subprocess
import sys

import msgspec
import pytest

import gemmscope
from gemmscope.analysis.statistics import per_call
from gemmscope.analysis.view import View
from gemmscope.errors import UsageError
from gemmscope.records.diagnosis import Diagnosis
from gemmscope.report import exports
from gemmscope.report.document import Figures
from gemmscope.report.markdown import markdown
from gemmscope.report.model import Report
from gemmscope.report.rows.cells import CellRow, cell_rows
from gemmscope.report.rows.model import Column, Group, Table
from gemmscope.report.sections import for_file
from gemmscope.storage.store import save
from tests.builders import (
    make_backend,
    make_ceilings,
    make_cell,
    make_comparison,
    make_finding,
    make_machine,
    make_result,
    make_samples,
)
from tests.program.test_run import environment
from tests.runs import World
from tests.typed import typed

EVIL = "<script>alert(1)</script>|*x*"


@pytest.fixture(scope="module")
def result():
    return gemmscope.Run.of(World(sizes=(64, 256)).run(1))


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    save(result, folder / "results.json")
    save(World(sizes=(64, 256), slower={"mlx-cpu": 1.5}).run(2), folder / "slower" / "results.json")
    return folder


def test_the_original_claims_come_last_where_they_could_be_tested(result):
    *_, last = re.findall(r"^#+ (.*)$", markdown(for_file(Report(result))), re.MULTILINE)
    assert last == "The claims that gemmscope began with"
    text = markdown(for_file(Report(result))).partition(last)[2]
    assert "Not testable here" not in text
    assert "Refuted at" in text


class TestRows:
    def test_one_row_a_cell_with_its_figures(self, result):
        read = list(csv.DictReader(io.StringIO(exports.to_csv(result))))
        assert len(read) == len(result.cells) == 8
        for row, cell in zip(read, result.cells, strict=True):
            assert (row["backend"], int(row["m"]), row["mode"]) == (cell.backend, cell.m, cell.mode)
            assert float(row["seconds"]) == cell.seconds.estimate
            assert float(row["seconds_low"]) == cell.seconds.low
            assert (int(row["sets"]), int(row["samples"])) == (5, 15)
        ratios = {(row["backend"], int(row["m"])): row for row in read}
        for comparison in result.comparisons:
            row = ratios[comparison.backend, comparison.m]
            assert float(row["ratio"]) == comparison.ratio.estimate
            assert (row["verdict"], row["baseline"]) == (comparison.verdict, "numpy-cpu")
        assert ratios["numpy-cpu", 64]["ratio"] == ""

    def test_what_has_no_figure_has_a_reason(self):
        lost = make_cell("mlx-cpu", None, status="skipped", reason='too slow, "far" too\nslow')
        (row,) = csv.DictReader(io.StringIO(exports.to_csv(make_result([lost]))))
        assert (row["status"], row["seconds"], row["reason"]) == ("skipped", "", lost.reason)

    @pytest.mark.parametrize("reason", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
    def test_no_cell_is_a_formula(self, reason):
        lost = make_cell("mlx-cpu", None, status="failed", reason=reason)
        (row,) = csv.DictReader(io.StringIO(exports.to_csv(make_result([lost]))))
        assert row["reason"] == f"'{reason}"

    def test_a_name_for_pyperf_is_one_line(self):
        name = "numpy\n-cpu"
        cells = [make_cell(name, samples=make_samples([1e-6]))]
        result = make_result(cells, machine=make_machine(cpu="a\r\nprocessor"))
        suite = json.loads(exports.to_pyperf(result))
        assert suite["metadata"]["cpu_model_name"] == "a processor"
        assert suite["benchmarks"][0]["metadata"]["name"] == "numpy -cpu 64x64x64"

    def test_shares_of_the_ceilings_are_there_where_they_were_measured(self):
        cells = [
            make_cell("numpy-cpu", gflops=106.0),
            make_cell("numpy-cpu", size=6, gflops=42.0),
            make_cell("torch-gpu"),
        ]
        square, small, gpu = cell_rows(View(make_result(cells, ceilings=make_ceilings())))
        assert (square.peak_share, square.roof_share) == (0.5, 0.5)
        # Of intensity 1: the memory allows 21 GFLOP/s, and caches more.
        assert (small.peak_share, small.roof_share) == pytest.approx((42 / 212, 2.0))
        assert (gpu.peak_share, gpu.roof_share) == (None, None)
        assert cell_rows(View(make_result(cells)))[0].peak_share is None

    def test_a_data_frame_has_the_same(self, result):
        pytest.importorskip("pandas")
        frame = result.to_pandas()
        assert list(frame.columns) == list(CellRow.__struct_fields__)
        assert frame.seconds.tolist() == [cell.seconds.estimate for cell in result.cells]
        assert set(frame[frame.m == 64].backend) == set(World().backends)

    def test_without_pandas_it_says_what_to_install(self, result, monkeypatch):
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(UsageError, match="pip install pandas"):
            result.to_pandas()


class TestPyperf:
    def pyperf(self, *arguments):
        done = subprocess.run([sys.executable, "-m", "pyperf", *map(str, arguments)], capture_output=True, text=True,
                              timeout=250, env=environment())  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def test_pyperf_reads_every_sample(self, result, tmp_path):
        pyperf = pytest.importorskip("pyperf")
        path = tmp_path / "pyperf.json"
        path.write_text(exports.to_pyperf(result))
        suite = pyperf.BenchmarkSuite.load(str(path))
        assert suite.get_benchmark_names() == [f"{cell.backend} {cell.m}x{cell.m}x{cell.m}" for cell in result.cells]
        for benchmark, cell in zip(suite, result.cells, strict=True):
            assert list(benchmark.get_values()) == [per_call(sample) for sample in cell.samples]
            assert benchmark.get_nrun() == 5
            assert benchmark.get_unit() == "second"

    @pytest.mark.slow
    def test_pyperf_stats_and_compare_to(self, folder, tmp_path):
        for name in ("", "slower"):
            done = typed("report", folder / name, "--pyperf", tmp_path / f"x{name}.json")
            assert done.returncode == 0, done.stderr
        stats = self.pyperf("stats", "-q", tmp_path / "x.json")
        assert "Number of benchmarks: 8" in stats
        assert stats.count("Number of run with values: 5") == stats.count("Total number of values: 15") == 8
        compared = self.pyperf("compare_to", tmp_path / "x.json", tmp_path / "xslower.json")
        assert re.search(r"mlx-cpu 256x256x256: .*1\.\d+x slower", compared)

    def test_throughput_has_a_name_of_its_own(self, result):
        cell = msgspec.structs.replace(result.cells[0], mode="throughput")
        suite = json.loads(exports.to_pyperf(msgspec.structs.replace(result, cells=[result.cells[0], cell])))
        names = [benchmark["metadata"]["name"] for benchmark in suite["benchmarks"]]
        assert names == ["numpy-cpu 64x64x64", "numpy-cpu 64x64x64 throughput"]

    def test_an_empty_run_is_refused(self):
        with pytest.raises(UsageError, match="nothing was measured"):
            exports.to_pyperf(make_result([make_cell("numpy-cpu", None, status="failed")]))


def in_markdown(result):
    return markdown(for_file(Report(result)))


class TestPages:
    def test_markdown_has_a_row_for_every_cell(self, result):
        text = in_markdown(result)
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len([row for row in rows if row.startswith(("| backend", "| ---"))]) == 4
        shapes = text[text.index("## 64×64×64") : text.index("## Missing")]
        assert len([line for line in shapes.splitlines() if line.startswith("|")]) == len(result.cells) + 2 * 2
        assert "time / numpy-cpu" in shapes
        assert [cell.backend for cell in result.cells if f"| {cell.backend} " not in shapes] == []

    def test_the_answer_comes_first(self, result):
        text = in_markdown(result)
        assert text.index("## The answer") < text.index("## 64×64×64") < text.index("## How steady")

    def test_tables_are_rectangular_whatever_stands_in_them(self):
        columns = [Column("a", "a", lambda row: row[0]), Column("b", "b|c", lambda row: row[1], right=True)]
        groups = [Group("g", [("x|y\nz", EVIL)]), Group("|h|", [("[l](u)", "`c` & _e_ \\")])]
        text = markdown([Figures(Table("t", "t", columns, groups))])
        lines = text.splitlines()
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}
        assert {len(line) for line in lines} == {len(lines[0])}
        assert lines[1].endswith("-: |")
        assert "<script" not in text.replace("\\<", "")
        assert "](" not in text

    def test_titles_of_groups_are_there_where_there_are_several(self, result):
        assert "**" not in in_markdown(result)
        cells = [make_cell("mlx-gpu"), make_cell("mlx-gpu", mode="device")]
        assert "| **device: the GPU's own time** |" in in_markdown(make_result(cells))

    def test_what_is_missing_and_in_doubt_is_said(self):
        gone = make_backend("torch-gpu", status="unavailable", reason="no accelerator", remedy="buy one")
        text = in_markdown(make_result([make_cell("numpy-cpu")], backends=[gone], warnings=["it was hot"]))
        assert "- torch-gpu: unavailable: no accelerator; buy one" in text
        assert "- Warning: it was hot" in text

    def test_a_notebook_shows_tables_and_no_markup_of_others(self):
        cells = [make_cell("numpy-cpu"), make_cell(EVIL), make_cell("mlx-gpu", mode="device")]
        shown = make_result(cells, warnings=[EVIL], backends=[make_backend(EVIL, remedy=EVIL)])._repr_html_()
        assert shown[shown.index("<details>") :].count("<tr>") == 4
        assert "<script" not in shown
        assert shown.count("&lt;script&gt;") >= 2
        assert 'style="padding:.1em .7em;white-space:nowrap;text-align:right"' in shown
        assert 'scope="rowgroup"' in shown

    def test_a_notebook_begins_with_headline_table_and_chart(self):
        cells = [make_cell(name, 1e-6 * size, size) for name in ("numpy-cpu", "torch-cpu") for size in (64, 128)]
        comparisons = [make_comparison("torch-cpu", 1.0, "same", size) for size in (64, 128)]
        findings = [make_finding("Both are alike.", id="headline")]
        cause = Diagnosis(id="x", verdict="confirmed", matters=True, text="It is busy.", remedy="unset A")
        shown = make_result(cells, comparisons, findings=findings, diagnoses=[cause])._repr_html_()
        assert shown.lstrip().startswith("<h3>Both are alike.</h3>")
        order = ["<h3>", "<table>", "It is busy.", "<img src=", "<details>"]
        assert [shown.index(text) for text in order] == sorted(shown.index(text) for text in order)
        (data,) = re.findall('base64,([^"]*)', shown)
        drawn = base64.b64decode(data).decode()
        assert "torch-cpu" in drawn
        assert "\n" not in repr(make_result(cells, findings=findings))

    def test_a_run_that_measured_nothing_is_shown_in_a_notebook(self):
        shown = make_result([])._repr_html_()
        assert "<h3>Nothing was ranked.</h3>" in shown
        assert "<img" not in shown

    def test_a_table_and_a_figure_of_a_result(self, result):
        assert "numpy-cpu" in result.table()
        assert "\x1b" not in result.table()
        shown = result.figure("speedup")._repr_mimebundle_()
        assert "speed-up over numpy-cpu" in str(shown)

    def test_a_result_needs_no_framework_to_be_looked_at(self, folder):
        code = (
            "import sys, gemmscope\n"
            f"result = gemmscope.load({str(folder)!r})\n"
            "result.table(), result._repr_html_(), result.figure()\n"
            "assert not {'torch', 'mlx', 'pandas'} & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=250, env=environment())


class TestCommand:
    def test_files_are_written_beside_the_table(self, folder, tmp_path):
        names = {"--csv": "a.csv", "--markdown": "a.md", "--pyperf": "a.json"}
        paths = [part for option, name in names.items() for part in (option, tmp_path / name)]
        done = typed("report", folder, *paths)
        assert done.returncode == 0, done.stderr
        assert {path.name for path in tmp_path.iterdir()} == set(names.values())
        assert "64×64×64" in done.stdout

    @pytest.mark.parametrize(("option", "begins"), [("--csv", "started,"), ("--markdown", "## "), ("--pyperf", "{")])
    def test_a_dash_prints_it_alone(self, folder, option, begins):
        done = typed("report", folder, option, "-")
        assert done.returncode == 0
        assert done.stdout.startswith(begins)
        assert "\n-----" not in done.stdout, "the rule of a table for people"

    def test_only_one_can_be_printed(self, folder):
        done = typed("report", folder, "--csv", "-", "--json")
        assert done.returncode == 2
        assert "only one of" in done.stderr

    def test_what_cannot_be_written_is_said(self, folder, tmp_path):
        (tmp_path / "file").touch()
        done = typed("report", folder, "--csv", tmp_path / "file" / "a.csv")
        assert done.returncode == 2
        assert "cannot be written" in done.stderr
