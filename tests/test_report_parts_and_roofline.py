"""The pictures of a call's parts and of the roofline."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from gemmscope.errors import UsageError
from gemmscope.report import palette
from gemmscope.report.figures import draw, figure, kinds, roof, stacks
from tests.builders import make_backend, make_ceilings, make_cell, make_part, make_result

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from gemmscope.records.model import Result

SIZES = (16, 64, 256, 1024)
CALLS = {
    "numpy-cpu": {"kernel": 1.0, "binding": 8e-7, "allocation": 3e-7},
    "torch-cpu": {"kernel": 0.9, "runtime": 3e-7, "binding": 7e-7, "allocation": 4e-7},
    "mlx-cpu": {"kernel": 40.0, "runtime": 1.3e-5, "binding": 2e-7},
}


def kernel(share: float, size: int) -> float:
    return share * (5e-8 + 2 * size**3 / 2e11)


def whole(backend: str, size: int) -> float:
    return sum(kernel(value, size) if name == "kernel" else value for name, value in CALLS[backend].items())


def taken_apart(**changes: Any) -> Result:
    cells = [make_cell(name, whole(name, size), size) for name in CALLS for size in SIZES]
    parts = [
        make_part(name, part, kernel(value, size) if part == "kernel" else value, size)
        for name, values in CALLS.items()
        for size in SIZES
        for part, value in values.items()
    ]
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


def bars(drawn: Figure, panel: int) -> list[tuple[str, float, float]]:
    """Name, lower and upper end of each bar of a panel."""
    axes = drawn.axes[panel]
    return [
        (str(container.get_label()), bar.get_y(), bar.get_y() + bar.get_height())
        for container in axes.containers
        for bar in container
    ]


def said(drawn: Figure) -> list[str]:
    return [text.get_text() for text in drawn.texts]


# --- Parts ------------------------------------------------------------------------------------------------------------


def test_parts_stack_up_to_the_time_of_the_call() -> None:
    drawn = figure(taken_apart(), "parts")
    assert len(drawn.axes) == 2 * len(CALLS)
    for number, name in enumerate(CALLS):
        absolute, share = bars(drawn, 2 * number), bars(drawn, 2 * number + 1)
        assert [bar[0] for bar in absolute] == [*CALLS[name]] * len(SIZES)
        tops = [top for part, _, top in absolute if part == list(CALLS[name])[-1]]
        assert tops == pytest.approx([whole(name, size) for size in SIZES])
        assert [top for part, _, top in share if part == list(CALLS[name])[-1]] == pytest.approx([1.0] * len(SIZES))
        kernels = [top - bottom for part, bottom, top in share if part == "kernel"]
        assert kernels == pytest.approx([kernel(CALLS[name]["kernel"], size) / whole(name, size) for size in SIZES])


def test_what_was_not_resolved_has_no_bar_and_is_named() -> None:
    drawn = figure(odd_parts(), "parts")
    for panel in (0, 1):
        assert [name for name, _, _ in bars(drawn, panel)] == ["kernel", "binding", "not known"]
        assert all(0 <= low < high for _, low, high in bars(drawn, panel))
    texts = said(drawn)
    assert "runtime came out negative, which is inconsistent, at 64" in texts
    assert "binding is below resolution at 64 (< 40.0 ns)" in texts
    assert "kernel is unknown at 256" in texts


def test_the_unknown_fills_the_call_up() -> None:
    (_, _, kernel_top), (_, _, binding_top), (_, low, high) = bars(figure(odd_parts(), "parts"), 1)
    assert kernel_top == 1
    assert (binding_top, low, high) == pytest.approx((1 / 9, 1 / 9, 1))


def test_parts_have_the_hue_of_their_library_and_lighten_outwards() -> None:
    calls = {call.backend: call for call in stacks.calls_of(taken_apart())}
    shades = [palette.contrast(colour) for colour in calls["torch-cpu"].colours.values()]
    assert shades == sorted(shades, reverse=True)
    assert calls["torch-cpu"].colours["kernel"] == palette.tint("torch", 0)
    assert set(calls["torch-cpu"].colours.values()).isdisjoint(calls["mlx-cpu"].colours.values())


def test_parts_beyond_the_call_do_not_exceed_a_share_of_one() -> None:
    result = make_result([make_cell("numpy-cpu", 1e-6)], parts=[make_part("numpy-cpu", "kernel", 1.2e-6)])
    assert bars(figure(result, "parts"), 1) == [("kernel", 0, 1)]


# --- The roofline -----------------------------------------------------------------------------------------------------


def test_marks_stand_at_their_intensity_and_rate() -> None:
    result = taken_apart()
    axes = figure(result, "roofline").axes[0]
    marks = {line.get_label(): line for line in axes.lines}
    shapes = [(cell.m, cell.gflops) for cell in result.cells if cell.backend == "torch-cpu"]
    assert list(marks["torch-cpu"].get_xdata()) == pytest.approx([2 * n**3 / (12 * n**2) for n, _ in shapes])
    assert list(marks["torch-cpu"].get_ydata()) == pytest.approx([rate for _, rate in shapes])


def test_ceilings_bend_at_the_ridge() -> None:
    axes = figure(taken_apart(), "roofline").axes[0]
    line = next(line for line in axes.lines if line.get_label() == "ceiling, 2 threads")
    places, rates = (list(map(float, data)) for data in line.get_data())
    assert places[1] == pytest.approx(212 / 21)
    assert rates == pytest.approx([places[0] * 21, 212, 212])
    assert len([line for line in axes.lines if line.get_label().startswith("ceiling")]) == 2


def test_one_thread_has_one_ceiling() -> None:
    found = roof.roofline_of(taken_apart(ceilings=make_ceilings(threads=1)))
    assert [ceiling.threads for ceiling in found.ceilings] == [1]


def test_the_gpu_is_under_no_ceiling_of_the_processor() -> None:
    cells = [make_cell("torch-gpu", 1e-6), make_cell("numpy-cpu", 1e-6)]
    found = roof.roofline_of(make_result(cells, ceilings=make_ceilings()))
    assert [line.label for line in found.series] == ["numpy-cpu"]


def test_a_note_on_the_ceilings_is_said() -> None:
    drawn = figure(taken_apart(ceilings=make_ceilings(note="AMX is faster than NEON")), "roofline")
    assert any("AMX is faster than NEON" in text for text in said(drawn))


# --- Both -------------------------------------------------------------------------------------------------------------


def test_both_are_written_beside_the_others(tmp_path: Path) -> None:
    names = [path.name for path in draw(taken_apart(), tmp_path)]
    assert names == [
        f"{kind}.{suffix}" for kind in ("speed", "speedup", "parts", "roofline") for suffix in ("svg", "png")
    ]
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    "result",
    [
        make_result([make_cell("numpy-cpu")]),
        make_result([], ceilings=make_ceilings()),
        make_result([make_cell("torch-gpu")], ceilings=make_ceilings()),
        make_result([make_cell("numpy-cpu")], ceilings=make_ceilings(bandwidth=0.0)),
        make_result([make_cell("numpy-cpu")], parts=[make_part("numpy-cpu", "kernel", None, status="unknown")]),
    ],
    ids=["none", "nothing measured", "only a gpu", "no bandwidth", "all unknown"],
)
def test_neither_is_made_without_figures(result: Result, tmp_path: Path) -> None:
    assert kinds(result) == ["speed", "speedup"]
    draw(result, tmp_path)
    assert not list(tmp_path.glob("parts.*")) + list(tmp_path.glob("roofline.*"))
    for kind in ("parts", "roofline"):
        with pytest.raises(UsageError, match="this run has no"):
            figure(result, kind)


@pytest.mark.parametrize("kind", ["parts", "roofline"])
@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "$x_{", "a\x1b[2J\nb", "a-very-long-name" * 20])
def test_text_from_a_file_is_only_text(kind: Any, name: str) -> None:
    backend = make_backend(name, library="numpy")
    parts = [make_part(name, "kernel", 1e-6), make_part(name, name, None, status="unknown")]
    result = make_result([make_cell(name, 2e-6)], backends=[backend], parts=parts, ceilings=make_ceilings())
    drawn = figure(result, kind)
    drawn.canvas.draw()
    for text in drawn.texts:
        assert text.get_window_extent().x1 <= drawn.bbox.x1


@pytest.mark.parametrize("kind", ["parts", "roofline"])
@pytest.mark.parametrize("result", [taken_apart(), odd_parts()], ids=["whole", "odd"])
def test_no_two_texts_overlap_and_none_leaves_the_picture(kind: Any, result: Result) -> None:
    if kind not in kinds(result):
        return
    drawn = figure(result, kind)
    drawn.canvas.draw()
    boxes = [text.get_window_extent() for text in drawn.texts if text.get_text()]
    for axes in drawn.axes:
        ticks = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label]
        boxes += [text.get_window_extent() for text in ticks if text.get_text()]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.padded(-1).overlaps(other.padded(-1))
    for box in boxes:
        assert (drawn.bbox.x0, drawn.bbox.y0) <= (box.x0, box.y0)
        assert (box.x1, box.y1) <= (drawn.bbox.x1, drawn.bbox.y1)
