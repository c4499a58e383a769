"""A run as a report: all that is said of it, worked out once and handed to whatever prints it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.view import View
from gemmscope.errors import UsageError
from gemmscope.records import words
from gemmscope.report import trust
from gemmscope.report.rows.calls import calls_table
from gemmscope.report.rows.cells import cell_rows, shape_table
from gemmscope.report.rows.grid import grid_tables
from gemmscope.report.rows.overview import overview
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.ranking import Ranking
    from gemmscope.records.model import Result
    from gemmscope.report.rows.calls import CallRow
    from gemmscope.report.rows.cells import CellRow
    from gemmscope.report.rows.grid import GridRow
    from gemmscope.report.rows.model import Table
    from gemmscope.report.rows.overview import OverviewRow
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


class ShapeReport(NamedTuple):
    """What is said of a shape: ``table`` is of its cells that have a time, if any; ``lost`` are those without one."""

    shape: Shape
    table: Table[CellRow] | None
    ranking: str
    lost: list[Lost]


class Report:
    """What is said of a run, from all its figures."""

    def __init__(self, result: Result) -> None:
        self.view = View(result)
        self.result = result = self.view.result
        self.rows: list[CellRow] = cell_rows(self.view)
        self.machine: list[str] = trust.machine_facts(result.machine)
        self.cut_off: str = trust.cut_off(result)
        self.missing: list[Missing] = trust.missing(result)
        said = (
            trust.reference(result), trust.rules(result), trust.carried_over(result), trust.time_spent(result),
        )  # fmt: skip
        self.steadiness: list[str] = [text for text in said if text]

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

    @functools.cached_property
    def overview(self) -> Table[OverviewRow] | None:
        """All shapes at a glance; None where nothing was ranked."""
        return overview(self.view)

    @functools.cached_property
    def grids(self) -> dict[Shape, Table[GridRow]]:
        """Frameworks by BLAS libraries, by shape; none where the run has no grid."""
        return grid_tables(self.view)

    @property
    def _asked(self) -> Sequence[Shape]:
        return [shape for text in self.result.settings.shapes if (shape := _shape_of(text)) is not None]

    def _shape(self, shape: Shape, rows: Sequence[CellRow]) -> ShapeReport:
        timed = [row for row in rows if row.is_timed]
        table = shape_table(shape, timed, self.view) if timed else None
        lost = [_lost(row) for row in rows if not row.is_timed]
        return ShapeReport(shape, table, _ranked(self.view.rankings.get(shape), self.view), lost)


def _shape_of(text: str) -> Shape | None:
    try:
        return Shape.parse(text)
    except UsageError:
        return None  # from a file that no run has written


def _lost(row: CellRow) -> Lost:
    before = "" if row.seconds is None else f" ({words.duration(row.seconds)} before that)"
    status = "not measured" if row.status == "ok" else row.status
    return Lost(row.key.label, status, (words.line(row.reason) or "no reason is known") + before)


def _ranked(ranking: Ranking | None, view: View) -> str:
    """Which call is the fastest at a shape, as far as that is settled, and what is not ranked."""
    if ranking is None:
        return "Nothing can be ranked here."
    said = [_fastest(ranking, view)]
    if ranking.reduced:
        cells = [(name, view.cell(name, ranking.shape)) for name in ranking.reduced]
        named = [f"{name} ({cell.precision})" for name, cell in cells if cell is not None]
        said.append(f"Not ranked, because of reduced precision: {words.listed(named)}.")
    if ranking.impossible:
        said.append(f"Not ranked, because no call can take that time: {words.listed(ranking.impossible)}.")
    return " ".join(said)


def _fastest(ranking: Ranking, view: View) -> str:
    if not ranking.ranked:
        return "Nothing can be ranked here."
    first, *others = ranking.ranked
    named = f"{first}, {words.duration(view.seconds(first, ranking.shape) or 0.0)}"
    if not others:
        return f"Only one to rank: {named}."
    ahead = f"{words.speedup(_ahead(ranking, view))} as fast as the second, {others[0]}"
    if ranking.comparisons and not ranking.has_intervals:
        return (
            f"Fastest: {named}; {ahead}. "
            "One batch of fresh processes has no interval, so the order is not settled."
        )  # fmt: skip
    said = [] if others[0] in ranking.tied else [ahead]
    if ranking.tied:
        said.append(f"tied with {words.listed(ranking.tied)}")
    return f"Fastest: {named}; {'; '.join(said)}."


def _ahead(ranking: Ranking, view: View) -> float:
    """How many times as fast the first is as the second: by their paired ratio where there is one."""
    first, second = ranking.ranked[:2]
    comparison = ranking.comparisons.get(second)
    if comparison is not None and comparison.ratio.estimate:
        return 1 / comparison.ratio.estimate
    return (view.seconds(second, ranking.shape) or 0.0) / (view.seconds(first, ranking.shape) or 1.0)
