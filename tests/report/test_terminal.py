"""What a terminal prints: in full where nobody counts columns, and else as much as fits."""

from __future__ import annotations

import io
import itertools
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from gemmscope.records.model import ORIGINAL, ReferenceWorkload, Result, TimeSpent
from gemmscope.records.words import MICRO, TIMES
from gemmscope.report.document import Figures, Heading, Item, Items, Paragraph
from gemmscope.report.rows.model import Column, Group, Table
from gemmscope.report.terminal import print_document, print_end, print_result
from tests.builders import (
    make_backend,
    make_cell,
    make_comparison,
    make_finding,
    make_interval,
    make_machine,
    make_part,
    make_result,
    make_sampled_cell,
    make_settings,
)

US = f"{MICRO}s"


def printed(what: Any, width: int = 200, *, terminal: bool = False, environ: Any = None, **options: Any) -> str:
    """What is printed of a result or a document, without colours unless they are asked for."""
    file = io.StringIO()
    options = {"color_system": None} | options
    console = Console(file=file, width=width, force_terminal=terminal, _environ=environ or {}, **options)
    (print_result if isinstance(what, Result) else print_document)(what, console)
    return file.getvalue()


def line_of(text: str, start: str) -> str:
    """The only line that starts so."""
    (found,) = (line for line in text.splitlines() if line.startswith(start))
    return found


def squeezed(text: str) -> str:
    return " ".join(text.split())


def section(text: str, heading: str) -> list[str]:
    """The lines under a heading, up to the next gap."""
    lines = text.splitlines()
    return list(itertools.takewhile(bool, lines[lines.index(heading) + 1 :]))


def five(**changes: Any) -> Result:
    """All five of the original comparison, measured."""
    times = {"numpy-cpu": 2e-6, "torch-cpu": 2.6e-6, "torch-gpu": 5e-6, "mlx-cpu": 6.4e-6, "mlx-gpu": 1.04e-6}
    comparisons = [
        make_comparison(name, seconds / 2e-6, "slower" if seconds > 2e-6 else "faster")
        for name, seconds in times.items()
        if name != "numpy-cpu"
    ]
    return make_result([make_cell(name, seconds) for name, seconds in times.items()], comparisons, **changes)


# --- A document -------------------------------------------------------------------------------------------------------


def small_table(*names: str, kind: str = "small") -> Figures:
    """Names, and two columns that can be left out."""
    columns: list[Column[str]] = [
        Column("name", "the\nname", str),
        Column("length", "length", len, right=True, drop=2),
        Column("capitals", "capitals", str.upper, drop=1, name="large letters", tone=lambda _: "good"),
    ]
    return Figures(Table(kind, "Names", columns, [Group("short", names[:1]), Group("others", names[1:])]))


def test_a_table_has_figures_to_the_right_and_titles_of_its_groups() -> None:
    assert printed([small_table("a", "bc", "def" * 4)]).splitlines() == [
        "the",
        "name          length  capitals",
        "----------------------------------",
        "short",
        "a                  1  A",
        "",
        "others",
        "bc                 2  BC",
        "defdefdefdef      12  DEFDEFDEFDEF",
    ]


@pytest.mark.parametrize(("width", "left_out"), [(34, ""), (33, "large letters"), (19, "large letters, length"), (3, "large letters, length")])  # fmt: skip  # noqa: E501
def test_columns_are_left_out_in_their_order_and_no_name_is_cut(width: int, left_out: str) -> None:
    text = printed([small_table("a", "def" * 4)], width, terminal=True)
    said = squeezed(text).partition("Left out, because this terminal is too narrow: ")[2]
    assert said == (f"{left_out}." if left_out else "")
    assert line_of(text, "def").split()[0] == "def" * 4
    assert ("DEF" in text) == (not left_out)
    assert ("12" in text) == ("length" not in left_out)


def test_tables_of_one_kind_leave_out_the_same_and_say_it_once() -> None:
    blocks = [small_table("a"), small_table("def" * 4), small_table("b", kind="another")]
    text = printed(blocks, 33, terminal=True)
    assert text.count("Left out") == 1
    assert text.count("capitals") == 1


def test_text_is_folded_on_a_terminal_alone() -> None:
    blocks = [Heading("A heading"), Paragraph("word " * 30), Items([Item("word " * 30, "open", "do it " * 20)])]
    folded = printed(blocks, 40, terminal=True).splitlines()
    assert max(map(len, folded)) <= 40
    assert folded[5:7] == ["- word word word word word word word", "  word word word word word word word"]
    assert [line for line in folded if line.startswith("    do it")]
    assert [line.strip() for line in printed(blocks, 40).splitlines()] == [
        "A heading", ("word " * 30).strip(), "- " + ("word " * 30).strip(), ("do it " * 20).strip()
    ]  # fmt: skip


