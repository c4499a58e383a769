"""The charts of a run: what each shows, what it leaves out, and the files that are made of it."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from gemmscope.analysis.runs.model import ComparedRun, Fleet, FleetCell
from gemmscope.analysis.view import View
from gemmscope.errors import UsageError
from gemmscope.records import words
from gemmscope.records.base import Interval
from gemmscope.records.words import MICRO, TIMES
from gemmscope.report import palette
from gemmscope.report.charts import NoDataError, RunData, chart_kinds, picture, pictures, write_figures
from gemmscope.report.charts.data import Point
from gemmscope.report.charts.fleet import draw_fleet, fleet_picture
from gemmscope.report.charts.kinds.parts import calls_of
from gemmscope.report.charts.labels import NAME_HEIGHT, Axis, apart
from gemmscope.report.charts.lines import limits
from gemmscope.report.charts.render import rendered, svg
from gemmscope.report.charts.script import ChartScript
from gemmscope.report.charts.theme import round_ticks
from tests.builders import (
    make_backend,
    make_ceilings,
    make_cell,
    make_comparison,
    make_finding,
    make_interval,
    make_machine,
    make_part,
    make_result,
    make_worker,
)

if TYPE_CHECKING:
    from pathlib import Path

    from gemmscope.records.model import Result

NAMES = ("numpy-cpu", "numpy-cpu:out", "torch-cpu", "torch-gpu", "mlx-cpu", "mlx-gpu", "cblas", "cublas")
SIZES = (16, 64, 256, 1024)
CALLS = {
    "numpy-cpu": {"kernel": 1.0, "binding": 8e-7, "allocation": 3e-7},
    "torch-cpu": {"kernel": 0.9, "runtime": 3e-7, "binding": 7e-7, "allocation": 4e-7},
    "mlx-cpu": {"kernel": 40.0, "runtime": 1.3e-5, "binding": 2e-7},
}


def made(names: tuple[str, ...] = NAMES, sizes: Any = SIZES, spread: float | None = 0.05, **changes: Any) -> Result:
    """A run in which all backends come close to each other at the last size."""
    cells, comparisons = [], []
    shapes = [size if isinstance(size, tuple) else (size, size, size) for size in sizes]
    for (m, n, k), (index, name) in itertools.product(shapes, enumerate(names)):
        seconds = (index + 1) * 1e-6 + 2 * m * n * k / 1e12
        shape = {"m": m, "n": n, "k": k}
        cells.append(make_cell(name, seconds, spread=spread, gflops=2 * m * n * k / seconds / 1e9, **shape))
        if index:
            ratio = seconds / (1e-6 + 2 * m * n * k / 1e12)
            comparisons.append(make_comparison(name, ratio, "slower", spread=spread, baseline=names[0], **shape))
    return make_result(cells, comparisons, **changes)


def kernel(share: float, size: int) -> float:
    return share * (5e-8 + 2 * size**3 / 2e11)


def taken_apart(**changes: Any) -> Result:
    seconds = {
        (name, size, part): kernel(value, size) if part == "kernel" else value
        for (name, values), size in itertools.product(CALLS.items(), SIZES)
        for part, value in values.items()
    }
    cells = [
        make_cell(name, sum(value for (other, n, _), value in seconds.items() if (other, n) == (name, size)), size)
        for name, size in itertools.product(CALLS, SIZES)
    ]
    parts = [make_part(name, part, value, size) for (name, size, part), value in seconds.items()]
    return make_result(cells, **{"parts": parts, "ceilings": make_ceilings()} | changes)


def odd_parts() -> Result:
    """One call with everything that cannot be drawn as a bar."""
    parts = [
        make_part("mlx-cpu", "kernel", 4e-6),
        make_part("mlx-cpu", "runtime", -2e-7, status="inconsistent"),
        make_part("mlx-cpu", "binding", 1e-8, spread=3.0, status="below resolution", resolution=4e-8),
        make_part("mlx-cpu", "kernel", None, 256, status="unknown", reason="kernel not identified"),
        make_part("mlx-cpu", "runtime", None, 256, status="unknown", reason="kernel not identified"),
        make_part("mlx-cpu", "binding", 1e-6, 256),
    ]
    return make_result([make_cell("mlx-cpu", 4e-6), make_cell("mlx-cpu", 9e-6, 256)], parts=parts)


def rows(result: Result, name: str, data: str) -> list[dict[str, Any]]:
    """The rows of a chart, by the name that its specification has for them."""
    found: list[dict[str, Any]] = json.loads(picture(result, name).json)["datasets"][data]
    return found


def values(result: Result, name: str, data: str, label: str) -> list[float | None]:
    return [row["value"] for row in rows(result, name, data) if row["label"] == label]


def labels(result: Result, name: str = "speed", data: str = "time") -> list[str]:
    return list(dict.fromkeys(row["label"] for row in rows(result, name, data)))


def everywhere(spec: Any, key: str) -> list[Any]:
    """All values of a key in a specification."""
    if isinstance(spec, list):
        return [found for part in spec for found in everywhere(part, key)]
    if not isinstance(spec, dict):
        return []
    return [value for name, value in spec.items() if name == key] + [
        found for name, part in spec.items() if name != "datasets" for found in everywhere(part, key)
    ]


def texts(path: Path) -> list[str]:
    """What an SVG says, and that it is one."""
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


class TestFew:
    """Pictures, in which nothing can be hidden, show the lines that a reader chooses between."""

    CHOICES = ("numpy-cpu", "torch-cpu", "mlx-cpu", "cblas-call")
    VARIANTS = ("numpy-cpu:out", "torch-cpu:out", "mlx-cpu:out")
    INSTRUMENTS = ("kernel-numpy", "kernel-torch", "cblas")

    def drawn(self, *names: str) -> set[str]:
        native = [make_backend(name, entry="native") for name in names if name in self.INSTRUMENTS]
        return {line.backend for line in RunData(View(made(names, backends=native)), few=True).lines}

    def test_a_few_lines_are_all_drawn(self):
        names = (*self.CHOICES, *self.INSTRUMENTS[:2])
        assert self.drawn(*names) == set(names)

    def test_of_many_the_instruments_are_left_out(self):
        names = (*self.CHOICES[:2], *self.VARIANTS)
        assert self.drawn(*names, *self.INSTRUMENTS) == set(names)

    def test_and_variants_where_they_are_still_too_many(self):
        assert self.drawn(*self.CHOICES, *self.VARIANTS, *self.INSTRUMENTS) == set(self.CHOICES)

    def test_variants_of_one_backend_are_its_subject(self):
        names = ("numpy-cpu", *(f"numpy-cpu:threads={count}" for count in range(1, 9)))
        assert self.drawn(*names) == set(names)

    def test_instruments_that_are_all_there_is_are_drawn(self):
        names = ("numpy-cpu", *self.INSTRUMENTS, *(f"cblas:threads={count}" for count in range(1, 4)))
        native = [make_backend(name, entry="native") for name in names[1:]]
        data = RunData(View(made(names, backends=native)), few=True)
        assert {line.backend for line in data.lines} == set(names)

    def test_they_look_as_they_do_among_all(self):
        result = made((*self.CHOICES, *self.VARIANTS))
        few, every = RunData(View(result), few=True), RunData(View(result))
        assert {line.label: line.style for line in few.lines}.items() <= {
            line.label: line.style for line in every.lines
        }.items()

    def test_pictures_show_no_throughput_beside_latency(self, tmp_path):
        cells = [make_cell("mlx-cpu", 1e-4, size) for size in (64, 128)]
        cells += [make_cell("mlx-cpu", 5e-5, size, mode="throughput") for size in (64, 128)]
        write_figures(make_result(cells), tmp_path)
        assert not any("throughput" in text for text in texts(tmp_path / "speed.svg"))

    def test_parts_are_those_of_the_lines(self, tmp_path):
        names = (*self.CHOICES, *self.VARIANTS)
        parts = [make_part(name, "kernel", 1e-6) for name in names]
        write_figures(msgspec.structs.replace(made(names), parts=parts), tmp_path)
        said = texts(tmp_path / "parts.svg")
        assert set(self.CHOICES) <= set(said)
        assert not set(self.VARIANTS) & set(said)

    def test_files_show_few_and_page_and_notebook_all(self, tmp_path):
        result = made((*self.CHOICES, *self.VARIANTS))
        write_figures(result, tmp_path)
        assert "numpy-cpu:out" not in texts(tmp_path / "speed.svg")
        assert "cblas-call" in texts(tmp_path / "speed.svg")
        assert "numpy-cpu:out" in labels(result)


def test_a_picture_says_when_and_with_what_versions_it_was_made():
    workers = [
        make_worker("numpy", provenance={"numpy": "2.4.6"}),
        make_worker("mlx", provenance={"mlx": "0.32.4"}),
        make_worker("mlx", provenance={"mlx": "0.32.3"}),
        make_worker("mlx", provenance={"mlx": "0.32.4"}),
        make_worker("torch", provenance={"torch": "2.13.0"}),
    ]
    machine = make_machine(gpus=["NVIDIA H200", "NVIDIA H200"])
    said = picture(made(("numpy-cpu", "mlx-cpu"), workers=workers, machine=machine), "speed").subtitle
    assert ", with 2 NVIDIA H200, 2026" in said
    assert said.endswith(", 2026-01-02, numpy 2.4.6, mlx 0.32.4 and 0.32.3")


class TestAll:
    @pytest.mark.slow
    def test_every_chart_is_a_file_of_its_own_and_valid_vega_lite(self):
        assert list(chart_kinds()) == ["speed", "speedup", "parts", "roofline", "grid"]
        result = made(parts=taken_apart().parts, ceilings=make_ceilings())
        for name, drawn in pictures(RunData(View(result))).items():
            if chart_kinds()[name].optional:
                continue
            in_notebook = drawn.chart.to_dict()  # Altair validates it against the schema
            assert svg(json.dumps(in_notebook)) == svg(drawn.json)
            assert drawn.finding.endswith(".")
            assert len(drawn.rows) > 1
            assert {len(row) for row in drawn.rows} == {len(drawn.columns)}

    def test_figure_gives_the_chart_and_names_the_charts_for_a_wrong_name(self):
        assert made().figure().to_dict() == picture(made(), "speed").chart.to_dict()
        with pytest.raises(
            UsageError, match=r"no chart 'sped': .*the charts are speed, speedup, parts, roofline and grid"
        ):
            made().figure("sped")

    @pytest.mark.parametrize(
        ("name", "reason"),
        [("speedup", "only numpy-cpu was measured"), ("parts", "no parts of calls"), ("roofline", "no ceilings")],
    )
    def test_a_run_without_the_data_says_so(self, name, reason):
        with pytest.raises(UsageError, match=reason):
            made(("numpy-cpu",)).figure(name)

    @pytest.mark.parametrize(
        "cells", [[], [make_cell("numpy-cpu", None, status="failed")], [make_cell("null-python", 1e-8)]]
    )
    def test_nothing_measured_is_said_and_nothing_written(self, cells, tmp_path):
        for reason in pictures(RunData(View(make_result(cells)))).values():
            assert isinstance(reason, NoDataError)
        with pytest.raises(UsageError, match="nothing was measured"):
            make_result(cells).figure("speed")
        assert write_figures(make_result(cells), tmp_path / "new") == []

    def test_importing_loads_neither_altair_nor_vl_convert(self):
        code = (
            "import sys, gemmscope.cli, gemmscope.report.charts, gemmscope.report.html\n"
            "from gemmscope.report.charts import chart_kinds\n"
            "chart_kinds(); sys.exit(bool({'altair', 'vl_convert'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], timeout=250).returncode == 0


class TestFiles:
    def test_both_formats_are_written_for_every_chart_that_has_data(self, tmp_path):
        written = write_figures(taken_apart(), tmp_path / "figures")
        names = [f"{name}.{suffix}" for name in ("speed", "parts", "roofline") for suffix in ("svg", "png")]
        assert [path.name for path in written] == names
        assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(names)
        for path in written:
            if path.suffix == ".png":
                assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
            else:
                assert set(CALLS) <= set(texts(path))

    def test_text_stays_text(self, tmp_path):
        write_figures(made(machine=make_machine(name="Example 9000, 8 cores")), tmp_path)
        speed, speedup = texts(tmp_path / "speed.svg"), texts(tmp_path / "speedup.svg")
        assert {"Time: lower is better", "time of one call", "GFLOP/s", f"10 {MICRO}s", "1000", "16", "1024"} <= set(
            speed
        )
        assert any("on Example 9000, 8 cores" in text for text in speed)
        assert {f"1{TIMES}", "numpy-cpu = 1", "speed-up over numpy-cpu"} <= set(speedup)

    @pytest.mark.slow
    def test_the_same_result_gives_the_same_bytes_in_another_process(self, tmp_path):
        result = taken_apart(comparisons=[make_comparison("torch-cpu", 2.0, "slower", size) for size in SIZES])
        first = [path.read_bytes() for path in write_figures(result, tmp_path / "first")]
        (tmp_path / "result.json").write_bytes(msgspec.json.encode(result))
        code = (
            "import sys, pathlib, gemmscope; from gemmscope.report.charts import write_figures\n"
            "write_figures(gemmscope.load(sys.argv[1]), pathlib.Path(sys.argv[2]))"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "result.json"), str(tmp_path / "second")]
        subprocess.run(command, check=True, timeout=250)
        for path, data in zip(write_figures(result, tmp_path / "third"), first, strict=True):
            assert data == path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()

    @pytest.mark.parametrize(
        "name",
        ["$x_{", "<script>alert(1)</script>&", "a\x1b[2J\nb", "矩阵🚀", "'); datum", "\ud800", "n" * 400, "🚀" * 200],
    )
    def test_text_from_a_file_is_only_text(self, name, tmp_path, monkeypatch):
        # To paint it is what takes long.
        monkeypatch.setattr("gemmscope.report.charts.rendered", lambda specification, _: svg(specification).encode())
        parts = [make_part(name, "kernel", 1e-6), make_part(name, name, None, status="unknown", reason=name)]
        result = made(
            (name, "cblas"), (64, 128), machine=make_machine(name=name), parts=parts,
            backends=[make_backend(name, library=name), make_backend("cblas")],
            ceilings=make_ceilings(instructions=name, note=name),
        )  # fmt: skip
        shown = name.replace("\x1b[2J\n", " [2J ").replace("\ud800", "").replace("🚀", "\ufffd")
        for path in write_figures(result, tmp_path):
            if path.suffix == ".svg":
                assert "<script" not in path.read_text(encoding="utf-8")
                assert any(shown[:20] in text for text in texts(path))
        assert len(list(tmp_path.iterdir())) == 8

    def test_a_script_is_made_once_and_ends_no_element(self):
        with ChartScript() as script:
            text = script.text()
        with ChartScript() as again:
            assert again.text() is text
        assert "vegaEmbed" in text
        assert "</script" not in text
        assert len(text) < 1_000_000

    def test_where_no_process_can_be_started_the_script_is_made_here(self, monkeypatch):
        monkeypatch.setattr("gemmscope.report.charts.script._made", [])
        monkeypatch.setattr("sys.executable", "/nowhere/python")
        with ChartScript() as script:
            assert "vegaEmbed" in script.text()

    def test_without_a_helper_the_script_is_made_here(self, monkeypatch):
        monkeypatch.setattr("gemmscope.report.charts.script._made", [])
        monkeypatch.setattr("gemmscope.report.charts.script._PROGRAM", "raise SystemExit(3)")
        with ChartScript() as script:
            assert "vegaEmbed" in script.text()


class TestSpeed:
    def test_the_values_are_those_of_the_result(self):
        result = made(("numpy-cpu", "cblas"), (64, 256))
        cells = [cell for cell in result.cells if cell.backend == "cblas"]
        assert values(result, "speed", "time", "cblas") == pytest.approx(
            [cell.seconds.estimate for cell in cells], rel=1e-5
        )
        assert values(result, "speed", "rate", "cblas") == pytest.approx([cell.gflops for cell in cells], rel=1e-5)
        first = next(row for row in rows(result, "speed", "time") if row["label"] == "cblas")
        assert (first["low"], first["high"]) == pytest.approx((cells[0].seconds.low, cells[0].seconds.high), rel=1e-5)
        assert first["said"] == f"2.52 {MICRO}s [2.40, 2.65]"
        ratios = [comparison.speedup for comparison in result.comparisons]
        assert values(result, "speedup", "speedup", "cblas") == pytest.approx(ratios, rel=1e-5)
        assert values(result, "speedup", "speedup", "numpy-cpu = 1") == [1, 1]

    def test_a_library_has_one_hue_and_its_backends_differ(self):
        spec = json.loads(picture(made(), "speed").json)
        domains = [
            colour["scale"] for colour in everywhere(spec, "color") if isinstance(colour, dict) and "scale" in colour
        ]
        colours = dict(zip(domains[0]["domain"], domains[0]["range"], strict=True))
        assert all(dict(zip(one["domain"], one["range"], strict=True)) == colours for one in domains)
        assert len(set(colours.values())) == len(NAMES)
        assert colours["numpy-cpu"] == palette.colour("numpy")
        shapes = [shape["scale"] for shape in everywhere(spec, "shape") if isinstance(shape, dict)]
        markers = dict(zip(shapes[0]["domain"], shapes[0]["range"], strict=True))
        assert markers["numpy-cpu"] != markers["numpy-cpu:out"]

    def test_the_styles_are_in_the_order_in_which_lines_end(self):
        spec = json.loads(picture(made(), "speed").json)
        time, rate = (everywhere(panel, "color")[0]["scale"]["domain"] for panel in spec["vconcat"])
        assert time == list(reversed(NAMES))
        assert rate == list(NAMES)

    def test_a_gap_stays_a_gap_and_lost_cells_are_left_out(self):
        cells = [make_cell("numpy-cpu", 1e-6 * size, size) for size in (64, 128, 256)]
        cells += [make_cell("cblas", 1e-6, 64), make_cell("cblas", 1e-5, 256)]
        cells += [make_cell("cblas", None, 128, status="skipped")]
        cells += [make_cell("torch-cpu", None, size, status="failed") for size in (64, 128, 256)]
        result = make_result(cells)
        assert values(result, "speed", "time", "cblas") == [1e-6, None, 1e-5]
        assert labels(result) == ["numpy-cpu", "cblas"]

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_values_that_a_logarithm_cannot_show_are_left_out(self, value):
        broken = msgspec.structs.replace(make_cell("cblas"), seconds=make_interval(value))
        comparison = msgspec.structs.replace(make_comparison("cblas", 1.0, "same"), ratio=make_interval(value))
        result = make_result([make_cell("numpy-cpu"), broken], [comparison])
        assert labels(result) == ["numpy-cpu"]
        with pytest.raises(UsageError):
            result.figure("speedup")

    def test_throughput_is_drawn_where_it_differs_and_looks_like_its_latency(self):
        def run(throughput: float) -> Result:
            cells = [make_cell("mlx-gpu", 1e-4, size) for size in (64, 128)]
            cells += [make_cell("mlx-gpu", throughput, size, mode="throughput") for size in (64, 128)]
            return make_result(cells)

        assert labels(run(5e-5)) == ["mlx-gpu", "mlx-gpu, throughput"]
        thin = [row for row in rows(run(5e-5), "speed", "time") if row["thin"]]
        assert {(row["label"], row["name"]) for row in thin} == {("mlx-gpu, throughput", "mlx-gpu")}
        assert "thin, dotted: throughput" in picture(run(5e-5), "speed").note
        assert labels(run(0.99e-4)) == ["mlx-gpu"]

    def test_throughput_alone_is_named(self):
        result = make_result([make_cell("mlx-gpu", 1e-4, mode="throughput")])
        assert {row["name"] for row in rows(result, "speed", "time")} == {"mlx-gpu, throughput"}

    def test_a_devices_own_time_is_no_line(self):
        result = make_result([make_cell("mlx-gpu", 1e-4), make_cell("mlx-gpu", 1e-6, mode="device")])
        assert labels(result) == ["mlx-gpu"]

    def test_the_floor_is_drawn_where_it_matters(self):
        def run(floor: float) -> Result:
            return make_result([make_cell("numpy-cpu", 1e-6), make_cell("null-python", floor)])

        assert "null-python (floor)" in labels(run(5e-7))
        assert "null-python (floor)" not in labels(run(5e-9))
        assert "null-python (floor)" not in labels(run(5e-7), data="rate")

    def test_a_single_shape_has_a_row_for_every_backend(self):
        spec = json.loads(picture(made(sizes=(64,)), "speed").json)
        time, rate = spec["vconcat"]
        assert everywhere(time, "y")[0]["sort"] == everywhere(rate, "y")[0]["sort"] == list(NAMES)
        assert f"64{TIMES}64{TIMES}64" in json.dumps(time, ensure_ascii=False)
        assert picture(made(sizes=(64,)), "speed").note == "bars: 95 % interval over processes"
        assert picture(made(sizes=(64,), spread=None), "speed").note == ""

    def test_shapes_stand_in_the_order_of_their_work(self):
        result = made(sizes=((4096, 4096, 1), (1024, 1024, 1024), (1, 2, 3)))
        spec = json.loads(picture(result, "speed").json)
        across = next(axis for axis in everywhere(spec, "x") if axis["field"] == "shape")
        assert across["scale"]["domain"] == [f"1{TIMES}2{TIMES}3", f"4096{TIMES}4096{TIMES}1", "1024"]
        assert across["title"] == f"shape M{TIMES}N{TIMES}K, in the order of work"

    def test_an_empty_matrix_has_a_time_and_no_rate(self):
        result = make_result([make_cell("numpy-cpu", 1e-6, size) for size in (0, 8, 64)])
        assert len(rows(result, "speed", "time")) == 3
        assert len(rows(result, "speed", "rate")) == 2

    def test_many_lines_have_a_name_each(self):
        names = tuple(f"numpy-cpu:threads={number}" for number in range(30))
        result = made(names, (64, 128))
        drawn = svg(picture(result, "speed").json)
        assert all(f">{name}</text>" in drawn for name in names)

    def test_what_the_chart_shows_is_said_in_words(self):
        told = picture(made(("numpy-cpu", "cblas"), (64, 256)), "speed").finding
        assert told == (
            f"At 256, the largest shape drawn, a call takes from 34.6 {MICRO}s [32.8, 36.3] (numpy-cpu) to "
            f"35.6 {MICRO}s [33.8, 37.3] (cblas)."
        )
        found = make_finding("numpy-cpu is the fastest.")
        assert picture(made(findings=[found]), "speed").finding.startswith("numpy-cpu is the fastest. At 1024")
        assert "the speed-up over numpy-cpu reaches from" in picture(made(), "speedup").finding

    def test_the_baseline_that_most_comparisons_have_is_drawn(self):
        result = made(("numpy-cpu", "cblas"), (64, 128))
        other = make_comparison("cblas", 0.5, "faster", size=256, baseline="torch-cpu")
        result = make_result([*result.cells, make_cell("cblas", 1e-6, 256)], [*result.comparisons, other])
        assert len(values(result, "speedup", "speedup", "cblas")) == 2

    def test_a_backend_without_a_record_is_drawn(self):
        result = msgspec.structs.replace(make_result([make_cell("cblas")]), backends=[])
        assert labels(result) == ["cblas"]


class TestParts:
    def test_parts_stack_up_to_the_whole_call(self):
        drawn = rows(taken_apart(), "parts", "parts")
        assert list(dict.fromkeys(row["call"] for row in drawn)) == list(CALLS)
        for name, size in itertools.product(CALLS, SIZES):
            bars = [row for row in drawn if (row["call"], row["shape"]) == (name, str(size))]
            assert [bar["part"] for bar in bars] == [words.part(part) for part in CALLS[name]]
            assert [bar["start"] for bar in bars[1:]] == [bar["end"] for bar in bars[:-1]]
            assert (bars[0]["start"], bars[-1]["end"]) == (0, pytest.approx(1, rel=1e-5))
            whole = sum(kernel(value, size) if part == "kernel" else value for part, value in CALLS[name].items())
            assert bars[0]["end"] == pytest.approx(kernel(CALLS[name]["kernel"], size) / whole, rel=1e-5)

    def test_what_was_not_resolved_has_no_bar_and_is_named(self):
        drawn = rows(odd_parts(), "parts", "parts")
        assert [(row["shape"], row["part"]) for row in drawn] == [
            ("64", "kernel"), ("256", "Python call overhead"), ("256", "not known"),
        ]  # fmt: skip
        assert [row["beside"] for row in drawn] == [
            f"4.00 {MICRO}s; runtime negative; Python call overhead below 40.0 ns",
            f"9.00 {MICRO}s; kernel unknown; runtime unknown",
            "",
        ]
        (remark,) = picture(odd_parts(), "parts").remarks
        assert remark.backend == "mlx-cpu"
        assert "Python call overhead is below resolution at 64" in remark.text
        assert "kernel is unknown, kernel not identified, at 256" in remark.text

    def test_the_unknown_fills_the_call_up(self):
        binding, unknown = [row for row in rows(odd_parts(), "parts", "parts") if row["shape"] == "256"]
        assert (binding["end"], unknown["start"], unknown["end"]) == (pytest.approx(1 / 9, rel=1e-5),) * 2 + (1,)
        scales = [
            one["scale"]
            for one in everywhere(picture(odd_parts(), "parts").chart.to_dict(), "color")
            if isinstance(one, dict)
        ]
        assert dict(zip(scales[0]["domain"], scales[0]["range"], strict=True))["not known"] == palette.UNKNOWN

    def test_parts_beyond_the_call_do_not_exceed_a_share_of_one(self):
        result = make_result([make_cell("numpy-cpu", 1e-6)], parts=[make_part("numpy-cpu", "kernel", 1.2e-6)])
        (bar,) = rows(result, "parts", "parts")
        assert (bar["start"], bar["end"]) == (0, 1)

    def test_a_call_inside_of_another_is_left_out(self):
        backends = [make_backend("numpy-cpu", part="allocation", inside="numpy-cpu:out"), make_backend("numpy-cpu:out")]
        parts = [make_part(name, "kernel", 1e-6) for name in ("numpy-cpu", "numpy-cpu:out")]
        cells = [make_cell("numpy-cpu", 2e-6), make_cell("numpy-cpu:out", 2e-6)]
        calls = calls_of(View(make_result(cells, parts=parts, backends=backends)))
        assert [call.backend for call in calls] == ["numpy-cpu"]

    def test_the_bars_are_those_of_the_overhead(self):
        """The kernel's bar is 1 − overhead; parts that add up to more than the overhead share its room."""
        parts = [make_part("numpy-cpu", "kernel", 6e-6), make_part("numpy-cpu", "binding", 8e-6)]
        result = make_result([make_cell("numpy-cpu", 10e-6)], parts=parts)
        (overhead,) = View(result).overheads.values()
        kernel, binding = rows(result, "parts", "parts")
        assert (kernel["part"], kernel["end"]) == ("kernel", 0.6)
        assert overhead.fraction == pytest.approx(1 - kernel["end"])
        assert (binding["part"], binding["start"], binding["end"]) == ("Python call overhead", 0.6, 1)

    def test_on_a_gpu_the_python_call_overhead_is_a_share_of_the_launch(self):
        parts = [make_part("mlx-gpu", *part) for part in (("device", 10e-6), ("launch", 30e-6), ("binding", 5e-6))]
        result = make_result([make_cell("mlx-gpu", 40e-6)], parts=parts)
        ends = {row["part"]: (row["start"], row["end"]) for row in rows(result, "parts", "parts")}
        assert ends["device"] == (0, 0.25)
        assert sum(end - start for start, end in ends.values()) == pytest.approx(1.0)
        assert ends["Python call overhead"][1] - ends["Python call overhead"][0] == pytest.approx(0.125)

    def test_the_share_of_the_kernel_is_said(self):
        finding = picture(taken_apart(), "parts").finding
        assert finding.startswith(
            "The kernel's share of a call reaches from 5.5 % (torch-cpu at 16) to 100 % (mlx-cpu at 1024)"
        )
        all_unknown = make_result(
            [make_cell("numpy-cpu")], parts=[make_part("numpy-cpu", "kernel", None, status="unknown")]
        )
        with pytest.raises(UsageError, match="no parts of calls"):
            all_unknown.figure("parts")


