"""The table at the end of a run."""

from __future__ import annotations

import io
import itertools
import math
import re
from typing import Any

import pytest
from rich.console import Console

from gemmscope.backends.registry import ORIGINAL
from gemmscope.records.base import Interval
from gemmscope.records.model import Cell, Comparison, ReferenceWorkload, Result, Sample, TimeSpent
from gemmscope.records.words import MICRO, TIMES
from gemmscope.report.terminal import print_result
from tests.builders import (
    make_backend,
    make_cell,
    make_comparison,
    make_interval,
    make_machine,
    make_result,
    make_settings,
)

US = f"{MICRO}s"


def printed(result: Result, width: int = 200, *, terminal: bool = False, **options: Any) -> str:
    """What is printed, without colours unless they are asked for."""
    file = io.StringIO()
    options = {"color_system": None} | options
    print_result(result, Console(file=file, width=width, force_terminal=terminal, _environ={}, **options))
    return file.getvalue()


def line_of(text: str, start: str) -> str:
    """The only line that starts so."""
    (found,) = (line for line in text.splitlines() if line.startswith(start))
    return found


def squeezed(text: str) -> str:
    return " ".join(text.split())


def five() -> Result:
    """All five of the original comparison, measured."""
    times = {"numpy-cpu": 2e-6, "torch-cpu": 2.6e-6, "torch-gpu": 5e-6, "mlx-cpu": 6.4e-6, "mlx-gpu": 1.04e-6}
    comparisons = [
        make_comparison(name, seconds / 2e-6, "slower" if seconds > 2e-6 else "faster")
        for name, seconds in times.items()
        if name != "numpy-cpu"
    ]
    return make_result([make_cell(name, seconds) for name, seconds in times.items()], comparisons)


def test_rows_are_sorted_by_time_and_have_all_figures() -> None:
    text = printed(five())
    table = text[text.index(f"64{TIMES}64{TIMES}64") :].splitlines()
    assert squeezed(table[1]) == "backend time [95 %] GFLOP/s time / numpy-cpu [95 %] speed-up error threads"
    assert [line.split()[0] for line in table[3:8]] == ["mlx-gpu", "numpy-cpu", "torch-cpu", "torch-gpu", "mlx-cpu"]
    assert squeezed(table[3]) == f"mlx-gpu 1.04 {US} [1.02, 1.06] 504 0.52 [0.51, 0.53] faster 1.92{TIMES} 3.1e-07 2.0"
    assert squeezed(table[4]) == f"numpy-cpu 2.00 {US} [1.96, 2.04] 262 1 baseline 3.1e-07 2.0"
    assert squeezed(table[7]) == f"mlx-cpu 6.40 {US} [6.27, 6.53] 81.9 3.20 [3.14, 3.26] slower 0.31{TIMES} 3.1e-07 2.0"
    assert table[8] == f"Fastest: mlx-gpu, 1.04 {US}; 1.92{TIMES} as fast as the second, numpy-cpu."
    assert "Missing" not in text


def test_figures_stand_under_each_other() -> None:
    lines = printed(five()).splitlines()
    rows = [line for line in lines if line.startswith(("torch", "mlx"))]
    assert len({line.index("[") for line in rows}) == 1
    assert len({line.index(TIMES) for line in rows}) == 1
    assert len({len(line) for line in rows}) == 1


def test_heading_says_machine_and_settings() -> None:
    machine = make_machine(usable_cpus=2.0, gpus=["Example GPU"], memory_limit_bytes=8 * 2**30)
    lines = printed(make_result([make_cell("numpy-cpu")], machine=machine)).splitlines()
    assert lines[0] == "gemmscope 0.1.0: float32 products on bench-1"
    assert lines[1] == "Example CPU, 8 logical CPUs, 2 usable, 8 GiB, Example GPU, Linux 6.1, Python 3.11.9"
    assert lines[2] == (
        f"5 sets {TIMES} 10 pairs of operands; as many threads as each library takes; margin 1 %, seed 0"
    )


def test_heading_says_how_many_threads_were_asked_for() -> None:
    settings = make_settings(threads=1, sets=1)
    text = printed(make_result([make_cell("numpy-cpu")], settings=settings))
    assert f"1 set {TIMES} 10 pairs of operands; 1 thread asked for;" in text


