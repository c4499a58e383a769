"""The bars of the page: a row for every call that was taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.records import words
from gemmscope.report.figures.series import times_of
from gemmscope.report.html.evidence import call_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.records.model import Part, Result
    from gemmscope.report.figures.series import Point, Shape
    from gemmscope.report.figures.stacks import Call, Stack
    from gemmscope.report.html.keys import Key


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
