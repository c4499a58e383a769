"""What a reader sees first: a heat table of calls by shape, overhead in a sentence, and how sure it all is."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.findings.quality import is_notable
from gemmscope.records import words
from gemmscope.records.base import is_plain
from gemmscope.report import trust

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.analysis.breakdown.overhead import Overhead
    from gemmscope.report.model import Report
    from gemmscope.report.rows.overview import Standing
    from gemmscope.workload.shapes import Shape

# A call that takes so many times as long as the fastest has the next stronger colour.
_STEPS = (1.05, 1.5, 3.0, 10.0, 30.0)
_SMALL = 0.10
_MOST_CALLS = 4
# What begins a line for a shell; everything else is a sentence.
_COMMAND = re.compile(r"[A-Z_]+=|(?:unset|export|sudo|pip|python|gemmscope|taskset|numactl) ")


class Heat(NamedTuple):
    """A call at a shape: its time and how many times as fast as the baseline it is; or its ``status``, and why.

    ``mark`` is ``*`` for the fastest and ``=`` for what is tied with it, ``?`` for what is not settled.
    ``step`` is how strong its colour is, from 0 for the fastest, and ``width`` its speed in percent of the fastest's.
    """

    time: str = ""
    speedup: str = ""
    mark: str = ""
    step: int = 0
    width: float = 0.0
    status: str = ""
    reason: str = ""


class HeatRow(NamedTuple):
    """A call: its cells by shape, or one ``reason`` why it has none at all."""

    backend: str
    cells: list[Heat]
    reason: str = ""


class HeatTable(NamedTuple):
    """All calls that were asked for at every shape; the fastest at the largest shape stands first."""

    shapes: list[Shape]
    rows: list[HeatRow]
    notes: list[str]


class Trust(NamedTuple):
    """How sure the answer is: a word, the tone of it, and what it rests on."""

    word: str
    tone: str
    text: str


def heat_table(report: Report) -> HeatTable | None:
    """The overview as a heat table, with what is missing; None where nothing was ranked."""
    table, view = report.overview, report.view
    if table is None:
        return None
    shapes = [shape for shape, ranking in view.rankings.items() if ranking.ranked]
    least = {
        shape: min((one.seconds for row in table.rows if (one := row.standings.get(shape))), default=math.nan)
        for shape in shapes
    }
    baselines = {one.baseline for one in report.result.comparisons}
    rows = [
        HeatRow(
            row.backend,
            [
                _measured(one, least[shape], is_baseline=row.backend in baselines)
                if (one := row.standings.get(shape))
                else _lost(report, row.backend, shape)
                for shape in shapes
            ],
        )
        for row in table.rows
    ]
    names = {row.backend for row in rows}
    absent = [
        HeatRow(one.name, [], one.reason.removeprefix("unavailable: "))
        for one in report.missing
        if one.name in view.choices and one.name not in names and is_plain(one.name)
    ]
    # What takes too long is said in its cell.
    lost = [f"{row.backend} at {shape.title} {cell.status}: {cell.reason}" for row in rows
            for shape, cell in zip(shapes, row.cells, strict=True) if cell.reason]  # fmt: skip
    nowhere = [shape.title for shape in view.shapes if shape not in shapes]
    if nowhere:
        lost.append(f"Nothing has a time at {words.listed(nowhere)}; the tables say why.")
    return HeatTable(shapes, [*rows, *absent], lost)


def _measured(one: Standing, least: float, *, is_baseline: bool) -> Heat:
    slower = one.seconds / least if least > 0 else math.nan
    return Heat(
        time=words.duration(one.seconds),
        # Where the baseline has no time, nothing is compared with it.
        speedup=words.speedup(one.speedup) if one.speedup is not None else f"1{words.TIMES}" if is_baseline else "",
        mark=one.mark,
        step=sum(slower >= step for step in _STEPS),
        width=round(100 / slower, 1) if math.isfinite(slower) else 0.0,
    )


def _lost(report: Report, backend: str, shape: Shape) -> Heat:
    """Why a call has no time at a shape: the cell says so, or nobody measured it."""
    lost = report.view.lost(backend, shape)
    if lost is not None and lost.estimate:
        return Heat(status=lost.status, time=f"≈ {words.duration(lost.estimate)}")
    if lost is not None and lost.reason:
        return Heat(status=lost.status, reason=words.line(lost.reason))
    cell = report.view.cell(backend, shape)
    if cell is not None and cell.precision not in (None, "float32"):
        return Heat(status=cell.precision or "", time="not ranked")
    return Heat(status="not measured")


def overhead_sentence(report: Report) -> str:
    """How much of the calls is overhead at the smallest shape, and where it is small; empty where that is not known."""
    view = report.view
    calls: dict[str, list[Overhead]] = {}
    for key, one in view.overheads.items():
        if key.backend in view.choices and is_plain(key.backend):
            calls.setdefault(key.backend, []).append(one)
    if not calls:
        return ""
    first = min((one.shape for of_call in calls.values() for one in of_call), key=lambda shape: (shape.flops, shape))
    shares = sorted(
        ((one.fraction, name) for name, of_call in calls.items() for one in of_call if one.shape == first), reverse=True
    )
    said = words.listed([f"{words.percent(share)} of a call of {name}" for share, name in shares], _MOST_CALLS)
    return f"Overhead, all of a call but its kernel, is {said} at {first.title}{_fading(calls)}."


def _fading(calls: Mapping[str, Sequence[Overhead]]) -> str:
    """At which shapes, up to the largest that was taken apart, the overhead is known to be small, and whose it is."""
    shapes = sorted(
        {one.shape for of_call in calls.values() for one in of_call}, key=lambda shape: (shape.flops, shape)
    )
    small: list[Shape] = []
    for shape in reversed(shapes):
        there = [one for of_call in calls.values() for one in of_call if one.shape == shape]
        if not all(one.is_below(_SMALL) for one in there):
            break
        small.insert(0, shape)
    if not small or small == shapes:
        return ""
    whose = [name for name, of_call in calls.items() if set(small) <= {one.shape for one in of_call}]
    if not whose:
        return ""
    who = "all of them" if len(whose) == len(calls) else words.listed(whose)
    return f"; at {words.shapes(small)} it is below {words.percent(_SMALL)} for {who}"


def how_sure(report: Report) -> Trust:
    """Whether the comparisons are settled, and the machine held still."""
    result = report.result
    comparisons = result.comparisons
    open_ = sum(not one.converged for one in comparisons)
    drift = result.reference.drift if result.reference is not None else None
    restless = bool(result.warnings) or is_notable(drift)
    if not comparisons:
        word, tone = "Nothing compared", "open"
    elif open_ * 2 > len(comparisons):
        word, tone = "Not settled", "bad"
    elif open_ or restless or result.status == "partial":
        word, tone = "Mostly settled", "open"
    else:
        word, tone = "Settled", "good"
    return Trust(word, tone, trust.in_short(result))


def is_command(remedy: str) -> bool:
    """Whether a remedy can be pasted into a shell."""
    return _COMMAND.match(remedy) is not None
