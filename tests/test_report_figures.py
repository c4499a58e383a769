"""Figures: every line is there, named, told apart, and the same for the same results."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import pytest

from gemmscope.report.figures import draw, figure, spread, within
from gemmscope.report.palette import colours
from gemmscope.results.model import BackendRecord, Cell, Comparison, Interval, Machine, Result, Settings

NAMES = [
    ("numpy-cpu", "numpy"), ("numpy-cpu:out", "numpy"), ("torch-cpu", "torch"), ("torch-gpu", "torch"),
    ("mlx-cpu", "mlx"), ("mlx-gpu", "mlx"), ("cblas", "cblas"), ("jax-cpu", "jax"),
]  # fmt: skip


def made(names=NAMES, shapes=((64, 64, 64), (256, 256, 256), (1024, 1024, 1024)), interval=True, **cell):
    cells, comparisons = [], []
    for i, (name, _) in enumerate(names):
        for m, n, k in shapes:
            seconds = (1 + 0.02 * i) * (1e-6 + 1e-11 * m * n * k)
            bounds = {"low": seconds * 0.9, "high": seconds * 1.2} if interval else {}
            cells.append(Cell(backend=name, m=m, n=n, k=k, seconds=Interval(median=seconds, **bounds), **cell))
            if i:
                ratio = Interval(median=1 + 0.02 * i, **({"low": 0.9, "high": 1.3} if interval else {}))
                comparisons.append(Comparison(backend=name, baseline=names[0][0], m=m, n=n, k=k, ratio=ratio,
                                              speedup=1 / ratio.median, verdict="slower"))  # fmt: skip
    machine = Machine(name="a machine", system="s", architecture="a", python="p", cpu="c", logical_cpus=1,
                      memory_bytes=1)  # fmt: skip
    return Result(
        gemmscope="0", started="now", machine=machine,
        settings=Settings(shapes=["x".join(map(str, shape)) for shape in shapes], backends=[n for n, _ in names]),
        backends=[BackendRecord(name=n, library=lib, device="cpu", entry="python") for n, lib in names],
        workers=[], cells=cells, comparisons=comparisons,
    )  # fmt: skip


def texts(path):
    return [element.text for element in ET.parse(path).iter() if element.tag.endswith("text") and element.text]


def labels(drawn, result):
    names = {backend.name for backend in result.backends}
    (axes,) = drawn.axes
    return [text for text in axes.texts if text.get_text().removesuffix(" = 1") in names]


def test_four_files_are_drawn_and_whole(tmp_path):
    paths = draw(made(), tmp_path / "figures")
    assert [path.name for path in paths] == ["speed.svg", "speed.png", "speedup.svg", "speedup.png"]
    for path in paths:
        if path.suffix == ".png":
            assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
            assert len(path.read_bytes()) > 10_000


def test_every_backend_is_named_once_where_its_line_ends(tmp_path):
    draw(made(), tmp_path)
    for name, _ in NAMES:
        assert texts(tmp_path / "speed.svg").count(name) == 1
    speedup = texts(tmp_path / "speedup.svg")
    assert "numpy-cpu = 1" in speedup
    assert all(name in speedup for name, _ in NAMES[1:])


@pytest.mark.parametrize("kind", ["speed", "speedup"])
def test_names_do_not_write_over_each_other(kind):
    result = made()
    drawn = figure(result, kind)
    drawn.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in labels(drawn, result)), key=lambda box: box.y0)
    assert len(boxes) >= len(NAMES)
    for below, above in itertools.pairwise(boxes):
        assert below.y1 <= above.y0 + 1
    width, height = drawn.canvas.get_width_height()
    assert all(box.x1 < width and box.y0 > 0 and box.y1 < height for box in boxes)


def test_a_library_has_the_same_colour_everywhere():
    result = made()
    seen = {}
    for kind in ("speed", "speedup"):
        for text in labels(figure(result, kind), result):
            seen.setdefault(text.get_text().removesuffix(" = 1"), set()).add(text.get_color())
    assert len(seen["torch-cpu"] | seen["torch-gpu"]) == 1
    assert len(set.union(*(seen[name] for name in ("torch-cpu", "mlx-cpu", "cblas", "jax-cpu")))) == 4


def test_backends_of_one_library_differ_in_dash_and_marker():
    (axes,) = figure(made(), "speed").axes
    looks = {
        (line.get_color(), line.get_linestyle(), line.get_marker(), str(line._dash_pattern)) for line in axes.lines
    }
    assert len(looks) == len(NAMES)


def test_the_same_results_are_the_same_bytes(tmp_path):
    draw(made(), tmp_path / "a")
    draw(made(), tmp_path / "b")
    for name in ("speed.svg", "speedup.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(made(shapes=[(64, 64, 64)]), id="one size"),
        pytest.param(made(shapes=[(1, 4096, 4096), (64, 32, 16), (7, 7, 7), (512, 1, 9), (3, 3, 3)]), id="no squares"),
        pytest.param(made(names=NAMES[:1]), id="one backend"),
        pytest.param(made(interval=False), id="no intervals"),
        pytest.param(made(shapes=[(0, 0, 0), (64, 64, 64)]), id="an empty shape"),
        pytest.param(made(status="failed"), id="nothing measured"),
        pytest.param(made(names=[("<script>alert(1)</script>", "a"), ("$x_{", "b"), ("&amp;_^", "c")]), id="odd names"),
        pytest.param(made(names=[(f"numpy-cpu:threads={i}", "numpy") for i in range(1, 31)]), id="thirty lines"),
    ],
)
def test_whatever_there_is_can_be_drawn(result, tmp_path):
    for path in draw(result, tmp_path):
        if path.suffix == ".svg":
            ET.parse(path)
    assert b"<script>alert" not in (tmp_path / "speed.svg").read_bytes()


def test_nothing_measured_is_said(tmp_path):
    draw(made(status="failed"), tmp_path)
    assert "nothing was measured" in texts(tmp_path / "speed.svg")


def test_labels_move_no_more_than_they_must():
    assert spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert spread([0.5, 0.5, 0.56], 0.1) == pytest.approx([0.42, 0.52, 0.62])
    assert spread([], 0.1) == []
    assert within([0.9, 1.1], 0, 1) == pytest.approx([0.8, 1.0])
    assert within([-0.2, 0.0], 0, 1) == pytest.approx([0.0, 0.2])
    assert within([0.0, 2.0], 0, 1) == pytest.approx([-0.5, 1.5])


def test_colours_are_fixed_for_those_we_know_and_distinct_for_others():
    assert colours(["mlx", "a", "b"])["mlx"] == colours(["b", "mlx"])["mlx"]
    assert len(set(colours(["numpy", "torch", "mlx", "cblas", "a", "b", "c"]).values())) == 7