class TestRoofline:
    def test_marks_stand_at_their_intensity_and_rate(self):
        result = taken_apart()
        marks = [row for row in rows(result, "roofline", "marks") if row["label"] == "torch-cpu"]
        shapes = [(cell.m, cell.gflops) for cell in result.cells if cell.backend == "torch-cpu"]
        assert [mark["intensity"] for mark in marks] == pytest.approx(
            [2 * n**3 / (12 * n**2) for n, _ in shapes], rel=1e-5
        )
        assert [mark["value"] for mark in marks] == pytest.approx([rate for _, rate in shapes], rel=1e-5)

    def test_ceilings_bend_at_the_ridge_and_are_named(self):
        corners = [row for row in rows(taken_apart(), "roofline", "ceilings") if row["ceiling"].startswith("2 threads")]
        assert [row["ceiling"] for row in corners] == ["2 threads: 212 GFLOP/s, 21.0 GB/s"] * 3
        assert corners[1]["place"] == pytest.approx(212 / 21, rel=1e-5)
        assert [row["value"] for row in corners] == pytest.approx([corners[0]["place"] * 21, 212, 212], rel=1e-5)
        assert len({row["ceiling"] for row in rows(taken_apart(), "roofline", "ceilings")}) == 2

    def test_marks_that_would_hide_each_other_stand_side_by_side(self):
        cells = [
            make_cell(name, 1e-6 * (1 + i / 100), 64) for i, name in enumerate(("numpy-cpu", "cblas", "torch-cpu"))
        ]
        cells += [make_cell("mlx-cpu", 9e-6, 64), *(make_cell(one.backend, 1e-3, 512) for one in cells)]
        result = make_result(cells, ceilings=make_ceilings())
        marks = {(row["label"], row["shape"]): row for row in rows(result, "roofline", "marks")}
        (intensity,) = {mark["intensity"] for (_, shape), mark in marks.items() if shape == "64"}
        close = [marks[name, "64"]["place"] for name in ("torch-cpu", "cblas", "numpy-cpu")]
        assert close == sorted(close)
        assert min(after / before for before, after in itertools.pairwise(close)) > 1.02
        assert marks["mlx-cpu", "64"]["place"] == intensity  # nothing is near
        assert len({marks[cell.backend, "512"]["place"] for cell in cells[:3]}) == 3

    def test_names_of_lines_and_ceilings_do_not_touch(self):
        cells = [make_cell(name, 1.2e-6, 64) for name in ("numpy-cpu", "cblas", "torch-cpu")]
        result = make_result(cells, ceilings=make_ceilings())
        named = [row["at"] for data in ("marks", "ceilings") for row in rows(result, "roofline", data) if "at" in row]
        assert len(named) == 5
        in_order = sorted(named)
        assert min(after / before for before, after in itertools.pairwise(in_order)) > 1.05

    def test_one_thread_has_one_ceiling(self):
        corners = rows(taken_apart(ceilings=make_ceilings(threads=1)), "roofline", "ceilings")
        assert {row["ceiling"].partition(":")[0] for row in corners} == {"1 thread"}

    def test_what_others_published_of_the_chip_is_dashed_and_said_to_be_that(self):
        machine = make_machine(cpu="Apple M1 Max", architecture="arm64")
        drawn = picture(taken_apart(machine=machine), "roofline")
        corners = [row for row in drawn.data["ceilings"] if row["published"]]
        assert [row["ceiling"] for row in corners[::3]] == [
            "published, CPU: 2746 GFLOP/s", "published, GPU: 9258 GFLOP/s"
        ]  # fmt: skip
        assert corners[1]["place"] == pytest.approx(2746 / 400, rel=1e-3)
        assert [row["value"] for row in corners[1:3]] == pytest.approx([2746, 2746], rel=1e-3)
        assert "dashed: published, not measured here: CPU 2746 GFLOP/s (philipturner/amx-benchmarks), GPU" in drawn.note
        assert "memory 400 GB/s (nominal: Apple)" in drawn.note

    def test_a_long_note_is_not_cut_off(self):
        """Vega cuts a line of a subtitle where its limit ends, at some 120 characters."""
        drawn = picture(taken_apart(machine=make_machine(cpu="Apple M1 Max")), "roofline")
        first, *note = drawn.specification["title"]["subtitle"]
        assert (first, " ".join(note)) == (drawn.subtitle, drawn.note)
        assert max(map(len, note)) <= 120

    def test_where_no_bandwidth_was_published_the_line_is_level(self):
        drawn = picture(taken_apart(machine=make_machine(cpu="Apple M2 Max")), "roofline")
        assert {row["value"] for row in drawn.data["ceilings"] if row["published"]} == {2252.0}
        assert min(row["place"] for row in drawn.data["ceilings"]) > 0

    def test_nothing_is_published_of_other_processors(self):
        drawn = picture(taken_apart(), "roofline")
        assert not any(row["published"] for row in drawn.data["ceilings"])
        assert "published" not in drawn.note

    def test_the_gpu_is_under_no_ceiling_of_the_processor(self):
        cells = [make_cell("torch-gpu", 1e-6), make_cell("numpy-cpu", 1e-6)]
        result = make_result(cells, ceilings=make_ceilings())
        assert {row["label"] for row in rows(result, "roofline", "marks")} == {"numpy-cpu"}

    def test_no_share_of_a_peak_below_what_was_reached_is_said(self):
        cells = [make_cell("numpy-cpu", 1e-6), make_cell("cblas", 2e-6)]  # 524 and 262 GFLOP/s
        for peak, share in ((600.0, ", 87 % of the measured peak of 600 GFLOP/s."), (400.0, ": 524 GFLOP/s.")):
            result = make_result(cells, ceilings=make_ceilings(peak_gflops=peak))
            assert picture(result, "roofline").finding.endswith(share)

    def test_a_note_on_the_ceilings_and_the_nearest_call_are_said(self):
        drawn = picture(taken_apart(ceilings=make_ceilings(note="AMX is faster than NEON")), "roofline")
        assert "AMX is faster than NEON" in drawn.note
        assert "The highest rate drawn is that of torch-cpu at 1024" in drawn.finding

    @pytest.mark.parametrize(
        "result",
        [
            make_result([], ceilings=make_ceilings()),
            make_result([make_cell("torch-gpu")], ceilings=make_ceilings()),
            make_result([make_cell("numpy-cpu")], ceilings=make_ceilings(bandwidth=0.0)),
        ],
        ids=["nothing measured", "only a gpu", "no bandwidth"],
    )
    def test_it_is_not_made_without_ceilings_and_marks(self, result):
        with pytest.raises(UsageError, match="no ceilings"):
            result.figure("roofline")