def test_shapes_are_in_the_order_asked_for() -> None:
    cells = [make_cell("numpy-cpu", size=size) for size in (64, 256, 128)]
    text = printed(make_result(cells, settings=make_settings("256x256x256", "64x64x64")))
    titles = [line for line in text.splitlines() if re.fullmatch(rf"\d+{TIMES}\d+{TIMES}\d+", line)]
    assert [int(title.partition(TIMES)[0]) for title in titles] == [256, 64, 128]


def test_a_shape_without_results_says_so() -> None:
    text = printed(make_result([make_cell("numpy-cpu")], settings=make_settings("64x64x64", "8x8x8")))
    assert f"8{TIMES}8{TIMES}8\nNothing can be ranked here.\n" in text


def test_markup_in_a_reason_or_a_name_is_text() -> None:
    cells = [
        make_cell("numpy-cpu"),
        make_cell("[bold]b[/bold]", None, status="failed", reason="[red]x[/red]\n\x1b[2Jy"),
    ]
    for terminal in (False, True):
        text = printed(make_result(cells), terminal=terminal)
        assert line_of(text, "[bold]b[/bold]  failed: ") == "[bold]b[/bold]  failed: [red]x[/red] [2Jy"
        assert "\x1b" not in text


def test_markup_in_every_other_text_is_text() -> None:
    unavailable = make_backend("torch-gpu", status="unavailable", reason="[red]r[/red]", remedy="[/]m[/]")
    result = make_result(
        [make_cell("numpy-cpu")],
        backends=[unavailable],
        machine=make_machine(name="[b]n", cpu="[/c]"),
        warnings=["[i]w[/i]"],
    )
    text = printed(result, terminal=True)
    for expected in ("on [b]n", "[/c], 8", "unavailable: [red]r[/red]", "    [/]m[/]", "Warning: [i]w[/i]"):
        assert expected in text


def test_failed_and_skipped_follow_the_table_with_their_reason() -> None:
    cells = [
        make_cell("cblas", 5e-6, status="failed", reason="killed by signal 9"),
        make_cell("torch-cpu", None, status="skipped", reason="one product is expected to take 3 s"),
        make_cell("numpy-cpu"),
    ]
    lines = printed(make_result(cells)).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("numpy-cpu"))
    assert lines[at + 1] == f"cblas      failed: killed by signal 9 (5.00 {US} before that)"
    assert lines[at + 2] == "torch-cpu  skipped: one product is expected to take 3 s"
    assert lines[at + 3] == f"Only one to rank: numpy-cpu, 1.00 {US}."


def test_unavailable_has_reason_and_remedy() -> None:
    gpu = make_backend("torch-gpu", status="unavailable", reason="no accelerator", remedy="install another torch")
    text = printed(make_result([make_cell("numpy-cpu")], backends=[gpu]))
    missing = text[text.index("Missing") :].splitlines()
    assert missing[1] == "torch-gpu  unavailable: no accelerator"
    assert missing[2] == "    install another torch"


def test_every_original_backend_appears_whatever_was_asked_for() -> None:
    text = printed(make_result([make_cell("cblas")]))
    for name in ORIGINAL:
        assert squeezed(line_of(text, f"{name} ")) == f"{name} not asked for"


def test_a_variant_does_not_stand_for_the_original_backend() -> None:
    text = printed(make_result([make_cell("numpy-cpu:out")]))
    assert squeezed(line_of(text, "numpy-cpu ")) == "numpy-cpu not asked for"


def test_a_backend_that_failed_somewhere_is_listed_with_where() -> None:
    cells = [make_cell("cblas"), make_cell("cblas", None, 256, status="failed", reason="wrong product")]
    text = printed(make_result(cells, backends=[make_backend("cblas", status="failed", reason="wrong product")]))
    assert squeezed(line_of(text, "cblas      failed at")) == f"cblas failed at 256{TIMES}256{TIMES}256: see there"