def test_nothing_in_a_text_moves_a_cursor_or_is_markup() -> None:
    evil = "[red]x[/red]\n\x1b[2J\u202ey[/]"
    blocks = [Heading(evil), Paragraph(evil), Items([Item(evil, "bad", evil)]), small_table(evil, evil)]
    for terminal in (False, True):
        text = printed(blocks, terminal=terminal)
        assert text.count("[red]x[/red] [2J y[/]") == 6
        assert not {"\x1b", "\u202e"} & set(text)


def test_wide_letters_keep_columns_in_line() -> None:
    lines = printed([small_table("行列", "abcd")]).splitlines()
    assert lines[4] == "行列       2  行列"
    assert lines[7] == "abcd       4  ABCD"


def test_colours_are_for_terminals_that_want_them() -> None:
    table = [small_table("a"), Paragraph("p", "bad")]
    assert "\x1b[32mA" in printed(table, terminal=True, color_system="standard")
    assert "\x1b[31mp" in printed(table, terminal=True, color_system="standard")
    assert "\x1b[3" not in printed(table, terminal=True, color_system="standard", environ={"NO_COLOR": "1"}).replace("\x1b[3m", "")  # fmt: skip  # noqa: E501
    assert "\x1b" not in printed(table, color_system="truecolor")


def test_an_encoding_without_other_characters_gets_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    print_result(five(), Console(file=file, width=120, force_terminal=True, color_system=None, _environ={}))
    file.flush()
    assert re.search(rb"mlx-gpu +1.04 us +\[1.02, 1.06\]", raw.getvalue())
    assert b"64x64x64" in raw.getvalue()
    assert b"-----" in raw.getvalue()


# --- A run ------------------------------------------------------------------------------------------------------------


def test_a_shape_has_its_table_and_its_ranking() -> None:
    lines = section(printed(five()), f"64{TIMES}64{TIMES}64")
    assert squeezed(lines[0]) == "time /"
    assert squeezed(lines[1]) == "backend time [95 %] GFLOP/s numpy-cpu [95 %] verdict speed-up error threads"
    assert [line.split()[0] for line in lines[3:8]] == ["mlx-gpu", "numpy-cpu", "torch-cpu", "torch-gpu", "mlx-cpu"]
    assert squeezed(lines[3]) == f"mlx-gpu 1.04 {US} [1.02, 1.06] 504 0.52 [0.51, 0.53] faster 1.92{TIMES} 3.1e-07 2.0"
    assert lines[8].startswith(f"Fastest: mlx-gpu, 1.04 {US}; tied with numpy-cpu")
    assert len(lines) == 9


def test_heading_says_machine_and_settings() -> None:
    machine = make_machine(usable_cpus=2.0, gpus=["Example GPU"], memory_limit_bytes=8 * 2**30)
    cell = make_sampled_cell("numpy-cpu", [1e-6] * 4)
    lines = printed(make_result([cell], machine=machine)).splitlines()
    assert lines[0] == "gemmscope 0.1.0: float32 matrix multiplication on bench-1"
    assert lines[1] == "Example CPU, 8 logical CPUs, 2 usable, 8 GiB, Example GPU, Linux 6.1, Python 3.11.9"
    assert lines[2] == (
        f"4 batches of fresh processes {TIMES} 10 pairs of operands; as many threads as each library takes; "
        "margin 1 %, seed 0; 2026-01-02T03:04:05Z"
    )


def test_heading_says_how_many_threads_were_asked_for() -> None:
    settings = make_settings(threads=1, sets=1)
    text = printed(make_result([make_sampled_cell("numpy-cpu", [1e-6])], settings=settings))
    assert f"1 batch of fresh processes {TIMES} 10 pairs of operands; 1 thread asked for;" in text


def test_failed_and_skipped_follow_the_table_with_their_reason() -> None:
    cells = [
        make_cell("cblas", 5e-6, status="failed", reason="killed by signal 9"),
        make_cell("torch-cpu", None, status="skipped", reason="one product is expected to take 3 s"),
        make_cell("numpy-cpu"),
    ]
    lines = printed(make_result(cells)).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("numpy-cpu"))
    assert lines[at + 1] == f"- cblas failed: killed by signal 9 (5.00 {US} before that)"
    assert lines[at + 2] == "- torch-cpu skipped: one product is expected to take 3 s"
    assert lines[at + 3] == f"Only one to rank: numpy-cpu, 1.00 {US}."