class TestSpeedup:
    """From zero on where that can be read, and in two panels where some lines would lie on the axis."""

    def panels(self, **ratios: float) -> dict[str, tuple[str, set[str]]]:
        """Of each panel the type of its axis and its lines, at two sizes, for times relative to numpy-cpu."""
        names = {name.replace("_", "-"): ratio for name, ratio in ratios.items()}
        result = made(("numpy-cpu", *names), (64, 256))
        comparisons = [
            make_comparison(name, ratio, "slower", size) for name, ratio in names.items() for size in (64, 256)
        ]
        result = msgspec.structs.replace(result, comparisons=comparisons)
        spec = json.loads(picture(result, "speedup").json)
        return {
            panel["data"]["name"]: (
                next(axis["scale"]["type"] for axis in everywhere(panel, "y") if "scale" in axis),
                {row["label"] for row in spec["datasets"][panel["data"]["name"]]},
            )
            for panel in spec["vconcat"]
        }

    def test_what_is_close_is_drawn_from_zero_on(self):
        assert self.panels(torch_cpu=2.0, cblas=0.8) == {"speedup": ("linear", {"numpy-cpu = 1", "torch-cpu", "cblas"})}

    def test_what_is_far_slower_has_a_panel_of_its_own(self):
        assert self.panels(torch_cpu=2.0, mlx_cpu=50.0) == {
            "speedup": ("linear", {"numpy-cpu = 1", "torch-cpu"}), "slow": ("linear", {"mlx-cpu"}),
        }  # fmt: skip

    def test_what_is_far_faster_needs_a_logarithm(self):
        assert self.panels(torch_gpu=0.02, mlx_cpu=50.0) == {
            "speedup": ("log", {"numpy-cpu = 1", "torch-gpu", "mlx-cpu"})
        }

    def test_both_panels_have_all_sizes(self):
        comparisons = [make_comparison("mlx-cpu", 50.0, "slower", 64), make_comparison("mlx-cpu", 40.0, "slower", 128)]
        cells = [make_cell("numpy-cpu", 1e-6, size) for size in (64, 128, 256)]
        cells += [make_cell("mlx-cpu", 5e-5, size) for size in (64, 128)]
        spec = json.loads(picture(make_result(cells, comparisons), "speedup").json)
        axes = [across["axis"]["values"] for across in everywhere(spec, "x") if "axis" in across]
        assert len(spec["vconcat"]) == 2
        assert {tuple(values) for values in axes} == {(64, 128, 256)}

    def test_the_switch_of_scales_is_for_logarithms_alone(self):
        assert not picture(made(("numpy-cpu", "cblas")), "speedup").switched
        assert picture(made(("numpy-cpu", "cblas")), "speed").switched