def test_a_backend_that_was_lost_before_any_cell_has_its_reason() -> None:
    lost = make_backend("mlx-cpu", status="failed", reason="its worker could not start: exit 1")
    text = printed(make_result([make_cell("numpy-cpu")], backends=[lost]))
    assert squeezed(line_of(text, "mlx-cpu ")) == "mlx-cpu failed: its worker could not start: exit 1"


def test_partial_is_said_clearly() -> None:
    samples = [Sample(set=i // 2, round=i, turn=0, start=0, first_pair=0, loops=1, seconds=1e-6) for i in range(4)]
    result = make_result(
        [make_cell("numpy-cpu", samples=samples)],
        status="partial",
        time_spent=TimeSpent(),
        backends=[make_backend("torch-cpu")],
    )
    text = printed(result)
    assert "PARTIAL: the run was cut off. These figures rest on what 2 of 5 sets had measured till then." in text
    assert squeezed(line_of(text, "torch-cpu ")) == "torch-cpu not measured: the run ended before its turn"
    assert "Where the time went is not known: the run was cut off." in text
    assert "PARTIAL" not in printed(five())


def test_one_set_has_no_interval_and_settles_nothing() -> None:
    cells = [make_cell("numpy-cpu", 2e-6, spread=None), make_cell("cblas", 1e-6, spread=None)]
    ratio = make_comparison("cblas", 0.5, "unclear", spread=None)
    text = printed(make_result(cells, [ratio]))
    assert (
        f"Least time: cblas, 1.00 {US}; 2.0{TIMES} as fast as the second, numpy-cpu. "
        f"Fewer than two sets: no interval, so the order is not settled."
    ) in text
    assert squeezed(line_of(text, "backend")) == "backend time GFLOP/s time / numpy-cpu speed-up error threads"
    assert squeezed(line_of(text, "cblas")) == f"cblas 1.00 {US} 524 0.50 unclear 2.0{TIMES} 3.1e-07 2.0"
    assert "Fastest" not in text


def test_overlapping_intervals_cannot_be_told_apart() -> None:
    cells = [make_cell("a", 1e-6, spread=0.05), make_cell("b", 1.05e-6, spread=0.05), make_cell("c", 3e-6)]
    text = printed(make_result(cells))
    assert f"Least time: a, 1.00 {US}; cannot be told apart from b: the intervals overlap." in text


def test_a_second_that_is_settled_is_named_beside_a_third_that_is_not() -> None:
    cells = [make_cell("a", 1e-6), make_cell("b", 1.2e-6), make_cell("c", 1.3e-6, spread=0.5)]
    text = printed(make_result(cells))
    expected = f"Least time: a, 1.00 {US}, 1.20{TIMES} as fast as the second, b; cannot be told apart from c: "
    assert expected in text


def test_a_third_without_interval_does_not_unsettle_the_second() -> None:
    cells = [make_cell("a", 1e-6), make_cell("b", 2e-6), make_cell("c", 9e-6, spread=None)]
    text = printed(make_result(cells))
    assert "the second, b; not settled against c: no interval." in text


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("faster", f"Fastest: a, 1.00 {US}; 1.03{TIMES} as fast as the second, numpy-cpu."),
        ("same", f"Least time: a, 1.00 {US}; the same as numpy-cpu within 1 %."),
        ("unclear", f"Least time: a, 1.00 {US}; cannot be told apart from numpy-cpu: the intervals overlap."),
    ],
)
def test_the_paired_ratio_decides_where_there_is_one(verdict: str, expected: str) -> None:
    cells = [make_cell("a", 1e-6, spread=0.2), make_cell("numpy-cpu", 1.03e-6, spread=0.2)]
    assert expected in printed(make_result(cells, [make_comparison("a", 1 / 1.03, verdict)]))


def test_the_paired_ratio_decides_when_the_baseline_is_first() -> None:
    cells = [make_cell("a", 1.5e-6, spread=0.9), make_cell("numpy-cpu", 1e-6, spread=0.9)]
    text = printed(make_result(cells, [make_comparison("a", 1.5, "slower")]))
    assert f"Fastest: numpy-cpu, 1.00 {US}; 1.50{TIMES} as fast as the second, a." in text


