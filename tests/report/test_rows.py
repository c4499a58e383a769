"""The one row model: what the tables of a run say, and that every printer says the same."""

from __future__ import annotations

import io
import math
import re

import msgspec
import pytest
from rich.console import Console

from gemmscope.records import words
from gemmscope.records.base import CellKey, Interval
from gemmscope.records.model import Cell
from gemmscope.records.words import MICRO, TIMES
from gemmscope.report import notebook
from gemmscope.report.html import page
from gemmscope.report.markdown import markdown
from gemmscope.report.model import Report
from gemmscope.report.sections import for_file
from gemmscope.report.terminal import print_result
from tests.builders import (
    make_backend,
    make_cell,
    make_comparison,
    make_interval,
    make_part,
    make_result,
    make_sampled_cell,
    make_settings,
)

US = f"{MICRO}s"
WEATHER = (1.0, 1.5, 2.0, 1.2, 1.7)


def sentence(cells, **changes):
    """What is said of the only shape."""
    (shape,) = Report(make_result(cells, **changes)).shapes
    return shape.ranking


def grouped(result, number=0):
    """The labels of a shape's rows by the title of their group."""
    table = Report(result).shapes[number].table
    return {group.title: [row.key.label for row in group.rows] for group in table.groups}


def texts(table, column_id):
    """A column's texts by the name of the row's backend."""
    (column,) = [column for column in table.columns if column.id == column_id]
    return {row.backend: column.of(row) for row in table.rows}


def printed_everywhere(result):
    """A run by every printer of sentences."""
    file = io.StringIO()
    print_result(result, Console(file=file, width=400, color_system=None, _environ={}))
    texts = [file.getvalue(), result.table(), markdown(for_file(Report(result))).replace("\\", "")]
    pages = [notebook.html(result), page(result)]
    return texts + [re.sub(r"<[^>]+>", "", text) for text in pages]


# --- One ranking ------------------------------------------------------------------------------------------------------


def clear_in_pairs_alone():
    """Intervals of times overlap widely, since the machine changed; side by side one is 10 % faster every time."""
    noise = (1.0, 1.002, 0.998, 1.001, 0.999)
    return make_result([
        make_sampled_cell("torch-cpu", [1e-6 * weather for weather in WEATHER]),
        make_sampled_cell("mlx-cpu", [1.1e-6 * weather * own for weather, own in zip(WEATHER, noise, strict=True)]),
    ])  # fmt: skip


def clear_by_intervals_alone():
    """Intervals of times lie apart, but where one is fast the other is slow, so that their ratio is not settled."""
    scatter = (-0.02, 0.02, -0.02, 0.02, 0.0)
    return make_result([
        make_sampled_cell("torch-cpu", [1e-6 * math.exp(one) for one in scatter]),
        make_sampled_cell("mlx-cpu", [1.052e-6 * math.exp(-one) for one in scatter]),
    ])  # fmt: skip


def overlap(result):
    one, other = (cell.seconds for cell in result.cells)
    return one.high >= other.low


@pytest.mark.parametrize(
    ("result", "overlapping", "expected"),
    [
        (clear_in_pairs_alone(), True, f"Fastest: torch-cpu, 1.44 {US}; 1.10{TIMES} as fast as the second, mlx-cpu."),
        (clear_by_intervals_alone(), False, f"Fastest: torch-cpu, 1.00 {US}; tied with mlx-cpu."),
    ],
    ids=["clear in pairs alone", "clear by intervals alone"],
)
def test_there_is_one_answer_and_it_is_of_pairs(result, overlapping, expected):
    assert overlap(result) == overlapping
    for text in printed_everywhere(result):
        assert {found.strip() for found in re.findall(r"Fastest: [^\n]*?\.(?=\s|$)", text)} == {expected}


def test_one_batch_settles_nothing():
    cells = [make_sampled_cell("numpy-cpu", [2e-6]), make_sampled_cell("mlx-cpu", [1e-6])]
    assert sentence(cells) == (
        f"Fastest: mlx-cpu, 1.00 {US}; 2.0{TIMES} as fast as the second, numpy-cpu. "
        "One batch of fresh processes has no interval, so the order is not settled."
    )


