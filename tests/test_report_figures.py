"""The pictures of a run."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from matplotlib.colors import to_hex

from gemmscope.records.base import Interval
from gemmscope.records.words import TIMES
from gemmscope.report import palette
from gemmscope.report.figures import apart, draw, figure
from tests.builders import make_backend, make_cell, make_comparison, make_interval, make_machine, make_result

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from gemmscope.records.model import Result
    from gemmscope.report.figures import Kind

KINDS: tuple[Kind, ...] = ("speed", "speedup")
NAMES = ("numpy-cpu", "numpy-cpu:out", "torch-cpu", "torch-gpu", "mlx-cpu", "mlx-gpu", "cblas", "cublas")
SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


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


def texts(path: Path) -> list[str]:
    """What an SVG says, and that it is one."""
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


def said(drawn: Figure) -> list[str]:
    return [text.get_text() for text in drawn.texts]


def labels(drawn: Figure, result: Result) -> list[Any]:
    """The names at the lines' ends, panel by panel."""
    names = tuple(backend.name for backend in result.backends)
    return [text for text in drawn.texts if text.get_text().startswith(names)]


def line_of(drawn: Figure, label: str, panel: int = 0) -> Any:
    return next(line for line in drawn.axes[panel].lines if line.get_label() == label)


def values_of(drawn: Figure, label: str, panel: int = 0) -> list[float]:
    return [float(value) for value in line_of(drawn, label, panel).get_ydata()]


def test_both_pictures_are_written_in_both_formats(tmp_path: Path) -> None:
    written = draw(made(), tmp_path / "figures")
    assert [path.name for path in written] == ["speed.svg", "speed.png", "speedup.svg", "speedup.png"]
    for path in written:
        if path.suffix == ".png":
            data = path.read_bytes()
            assert data.startswith(b"\x89PNG\r\n\x1a\n")
            assert int.from_bytes(data[16:20], "big") == 2 * 830
        else:
            assert set(NAMES) <= {text.removesuffix(" = 1") for text in texts(path)}


def test_titles_and_axes_say_what_is_shown(tmp_path: Path) -> None:
    draw(made(machine=make_machine(name="Example 9000, 8 cores")), tmp_path)
    speed, speedup = texts(tmp_path / "speed.svg"), texts(tmp_path / "speedup.svg")
    assert "on Example 9000, 8 cores" in speed
    assert "on Example 9000, 8 cores" in speedup
    assert "time of one product (logarithmic)" in speed
    assert "GFLOP/s (logarithmic)" in speed
    assert {"10 µs".replace("µ", "\N{MICRO SIGN}"), "1000", "16", "4096"} <= set(speed)
    assert "Speed-up over numpy-cpu in float32 matrix products" in speedup
    assert "speed-up over numpy-cpu (logarithmic)" in speedup
    assert {f"1{TIMES}", "numpy-cpu = 1"} <= set(speedup)


def test_the_figures_are_those_of_the_result() -> None:
    result = made(("numpy-cpu", "cblas"), (64, 256))
    speed = figure(result, "speed")
    cells = [cell for cell in result.cells if cell.backend == "cblas"]
    assert values_of(speed, "cblas") == pytest.approx([cell.seconds.estimate for cell in cells])
    assert values_of(speed, "cblas", panel=1) == pytest.approx([cell.gflops for cell in cells])
    ratios = [comparison.speedup for comparison in result.comparisons]
    assert values_of(figure(result, "speedup"), "cblas") == pytest.approx(ratios)
    assert values_of(figure(result, "speedup"), "numpy-cpu = 1") == [1, 1]


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = draw(made(), tmp_path / "first"), draw(made(), tmp_path / "second")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "result",
    [
        made(),
        made(sizes=(64,)),
        made(tuple(f"numpy-cpu:threads={n}" for n in range(1, 31)), (64, 128)),
        made(sizes=(64,), spread=None),
        made(sizes=((1, 4096, 4096), (64, 64, 64))),
    ],
    ids=["nine sizes", "one size", "many backends", "one set", "shapes"],
)
def test_no_two_texts_overlap_and_none_leaves_the_picture(kind: Kind, result: Result) -> None:
    drawn = figure(result, kind)
    drawn.canvas.draw()
    assert len(labels(drawn, result)) == len(result.backends) * len(drawn.axes)
    boxes = [text.get_window_extent() for text in drawn.texts if text.get_text()]
    for axes in drawn.axes:
        ticks = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label]
        boxes += [text.get_window_extent() for text in ticks]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.padded(-1).overlaps(other.padded(-1))
    for box in boxes:
        assert drawn.bbox.containsx(box.x0)
        assert drawn.bbox.containsx(box.x1)
        assert drawn.bbox.containsy(box.y0)
        assert drawn.bbox.containsy(box.y1)


