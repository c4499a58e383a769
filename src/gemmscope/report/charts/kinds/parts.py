"""Where the time of a call goes: for every call and shape a bar of shares, from the kernel outwards."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.charts import lines
from gemmscope.report.charts.lines import rounded
from gemmscope.report.charts.parts import calls_of, depth
from gemmscope.report.charts.picture import ChartKind, NoDataError, Picture, Remark
from gemmscope.report.charts.theme import finished
from gemmscope.report.charts.told import found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.report.charts.data import RunData
    from gemmscope.report.charts.parts import Call, Stack

TITLE = "Where the time of a call goes"
NOT_KNOWN = "not known"
_DATA = "parts"
_NOTE = "shares of a call, from the isolated kernel outwards; what was not resolved has no bar and is named beside it"
_BAR, _STEP = 15, 22
_WIDTH = 480
_REMARKS = 340


def _make(data: RunData) -> Picture:
    calls = calls_of(data.result)
    if not calls:
        raise NoDataError("this run has no parts of calls: gemmscope run measures them beside the kernels")
    finding = found(data.result, ("overhead",), _finding(calls))
    rows = {_DATA: [row for call in calls for row in _rows(call)]}
    return Picture(
        name="parts", title=TITLE, note=_NOTE, finding=finding,
        chart=finished(_chart(calls), TITLE, (data.machine, _NOTE), finding, rows),
        columns=("call", "shape", "time", "parts"),
        rows=[
            (call.label, stack.shape.title, words.duration(stack.whole), _parts(stack))
            for call in calls
            for stack in call.stacks
        ],
        remarks=[_remark(call) for call in calls],
    )  # fmt: skip


def _chart(calls: Sequence[Call]) -> Any:
    import altair as alt

    names = sorted({words.line(name) for call in calls for stack in call.stacks for name in stack.seconds}, key=depth)
    colours = [palette.part(name) for name in names]
    if any(stack.unknown and stack.rest for call in calls for stack in call.stacks):
        names, colours = [*names, NOT_KNOWN], [*colours, palette.UNKNOWN]
    across = alt.X(
        "start:Q", title="share of the call", scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(labelExpr="format(datum.value * 100, '~r') + ' %'", values=[0, 0.25, 0.5, 0.75, 1], grid=True),
    )  # fmt: skip
    base = alt.Chart().encode(
        y=alt.Y("shape:N", sort=_shapes(calls), title=None, axis=alt.Axis(labelColor=palette.INK)),
    )
    bars = base.mark_bar(height=_BAR, stroke=palette.PAGE, invalid=None).encode(
        x=across,
        x2="end:Q",
        color=alt.Color("part:N", scale=alt.Scale(domain=names, range=colours), legend=alt.Legend(
            title=None, orient="top", symbolType="square", symbolStrokeWidth=0, offset=10, columns=4)),
        tooltip=[
            alt.Tooltip("call:N", title="call"),
            alt.Tooltip("shape:N", title="shape"),
            alt.Tooltip("part:N", title="part"),
            alt.Tooltip("said:N", title="time"),
        ],
    )  # fmt: skip
    beside = base.properties(name="beside").mark_text(
        align="left", dx=8, fontSize=11.5, color=palette.GREY, limit=_REMARKS
    ).encode(x=alt.datum(1), text="beside:N")  # fmt: skip
    layered = lines.shown(alt.layer(bars, beside, data=alt.NamedData(_DATA))).properties(
        width=_WIDTH, height=alt.Step(_STEP)
    )
    order = [call.label for call in calls]
    return (
        layered.facet(
            facet=alt.Facet("call:N", sort=order, title=None, header=alt.Header(labelAnchor="start", labelPadding=4)),
            columns=1,
            spacing=14,
        )
        .add_params(lines.hidden())
    )  # fmt: skip


def _shapes(calls: Sequence[Call]) -> list[str]:
    shapes = {stack.shape for call in calls for stack in call.stacks}
    return [shape.title for shape in sorted(shapes, key=lambda shape: (shape.flops, shape))]


def _rows(call: Call) -> list[dict[str, Any]]:
    """A row for every bar; the first of a stack has the text that stands beside them."""
    rows: list[dict[str, Any]] = []
    for stack in call.stacks:
        bars: list[dict[str, Any]] = []
        start = 0.0
        for name, seconds in stack.seconds.items():
            share = seconds / stack.whole
            bars.append({"part": words.line(name), "start": rounded(start), "end": rounded(start + share),
                         "said": _said(stack, name)})  # fmt: skip
            start += share
        if stack.unknown and stack.rest:
            said = f"{words.duration(stack.rest)}, {words.percent(stack.rest / stack.whole)}"
            bars.append({"part": NOT_KNOWN, "start": rounded(start), "end": 1, "said": said})
        # A stack without any bar still has its text.
        bars = bars or [{"part": NOT_KNOWN, "start": 0, "end": 0, "said": ""}]
        beside = "; ".join([words.duration(stack.whole), *stack.remarks])
        of = {"backend": words.line(call.backend), "call": call.label, "shape": stack.shape.title}
        rows += [{**of, **bar, "beside": beside if bar is bars[0] else ""} for bar in bars]
    return rows


def _parts(stack: Stack) -> str:
    """All parts of a call in words: ``'kernel 1.03 µs [1.01, 1.06], 71 %; allocation below 20 ns'``."""
    return "; ".join([*(f"{words.line(name)} {_said(stack, name)}" for name in stack.seconds), *stack.remarks])


def _said(stack: Stack, name: str) -> str:
    seconds = stack.parts[name].seconds
    assert seconds is not None
    return f"{words.interval(seconds)}, {_share(stack, name)}"


def _share(stack: Stack, name: str) -> str:
    return words.percent(stack.seconds[name] / stack.whole)


def _remark(call: Call) -> Remark:
    """The share of the innermost part, from the smallest shape to the largest, and what has no bar."""
    inner = min((name for stack in call.stacks for name in stack.seconds), key=depth)
    told = [f"{_share(stack, inner)} at {stack.shape.title}" for stack in call.stacks if inner in stack.seconds]
    said = [f"{call.label}: {words.line(inner)} {words.listed(told, 6)}"]
    missing: dict[str, list[str]] = collections.defaultdict(list)
    for stack in call.stacks:
        for name, part in stack.parts.items():
            if name not in stack.seconds:
                status = (
                    f"unknown, {words.line(part.reason)}," if part.status == "unknown" and part.reason else part.status
                )
                missing[f"{words.line(name)} is {status}"].append(stack.shape.title)
    said += [f"{what} at {words.listed(shapes, 6)}" for what, shapes in missing.items()]
    return Remark(call.backend, "; ".join(said))


def _computing(stack: Stack) -> float | None:
    shares = [stack.seconds[name] / stack.whole for name in ("kernel", "device") if name in stack.seconds]
    return sum(shares) if shares else None


def _finding(calls: Sequence[Call]) -> str:
    told = [
        (share, call.label, stack.shape.title)
        for call in calls
        for stack in call.stacks
        if (share := _computing(stack)) is not None
    ]
    if not told:
        return "No kernel's share of a call is resolved."
    (least, first, at_least), (most, last, at_most) = min(told), max(told)
    if least == most:
        return f"The kernel takes {words.percent(most)} of a call."
    reach = f"The kernel's share of a call reaches from {words.percent(least)} ({first} at {at_least})"
    return f"{reach} to {words.percent(most)} ({last} at {at_most})."


CHART = ChartKind("parts", 3, TITLE, _make)
