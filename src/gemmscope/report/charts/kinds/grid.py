"""Frameworks by BLAS libraries as a heat map, a panel a shape: the stronger the colour, the longer a call takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmscope.analysis.grid import grid_of
from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.charts.lines import HIDDEN
from gemmscope.report.charts.picture import ChartKind, NoDataError, Picture
from gemmscope.report.charts.theme import rounded, tooltip
from gemmscope.report.rows.grid import TITLE, grid_rows, library_name

if TYPE_CHECKING:
    from gemmscope.analysis.grid import Grid
    from gemmscope.report.charts.data import RunData
    from gemmscope.report.rows.grid import GridRow
    from gemmscope.workload.shapes import Shape

_NOTE = (
    "down a column only the framework changes, along a row only the BLAS; the stronger the colour, the longer a call "
    "takes, relative to the fastest at that shape"
)
_CELL_WIDTH, _CELL_HEIGHT = 116, 42
# From here on a cell's colour is so dark that its text must be light.
_DARK = 12.0
_MOST = 64.0


def _make(data: RunData) -> Picture:
    grid = grid_of(data.view)
    if grid is None:
        raise NoDataError("this run has no grid of frameworks and BLAS libraries: gemmscope run --grid measures one")
    found = {shape: grid_rows(grid, data.view, shape) for shape in data.view.shapes}
    tables = {shape: rows for shape, rows in found.items() if rows}
    if not tables:
        raise NoDataError("nothing of this run's grid was measured: the tables say why")
    cells = [cell for shape, rows in tables.items() for row in rows for cell in _cells(shape, row)]
    return Picture(
        title=TITLE, subtitle=data.machine, note=_NOTE,
        finding=" ".join(data.found("blas-or-framework")) or f"The times of {words.count(len(cells), 'combination')}.",
        view=_view(grid, list(tables)),
        data={"grid": cells},
        columns=("framework", "BLAS", "shape", "time", "relative to the fastest"),
        rows=[(c["framework"], c["library"], c["shape"], c["time"], c["times"]) for c in cells],
    )  # fmt: skip


def _cells(shape: Shape, row: GridRow) -> list[dict[str, Any]]:
    return [
        {
            "framework": words.line(row.backend), "library": words.line(library_name(library)), "shape": shape.title,
            "relative": rounded(min(one.relative, _MOST)), "time": words.duration(one.seconds),
            "times": words.speedup(one.relative),
        }
        for library, one in row.combinations.items()
    ]  # fmt: skip


def _view(grid: Grid, shapes: list[Shape]) -> dict[str, Any]:
    axis = {"labelColor": palette.INK, "grid": False, "domain": False, "ticks": False}
    # Small enough for a phone, where six names stand side by side.
    above = {**axis, "orient": "top", "labelAngle": 0, "labelFontSize": 10.5}
    places = {
        "x": {
            "field": "library", "type": "nominal", "title": "BLAS", "axis": above,
            "sort": [words.line(library_name(library)) for library in grid.libraries],
        },
        "y": {
            "field": "framework", "type": "nominal", "title": None, "axis": axis,
            "sort": [words.line(row) for row in grid.frameworks],
        },
    }  # fmt: skip
    squares = {
        "mark": {"type": "rect", "stroke": palette.PAGE, "strokeWidth": 2},
        "encoding": {
            **places,
            "color": {
                "field": "relative", "type": "quantitative",
                "scale": {"type": "log", "domain": [1, _MOST], "range": list(palette.HEAT), "clamp": True},
                "legend": None,
            },
            "tooltip": tooltip(framework="framework", library="BLAS", shape="shape", time="time", times="relative"),
        },
    }  # fmt: skip

    def text(field: str, dy: int, size: float) -> dict[str, Any]:
        dark = {"test": f"datum.relative > {_DARK}", "value": palette.PAGE}
        return {
            "mark": {"type": "text", "dy": dy, "fontSize": size},
            "encoding": {
                **places,
                "text": {"field": field, "type": "nominal"},
                "color": {"condition": dark, "value": palette.INK},
            },
        }

    return {
        "data": {"name": "grid"}, "columns": 1, "spacing": 18, "params": [HIDDEN],
        "facet": {
            "field": "shape", "type": "nominal", "sort": [shape.title for shape in shapes], "title": None,
            "header": {"labelAnchor": "start", "labelPadding": 4},
        },
        "spec": {
            "width": {"step": _CELL_WIDTH}, "height": {"step": _CELL_HEIGHT},
            "layer": [squares, text("time", -6, 12), text("times", 9, 10.5)],
        },
    }  # fmt: skip


CHART = ChartKind(5, TITLE, _make, optional=True)
