"""Where the time of a call goes: for every call and shape a bar of shares, from the kernel outwards.

A part that could not be told from zero, or that came out negative, has no bar and is named in words instead: a bar
would claim more than was measured.
"""

from __future__ import annotations

import collections
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmscope.analysis.breakdown import cpu, gpu
from gemmscope.analysis.breakdown.overhead import ORDER
from gemmscope.records import words
from gemmscope.records.base import CellKey
from gemmscope.report import palette
from gemmscope.report.charts.lines import HIDDEN, SHOWN
from gemmscope.report.charts.picture import ChartKind, NoDataError, Picture, Remark
from gemmscope.report.charts.theme import rounded, tooltip
from gemmscope.workload.shapes import by_work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.view import View
    from gemmscope.records.model import Part
    from gemmscope.report.charts.data import RunData
    from gemmscope.workload.shapes import Shape

TITLE = "Where the time of a call goes"
_NOT_KNOWN = "not known"
_NOTE = "shares of a call, from the isolated kernel outwards; what was not resolved has no bar and is named beside it"
_BAR, _STEP = 15, 22
_WIDTH = 480
_REMARKS = 460


@dataclass(frozen=True)
class Stack:
    """The parts of a call at one shape, by name and in stacking order, and its ``whole`` time in seconds.

    ``kernel`` is the innermost part, empty where it is not known. ``seconds`` is what each part that was resolved takes
    of the whole; ``said`` the same in words. ``rest`` is the share of parts that could not be taken.
    """

    shape: Shape
    whole: float
    parts: dict[str, Part]
    kernel: str
    seconds: dict[str, float]
    said: dict[str, str]
    rest: float

    @property
    def remarks(self) -> list[str]:
        """What has no bar at this shape, and why, in a few words."""
        return [_unresolved(part) for name, part in self.parts.items() if name not in self.seconds]

    def share(self, name: str) -> float:
        """The share of a resolved part."""
        return self.seconds[name] / self.whole


@dataclass(frozen=True)
class Call:
    """One backend's call: its stacks, in the order of work."""

    backend: str
    stacks: list[Stack]

    @property
    def label(self) -> str:
        """The backend on one line."""
        return words.line(self.backend)


def calls_of(view: View) -> list[Call]:
    """Every call that was taken apart, in the order of the run; none where the result has no parts.

    A call that is inside of another, such as ``numpy-cpu:out``, is left out: the other one's bars show it.
    """
    calls = [
        Call(name, [_stack(view, CellKey(name, shape)) for shape in view.shapes if view.parts(name, shape)])
        for name in view.outermost
    ]
    return [call for call in calls if any(stack.seconds for stack in call.stacks)]


def _stack(view: View, key: CellKey) -> Stack:
    """The kernel's bar is what the overhead leaves of the call; the others have no more room than the overhead is."""
    parts = dict(sorted(view.parts(key.backend, key.shape).items(), key=lambda item: _depth(item[0])))
    overhead = view.overheads.get(key)
    intervals = {name: part.seconds for name, part in parts.items() if part.status == "ok" and part.seconds is not None}
    kernel = next((name for name in (cpu.KERNEL, gpu.DEVICE) if name in intervals), "")
    if kernel and overhead is not None:
        intervals[kernel] = overhead.kernel
    seconds = {name: one.estimate for name, one in intervals.items() if 0 < one.estimate < math.inf}
    if gpu.LAUNCH in seconds and "binding" in seconds:  # which is a share of the launch
        seconds[gpu.LAUNCH] = max(0.0, seconds[gpu.LAUNCH] - seconds["binding"])
    time = view.seconds(key.backend, key.shape)
    whole = time if time is not None and 0 < time < math.inf else sum(seconds.values())
    inner = min(seconds.get(kernel, 0.0), whole)
    outer = sum(value for name, value in seconds.items() if name != kernel)
    scale = min(1.0, (whole - inner) / outer) if outer else 1.0
    drawn = {name: inner if name == kernel else scale * value for name, value in seconds.items()}
    drawn = {name: value for name, value in drawn.items() if value > 0}
    said = {name: f"{words.interval(intervals[name])}, {words.percent(drawn[name] / whole)}" for name in drawn}
    is_unknown = any(part.status == "unknown" for part in parts.values())
    rest = max(0.0, 1 - sum(drawn.values()) / whole) if is_unknown and whole else 0.0
    return Stack(key.shape, whole, parts, kernel, drawn, said, rest)


def _depth(part: str) -> tuple[int, str]:
    """What sorts the names of parts from the innermost outwards, which is how they are stacked."""
    return (ORDER.index(part) if part in ORDER else len(ORDER), part)


def _called(part: str) -> str:
    """What a part is called where it is read; a file may hold any name, so it is kept on one line."""
    return words.part(words.line(part))


def _unresolved(part: Part) -> str:
    name = _called(part.part)
    if part.status == "below resolution":
        return f"{name} below {words.duration(part.resolution)}" if part.resolution else f"{name} below resolution"
    return f"{name} negative" if part.status == "inconsistent" else f"{name} unknown"


