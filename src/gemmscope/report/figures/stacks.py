"""The parts of a call by shape: which share is the kernel, the runtime, the binding, the allocation.

A part that could not be told from zero, or that came out negative, has no bar and is named in words instead: a bar
would claim more than was measured.
"""

from __future__ import annotations

import collections
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.figures.series import Shape, multiplying

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.model import Part, Result

TITLE = "Where the time of a call goes"
ABSOLUTE, SHARE = "Time", "Share of the call"

# From the innermost outwards, which is how they are stacked.
ORDER = ("kernel", "device", "runtime", "binding", "allocation", "launch", "copies")


@dataclass(frozen=True)
class Stack:
    """The parts of a call at one shape.

    ``whole`` is the time of the call. ``heights`` are the seconds of the parts that were resolved, in stacking order.
    ``unknown`` says that what is left of the whole belongs to parts that could not be taken.
    """

    shape: Shape
    whole: float
    parts: dict[str, Part]
    heights: dict[str, float]
    unknown: bool

    @property
    def rest(self) -> float:
        """Seconds of the whole that no bar stands for."""
        return max(0.0, self.whole - sum(self.heights.values()))


@dataclass(frozen=True)
class Call:
    """One backend's call: its stacks in the order of work, and a colour for every part."""

    backend: str
    mode: str
    stacks: list[Stack]
    colours: dict[str, str]

    @property
    def label(self) -> str:
        """The backend, and how it was waited for where that is not the usual way."""
        name = words.line(self.backend)
        return name if self.mode == "latency" else f"{name}, {self.mode}"


def calls_of(result: Result) -> list[Call]:
    """Every call that was taken apart, in the order of the run; none where the result has no parts.

    A call that is inside of another, such as ``numpy-cpu:out``, is left out: the other one's bars show it.
    """
    inside = {record.inside for record in result.backends}
    libraries = multiplying(result)
    times: dict[tuple[str, str, Shape], float] = {
        (cell.backend, cell.mode, Shape(cell.m, cell.n, cell.k)): cell.seconds.estimate
        for cell in result.cells
        if cell.seconds is not None
    }
    taken: dict[tuple[str, str], dict[Shape, list[Part]]] = collections.defaultdict(dict)
    for part in result.parts:
        if part.backend in inside:
            continue
        taken[part.backend, part.mode].setdefault(Shape(part.m, part.n, part.k), []).append(part)
    calls: list[Call] = []
    for (backend, mode), shapes in taken.items():
        stacks = [
            _stack(shape, parts, times.get((backend, mode, shape)))
            for shape, parts in sorted(shapes.items(), key=lambda item: (item[0].flops, item[0]))
        ]
        if any(stack.heights for stack in stacks):
            library = libraries.get(backend, backend.partition("-")[0])
            names = sorted({name for stack in stacks for name in stack.parts}, key=_depth)
            colours = {name: palette.tint(library, position) for position, name in enumerate(names)}
            calls.append(Call(backend, mode, stacks, colours))
    return calls


def floor_of(call: Call) -> float:
    """Where a logarithmic axis of the call's seconds begins: below the smallest bar, which is then still to be seen."""
    innermost = [next(iter(stack.heights.values())) for stack in call.stacks if stack.heights]
    return min(innermost) / 2


def not_drawn(call: Call) -> list[str]:
    """What the bars leave out, and why: one sentence for each part and reason."""
    missing: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for stack in call.stacks:
        for name, part in sorted(stack.parts.items(), key=lambda item: _depth(item[0])):
            if name not in stack.heights:
                missing[name, part.status].append(_at(stack.shape) + _resolution(part))
    sentences = {
        "below resolution": "{part} is below resolution at {shapes}",
        "inconsistent": "{part} came out negative, which is inconsistent, at {shapes}",
    }
    return [
        sentences.get(status, "{part} is unknown at {shapes}").format(
            part=words.line(part), shapes=words.listed(shapes, 6)
        )
        for (part, status), shapes in missing.items()
    ]


def _stack(shape: Shape, parts: Sequence[Part], time: float | None) -> Stack:
    named = {part.part: part for part in sorted(parts, key=lambda part: _depth(part.part))}
    heights = {
        name: part.seconds.estimate
        for name, part in named.items()
        if part.status == "ok" and part.seconds is not None and 0 < part.seconds.estimate < math.inf
    }
    drawn = sum(heights.values())
    whole = max(drawn, time) if time is not None and math.isfinite(time) else drawn
    return Stack(shape, whole, named, heights, any(part.status == "unknown" for part in parts))


def _depth(part: str) -> tuple[int, str]:
    return (ORDER.index(part) if part in ORDER else len(ORDER), part)


def _at(shape: Shape) -> str:
    return str(shape.n) if shape.is_square else str(shape)


def _resolution(part: Part) -> str:
    return "" if part.resolution is None else f" (< {words.duration(part.resolution)})"