def test_a_second_that_is_settled_is_named_beside_a_third_that_is_not():
    cells = [
        make_sampled_cell("a", [1e-6 * one for one in (1, 1.01, 0.99, 1, 1)]),
        make_sampled_cell("b", [1.2e-6 * one for one in (1, 1.01, 0.99, 1, 1)]),
        make_sampled_cell("c", [1.3e-6 * one for one in (0.6, 1.4, 1, 0.7, 1.6)]),
    ]
    assert sentence(cells) == f"Fastest: a, 1.00 {US}; 1.20{TIMES} as fast as the second, b; tied with c."


def test_what_was_never_paired_is_tied():
    cells = [make_cell("a", 1e-6), make_cell("b", 3e-6), make_cell("c", 9e-6)]
    assert sentence(cells) == f"Fastest: a, 1.00 {US}; tied with b and c."


def test_one_alone_and_none_at_all():
    assert sentence([make_cell("a")]) == f"Only one to rank: a, 1.00 {US}."
    assert sentence([make_cell("a", None, status="failed", reason="r")]) == "Nothing can be ranked here."
    assert [one.ranking for one in Report(make_result([], settings=make_settings("8x8x8"))).shapes] == [
        "Nothing can be ranked here."
    ]


def test_reduced_precision_is_not_ranked():
    cells = [make_cell("numpy-cpu", 2e-6), make_cell("mlx-gpu:tf32", precision="tf32"), make_cell("mlx-gpu", 4e-6)]
    assert sentence(cells) == (
        f"Fastest: numpy-cpu, 2.00 {US}; tied with mlx-gpu. "
        "Not ranked, because of reduced precision: mlx-gpu:tf32 (tf32)."
    )


@pytest.mark.parametrize(("seconds", "shown"), [(math.nan, "unknown"), (math.inf, "unknown")])
def test_a_time_that_no_call_can_take_is_shown_and_not_ranked(seconds, shown):
    impossible = Interval(estimate=seconds)
    cells = [Cell(backend=name, m=64, n=64, k=64, seconds=impossible) for name in ("mlx-cpu", "torch-cpu")]
    result = make_result([*cells, make_cell("numpy-cpu", 2e-6)])
    (shape,) = Report(result).shapes
    assert texts(shape.table, "time")["mlx-cpu"] == shown
    assert shape.ranking == (
        f"Only one to rank: numpy-cpu, 2.00 {US}. "
        "Not ranked, because no call can take that time: mlx-cpu and torch-cpu."
    )


# --- The table of a shape ---------------------------------------------------------------------------------------------


def everything():
    """Every kind of row at one shape."""
    native = [make_backend(name, entry="native") for name in ("cblas", "mlx-cpp-gpu")]
    cells = [
        make_cell("null-native", 1e-9), make_cell("cblas", 0.5e-6), make_cell("mlx-cpp-gpu", 4e-6, mode="device"),
        make_cell("mlx-gpu", 2e-6, mode="device"), make_cell("mlx-gpu", 3e-6, mode="throughput"),
        make_cell("mlx-gpu", 9e-6), make_cell("numpy-cpu", 1e-6),
    ]  # fmt: skip
    return make_result(cells, [make_comparison("mlx-gpu", 9.0, "slower")], backends=native)


def test_rows_stand_in_groups_under_one_name_each_and_the_fastest_first():
    assert grouped(everything()) == {
        "calls, each waited for": ["numpy-cpu", "mlx-gpu"],
        "throughput: one wait for many calls": ["mlx-gpu, throughput"],
        "device: the GPU's own time": ["mlx-gpu, device"],
        "internals: measured to take calls apart, never ranked": ["cblas", "mlx-cpp-gpu, device"],
        "the harness's floor: calls that do nothing": ["null-native"],
    }


def test_an_instrument_is_never_the_fastest():
    assert Report(everything()).shapes[0].ranking == f"Fastest: numpy-cpu, 1.00 {US}; tied with mlx-gpu."