class TestNames:
    """Names stand beside the ends of lines, each in reach of its own."""

    AXIS = Axis(1.0, 100.0, 300, is_log=True)

    def test_those_that_are_far_apart_stand_at_their_values(self):
        assert apart([2.0, 50.0, 10.0], self.AXIS) == pytest.approx([2.0, 50.0, 10.0], rel=1e-5)

    def test_those_that_would_touch_are_moved_apart_around_their_mean(self):
        places = [self.AXIS.pixels(value) for value in apart([10.0, 10.0, 10.1], self.AXIS)]
        assert [after - before for before, after in itertools.pairwise(places)] == pytest.approx(
            [NAME_HEIGHT] * 2, rel=1e-3
        )
        assert places[1] == pytest.approx(self.AXIS.pixels(10.0), abs=1)

    def test_they_stay_beside_the_plot(self):
        for value in (1.0, 100.0, 1e9):
            places = [self.AXIS.pixels(one) for one in apart([value] * 12, self.AXIS)]
            assert min(places) >= -0.01
            assert max(places) <= 300.01
            assert len({round(place) for place in places}) == 12

    def test_many_more_than_fit_share_the_height(self):
        flat = Axis(0.0, 2.0, 100, is_log=False)
        assert apart([1.0] * 20, flat) == sorted(apart([1.0] * 20, flat))

    def test_every_line_has_one_and_a_place_for_the_other_scale(self):
        result = made(NAMES, (64, 1024))
        ends = [row for row in rows(result, "speed", "time") if "at" in row]
        assert [row["label"] for row in ends] == list(NAMES)
        assert all(row["shape"] == "1024" and row["flat"] for row in ends)

    def test_throughput_shares_the_name_of_its_latency(self):
        cells = [make_cell("mlx-gpu", 1e-4, size) for size in (64, 128)]
        cells += [make_cell("mlx-gpu", 5e-5, size, mode="throughput") for size in (64, 128)]
        assert [row["label"] for row in rows(make_result(cells), "speed", "time") if "at" in row] == ["mlx-gpu"]


