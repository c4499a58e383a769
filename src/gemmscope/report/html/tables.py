"""The tables of the page: a row for every backend at a shape, and a row for every call that was taken apart."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.records import words
from gemmscope.report.figures.series import times_of
from gemmscope.report.html.evidence import call_id, table_id
from gemmscope.report.ranking import ranking
from gemmscope.report.shapes import label, lost_word, median, verdict_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.records.model import Cell, Part, Result
    from gemmscope.report.figures.series import Point, Shape
    from gemmscope.report.figures.stacks import Call, Stack
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


class Bar(NamedTuple):
    """A part of a bar, in percent of the whole."""

    start: str
    length: str
    colour: str
    name: str


class StackRow(NamedTuple):
    """A call at one shape: its bar, and its parts in words. ``rest`` is where no bar stands for what is left."""

    shape: str
    time: str
    bars: list[Bar]
    rest: Bar | None
    unknown: bool
    parts: list[tuple[str, str]]


@dataclass(frozen=True)
class CallTable:
    """A call's bars, one for each shape."""

    id: str
    key: Key | None
    label: str
    colours: list[tuple[str, str]]
    rows: list[StackRow]


def call_tables(calls: Sequence[Call], result: Result, keys: Mapping[str, Key]) -> list[CallTable]:
    """The parts of all calls, as shares of their times."""
    times = times_of(result)
    return [_call_table(call, call_id(number), times, keys) for number, call in enumerate(calls)]


def _call_table(
    call: Call, name: str, times: Mapping[tuple[str, str, Shape], Point], keys: Mapping[str, Key]
) -> CallTable:
    rows: list[StackRow] = []
    for stack in call.stacks:
        time = times.get((call.backend, call.mode, stack.shape))
        rows.append(_stack_row(stack, call, time.value if time else stack.whole))
    return CallTable(name, keys.get(call.backend), call.label, list(call.colours.items()), rows)


def _stack_row(stack: Stack, call: Call, time: float) -> StackRow:
    """The bar ends with the parts' sum where noise makes that more than the time of the call; words are of the time."""
    bars: list[Bar] = []
    start = 0.0
    for name, seconds in stack.heights.items():
        bars.append(Bar(_percent(start), _percent(seconds / stack.whole), call.colours[name], name))
        start += seconds / stack.whole
    rest = Bar(_percent(start), _percent(1 - start), "", "") if stack.whole and stack.rest else None
    parts = [(name, _part_words(part, time)) for name, part in stack.parts.items()]
    return StackRow(str(stack.shape), words.duration(time), bars, rest, stack.unknown, parts)


def _part_words(part: Part, time: float) -> str:
    if part.seconds is None:
        return f"unknown: {part.reason}" if part.reason else "unknown"
    if part.status == "below resolution":
        return "below resolution" + (f" (< {words.duration(part.resolution)})" if part.resolution else "")
    if part.status == "inconsistent":
        return f"inconsistent ({words.interval(part.seconds)})"
    share = f", {words.percent(part.seconds.estimate / time)}" if time else ""
    return words.interval(part.seconds) + share


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"