def test_the_devices_own_time_has_its_name_everywhere():
    for text in printed_everywhere(everything()):
        # On the page a name may be broken behind a colon.
        assert "mlx-gpu, device" in text
        assert "device: the GPU" in text
        assert not re.search(r"device, throughput|throughput, device", text)


def test_a_row_has_all_figures():
    result = make_result([make_cell("numpy-cpu", 2e-6), make_cell("mlx-gpu", 1.04e-6)],
                         [make_comparison("mlx-gpu", 0.52, "faster")])  # fmt: skip
    table = Report(result).shapes[0].table
    assert table.caption == f"Backends at 64{TIMES}64{TIMES}64, fastest first; ratios are times relative to numpy-cpu"
    first, second = ([column.of(row) for column in table.shown()] for row in table.rows)
    assert first[:4] == ["mlx-gpu", f"1.04 {US}", "[1.02, 1.06]", "504"]
    assert first[4:] == ["0.52", "[0.51, 0.53]", "faster", f"1.92{TIMES}", "3.1e-07", "2.0"]
    assert second == ["numpy-cpu", f"2.00 {US}", "[1.96, 2.04]", "262", "1.00", "", "baseline", "", "3.1e-07", "2.0"]


def test_columns_without_a_figure_are_not_shown_and_reduced_precision_is():
    (plain,) = Report(make_result([make_cell("numpy-cpu", spread=None)])).shapes
    assert [column.id for column in plain.table.shown()] == ["backend", "time", "rate", "error", "threads"]
    (reduced,) = Report(make_result([make_cell("numpy-cpu"), make_cell("mlx-gpu:tf32", precision="tf32")])).shapes
    assert texts(reduced.table, "precision") == {"numpy-cpu": "", "mlx-gpu:tf32": "tf32"}
    assert "precision" in [column.id for column in reduced.table.shown(dropped=99)]


def test_a_ratio_of_almost_zero_is_shown():
    nothing = make_comparison("mlx-cpu", 1.0, "faster")
    nothing = type(nothing)(backend="mlx-cpu", m=64, n=64, k=64, baseline="numpy-cpu", verdict="faster",
                            ratio=Interval(estimate=1e-12, low=1e-12, high=1e-12), speedup=1e12)  # fmt: skip
    (shape,) = Report(make_result([make_cell("numpy-cpu"), make_cell("mlx-cpu")], [nothing])).shapes
    assert texts(shape.table, "ratio")["mlx-cpu"] == "1e-12"
    assert texts(shape.table, "speed-up")["mlx-cpu"] == f"1e+12{TIMES}"


def test_shapes_are_in_the_order_asked_for_and_what_was_not_asked_for_follows():
    cells = [make_cell("numpy-cpu", size=size) for size in (64, 256, 128)]
    result = make_result(cells, settings=make_settings("256x256x256", "no shape", "8x8x8", "64x64x64"))
    assert [shape.shape.m for shape in Report(result).shapes] == [256, 8, 64, 128]
    assert [shape.table is None for shape in Report(result).shapes] == [False, True, False, False]


def test_what_has_no_time_has_a_reason():
    cells = [
        make_cell("cblas", 5e-6, status="failed", reason="killed by signal 9"),
        make_cell("mlx-gpu", None, status="skipped", reason="too slow", mode="device"),
        make_cell("mlx-cpu", None),
    ]
    (shape,) = Report(make_result(cells)).shapes
    assert [one.text for one in shape.lost] == [
        f"cblas failed: killed by signal 9 (5.00 {US} before that)",
        "mlx-gpu, device skipped: too slow",
        "mlx-cpu not measured: no reason is known",
    ]


# --- Where the time goes ----------------------------------------------------------------------------------------------


