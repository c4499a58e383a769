"""A run as the rules look at it: cells by name, any two of them compared, and text for figures."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis import statistics
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.records.base import Interval, Mode
    from gemmscope.records.model import BackendRecord, Cell, Part, Result, Verdict


class Duel(NamedTuple):
    """Two backends at one shape: the ratio of the first one's time to the second one's, and what it says."""

    one: str
    other: str
    shape: Shape
    ratio: Interval
    verdict: Verdict
    probability: float


class View:
    """Looks a run's records up by name and shape.

    Args:
        result: The run; its findings are not looked at.
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        self.backends: dict[str, BackendRecord] = {record.name: record for record in result.backends}
        self._cells = {(cell.backend, shape_of(cell), cell.mode): cell for cell in result.cells}
        self._parts: dict[tuple[str, Shape], list[Part]] = {}
        for part in result.parts:
            self._parts.setdefault((part.backend, shape_of(part)), []).append(part)

    @functools.cached_property
    def shapes(self) -> list[Shape]:
        """All shapes that something was measured at, from the least work to the most."""
        return sorted({shape_of(cell) for cell in self.result.cells}, key=lambda shape: (shape.flops, shape))

    @property
    def squares(self) -> list[Shape]:
        """Those with M = N = K, by size."""
        return [shape for shape in self.shapes if shape.m == shape.n == shape.k]

    def cell(self, backend: str, shape: Shape, mode: Mode = "latency") -> Cell | None:
        """A cell that was measured, or None."""
        cell = self._cells.get((backend, shape, mode))
        return cell if cell is not None and cell.status == "ok" and cell.seconds is not None else None

    def seconds(self, backend: str, shape: Shape) -> float | None:
        """The median time of one product, or None."""
        cell = self.cell(backend, shape)
        return None if cell is None or cell.seconds is None else cell.seconds.estimate

    def parts(self, backend: str, shape: Shape) -> dict[str, Part]:
        """The parts of a call, by name."""
        return {part.part: part for part in self._parts.get((backend, shape), ())}

    def duel(self, one: str, other: str, shape: Shape) -> Duel | None:
        """Two backends against each other, paired inside rounds; None where they were not measured together."""
        first, second = self.cell(one, shape), self.cell(other, shape)
        if first is None or second is None:
            return None
        ratios, _ = statistics.set_ratios(first.samples, second.samples)
        if not ratios:
            return None
        margin = self.result.settings.margin
        ratio = statistics.ratio_interval(list(ratios.values()))
        logs = [math.log(value) for value in ratios.values()]
        probability = statistics.verdict_probability(logs, margin)
        return Duel(one, other, shape, ratio, statistics.verdict(ratio, margin), probability)

    def duels(self, pairs: Iterable[tuple[str, str]], shapes: Iterable[Shape]) -> list[Duel]:
        """Several duels, whose verdicts hold when all are taken together (Holm's method)."""
        asked = list(pairs)
        found = [duel for shape in shapes for one, other in asked if (duel := self.duel(one, other, shape))]
        return corrected(found)

    def why_absent(self, backend: str) -> str:
        """Why there is no figure of a backend."""
        record = self.backends.get(backend)
        if record is None:
            return f"{backend} was not asked for"
        if record.status != "ok":
            return f"{backend} is {record.status}: {record.reason}"
        return f"{backend} was measured at no shape that this needs"


def corrected(duels: Sequence[Duel]) -> list[Duel]:
    """The duels with "unclear" for the verdicts that do not hold when all are taken together."""
    held = statistics.holm([duel.probability for duel in duels], statistics.VERDICT_LEVEL)
    return [duel if holds else duel._replace(verdict="unclear") for duel, holds in zip(duels, held, strict=True)]


def shape_of(record: Cell | Part) -> Shape:
    """The shape of a record."""
    return Shape(record.m, record.n, record.k)


def title(shape: Shape) -> str:
    """A square by its size, another shape as M×N×K."""
    return str(shape.m) if shape.m == shape.n == shape.k else f"{shape.m}×{shape.n}×{shape.k}"


def listed(shapes: Sequence[Shape]) -> str:
    """Shapes in a sentence: ``"64"``, ``"64 and 256"``, ``"64, 256 and 1024"``."""
    names = [title(shape) for shape in shapes]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