def test_a_library_has_one_hue_and_its_backends_differ() -> None:
    result = made()
    speed, speedup = figure(result, "speed"), figure(result, "speedup")
    for name in NAMES[1:]:
        assert line_of(speed, name).get_color() == line_of(speedup, name).get_color()
        assert line_of(speed, name).get_color() == line_of(speed, name, panel=1).get_color()
    plain, out = line_of(speed, "numpy-cpu"), line_of(speed, "numpy-cpu:out")
    assert plain.get_color() == palette.colour("numpy")
    assert plain.get_color() != out.get_color()
    assert plain.get_marker() != out.get_marker()
    assert plain.is_dashed() != out.is_dashed()
    assert len({line_of(speed, name).get_color() for name in NAMES}) == len(NAMES)


def test_gaps_and_lost_cells() -> None:
    cells = [make_cell("numpy-cpu", 1e-6 * size, size) for size in (64, 128, 256)]
    cells += [make_cell("cblas", 1e-6, 64), make_cell("cblas", 1e-5, 256)]
    cells += [make_cell("cblas", None, 128, status="skipped")]
    cells += [make_cell("torch-cpu", None, size, status="failed") for size in (64, 128, 256)]
    drawn = figure(make_result(cells), "speed")
    values = values_of(drawn, "cblas")
    assert [math.isnan(value) for value in values] == [False, True, False]
    assert "torch-cpu" not in said(drawn)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_figures_that_a_logarithm_cannot_show_are_left_out(value: float, tmp_path: Path) -> None:
    broken = msgspec.structs.replace(make_cell("cblas"), seconds=make_interval(value))
    cells = [make_cell("numpy-cpu"), broken]
    comparison = msgspec.structs.replace(make_comparison("cblas", 1.0, "same"), ratio=make_interval(value))
    draw(make_result(cells, [comparison]), tmp_path)
    assert "cblas" not in texts(tmp_path / "speed.svg")


def test_an_interval_of_many_decades_does_not_stretch_the_axis() -> None:
    wide = Interval(estimate=1e-6, low=1e-12, high=1.0)
    cells = [msgspec.structs.replace(make_cell("numpy-cpu", size=size), seconds=wide) for size in (64, 128)]
    low, high = figure(make_result(cells), "speed").axes[0].get_ylim()
    assert high / low < 10


def test_throughput_is_drawn_where_it_differs() -> None:
    def run(throughput: float) -> Figure:
        cells = [make_cell("mlx-gpu", 1e-4, size) for size in (64, 128)]
        cells += [make_cell("mlx-gpu", throughput, size, mode="throughput") for size in (64, 128)]
        return figure(make_result(cells), "speed")

    drawn = run(5e-5)
    latency, throughput = line_of(drawn, "mlx-gpu"), line_of(drawn, "mlx-gpu, throughput")
    assert latency.get_color() == throughput.get_color()
    assert throughput.get_linewidth() < latency.get_linewidth()
    assert any("thin dotted: throughput" in text for text in said(drawn))
    assert [line.get_label() for line in run(0.99e-4).axes[0].lines] == ["mlx-gpu"]


def test_throughput_alone_is_named() -> None:
    drawn = figure(make_result([make_cell("mlx-gpu", 1e-4, mode="throughput")]), "speed")
    assert said(drawn).count("mlx-gpu, throughput") == 2


def test_the_floor_is_drawn_where_it_matters() -> None:
    def run(floor: float) -> Figure:
        return figure(make_result([make_cell("numpy-cpu", 1e-6), make_cell("null-python", floor)]), "speed")

    assert "null-python (floor)" in said(run(5e-7))
    assert "null-python (floor)" not in said(run(5e-9))
    assert "null-python (floor)" not in {line.get_label() for line in run(5e-7).axes[1].lines}


def test_a_single_size_has_points_with_bars() -> None:
    drawn = figure(made(sizes=(64,)), "speed")
    assert [text.get_text() for text in drawn.axes[0].get_xticklabels()] == [f"64{TIMES}64{TIMES}64"]
    assert "bars: 95 % interval over processes" in said(drawn)
    assert len({tuple(line.get_xdata()) for line in drawn.axes[0].lines}) == len(NAMES)
    assert "95 % interval" not in " ".join(said(figure(made(sizes=(64,), spread=None), "speed")))


def test_shapes_stand_in_the_order_of_their_work() -> None:
    drawn = figure(made(sizes=((4096, 4096, 1), (1024, 1024, 1024), (1, 2, 3))), "speed")
    shown = [text.get_text() for text in drawn.axes[0].get_xticklabels()]
    assert shown == [shape.replace("x", TIMES) for shape in ("1x2x3", "4096x4096x1", "1024x1024x1024")]
    assert drawn.axes[0].get_xlabel() == f"shape M{TIMES}N{TIMES}K, in the order of work"


def test_sizes_without_room_are_left_out_but_for_the_ends() -> None:
    drawn = figure(made(sizes=range(1000, 1101)), "speed")
    shown = [int(text.get_text()) for text in drawn.axes[0].get_xticklabels()]
    assert (shown[0], shown[-1]) == (1000, 1100)
    assert 2 < len(shown) < 30


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_measured_is_said(kind: Kind) -> None:
    for cells in ([], [make_cell("numpy-cpu", None, status="failed")], [make_cell("null-python", 1e-8)]):
        drawn = figure(make_result(cells), kind)
        assert not drawn.axes
        assert "Nothing was measured: gemmscope report says why." in said(drawn)