def taken_apart():
    """NumPy's call and MLX's, each around a kernel of its own."""
    backends = [
        make_backend("numpy-cpu:out", part="binding", inside="kernel-numpy"),
        make_backend("kernel-numpy", entry="native"),
        make_backend("numpy-cpu", part="allocation", inside="numpy-cpu:out"),
        make_backend("mlx-gpu"),
    ]
    cells = [
        make_sampled_cell("numpy-cpu", [4e-6, 4.04e-6]), make_sampled_cell("kernel-numpy", [3e-6, 3.03e-6]),
        make_sampled_cell("mlx-gpu", [20e-6, 22e-6], 256),
        make_sampled_cell("mlx-gpu", [5e-6, 5e-6], 256, mode="device"),
    ]  # fmt: skip
    parts = [
        make_part("numpy-cpu", "kernel", 3.015e-6, minuend="kernel-numpy"),
        make_part("numpy-cpu", "binding", 0.8e-6),
        make_part("numpy-cpu", "allocation", 1e-9, status="below resolution", resolution=4e-8),
        make_part("numpy-cpu:out", "kernel", 3.015e-6),
        make_part("mlx-gpu", "device", 5e-6, 256, minuend="mlx-gpu"),
        make_part("mlx-gpu", "launch", None, 256, status="unknown", reason="r"),
    ]
    return make_result(cells, backends=backends, parts=parts)


def test_overhead_is_what_is_not_kernel_and_the_same_everywhere():
    result = taken_apart()
    report = Report(result)
    assert texts(report.calls, "overhead") == {"numpy-cpu": "25 %", "mlx-gpu": "76 %"}
    assert report.view.overheads[CellKey("numpy-cpu", result.cells[0].shape)].fraction == pytest.approx(0.25)
    for text in printed_everywhere(result):
        assert re.search(r"numpy-cpu[^%]*25 %", text)


def test_the_outermost_call_has_a_row_with_its_parts():
    table = Report(taken_apart()).calls
    assert [row.backend for row in table.rows] == ["numpy-cpu", "mlx-gpu"]
    assert texts(table, "time") == {"numpy-cpu": f"4.02 {US}", "mlx-gpu": f"21.0 {US}"}
    assert texts(table, "kernel") == {"numpy-cpu": f"3.01 {US}", "mlx-gpu": f"5.00 {US}"}
    assert texts(table, "binding") == {"numpy-cpu": "800 ns", "mlx-gpu": ""}
    assert texts(table, "binding-interval")["numpy-cpu"] == "[784, 816]"
    assert texts(table, "allocation")["numpy-cpu"] == "< 40.0 ns"
    assert texts(table, "launch")["mlx-gpu"] == "unknown"
    assert "copies" not in [column.id for column in table.shown()]
    assert "Python call\noverhead" in [column.heading for column in table.shown()]


def test_the_kernel_in_the_table_is_what_the_overhead_leaves_of_the_call():
    """A kernel that was measured in other batches as well has another time by itself; there is one figure for both."""
    made = taken_apart()
    parts = [
        msgspec.structs.replace(part, seconds=make_interval(3.6e-6)) if part.part == "kernel" else part
        for part in made.parts
    ]
    report = Report(msgspec.structs.replace(made, parts=parts))
    (overhead,) = [one for key, one in report.view.overheads.items() if key.backend == "numpy-cpu"]
    assert overhead.call.estimate * (1 - overhead.fraction) == pytest.approx(overhead.kernel.estimate)
    assert texts(report.calls, "kernel")["numpy-cpu"] == words.duration(overhead.kernel.estimate) == f"3.01 {US}"


def test_a_call_without_a_kernel_has_no_overhead_and_odd_parts_are_said():
    parts = [
        make_part("mlx-cpu", "kernel", None, status="unknown", reason="not identified"),
        make_part("mlx-cpu", "runtime", -2e-7, status="inconsistent"),
        make_part("mlx-cpu", "binding", 1e-8, status="below resolution"),
    ]
    table = Report(make_result([make_cell("mlx-cpu", 4e-6)], parts=parts)).calls
    assert texts(table, "overhead") == {"mlx-cpu": ""}
    assert [texts(table, name)["mlx-cpu"] for name in ("kernel", "runtime", "binding")] == [
        "unknown", "inconsistent", "?"
    ]  # fmt: skip


def test_a_run_without_parts_has_no_such_table():
    assert Report(make_result([make_cell("numpy-cpu")])).calls is None