def test_where_the_time_goes_follows_the_shapes() -> None:
    cells = [make_sampled_cell("numpy-cpu", [2e-6, 2e-6]), make_sampled_cell("kernel-numpy", [1.5e-6, 1.5e-6])]
    kernel = make_part("numpy-cpu", "kernel", 1.5e-6, minuend="kernel-numpy")
    result = make_result(cells, parts=[kernel, make_part("numpy-cpu", "binding", 4e-7)])
    lines = section(printed(result), "Where the time goes")
    assert squeezed(lines[0]) == "Python call"
    assert squeezed(lines[1]) == "call shape time overhead [95 %] kernel [95 %] overhead [95 %]"
    assert squeezed(lines[3]).startswith(f"numpy-cpu 64 2.00 {US} 25 % [25, 25] 1.50 {US} [")
    assert lines[4].startswith("Overhead is 1 \N{MINUS SIGN} kernel / call.")


def test_unavailable_has_reason_and_remedy() -> None:
    gpu = make_backend("torch-gpu", status="unavailable", reason="no accelerator", remedy="install another torch")
    text = printed(make_result([make_cell("numpy-cpu")], backends=[gpu]))
    assert section(text, "Missing")[:2] == ["- torch-gpu: unavailable: no accelerator", "    install another torch"]


def test_every_original_backend_appears_whatever_was_asked_for() -> None:
    text = printed(make_result([make_cell("cblas")]))
    for name in ORIGINAL:
        assert f"- {name}: not asked for" in section(text, "Missing")


def test_a_variant_does_not_stand_for_the_original_backend() -> None:
    text = printed(make_result([make_cell("numpy-cpu:out")]))
    assert "- numpy-cpu: not asked for" in section(text, "Missing")


def test_a_backend_that_failed_somewhere_is_listed_with_where() -> None:
    cells = [make_cell("cblas"), make_cell("cblas", None, 256, status="failed", reason="wrong product")]
    text = printed(make_result(cells, backends=[make_backend("cblas", status="failed", reason="wrong product")]))
    assert f"- cblas: failed at 256{TIMES}256{TIMES}256: see there" in section(text, "Missing")


def test_a_backend_that_was_lost_before_any_cell_has_its_reason() -> None:
    lost = make_backend("mlx-cpu", status="failed", reason="its worker could not start: exit 1")
    text = printed(make_result([make_cell("numpy-cpu")], backends=[lost]))
    assert "- mlx-cpu: failed: its worker could not start: exit 1" in section(text, "Missing")


def test_nothing_is_missing_where_all_five_were_measured() -> None:
    assert "Missing" not in printed(five())


def test_partial_is_said_clearly() -> None:
    result = make_result(
        [make_sampled_cell("numpy-cpu", [1e-6, 1e-6])],
        status="partial",
        time_spent=TimeSpent(),
        backends=[make_backend("torch-cpu")],
    )
    text = printed(result)
    assert "PARTIAL: the run was cut off. These figures rest on 2 of 5 batches of fresh processes, as far" in text
    assert "- torch-cpu: not measured: the run ended before its turn" in section(text, "Missing")
    assert "Where the time went is not known: the run was cut off." in text
    assert "PARTIAL" not in printed(five())


def test_one_batch_has_no_intervals() -> None:
    cells = [make_sampled_cell("numpy-cpu", [2e-6]), make_sampled_cell("torch-cpu", [1e-6])]
    text = printed(make_result(cells, [make_comparison("torch-cpu", 0.5, "unclear", spread=None)]))
    assert squeezed(line_of(text, "backend")) == "backend time GFLOP/s numpy-cpu verdict speed-up"
    assert squeezed(line_of(text, "torch-cpu ")) == f"torch-cpu 1.00 {US} 524 0.50 unclear 2.0{TIMES}"
    assert "One batch of fresh processes has no interval, so the order is not settled." in text


def test_how_steady_it_was_and_what_was_found_come_last() -> None:
    reference = ReferenceWorkload(shape="192x192x192", seconds=make_interval(120e-6), drift=-0.012)
    findings = [
        make_finding("The answer is this."),
        make_finding("The machine drifted.", id="drift"),
        make_finding("All was precise.", id="unequal-precision", verdict="not found"),
        make_finding("A claim.", id="claim-mlx-gpu", verdict="refuted"),
        make_finding("Another claim.", id="claim-other", verdict="not testable"),
    ]
    lines = printed(five(reference=reference, warnings=["it was busy"], findings=findings)).splitlines()
    at = lines.index("How steady the run was")
    assert lines[at:] == [
        "How steady the run was",
        "- Warning: it was busy",
        f"Reference workload 192{TIMES}192{TIMES}192: 120 {US} [118, 122]; drift -1.2 %.",
        (
            "Verdicts hold whenever the run stops: the error rate is spent over several looks (alpha spending), the "
            "first after 5 batches of fresh processes. A batch that lies apart from all others does not count."
        ),
        (
            "The run took 98 s: 12 s to start workers; of the rest, 71 % sampling, 10 % warm-up, 7.0 % preparing and "
            "checking, 2.3 % calibrating and 9.8 % harness (3.5 % waiting for idle thread pools)."
        ),
        "",
        "The answer",
        "- The answer is this.",
        "",
        "How far to trust it",
        "- The machine drifted.",
    ]


