"""Where the time of a call goes, as a table: a row for every call that was taken apart, and a column for every part."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gemmscope.analysis.breakdown import cpu, gpu
from gemmscope.analysis.breakdown.overhead import ORDER
from gemmscope.records import words
from gemmscope.records.base import CellKey
from gemmscope.report.rows.cells import INTERVAL
from gemmscope.report.rows.model import Column, Group, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.breakdown.overhead import Overhead
    from gemmscope.analysis.view import View
    from gemmscope.records.model import Part
    from gemmscope.report.rows.model import Tone

TITLE = "Where the time goes"
NOTE = (
    "Overhead is 1 \N{MINUS SIGN} kernel / call. The kernel is timed by itself in the same batches: on a processor in "
    "a loop around the same routine, on a GPU by the device. Every other part is a difference of two timings in one "
    "process, with noise of its own, so that the parts need not add up exactly. On a GPU, Python call overhead is a "
    "share of the launch."
)

# The innermost part of a call: its kernel, by whichever name.
_INNERMOST = (cpu.KERNEL, gpu.DEVICE)
# In files Python call overhead is called binding.
_HEADINGS = {"binding": "Python call\noverhead", "launch": "launch\nand wait"}
_INTERVALS = "intervals of parts"
# Intervals are the first to be left out. A call's own figures never are, and of its parts the kernel goes last.
_FIRST_DROP = 2


@dataclass(frozen=True)
class CallRow:
    """A call that was taken apart: its seconds, its parts by name, and its overhead, None where that is not known."""

    key: CellKey
    seconds: float | None
    parts: dict[str, Part]
    overhead: Overhead | None

    @property
    def backend(self) -> str:
        """Whose call it is."""
        return self.key.backend

    def part(self, name: str) -> Part | None:
        """One of its parts. The kernel, on a GPU the device's own time, is what the overhead leaves of the call."""
        names = _INNERMOST if name in _INNERMOST else (name,)
        found = next((self.parts[name] for name in names if name in self.parts), None)
        if found is None or self.overhead is None or name not in _INNERMOST:
            return found
        return msgspec.structs.replace(found, seconds=self.overhead.kernel)


def calls_table(view: View) -> Table[CallRow] | None:
    """The outermost call of each library by shape; None where nothing was taken apart."""
    rows = [
        CallRow(key, view.seconds(name, shape), parts, view.overheads.get(key))
        for name in view.outermost
        for shape in view.shapes
        if (parts := view.parts(name, shape)) and (key := CellKey(name, shape))
    ]
    if not rows:
        return None
    groups = [Group("", list(members)) for _, members in itertools.groupby(rows, key=lambda row: row.backend)]
    return Table("calls", "Calls by library and shape, with the time of each part", _columns(), groups)


def not_known(rows: Sequence[CallRow]) -> list[str]:
    """What could not be taken apart, and why, in a line each."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, part in row.parts.items():
            if part.status == "unknown" and part.reason:
                said = f"{row.backend}, {words.part(name)}"
                reasons.setdefault((said, part.reason), []).append(row.key.shape.title)
    return [f"{said} at {words.listed(shapes)}: {reason}" for (said, reason), shapes in reasons.items()]


def _columns() -> list[Column[CallRow]]:
    # From the inside out; the outermost is the first to be left out.
    names = ["kernel", *(name for name in ORDER if name not in _INNERMOST)]
    parts = (_part_columns(name, drop) for drop, name in enumerate(reversed(names), _FIRST_DROP))
    return [
        Column("call", "call", lambda row: row.backend),
        Column("shape", "shape", lambda row: row.key.shape.title, right=True),
        Column("time", "time", lambda row: row.seconds, words.duration, right=True),
        Column("overhead", "overhead", lambda row: row.overhead, lambda of: words.percent(of.fraction), right=True),
        Column("overhead-interval", INTERVAL, lambda row: row.overhead, lambda of: words.percent_bounds(of.share),
               drop=1, name=_INTERVALS),
        *itertools.chain.from_iterable(reversed(list(parts))),
    ]  # fmt: skip


def _part_columns(name: str, drop: int) -> list[Column[CallRow]]:
    """The time of a part, and its interval."""

    def part(row: CallRow) -> Part | None:
        return row.part(name)

    def tone(row: CallRow) -> Tone:
        found = part(row)
        return "" if found is None or found.status == "ok" else "quiet"

    return [
        Column(name, _HEADINGS.get(name, name), part, _part_text, right=True, drop=drop, tone=tone),
        Column(f"{name}-interval", INTERVAL, part, _part_bounds, drop=1, name=_INTERVALS),
    ]


def _part_text(part: Part) -> str:
    """A part's time, or what is said instead of one."""
    if part.seconds is None:
        return words.UNKNOWN
    if part.status == "below resolution":
        return f"< {words.duration(part.resolution)}" if part.resolution else "?"
    return part.status if part.status == "inconsistent" else words.duration(part.seconds.estimate)


def _part_bounds(part: Part) -> str:
    return words.time_bounds(part.seconds) if part.status == "ok" and part.seconds is not None else ""