class TestFleet:
    def test_nothing_measured_has_a_picture_too(self, tmp_path):
        draw_fleet(Fleet(runs=[], warnings=[], cells=[]), tmp_path / "fleet.svg")
        assert "float32 matrix multiplication by machine" in texts(tmp_path / "fleet.svg")

    def test_intervals_of_times_become_intervals_of_rates(self):
        runs = [ComparedRun(label=f"node-{n}", started="", gemmscope="", machine="", sets=5) for n in range(2)]
        cells = [
            FleetCell(run=n, backend="numpy-cpu", library="numpy", m=64, n=64, k=64, mode="latency",
                      seconds=Interval(estimate=2e-6, low=1e-6, high=4e-6), gflops=262.0)
            for n in range(2)
        ]  # fmt: skip
        spec = fleet_picture(Fleet(runs=runs, warnings=[], cells=cells)).chart.to_dict()
        (shown,) = spec["datasets"].values()
        assert [row["machine"] for row in shown] == ["node-0", "node-1"]
        assert {(row["low"], row["value"], row["high"]) for row in shown} == {(131.0, 262.0, 524.0)}

    def test_an_unknown_suffix_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match=r"expected a file that ends in \.svg, \.png and \.pdf"):
            draw_fleet(Fleet(runs=[], warnings=[], cells=[]), tmp_path / "fleet.bmp")
        with pytest.raises(ValueError, match=r"\.bmp"):
            rendered(picture(made(), "speed").json, ".bmp")