def test_what_does_not_multiply_is_the_floor_and_not_ranked() -> None:
    cells = [make_cell("numpy-cpu"), make_cell("null-python", 24.1e-9), make_cell("null-native", 1.2e-9)]
    text = printed(make_result(cells))
    assert f"Only one to rank: numpy-cpu, 1.00 {US}." in text
    assert "Floor of the harness: null-native 1.20 ns, null-python 24.1 ns." in text
    assert not [line for line in text.splitlines() if line.startswith("null-")]


def test_reduced_precision_is_marked_and_not_ranked() -> None:
    cells = [make_cell("numpy-cpu", 2e-6), make_cell("mlx-gpu:tf32", precision="tf32"), make_cell("cblas", 4e-6)]
    text = printed(make_result(cells))
    assert "3.1e-07 tf32" in line_of(text, "mlx-gpu:tf32")
    assert f"Fastest: numpy-cpu, 2.00 {US}; 2.0{TIMES} as fast as the second, cblas. " in text
    assert "Not ranked, because of its precision: mlx-gpu:tf32 (tf32)." in text


def test_throughput_is_marked_and_stands_apart() -> None:
    cells = [make_cell("mlx-cpu", 1e-6, mode="throughput"), make_cell("numpy-cpu", 2e-6), make_cell("mlx-cpu", 6e-6)]
    comparisons = [
        make_comparison("mlx-cpu", 3.0, "slower"),
        make_comparison("mlx-cpu", 0.5, "faster", mode="throughput"),
    ]
    lines = printed(make_result(cells, comparisons)).splitlines()
    at = lines.index("") + 4
    assert [line.split("  ")[0] for line in lines[at : at + 4]] == ["numpy-cpu", "mlx-cpu", "", "mlx-cpu, throughput"]
    assert f"0.50 [0.49, 0.51] faster 2.0{TIMES}" in squeezed(lines[at + 3])
    assert lines[at + 4].startswith("Fastest: numpy-cpu")


def test_no_terminal_means_plain_text_that_is_never_folded() -> None:
    result = make_result(
        [*five().cells, make_cell("cblas", None, status="failed", reason="long " * 60)], five().comparisons
    )
    text = printed(result, width=40, color_system="truecolor")
    assert "\x1b" not in text
    assert set(text) - set(map(chr, range(128))) == {MICRO, TIMES}
    assert "long " * 59 + "long" in text
    assert text == printed(result, width=400)
    assert all(line == line.rstrip() for line in text.splitlines())


def test_an_encoding_without_other_characters_gets_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    print_result(five(), Console(file=file, width=120, force_terminal=True, color_system=None, _environ={}))
    file.flush()
    assert b"1.04 us [1.02, 1.06]" in raw.getvalue()
    assert b"64x64x64" in raw.getvalue()


def test_a_terminal_has_colours() -> None:
    text = printed(five(), terminal=True, color_system="standard")
    assert "\x1b[32m" in line_of(text, "mlx-gpu")
    assert "\x1b[31m" in line_of(text, "mlx-cpu")


def test_a_wide_terminal_shows_what_a_pipe_does() -> None:
    rule = "\N{BOX DRAWINGS LIGHT HORIZONTAL}"
    assert printed(five(), 200, terminal=True).replace(rule, "-") == printed(five())


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (96, ""),
        (95, "threads"),
        (80, "threads, error"),
        (70, "threads, error, GFLOP/s"),
        (60, "threads, error, GFLOP/s, speed-up"),
        (50, "threads, error, GFLOP/s, speed-up, the intervals of times"),
        (40, "threads, error, GFLOP/s, speed-up, the intervals of times, the intervals of ratios"),
    ],
)
def test_a_narrow_terminal_leaves_columns_out_and_says_so(width: int, left_out: str) -> None:
    text = printed(five(), width, terminal=True)
    assert max(map(len, text.splitlines())) <= width
    if left_out:
        assert f"This terminal is too narrow for all columns. Left out: {left_out}." in squeezed(text)
    else:
        assert "narrow" not in text
    row = squeezed(line_of(text, "mlx-gpu "))
    assert row.startswith(f"mlx-gpu 1.04 {US}")
    assert "0.52" in row
    assert "faster" in row


