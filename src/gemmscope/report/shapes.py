"""A run's cells by shape, and the words that every report has for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemmscope.records import words

if TYPE_CHECKING:
    from gemmscope.records.model import Cell, Comparison, Result

# In the order in which a shape's table has them: the device's own time is no call's.
_MODES = ("latency", "throughput", "device")


@dataclass(frozen=True)
class ShapeCells:
    """A shape's cells, sorted by what becomes of them; times are ascending, throughput behind latency.

    ``shape`` is written as in the results file, ``"64x64x64"``.
    """

    shape: str
    timed: list[Cell] = field(default_factory=list)
    lost: list[Cell] = field(default_factory=list)
    floor: list[Cell] = field(default_factory=list)
    comparisons: dict[tuple[str, str], Comparison] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The shape for a reader, ``'64×64×64'``."""
        return with_times(self.shape)

    @property
    def baseline(self) -> str:
        """What the ratios are relative to, or nothing where there are none."""
        return next((words.line(comparison.baseline) for comparison in self.comparisons.values()), "")


def shapes_of(result: Result) -> list[ShapeCells]:
    """All shapes in the order in which they were asked for."""
    idle = {backend.name for backend in result.backends if not backend.multiplies}
    shapes = {text: ShapeCells(text) for text in result.settings.shapes}
    for cell in result.cells:
        shape = shapes.setdefault(shape_of(cell), ShapeCells(shape_of(cell)))
        if cell.status != "ok" or cell.seconds is None:
            shape.lost.append(cell)
        else:
            (shape.floor if cell.backend in idle else shape.timed).append(cell)
    for comparison in result.comparisons:
        if shape_of(comparison) in shapes:
            shapes[shape_of(comparison)].comparisons[comparison.backend, comparison.mode] = comparison
    for shape in shapes.values():
        # A NaN compares with nothing: it would leave the order to chance.
        shape.timed.sort(key=lambda cell: (_MODES.index(cell.mode), not math.isfinite(median(cell)), median(cell)))
    return list(shapes.values())


def verdict_of(cell: Cell, comparison: Comparison | None, baseline: str) -> str:
    """The verdict of a comparison; ``'baseline'`` for what the others are compared with."""
    if comparison is not None:
        return comparison.verdict
    return "baseline" if cell.mode == "latency" and words.line(cell.backend) == baseline else ""


def label(cell: Cell) -> str:
    """The backend, and how it was waited for where that is not the usual way."""
    name = words.line(cell.backend)
    return name if cell.mode == "latency" else f"{name}, throughput"


def lost_word(cell: Cell) -> str:
    """What became of a cell without a time."""
    return "not measured" if cell.status == "ok" else cell.status


def error_words(cell: Cell) -> str:
    """The relative error, with the precision where that is reduced."""
    if cell.relative_error is None:
        return ""
    reduced = f" {cell.precision}" if cell.precision not in (None, "float32") else ""
    return words.error(cell.relative_error) + reduced


def median(cell: Cell) -> float:
    """The seconds of one product; infinity where none was timed."""
    return cell.seconds.estimate if cell.seconds is not None else float("inf")


def shape_of(record: Cell | Comparison) -> str:
    """The shape as in the settings, ``'64x64x64'``."""
    return f"{record.m}x{record.n}x{record.k}"


def with_times(shape: str) -> str:
    """A shape for a reader, ``'64×64×64'``."""
    return words.line(shape).replace("x", words.TIMES)
