"""The parts of a call by shape: which share is the kernel, the runtime, the Python call, the allocation.

A part that could not be told from zero, or that came out negative, has no bar and is named in words instead: a bar
would claim more than was measured.
"""

from __future__ import annotations

import collections
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.records.base import CellKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.base import Mode
    from gemmscope.records.model import Part, Result
    from gemmscope.workload.shapes import Shape

# From the innermost outwards, which is how they are stacked.
ORDER = ("kernel", "device", "runtime", "binding", "allocation", "launch", "copies")


@dataclass(frozen=True)
class Stack:
    """The parts of a call at one shape.

    ``whole`` is the time of the call in seconds, ``seconds`` what each part that was resolved takes of it, in stacking
    order. ``unknown`` says that what is left of the whole belongs to parts that could not be taken.
    """

    shape: Shape
    whole: float
    parts: dict[str, Part]
    seconds: dict[str, float]
    unknown: bool

    @property
    def rest(self) -> float:
        """Seconds of the whole that no bar stands for."""
        return max(0.0, self.whole - sum(self.seconds.values()))

    @property
    def remarks(self) -> list[str]:
        """What has no bar at this shape, and why, in a few words."""
        return [_remark(part) for name, part in self.parts.items() if name not in self.seconds]


@dataclass(frozen=True)
class Call:
    """One backend's call: its stacks, in the order of work."""

    backend: str
    mode: Mode
    stacks: list[Stack]

    @property
    def label(self) -> str:
        """The backend, and the mode where that is not the usual one."""
        return words.line(CellKey(self.backend, self.stacks[0].shape, self.mode).label)


def calls_of(result: Result) -> list[Call]:
    """Every call that was taken apart, in the order of the run; none where the result has no parts.

    A call that is inside of another, such as ``numpy-cpu:out``, is left out: the other one's bars show it.
    """
    inside = {record.inside for record in result.backends}
    times = {cell.key: cell.seconds.estimate for cell in result.cells if cell.seconds is not None}
    taken: dict[tuple[str, Mode], dict[Shape, list[Part]]] = collections.defaultdict(dict)
    for part in result.parts:
        if part.backend not in inside:
            taken[part.backend, part.mode].setdefault(part.shape, []).append(part)
    calls = [
        Call(backend, mode, [
            _stack(shape, parts, times.get(CellKey(backend, shape, mode)))
            for shape, parts in sorted(shapes.items(), key=lambda item: (item[0].flops, item[0]))
        ])
        for (backend, mode), shapes in taken.items()
    ]  # fmt: skip
    return [call for call in calls if any(stack.seconds for stack in call.stacks)]


def depth(part: str) -> tuple[int, str]:
    """What sorts the names of parts from the innermost outwards."""
    return (ORDER.index(part) if part in ORDER else len(ORDER), part)


def _stack(shape: Shape, parts: Sequence[Part], time: float | None) -> Stack:
    named = {part.part: part for part in sorted(parts, key=lambda part: depth(part.part))}
    seconds = {
        name: part.seconds.estimate
        for name, part in named.items()
        if part.status == "ok" and part.seconds is not None and 0 < part.seconds.estimate < math.inf
    }
    drawn = sum(seconds.values())
    # Noise can make the parts' sum more than the time of the call.
    whole = max(drawn, time) if time is not None and math.isfinite(time) else drawn
    return Stack(shape, whole, named, seconds, any(part.status == "unknown" for part in parts))


def _remark(part: Part) -> str:
    name = words.line(part.part)
    if part.status == "below resolution":
        return f"{name} below {words.duration(part.resolution)}" if part.resolution else f"{name} below resolution"
    if part.status == "inconsistent":
        return f"{name} negative"
    return f"{name} unknown"