class TestScales:
    def test_an_interval_of_many_decades_does_not_stretch_the_axis(self):
        low, high = limits([Point(1e-6, (1e-12, 1.0)), Point(1e-6)])
        assert high / low < 10

    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            (1, 10, [1, 2, 5, 10]),
            (0.9, 1e6, [1, 10, 100, 1e3, 1e4, 1e5, 1e6]),
            (10, 13, [10, 10.5, 11, 11.5, 12, 12.5, 13]),
        ],
    )
    def test_ticks_are_round(self, low, high, expected):
        assert round_ticks(low, high) == pytest.approx(expected)

    def test_bounds_change_places_in_an_inverse(self):
        assert Point(2.0, (1.0, 4.0)).inverse == Point(0.5, (0.25, 1.0))
        assert Interval(estimate=2.0).low is None


def contrast(colour: str, ground: str = palette.PAGE) -> float:
    """The contrast of a colour with what it stands on, from 1 to 21, as WCAG 2.2 defines it."""
    low, high = sorted((luminance(colour), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class TestPalette:
    def test_every_library_has_a_colour_that_stands_out_from_white(self):
        libraries = ("numpy", "torch", "mlx", "cblas", "cublas", "null")
        assert len({palette.colour(library) for library in libraries}) == len(libraries)
        assert all(contrast(palette.colour(library)) >= 2.8 for library in (*libraries, *"abcdefgh"))

    def test_an_unknown_library_has_always_the_same_colour(self):
        assert palette.colour("paddle") == palette.colour("paddle") in {"#3d9bd4", "#000000", "#8a7f00", "#6a51a3"}
        assert palette.colour("\ud800").startswith("#")

    @pytest.mark.parametrize(
        "library", ["numpy", "torch", "mlx", "cblas", "cublas", "null", "scipy", "jax", "cupy", *"abcdefgh"]
    )
    def test_styles_of_one_hue_all_differ_and_have_a_colour_on_a_dark_page(self, library):
        styles = palette.styles([(f"{library}-{n}", library) for n in range(40)])
        assert len(set(styles.values())) == 40
        assert next(iter(styles.values())).colour == palette.colour(library)
        dark = palette.on_dark(styles.values())
        assert all(contrast(dark[style.colour], dark[palette.PAGE]) >= 4.4 for style in styles.values())

    def test_contrast_is_that_of_the_guideline(self):
        assert contrast("#000000") == pytest.approx(21)
        assert contrast("#ffffff") == pytest.approx(1)
        assert contrast("#777777") == pytest.approx(4.48, abs=0.005)


def test_a_process_that_was_forked_from_one_that_has_drawn_draws_as_well():
    """The thread that draws is not in the child, which would wait for it for ever."""
    code = (
        "import os, signal\n"
        "from gemmscope.report.charts.render import rendered, svg\n"
        'chart = \'{"mark": "bar", "data": {"values": [%s]}}\'\n'
        "svg(chart % 1)\n"
        "if os.fork() == 0:\n"
        "    signal.alarm(60)\n"
        "    drawn = svg(chart % 2).encode(), rendered(chart % 2, '.png')\n"
        "    os._exit(not (drawn[0].startswith(b'<svg') and drawn[1].startswith(b'\\x89PNG')))\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "0\n", done.stderr
