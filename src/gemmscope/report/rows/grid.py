"""Frameworks by BLAS libraries at a shape, as a table: a row for every framework, a column for every BLAS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.grid import OWN, grid_of
from gemmscope.records import words
from gemmscope.report.rows.model import Column, Group, Table

if TYPE_CHECKING:
    from gemmscope.analysis.grid import Grid
    from gemmscope.analysis.view import View
    from gemmscope.report.rows.model import Tone
    from gemmscope.workload.shapes import Shape

TITLE = "Frameworks by BLAS libraries"
NOTE = (
    "Down a column the framework varies, along a row the BLAS. In brackets stands how many times as long a call takes "
    "as with the fastest combination at that shape."
)
_NEAR, _FAR = 1.1, 2.0


class Combination(NamedTuple):
    """One framework on one BLAS: the time of a call in seconds, and relative to the fastest combination."""

    seconds: float
    relative: float

    @property
    def text(self) -> str:
        """It in a few words."""
        return f"{words.duration(self.seconds)} ({self.relative:.{0 if self.relative >= 10 else 1}f}{words.TIMES})"

    @property
    def tone(self) -> Tone:
        """How far it is behind."""
        return "good" if self.relative < _NEAR else "bad" if self.relative >= _FAR else ""


@dataclass(frozen=True)
class GridRow:
    """One framework, by BLAS."""

    backend: str
    combinations: dict[str, Combination]


def library_name(library: str) -> str:
    """What a column is called."""
    return "its own" if library == OWN else library


def grid_rows(grid: Grid, view: View, shape: Shape) -> list[GridRow]:
    """The rows of a shape; none where nothing was measured."""
    seconds = {
        place: cell.seconds.estimate
        for place, cell in grid.cells(view, shape).items()
        if cell.seconds is not None and cell.seconds.estimate > 0
    }
    best = min(seconds.values(), default=1.0)
    rows = [
        GridRow(row, {
            library: Combination(seconds[row, library], seconds[row, library] / best)
            for library in grid.libraries if (row, library) in seconds
        })
        for row in grid.frameworks
    ]  # fmt: skip
    return [row for row in rows if row.combinations]


def grid_tables(view: View) -> dict[Shape, Table[GridRow]]:
    """A table for every shape; none where the run has no grid."""
    grid = grid_of(view)
    if grid is None:
        return {}
    tables = {shape: grid_rows(grid, view, shape) for shape in view.shapes}
    return {
        shape: Table("grid", f"{TITLE} at {shape.full_title}", _columns(grid), [Group("", rows)])
        for shape, rows in tables.items()
        if rows
    }


def _columns(grid: Grid) -> list[Column[GridRow]]:
    return [
        Column("framework", "framework", lambda row: row.backend),
        *(_column(library, len(grid.libraries) - place) for place, library in enumerate(grid.libraries)),
    ]


def _column(library: str, drop: int) -> Column[GridRow]:
    def of(row: GridRow) -> Combination | None:
        return row.combinations.get(library)

    def tone(row: GridRow) -> Tone:
        found = of(row)
        return found.tone if found else ""

    name = library_name(library)
    return Column(name, name, of, lambda one: one.text, right=True, drop=drop, tone=tone)
