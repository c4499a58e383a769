"""A run as a report: all that is said of it, worked out once and handed to whatever prints it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.view import View
from gemmscope.errors import UsageError
from gemmscope.records import words
from gemmscope.report import ranking, trust
from gemmscope.report.rows.calls import calls_table
from gemmscope.report.rows.cells import cell_rows, shape_table
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.model import Result
    from gemmscope.report.rows.calls import CallRow
    from gemmscope.report.rows.cells import CellRow
    from gemmscope.report.rows.model import Table
    from gemmscope.report.trust import Missing


class Lost(NamedTuple):
    """A cell that has no time: what became of it, and why."""

    label: str
    status: str
    reason: str

    @property
    def text(self) -> str:
        """It in a line."""
        return f"{self.label} {self.status}: {self.reason}"


@dataclass(frozen=True)
class ShapeReport:
    """What is said of a shape.

    Args:
        shape: The shape.
        table: Its cells that have a time; None where there is none.
        ranking: Which call is the fastest, as far as that is settled.
        lost: Its cells that have no time.
    """

    shape: Shape
    table: Table[CellRow] | None
    ranking: str
    lost: list[Lost]


class Report:
    """What is said of a run.

    Args:
        result: The run, with all its figures.
    """

    def __init__(self, result: Result) -> None:
        self.view = View(result)
        self.result = result
        self.rows: list[CellRow] = cell_rows(self.view)
        self.machine: list[str] = trust.machine_facts(result.machine)
        self.cut_off: str = trust.cut_off(result)
        self.missing: list[Missing] = trust.missing(result)
        self.steadiness: list[str] = [text for text in (trust.reference(result), trust.time_spent(result)) if text]

    @functools.cached_property
    def shapes(self) -> list[ShapeReport]:
        """All shapes in the order in which they were asked for."""
        rows: dict[Shape, list[CellRow]] = {shape: [] for shape in self._asked}
        for row in self.rows:
            rows.setdefault(row.key.shape, []).append(row)
        return [self._shape(shape, found) for shape, found in rows.items()]

    @functools.cached_property
    def calls(self) -> Table[CallRow] | None:
        """Where the time of calls goes; None where no call was taken apart."""
        return calls_table(self.view)

    @property
    def _asked(self) -> Sequence[Shape]:
        return [shape for text in self.result.settings.shapes if (shape := _shape_of(text)) is not None]

    def _shape(self, shape: Shape, rows: Sequence[CellRow]) -> ShapeReport:
        timed = [row for row in rows if row.is_timed]
        return ShapeReport(
            shape=shape,
            table=shape_table(shape, timed, self.view) if timed else None,
            ranking=ranking.sentence(self.view.rankings.get(shape), self.view),
            lost=[_lost(row) for row in rows if not row.is_timed],
        )


def _shape_of(text: str) -> Shape | None:
    try:
        return Shape.parse(text)
    except UsageError:
        return None  # from a file that no run has written


def _lost(row: CellRow) -> Lost:
    before = "" if row.seconds is None else f" ({words.duration(row.seconds)} before that)"
    status = "not measured" if row.status == "ok" else row.status
    return Lost(row.key.label, status, (words.line(row.reason) or "no reason is known") + before)
