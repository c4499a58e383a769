"""The table at the end of a run: what was measured, how sure that is, and why the rest is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.explain import print_findings
from gemmscope.report.page import Column, Page, Table, aligned
from gemmscope.report.parts import print_parts
from gemmscope.report.ranking import ranking
from gemmscope.report.shapes import error_words, label, lost_word, median, shapes_of, verdict_of
from gemmscope.report.trust import account_words, cut_off_words, machine_facts, missing_of, reference_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from gemmscope.records.model import Result
    from gemmscope.report.shapes import ShapeCells

# What a narrow terminal leaves out, the least important first. A name or a figure is never cut or folded.
_CUTS = ("threads", "error", "GFLOP/s", "speed-up", "the intervals of times", "the intervals of ratios")
_TIME_BOUNDS, _RATIO_BOUNDS = _CUTS[-2:]

_VERDICT_STYLES = {"faster": "green", "slower": "red", "unclear": "yellow", "same": "dim", "baseline": "dim"}


def print_result(result: Result, console: Console) -> None:
    """Prints a whole run: a table for each shape, what is missing and why, and how far the figures can be trusted.

    On a terminal text is folded between words and tables leave columns out until they fit. Elsewhere nothing is left
    out, and lines are as long as they are.
    """
    page = Page(console)
    _print_heading(result, page)
    shapes = shapes_of(result)
    # All tables leave out the same columns, so that they can be read one under the other.
    cut = max((_needed_cut(shape, page) for shape in shapes), default=0)
    for shape in shapes:
        _print_shape(shape, result.settings.margin, cut, page)
    if cut:
        page.say()
        page.say(f"This terminal is too narrow for all columns. Left out: {', '.join(_CUTS[:cut])}.", "dim")
    print_parts(result, page)
    _print_missing(result, page)
    _print_trust(result, page)
    print_findings(result.findings, console, short=True)


# --- The heading ------------------------------------------------------------------------------------------------------


def _print_heading(result: Result, page: Page) -> None:
    machine, settings = result.machine, result.settings
    page.say(f"gemmscope {words.line(result.gemmscope)}: float32 products on {words.line(machine.name)}", "bold")
    page.say(", ".join(machine_facts(machine)), indent=2)
    threads = "as many threads as each library takes"
    if settings.threads is not None:
        threads = f"{words.count(settings.threads, 'thread')} asked for"
    sets, pairs = words.count(settings.sets, "set"), words.count(settings.pairs, "pair")
    page.say(
        f"{sets} {words.TIMES} {pairs} of operands; {threads}; "
        f"margin {words.percent(settings.margin)}, seed {settings.seed}",
        indent=2,
    )
    if cut_off := cut_off_words(result):
        page.say(f"PARTIAL: {cut_off}", "bold yellow", indent=2)


# --- A shape ----------------------------------------------------------------------------------------------------------


def _needed_cut(shape: ShapeCells, page: Page) -> int:
    """How many columns, as ``_CUTS`` orders them, have to be left out for a shape's table to fit."""
    cuts = range(len(_CUTS))
    return next((cut for cut in cuts if page.fits(_table(shape, cut))), len(_CUTS)) if shape.timed else 0


def _print_shape(shape: ShapeCells, margin: float, cut: int, page: Page) -> None:
    page.say()
    page.say(shape.title, "bold")
    if shape.timed:
        page.show(_table(shape, cut))
    width = max((len(label(cell)) for cell in shape.lost), default=0)
    for cell in shape.lost:
        before = f" ({words.duration(median(cell))} before that)" if cell.seconds is not None else ""
        style = "red" if cell.status == "failed" else "yellow"
        reason = words.line(cell.reason) or "no reason is known"
        page.say(f"{label(cell):{width}}  {lost_word(cell)}: {reason}{before}", style, indent=4)
    page.say(ranking(shape, margin), "bold", indent=2)
    if shape.floor:
        cells = sorted(shape.floor, key=median)
        floor = ", ".join(f"{label(cell)} {words.duration(median(cell))}" for cell in cells)
        page.say(f"Floor of the harness: {floor}.", "dim", indent=2)


def _table(shape: ShapeCells, cut: int) -> Table:
    left_out = _CUTS[:cut]
    cells = shape.timed
    compared = [shape.comparisons.get((cell.backend, cell.mode)) for cell in cells]
    verdicts = [verdict_of(cell, comparison, shape.baseline) for cell, comparison in zip(cells, compared, strict=True)]
    table = Table()

    def add(
        header: str, texts: Sequence[str], *, right: bool = True, style: Callable[[int], str] = lambda _: ""
    ) -> None:
        if header not in left_out and any(texts):
            table.columns.append(Column(header, list(texts), [style(i) for i in range(len(texts))], right))

    bounds = [
        "" if _TIME_BOUNDS in left_out or cell.seconds is None else words.time_bounds(cell.seconds) for cell in cells
    ]
    times = [(words.duration(median(cell)), bound) for cell, bound in zip(cells, bounds, strict=True)]
    ratios = [
        ("1" if verdict == "baseline" else "", "", verdict) if comparison is None else
        (words.ratio_median(comparison.ratio),
         "" if _RATIO_BOUNDS in left_out else words.ratio_bounds(comparison.ratio), verdict)
        for comparison, verdict in zip(compared, verdicts, strict=True)
    ]  # fmt: skip
    add("backend", [label(cell) for cell in cells], right=False)
    add("time [95 %]" if any(bounds) else "time", aligned(times), right=False)
    add("GFLOP/s", ["" if cell.gflops is None else words.rate_number(cell.gflops) for cell in cells])
    add(
        f"time / {shape.baseline}" + (" [95 %]" if any(bound for _, bound, _ in ratios) else ""),
        aligned(ratios),
        right=False,
        style=lambda i: _VERDICT_STYLES.get(verdicts[i], ""),
    )
    add("speed-up", ["" if comparison is None else words.speedup(comparison.speedup) for comparison in compared])
    add("error", [error_words(cell) for cell in cells], right=False)
    add("threads", ["" if cell.threads is None else f"{cell.threads:.1f}" for cell in cells])
    table.gaps.update(i for i in range(1, len(cells)) if cells[i].mode != cells[i - 1].mode)
    return table


# --- What is missing, and what can be trusted -------------------------------------------------------------------------


def _print_missing(result: Result, page: Page) -> None:
    missing = missing_of(result)
    if not missing:
        return
    width = max(len(name) for name, _, _ in missing)
    page.say()
    page.say("Missing", "bold")
    for name, reason, remedy in missing:
        page.say(f"{name:{width}}  {reason}", indent=4)
        if remedy:
            page.say(f"    {remedy}", "cyan", indent=4)


def _print_trust(result: Result, page: Page) -> None:
    page.say()
    for warning in result.warnings:
        page.say(f"Warning: {words.line(warning)}", "yellow", indent=2)
    if reference := reference_words(result):
        page.say(reference, "dim", indent=2)
    page.say(account_words(result), "dim", indent=2)