def test_all_tables_leave_out_the_same() -> None:
    cells = [
        make_cell("numpy-cpu"),
        make_cell("numpy-cpu", size=256),
        make_cell("a-backend-with-a-long-name", size=256),
    ]
    text = printed(make_result(cells), 68, terminal=True)
    headers = [squeezed(line) for line in text.splitlines() if line.startswith("backend")]
    assert headers[0] == headers[1]


def test_a_figure_stays_with_its_unit_and_a_name_in_one_piece() -> None:
    result = make_result([*five().cells, make_cell("null-python", 24.1e-9)], five().comparisons)
    for width in range(40, 80):
        lines = printed(result, width, terminal=True).splitlines()
        for before, after in itertools.pairwise(lines):
            assert not before.endswith("-"), width
            assert not after.lstrip().startswith((US, "ns ", "ns.", "s:", "%", "GiB", TIMES)), width


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_name_is_never_cut(terminal: bool) -> None:
    name = "torch-cpu:" + "+".join(f"option-{i}=value" for i in range(8))
    failed = "mlx-cpu:" + "+".join(f"option-{i}=value" for i in range(8))
    result = make_result(
        [make_cell("numpy-cpu", 2e-6), make_cell(name), make_cell(failed, None, status="failed", reason="r")]
    )
    text = printed(result, 60, terminal=terminal)
    assert line_of(text, f"{name} ").startswith(f"{name}  1.00 {US}")
    assert line_of(text, failed).split()[0] == failed


def test_warnings_reference_and_account_come_last() -> None:
    reference = ReferenceWorkload(shape="192x192x192", seconds=make_interval(120e-6), drift=-0.012)
    lines = printed(make_result(five().cells, reference=reference, warnings=["it was busy"])).splitlines()
    assert lines[-3] == "Warning: it was busy"
    assert lines[-2] == f"Canary 192{TIMES}192{TIMES}192: 120 {US} [118, 122]; drift -1.2 %."
    assert lines[-1] == (
        "Wall 98 s: starting 12 s; of the rest 71 % sampling, 10 % warm-up, 7.0 % preparing and comparing, "
        "2.3 % calibrating, 9.8 % harness, of which 3.5 % until pools were quiet."
    )


def test_a_reference_of_one_set_has_no_drift() -> None:
    reference = ReferenceWorkload(shape="192x192x192", seconds=make_interval(120e-6, None))
    assert f"192: 120 {US}; drift is not known from one set." in printed(make_result(five().cells, reference=reference))


@pytest.mark.parametrize(("seconds", "shown"), [(0.0, "0 ns"), (math.nan, "unknown"), (math.inf, "unknown")])
def test_a_time_that_no_product_can_take_is_shown_and_not_ranked(seconds: float, shown: str) -> None:
    impossible = Interval(estimate=seconds, low=0.0, high=0.0)
    cells = [Cell(backend=name, m=64, n=64, k=64, seconds=impossible) for name in ("mlx-cpu", "torch-cpu")]
    text = printed(make_result([*cells, make_cell("numpy-cpu", 2e-6), make_cell("cblas", 1e-6)]))
    assert squeezed(line_of(text, "mlx-cpu")).startswith(f"mlx-cpu {shown}")
    assert f"Fastest: cblas, 1.00 {US}; 2.0{TIMES} as fast as the second, numpy-cpu." in text
    assert "Not ranked, because no product can take that time: mlx-cpu and torch-cpu." in text


def test_a_ratio_of_zero_can_be_printed() -> None:
    nothing = Comparison(
        backend="cblas", baseline="numpy-cpu", m=64, n=64, k=64, ratio=Interval(estimate=0.0, low=0.0, high=0.0),
        speedup=math.inf, verdict="faster",
    )  # fmt: skip
    cells = [make_cell("numpy-cpu", 2e-6), make_cell("cblas", 1e-6)]
    assert "Fastest: cblas" in printed(make_result(cells, [nothing]))


def test_a_result_of_nothing_can_be_printed() -> None:
    cells: list[Cell] = []
    text = printed(make_result(cells, settings=make_settings("64x64x64"), time_spent=TimeSpent()))
    assert "Nothing can be ranked here." in text
    assert text.count("not asked for") == 5