def test_one_backend_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    draw(made(("numpy-cpu",)), tmp_path)
    assert "Nothing to compare: only numpy-cpu was measured." in texts(tmp_path / "speedup.svg")


def test_the_baseline_that_most_comparisons_have_is_drawn() -> None:
    result = made(("numpy-cpu", "cblas"), (64, 128))
    other = make_comparison("cblas", 0.5, "faster", size=256, baseline="torch-cpu")
    cells = [*result.cells, make_cell("cblas", 1e-6, 256)]
    drawn = figure(make_result(cells, [*result.comparisons, other]), "speedup")
    assert len(values_of(drawn, "cblas")) == 2


@pytest.mark.parametrize("name", ["$x_{", r"\$\frac{", "_a_b^2", "<script>alert(1)</script>&", "a\x1b[2J\nb", "矩阵🚀"])
def test_text_from_a_file_is_only_text(name: str, tmp_path: Path) -> None:
    names = (name, "cblas")
    result = made(
        names,
        (64, 128),
        machine=make_machine(name=name),
        backends=[make_backend(name, library=name), make_backend("cblas")],
    )
    draw(result, tmp_path)
    shown = "".join(character if ord(character) < 0x2000 else "\ufffd" for character in name)
    shown = shown.replace("\x1b[2J\n", " [2J ")
    for kind in KINDS:
        assert f"on {shown}" in texts(tmp_path / f"{kind}.svg")
        assert "<script" not in (tmp_path / f"{kind}.svg").read_text(encoding="utf-8")


def test_long_names_are_cut(tmp_path: Path) -> None:
    long = "numpy-cpu:" + "+".join(f"OPENBLAS_VARIABLE_{n}=1" for n in range(20))
    draw(made((long, "cblas"), (64, 128), machine=make_machine(name=long)), tmp_path)
    cut = [text for text in texts(tmp_path / "speed.svg") if text.endswith("\N{HORIZONTAL ELLIPSIS}")]
    assert len(cut) == 3


def test_a_backend_without_a_record_is_drawn() -> None:
    result = make_result([make_cell("cblas")])
    assert "cblas" in said(figure(msgspec.structs.replace(result, backends=[]), "speed"))


def test_a_users_settings_of_matplotlib_are_neither_used_nor_changed() -> None:
    import matplotlib as mpl

    with mpl.rc_context({"figure.facecolor": "black", "text.usetex": True, "lines.linewidth": 30.0}):
        drawn = figure(made(sizes=(64, 128)), "speed")
        assert mpl.rcParams["figure.facecolor"] == "black"
        assert mpl.rcParams["svg.fonttype"] == "path"
    assert to_hex(drawn.get_facecolor()) == "#ffffff"


def test_importing_loads_no_matplotlib() -> None:
    code = "import sys, gemmscope.report.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


# --- The layout of names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([], []),
        ([5.0], [5.0]),
        ([10.0, 40.0], [10.0, 40.0]),
        ([50.0, 50.0], [45.0, 55.0]),
        ([50.0, 51.0, 90.0], [45.5, 55.5, 90.0]),
        ([0.0, 0.0, 0.0], [0.0, 10.0, 20.0]),
        ([100.0, 100.0], [90.0, 100.0]),
        ([48.0, 50.0, 58.0], [42.0, 52.0, 62.0]),
    ],
)
def test_places_are_moved_apart_by_little(wanted: list[float], expected: list[float]) -> None:
    assert apart(wanted, 10, 0, 100) == pytest.approx(expected)


# --- The palette ------------------------------------------------------------------------------------------------------


def test_every_library_has_a_colour_that_stands_out_from_white() -> None:
    libraries = ("numpy", "torch", "mlx", "cblas", "cublas", "null")
    assert len({palette.colour(library) for library in libraries}) == len(libraries)
    for library in (*libraries, *"abcdefgh"):
        assert palette.contrast(palette.colour(library)) >= 2.8
        assert palette.contrast(palette.readable(palette.colour(library))) >= 4.5


def test_an_unknown_library_has_always_the_same_colour() -> None:
    assert palette.colour("jax") == palette.colour("jax") == "#3d9bd4"
    assert palette.colour("\ud800").startswith("#")


def test_styles_of_one_hue_all_differ() -> None:
    styles = palette.styles([(f"numpy-{n}", "numpy") for n in range(40)])
    assert len(set(styles.values())) == 40
    assert next(iter(styles.values())).colour == palette.colour("numpy")


def test_contrast_is_that_of_the_guideline() -> None:
    assert palette.contrast("#000000") == pytest.approx(21)
    assert palette.contrast("#ffffff") == pytest.approx(1)
    assert palette.contrast("#777777") == pytest.approx(4.48, abs=0.005)
