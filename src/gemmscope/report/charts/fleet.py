"""A chart of a fleet: for every shape the speed of each backend, machine below machine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gemmscope.errors import UsageError
from gemmscope.files import write_whole
from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.charts.picture import Picture
from gemmscope.report.charts.render import rendered
from gemmscope.report.charts.theme import WIDTH, logarithmic, rounded, styled, tooltip
from gemmscope.workload.shapes import by_work

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmscope.analysis.runs.model import Fleet, FleetCell

_SUFFIXES = (".svg", ".png", ".pdf")
# An interval of two sets can span twenty decades; the axis is for the speeds themselves.
_REACH = 2.0
_MOST_LABEL = 40
_ROW = 10


def draw_fleet(fleet: Fleet, path: Path) -> None:
    """Draws into a file; its suffix says how.

    Raises:
        UsageError: If the suffix is unknown, or the file cannot be written.
    """
    if path.suffix not in _SUFFIXES:
        raise UsageError(f"{path}: expected a file that ends in {words.listed(list(_SUFFIXES))}")
    write_whole(path, lambda: rendered(fleet_picture(fleet).json, path.suffix))


def fleet_picture(fleet: Fleet) -> Picture:
    """GFLOP/s of every backend by machine, one panel a shape, waiting for each call."""
    cells = [cell for cell in fleet.cells if cell.mode == "latency" and cell.gflops and math.isfinite(cell.gflops)]
    styles = {
        words.line(name): style
        for name, style in palette.styles((cell.backend, cell.library) for cell in cells).items()
    }
    machines = [_label(run.label) for run in fleet.runs]
    shapes = by_work(cell.shape for cell in cells)
    rows = {
        str(shape): [_row(cell, machines[cell.run]) for cell in cells if cell.shape == shape] for shape in shapes
    }  # fmt: skip
    titles = [None] * (len(shapes) - 1) + ["GFLOP/s, logarithmic"]
    panels = [
        {
            "data": {"name": str(shape)}, "width": WIDTH, "height": len(machines) * max(2, len(styles) + 1) * _ROW,
            "title": {"text": shape.title, "fontSize": 13, "offset": 6},
            "layer": _layers(rows[str(shape)], machines, styles, title),
        }
        for shape, title in zip(shapes, titles, strict=False)
    ]  # fmt: skip
    return Picture(
        title="float32 matrix multiplication by machine",
        note="further right is faster; bars are 95 % intervals over batches of fresh processes, cut at the edges",
        finding=f"The speed of {words.count(len(styles), 'backend')} on {words.count(len(machines), 'machine')}.",
        view={"vconcat": panels, "spacing": 20},
        data=rows,
    )


def _layers(
    rows: Sequence[dict[str, Any]], machines: list[str], styles: dict[str, palette.Style], title: str | None
) -> list[dict[str, Any]]:
    speeds = [row["value"] for row in rows]
    along = logarithmic(min(speeds) / _REACH, max(speeds) * _REACH, "rate", title, grid=True)
    look = styled("backend", styles, {"title": None, "orient": "bottom", "columns": 4})
    base = {
        "y": {
            "field": "machine", "type": "nominal", "sort": machines, "title": None,
            "scale": {"domain": machines, "paddingInner": 0.3}, "axis": {"labelColor": palette.INK, "grid": False},
        },
        # Backends of one machine stand a little apart, so that equal ones do not hide each other.
        "yOffset": {"field": "backend", "type": "nominal", "scale": {"domain": list(styles)}},
        "color": look["color"],
    }  # fmt: skip
    bars = {
        "mark": {"type": "rule", "strokeWidth": 1.5, "strokeOpacity": 0.6},
        "encoding": base | {"x": {"field": "low", **along}, "x2": {"field": "high"}},
    }
    marks = {
        "mark": {"type": "point", "filled": True, "opacity": 1, "size": 45},
        "encoding": base | {
            "x": {"field": "value", **along}, "shape": look["shape"],
            "tooltip": tooltip(machine="machine", backend="backend", shape="shape", said="said"),
        },
    }  # fmt: skip
    return [bars, marks]


def _row(cell: FleetCell, machine: str) -> dict[str, Any]:
    assert cell.gflops
    low = high = cell.gflops
    if cell.seconds.low and cell.seconds.high:
        low, high = (cell.gflops * cell.seconds.estimate / bound for bound in (cell.seconds.high, cell.seconds.low))
    return {
        "machine": machine, "shape": cell.shape.title, "backend": words.line(cell.key.label),
        "value": rounded(cell.gflops), "low": rounded(low), "high": rounded(high), "said": words.rate(cell.gflops),
    }  # fmt: skip


def _label(label: str) -> str:
    text = words.line(label)
    return text if len(text) <= _MOST_LABEL else "\N{HORIZONTAL ELLIPSIS}" + text[1 - _MOST_LABEL :]