def _make(data: RunData) -> Picture:
    calls = [call for call in calls_of(data.view) if not data.few or call.backend in data.drawn]
    if not calls:
        raise NoDataError("this run has no parts of calls: gemmscope run measures them beside the kernels")
    stacks = [(call, stack) for call in calls for stack in call.stacks]
    return Picture(
        title=TITLE, subtitle=data.machine, note=_NOTE,
        finding=" ".join([*data.found("overhead"), _reach(stacks)]),
        view=_view(calls),
        data={"parts": [bar for call, stack in stacks for bar in _bars(call, stack)]},
        columns=("call", "shape", "time", "parts"),
        rows=[
            (
                call.label, stack.shape.title, words.duration(stack.whole),
                "; ".join([*(f"{_called(name)} {said}" for name, said in stack.said.items()), *stack.remarks]),
            )
            for call, stack in stacks
        ],
        remarks=[_remark(call) for call in calls],
    )  # fmt: skip


def _view(calls: Sequence[Call]) -> dict[str, Any]:
    stacks = [stack for call in calls for stack in call.stacks]
    kinds = sorted({words.line(name) for stack in stacks for name in stack.seconds}, key=_depth)
    names, colours = [words.part(name) for name in kinds], [palette.part(name) for name in kinds]
    if any(stack.rest for stack in stacks):
        names, colours = [*names, _NOT_KNOWN], [*colours, palette.UNKNOWN]
    shapes = [shape.title for shape in by_work(stack.shape for stack in stacks)]
    row = {"field": "shape", "type": "nominal", "sort": shapes, "title": None, "axis": {"labelColor": palette.INK}}
    bars = {
        "mark": {"type": "bar", "height": _BAR, "stroke": palette.PAGE, "invalid": None},
        "encoding": {
            "y": row,
            "x": {
                "field": "start", "type": "quantitative", "title": "share of the call", "scale": {"domain": [0, 1]},
                "axis": {"labelExpr": "format(datum.value * 100, '~r') + ' %'", "values": [0, 0.25, 0.5, 0.75, 1],
                         "grid": True},
            },
            "x2": {"field": "end"},
            "color": {
                "field": "part", "type": "nominal", "scale": {"domain": names, "range": colours},
                "legend": {"title": None, "orient": "top", "symbolType": "square", "symbolStrokeWidth": 0,
                           "offset": 10, "columns": 4},
            },
            "tooltip": tooltip(call="call", shape="shape", part="part", said="time"),
        },
    }  # fmt: skip
    beside = {
        "name": "beside",
        "mark": {
            "type": "text", "align": "left", "dx": 8, "fontSize": 11.5, "color": palette.GREY, "limit": _REMARKS,
        },
        "encoding": {"y": row, "x": {"datum": 1}, "text": {"field": "beside", "type": "nominal"}},
    }  # fmt: skip
    return {
        "data": {"name": "parts"}, "columns": 1, "spacing": 14, "params": [HIDDEN],
        "facet": {
            "field": "call", "type": "nominal", "sort": [call.label for call in calls], "title": None,
            "header": {"labelAnchor": "start", "labelPadding": 4},
        },
        "spec": {"transform": SHOWN, "width": _WIDTH, "height": {"step": _STEP}, "layer": [bars, beside]},
    }  # fmt: skip


def _bars(call: Call, stack: Stack) -> list[dict[str, Any]]:
    """A row for every bar; the first of a stack has the text that stands beside them."""
    bars: list[dict[str, Any]] = []
    start = 0.0
    for name in stack.seconds:
        end = start + stack.share(name)
        part = _called(name)
        bars.append({"part": part, "start": rounded(start), "end": rounded(end), "said": stack.said[name]})
        start = end
    if stack.rest:
        said = f"{words.duration(stack.rest * stack.whole)}, {words.percent(stack.rest)}"
        bars.append({"part": _NOT_KNOWN, "start": rounded(start), "end": 1, "said": said})
    # A stack without any bar still has its text.
    bars = bars or [{"part": _NOT_KNOWN, "start": 0, "end": 0, "said": ""}]
    beside = "; ".join([words.duration(stack.whole), *stack.remarks])
    of = {"backend": words.line(call.backend), "call": call.label, "shape": stack.shape.title}
    return [{**of, **bar, "beside": "" if number else beside} for number, bar in enumerate(bars)]


def _remark(call: Call) -> Remark:
    """The share of the innermost part, from the smallest shape to the largest, and what has no bar."""
    inner = min((name for stack in call.stacks for name in stack.seconds), key=_depth)
    shares = [
        f"{words.percent(stack.share(inner))} at {stack.shape.title}" for stack in call.stacks if inner in stack.seconds
    ]
    missing: dict[str, list[str]] = collections.defaultdict(list)
    for stack in call.stacks:
        for name, part in stack.parts.items():
            if name not in stack.seconds:
                why = f", {words.line(part.reason)}," if part.status == "unknown" and part.reason else ""
                missing[f"{_called(name)} is {part.status}{why}"].append(stack.shape.title)
    said = [f"{what} at {words.listed(shapes, 6)}" for what, shapes in missing.items()]
    return Remark(call.backend, "; ".join([f"{call.label}: {_called(inner)} {words.listed(shares, 6)}", *said]))


def _reach(stacks: Sequence[tuple[Call, Stack]]) -> str:
    shares = [
        (stack.share(stack.kernel), call.label, stack.shape.title)
        for call, stack in stacks
        if stack.kernel in stack.seconds
    ]
    if not shares:
        return "No kernel's share of a call is resolved."
    (least, first, at_least), (most, last, at_most) = min(shares), max(shares)
    if least == most:
        return f"The kernel takes {words.percent(most)} of a call."
    reach = f"The kernel's share of a call reaches from {words.percent(least)} ({first} at {at_least})"
    return f"{reach} to {words.percent(most)} ({last} at {at_most})."


CHART = ChartKind(3, TITLE, _make)