def test_a_reference_without_drift_says_so() -> None:
    reference = ReferenceWorkload(shape="192x192x192", seconds=make_interval(120e-6, None))
    assert f"192: 120 {US}; its drift is unknown: fewer than two batches timed it three times." in printed(
        five(reference=reference)
    )


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


def test_a_wide_terminal_shows_what_a_pipe_does() -> None:
    rule = "\N{BOX DRAWINGS LIGHT HORIZONTAL}"
    assert printed(five(), 200, terminal=True).replace(rule, "-") == printed(five())


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (104, ""),
        (103, "threads"),
        (80, "threads, error, speed-up"),
        (60, "threads, error, speed-up, GFLOP/s, intervals of times"),
        (40, "threads, error, speed-up, GFLOP/s, intervals of times, intervals of ratios"),
    ],
)
def test_a_narrow_terminal_leaves_columns_out_and_says_so(width: int, left_out: str) -> None:
    text = printed(five(), width, terminal=True)
    assert max(map(len, text.splitlines())) <= width
    if left_out:
        assert f"Left out, because this terminal is too narrow: {left_out}." in squeezed(text)
    else:
        assert "narrow" not in text
    row = squeezed(line_of(text, "mlx-gpu "))
    assert row.startswith(f"mlx-gpu 1.04 {US}")
    assert "0.52" in row
    assert "faster" in row


def test_a_figure_stays_with_its_unit_and_a_name_in_one_piece() -> None:
    result = make_result([*five().cells, make_cell("null-python", 24.1e-9)], five().comparisons)
    for width in range(40, 80):
        lines = printed(result, width, terminal=True).splitlines()
        for before, after in itertools.pairwise(lines):
            assert not re.search(r"[a-z]-$", before), width
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
    assert failed in text.split()


def test_a_result_of_nothing_can_be_printed() -> None:
    text = printed(make_result([], settings=make_settings("64x64x64"), time_spent=TimeSpent()))
    assert "Nothing can be ranked here." in text
    assert text.count("not asked for") == 5


def ended(result: Result) -> str:
    """What is printed where a run has ended."""
    file = io.StringIO()
    print_end(result, Path("out"), Console(file=file, width=80, color_system=None, _environ={}))
    return file.getvalue()


def test_the_end_of_a_run_is_a_headline_a_table_and_where_the_rest_is() -> None:
    headline = make_finding("numpy-cpu is fastest at 64: 1.00 ms.", id="headline")
    lines = ended(msgspec.structs.replace(five(), findings=[headline])).splitlines()
    assert lines[0] == headline.text
    assert line_of("\n".join(lines), "time of one call")
    assert squeezed(lines[-1]) == (
        "- 'gemmscope report out' prints all tables and findings; the page is out/report.html"
    )
    assert len(lines) < 24


def test_the_end_of_a_run_says_what_was_lost_and_why() -> None:
    cells = [
        make_cell("numpy-cpu"),
        make_cell("cblas", None, 64, status="failed", reason="its worker was killed (SIGKILL)"),
        make_cell("cblas", None, 256, status="failed", reason="its worker was killed (SIGKILL)"),
        make_cell("mlx-cpu", None, 256, status="skipped", reason="too slow"),
        make_cell("mlx-cpu", None, 64, mode="throughput", status="skipped", reason="no different from latency"),
        make_cell("mlx-cpu", None, 64, mode="throughput", status="failed", reason="it crashed"),
    ]
    backends = [
        make_backend("cblas", status="failed", reason="killed"),
        make_backend("mlx-cpu"),
        make_backend("torch-cpu", status="failed", reason="its worker could not start"),
        make_backend("torch-gpu", status="unavailable", reason="no accelerator"),
        make_backend("numpy-cpu:out", status="failed", reason="nobody asked for it", experiment=True),
    ]
    text = squeezed(ended(make_result(cells, backends=backends)))
    for said in (
        "- cblas failed at 64 and 256: its worker was killed (SIGKILL)",
        "- mlx-cpu skipped at 256: too slow",
        "- mlx-cpu, throughput failed at 64: it crashed",
        "- torch-cpu failed: its worker could not start",
        "Not available here: torch-gpu ('gemmscope backends' says why).",
    ):
        assert said in text
    assert "nobody asked for it" not in text
    assert "no different" not in text
