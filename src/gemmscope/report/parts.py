"""Where the time of a call goes, as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.breakdown.cpu import KERNEL, ORDER
from gemmscope.analysis.breakdown.gpu import ORDER as GPU_ORDER
from gemmscope.records import words
from gemmscope.report.page import Column, Table, aligned

if TYPE_CHECKING:
    from gemmscope.records.model import Part, Result
    from gemmscope.report.page import Page

_Call = tuple[str, int, int, int]

# What is inside a table whose rows are told with their intervals, where they fit.
_TOLD = (
    "Parts of a call, by differences inside one process; the kernel is isolated: a loop of its own on the same symbol. "
    "On a GPU the device's time is its own clock's, or a slope's; the binding is a share of the launch."
)


def print_parts(result: Result, page: Page) -> None:
    """Prints a row for every call whose parts are known, the outermost of each library alone; nothing without any."""
    inside = {record.inside for record in result.backends}
    calls: dict[_Call, dict[str, Part]] = {}
    for part in result.parts:
        if part.backend not in inside:
            calls.setdefault((part.backend, part.m, part.n, part.k), {})[part.part] = part
    if not calls:
        return
    page.say()
    page.say("Where the time goes", "bold")
    times = {
        (cell.backend, cell.m, cell.n, cell.k): cell.seconds.estimate
        for cell in result.cells
        if cell.mode == "latency" and cell.seconds is not None
    }
    table = _table(calls, times, bounds=True)
    page.show(table if page.fits(table) else _table(calls, times, bounds=False))
    page.say(_TOLD, "dim", indent=2)


def _table(calls: dict[_Call, dict[str, Part]], times: dict[_Call, float], *, bounds: bool) -> Table:
    order = sorted(calls, key=lambda call: (list(dict.fromkeys(name for name, *_ in calls)).index(call[0]), call[1:]))
    table = Table()

    def add(header: str, texts: list[str], *, right: bool) -> None:
        if any(texts):
            table.columns.append(Column(header, texts, [""] * len(texts), right))

    add("call", [words.line(name) for name, *_ in order], right=False)
    add("shape", [words.TIMES.join(map(str, shape)) for _, *shape in order], right=True)
    add("time", [words.duration(times[call]) if call in times else "" for call in order], right=True)
    for part in dict.fromkeys((*ORDER, *GPU_ORDER)):
        fields = [_fields(calls[call].get(part), bounds=bounds) for call in order]
        add(part, aligned(fields), right=False)
    add("around the kernel", [_around(calls[call], times.get(call)) for call in order], right=True)
    table.gaps.update(i for i in range(1, len(order)) if order[i][0] != order[i - 1][0])
    return table


def _fields(part: Part | None, *, bounds: bool) -> tuple[str, str]:
    """A part's time and its interval; or what is said instead of a time."""
    if part is None:
        return "", ""
    if part.seconds is None:
        return "unknown", ""
    if part.status == "below resolution":
        return (f"< {words.duration(part.resolution)}" if part.resolution else "?"), ""
    if part.status == "inconsistent":
        return "inconsistent", ""
    return words.duration(part.seconds.estimate), words.time_bounds(part.seconds) if bounds else ""


def _around(parts: dict[str, Part], seconds: float | None) -> str:
    kernel = parts.get(KERNEL)
    if kernel is None or kernel.seconds is None or not seconds:
        return ""
    return words.percent(max(0.0, 1 - kernel.seconds.estimate / seconds))
