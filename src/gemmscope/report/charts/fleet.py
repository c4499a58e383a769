"""A chart of a fleet: for every shape the speed of each backend, machine below machine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gemmscope.errors import UsageError
from gemmscope.files import write_whole
from gemmscope.records import words
from gemmscope.records.base import CellKey
from gemmscope.report import palette
from gemmscope.report.charts.lines import rounded
from gemmscope.report.charts.scales import round_ticks
from gemmscope.report.charts.theme import LABELS, WIDTH, finished
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from pathlib import Path

    import altair as alt

    from gemmscope.analysis.runs.model import Fleet, FleetCell

TITLE = "float32 matrix multiplication by machine"
_NOTE = "further right is faster; bars are 95 % intervals over sets, cut at the edges"
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
    from gemmscope.report.charts.render import rendered, specification

    if path.suffix not in _SUFFIXES:
        raise UsageError(f"{path}: expected a file that ends in {words.listed(list(_SUFFIXES))}")
    write_whole(path, lambda: rendered(specification(fleet_chart(fleet)), path.suffix))


def fleet_chart(fleet: Fleet) -> alt.TopLevelMixin:
    """GFLOP/s of every backend by machine, one panel a shape, waiting for each call."""
    import altair as alt

    cells = [cell for cell in fleet.cells if cell.mode == "latency" and cell.gflops and math.isfinite(cell.gflops)]
    styles = {
        words.line(name): style
        for name, style in palette.styles((cell.backend, cell.library) for cell in cells).items()
    }
    names = list(styles)
    shapes = sorted({_shape(cell) for cell in cells}, key=lambda shape: (shape.flops, shape))
    rows = {str(shape): [_row(fleet, cell) for cell in cells if _shape(cell) == shape] for shape in shapes}
    legend = alt.Legend(title=None, orient="bottom", columns=4)
    colour = alt.Color("backend:N", legend=legend, scale=alt.Scale(
        domain=names, range=[style.colour for style in styles.values()]))  # fmt: skip
    marker = alt.Shape("backend:N", legend=legend, scale=alt.Scale(
        domain=names, range=[style.marker for style in styles.values()]))  # fmt: skip
    machines = [_label(run.label) for run in fleet.runs]

    def panel(shape: Shape, last: bool) -> Any:
        here = [row["value"] for row in rows[str(shape)]]
        low, high = min(here) / _REACH, max(here) * _REACH
        x: dict[str, Any] = {
            "scale": alt.Scale(type="log", domain=[low, high], nice=False, clamp=True),
            "axis": alt.Axis(values=round_ticks(low, high), labelExpr=LABELS["rate"], grid=True,
                             title="GFLOP/s, logarithmic" if last else None),
        }  # fmt: skip
        base = alt.Chart().encode(
            # Backends of one machine stand a little apart, so that equal ones do not hide each other.
            y=alt.Y("machine:N", sort=machines, title=None, scale=alt.Scale(domain=machines, paddingInner=0.3),
                    axis=alt.Axis(labelColor=palette.INK, grid=False)),
            yOffset=alt.YOffset("backend:N", scale=alt.Scale(domain=names)),
            color=colour,
        )  # fmt: skip
        bars = base.mark_rule(strokeWidth=1.5, strokeOpacity=0.6).encode(x=alt.X("low:Q", **x), x2="high:Q")
        marks = base.mark_point(filled=True, opacity=1, size=45).encode(
            x=alt.X("value:Q", **x), shape=marker,
            tooltip=[alt.Tooltip(f"{field}:N") for field in ("machine", "backend", "shape", "said")],
        )  # fmt: skip
        height = len(machines) * max(2, len(names) + 1) * _ROW
        return alt.layer(bars, marks, data=alt.NamedData(str(shape))).properties(
            width=WIDTH, height=height, title=alt.TitleParams(shape.title, fontSize=13, offset=6)
        )

    panels = [panel(shape, last=shape == shapes[-1]) for shape in shapes]
    finding = f"The speed of {words.count(len(names), 'backend')} on {words.count(len(machines), 'machine')}."
    return finished(alt.vconcat(*panels, spacing=20), TITLE, (_NOTE,), finding, rows)


def _row(fleet: Fleet, cell: FleetCell) -> dict[str, Any]:
    assert cell.gflops
    row: dict[str, Any] = {
        "machine": _label(fleet.runs[cell.run].label), "shape": _shape(cell).title, "value": rounded(cell.gflops),
        "backend": words.line(CellKey(cell.backend, _shape(cell), cell.mode).label), "said": words.rate(cell.gflops),
        "low": rounded(cell.gflops), "high": rounded(cell.gflops),
    }  # fmt: skip
    if cell.seconds.low and cell.seconds.high:
        ends = (cell.gflops * cell.seconds.estimate / bound for bound in (cell.seconds.high, cell.seconds.low))
        row["low"], row["high"] = map(rounded, ends)
    return row


def _shape(cell: FleetCell) -> Shape:
    return Shape(cell.m, cell.n, cell.k)


def _label(label: str) -> str:
    text = words.line(label)
    return text if len(text) <= _MOST_LABEL else "\N{HORIZONTAL ELLIPSIS}" + text[1 - _MOST_LABEL :]
