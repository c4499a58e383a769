"""The tables of the page: a row for every backend at a shape."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.records import words
from gemmscope.report.html.evidence import table_id
from gemmscope.report.ranking import ranking
from gemmscope.report.shapes import label, lost_word, median, verdict_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmscope.records.model import Cell
    from gemmscope.report.html.keys import Key
    from gemmscope.report.shapes import ShapeCells


class Row(NamedTuple):
    """A backend at a shape, in words."""

    key: Key | None
    name: str
    time: str
    time_bounds: str
    rate: str
    ratio: str
    ratio_bounds: str
    verdict: str
    speedup: str
    precision: str
    error: str
    threads: str


class Lost(NamedTuple):
    """A cell that has no time, and why."""

    name: str
    word: str
    reason: str


@dataclass(frozen=True)
class ShapeTable:
    """A shape's table, with the sentence that stands above it: rows of latency, then of throughput."""

    id: str
    title: str
    baseline: str
    modes: list[tuple[str, list[Row]]]
    ranking: str
    lost: list[Lost]
    floor: list[tuple[str, str]]


def shape_table(shape: ShapeCells, keys: Mapping[str, Key], margin: float) -> ShapeTable:
    """The table of a shape: latency before throughput, fastest first."""
    modes: list[tuple[str, list[Row]]] = []
    for mode, cells in itertools.groupby(shape.timed, key=lambda cell: cell.mode):
        modes.append((mode, [_row(cell, shape, keys.get(cell.backend)) for cell in cells]))
    lost = [Lost(label(cell), lost_word(cell), _reason(cell)) for cell in shape.lost]
    floor = [(label(cell), words.duration(median(cell))) for cell in sorted(shape.floor, key=median)]
    return ShapeTable(table_id(shape.shape), shape.title, shape.baseline, modes, ranking(shape, margin), lost, floor)


def _row(cell: Cell, shape: ShapeCells, key: Key | None) -> Row:
    comparison = shape.comparisons.get((cell.backend, cell.mode))
    verdict = verdict_of(cell, comparison, shape.baseline)
    return Row(
        key=key,
        name=words.line(cell.backend),
        time=words.duration(median(cell)),
        time_bounds=words.time_bounds(cell.seconds) if cell.seconds else "",
        rate="" if cell.gflops is None else words.rate_number(cell.gflops),
        ratio=words.ratio_median(comparison.ratio) if comparison else "1" if verdict == "baseline" else "",
        ratio_bounds=words.ratio_bounds(comparison.ratio) if comparison else "",
        verdict=verdict,
        speedup=words.speedup(comparison.speedup) if comparison else "",
        precision=cell.precision or "",
        error="" if cell.relative_error is None else words.error(cell.relative_error),
        threads="" if cell.threads is None else f"{cell.threads:.1f}",
    )


def _reason(cell: Cell) -> str:
    before = f" ({words.duration(median(cell))} before that)" if cell.seconds is not None else ""
    return (cell.reason or "no reason is known") + before
