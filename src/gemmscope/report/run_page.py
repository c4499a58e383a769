"""A run as a page of tables, for Markdown and for a notebook."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.document import Heading, Items, Paragraph, Table

if TYPE_CHECKING:
    from collections.abc import Container

    from gemmscope.records.model import BackendRecord, Cell, Comparison, Result
    from gemmscope.report.document import Block

_HEADERS = ["backend", "time [95 %]", "GFLOP/s", "ratio [95 %]", "verdict", "speed-up", "error", "threads"]
_RIGHT = frozenset({2, 5, 6, 7})


def result_page(result: Result) -> list[Block]:
    """The page: what was found, then a table for each shape, fastest first, then what is missing and what to doubt."""
    settings = result.settings
    partial = "" if result.status == "complete" else " The run was cut off: these are partial results."
    page: list[Block] = [
        Heading("float32 matrix products"),
        Paragraph(
            f"{result.machine.name}; gemmscope {result.gemmscope}, {result.started}; "
            f"{words.count(settings.pairs, 'operand pair')} a shape, margin {words.percent(settings.margin)}.{partial}"
        ),
    ]
    if result.findings:
        page.append(Items([finding.text for finding in result.findings]))
    compared = {(one.backend, one.m, one.n, one.k, one.mode): one for one in result.comparisons}
    for shape, group in itertools.groupby(result.cells, key=lambda cell: (cell.m, cell.n, cell.k)):
        timed = [cell for cell in group if cell.seconds is not None]
        if not timed:
            continue
        ranked = sorted(timed, key=lambda cell: (cell.mode, cell.seconds.estimate if cell.seconds else 0.0))
        baselines = dict.fromkeys(compared[key].baseline for key in compared if key[1:4] == shape)
        rows = [_row(cell, compared.get((cell.backend, *shape, cell.mode)), baselines) for cell in ranked]
        page += [Heading(words.TIMES.join(map(str, shape))), Table(_HEADERS, rows, _RIGHT)]
        if baselines:
            page.append(Paragraph(f"Ratios are of times, relative to {words.listed(list(baselines))}."))
    missing = [_missing(backend) for backend in result.backends if backend.status != "ok"]
    missing += [
        f"{_label(cell)} at {cell.m}{words.TIMES}{cell.n}{words.TIMES}{cell.k}: {cell.status}: {cell.reason}"
        for cell in result.cells
        if cell.status == "skipped"
    ]
    if missing:
        page += [Heading("Missing"), Items(missing)]
    if result.warnings:
        page += [Heading("Warnings"), Items(list(result.warnings))]
    return page


def _row(cell: Cell, comparison: Comparison | None, baselines: Container[str]) -> list[str]:
    baseline = cell.backend in baselines
    reduced = f" {cell.precision}" if cell.precision not in (None, "float32") else ""
    return [
        _label(cell),
        words.interval(cell.seconds) if cell.seconds else "",
        words.rate_number(cell.gflops) if cell.gflops is not None else "",
        words.ratio(comparison.ratio) if comparison else "1" if baseline else "",
        comparison.verdict if comparison else "baseline" if baseline else "",
        words.speedup(comparison.speedup) if comparison else "",
        words.error(cell.relative_error) + reduced if cell.relative_error is not None else "",
        f"{cell.threads:.1f}" if cell.threads is not None else "",
    ]


def _label(cell: Cell) -> str:
    return cell.backend if cell.mode == "latency" else f"{cell.backend}, {cell.mode}"


def _missing(backend: BackendRecord) -> str:
    remedy = f"; {backend.remedy}" if backend.remedy else ""
    return f"{backend.name}: {backend.status}: {backend.reason or 'no reason is known'}{remedy}"
