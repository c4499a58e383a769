"""Charts of a fleet: how far its members lie from their peers, and the speed of each backend on each machine."""

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
from gemmscope.report.rows.fleet import MOST_TABULATED
from gemmscope.workload.shapes import by_work

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmscope.analysis.runs.model import Deviation, Fleet, FleetCell
    from gemmscope.records.base import CellKey

_SUFFIXES = (".svg", ".png", ".pdf")
# An interval of two sets can span twenty decades; the axis is for the speeds themselves.
_REACH = 2.0
_MOST_LABEL = 40
_ROW = 10
_MEMBER_ROW = 18
_DISTRIBUTION_HEIGHT = 240
# Of more members the names would be a wall.
_MOST_NAMED = 40
_MOST_LABELS = 8
_LABEL_HEIGHT = 15
_MOST_DOTS, _ENDS = 250, 50
_MOST_PANELS = 4
_SLOW = "#a40e26"


def draw_fleet(fleet: Fleet, path: Path) -> None:
    """Draws into a file; its suffix says how. Of many machines it draws their distribution, not the speed of each.

    Raises:
        UsageError: If the suffix is unknown, or the file cannot be written.
    """
    if path.suffix not in _SUFFIXES:
        raise UsageError(f"{path}: expected a file that ends in {words.listed(list(_SUFFIXES))}")
    write_whole(path, lambda: rendered(picture(fleet).json, path.suffix))


def picture(fleet: Fleet) -> Picture:
    """The speed of each machine, or, of many or of devices, how far each is from its peers."""
    many = len(fleet.runs) > MOST_TABULATED or not fleet.cells
    return deviations_picture(fleet) if many and fleet.deviations else fleet_picture(fleet)


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


def deviations_picture(fleet: Fleet) -> Picture:
    """Every member's deviation from its peers, the slowest first, with its interval: one panel a cell.

    Those that are shown to be slower have another colour, and their names. Of a large fleet the others are dots without
    names: its distribution.
    """
    cells: dict[CellKey, list[Deviation]] = {}
    for one in fleet.deviations:
        cells.setdefault(one.key, []).append(one)
    # First those in which somebody is slow.
    slow = {key: sum(one.verdict == "slower" for one in those) for key, those in cells.items()}
    keys = sorted(cells, key=lambda key: -slow[key])[:_MOST_PANELS]
    data = {key.label + " " + str(key.shape): _deviation_rows(fleet, cells[key]) for key in keys}
    panels = [
        _deviations_panel(name, f"{words.line(key.label)} at {key.shape.full_title}", data[name], fleet.margin)
        for name, key in zip(data, keys, strict=True)
    ]
    count = len(fleet.stragglers)
    return Picture(
        title="Time against the median of the peers",
        note="bars are intervals that hold for all at once; dashed lines are the smallest difference worth naming",
        finding=f"{words.count(len(fleet.members), 'member')} of a fleet by their deviation from their peers; "
        f"{count} shown to be slower.",
        view={"vconcat": panels, "spacing": 24},
        data=data,
    )


def _deviation_rows(fleet: Fleet, those: Sequence[Deviation]) -> list[dict[str, Any]]:
    ordered = sorted(those, key=lambda one: -one.ratio.estimate)
    rows: list[dict[str, Any]] = []
    every = max(1, len(ordered) // _MOST_DOTS)
    for place, one in enumerate(ordered):
        # Between the ends of a large fleet's distribution not every dot is drawn: they are nearer than a pixel.
        is_end = place < _ENDS or place >= len(ordered) - _ENDS
        if not is_end and one.verdict != "slower" and place % every:
            continue
        low, high = one.ratio.low or one.ratio.estimate, one.ratio.high or one.ratio.estimate
        rows.append({
            "place": place + 1, "member": _label(fleet.members[one.member].label),
            "value": rounded(100 * (one.ratio.estimate - 1)), "low": rounded(100 * (low - 1)),
            "high": rounded(100 * (high - 1)), "verdict": "slower" if one.verdict == "slower" else "not slower",
        })  # fmt: skip
    return rows


def _deviations_panel(name: str, title: str, rows: Sequence[dict[str, Any]], margin: float) -> dict[str, Any]:
    few = len(rows) <= _MOST_NAMED
    reach = max(100 * margin * 1.5, *(abs(row["value"]) * 1.25 for row in rows))
    along = {
        "type": "quantitative", "title": "percent slower (above 0) or faster (below)",
        "scale": {"domain": [-reach, reach], "clamp": True, "nice": False},
    }  # fmt: skip
    members = [row["member"] for row in rows]
    across: dict[str, Any] = (
        {"field": "member", "type": "nominal", "sort": members, "title": None, "axis": {"labelColor": palette.INK}}
        if few
        else {"field": "place", "type": "quantitative", "title": "members, the slowest first",
              "scale": {"domain": [0, rows[-1]["place"] + 1], "nice": False}}
    )  # fmt: skip
    value, place = ("x", "y") if few else ("y", "x")
    colour = {
        "field": "verdict", "type": "nominal", "legend": None,
        "scale": {"domain": ["slower", "not slower"], "range": [_SLOW, palette.FAINT]},
    }  # fmt: skip
    base = {place: across, "color": colour}
    # A thousand intervals would be a grey band, and most of the page.
    those = {} if few else {"transform": [{"filter": "datum.verdict == 'slower'"}]}
    layers: list[dict[str, Any]] = [
        {**those, "mark": {"type": "rule", "strokeOpacity": 0.7},
         "encoding": base | {value: {"field": "low", **along}, f"{value}2": {"field": "high"}}},
        {"mark": {"type": "point", "filled": True, "opacity": 1, "size": 45 if few else 12},
         "encoding": base | {value: {"field": "value", **along},
                             "tooltip": tooltip(member="member", value="percent")}},
        *(
            {"data": {"values": [{"at": at}]}, "mark": {"type": "rule", "color": palette.GREY, "strokeDash": dashes},
             "encoding": {value: {"field": "at", **along}}}
            for at, dashes in ((0, [1, 0]), (100 * margin, [4, 3]), (-100 * margin, [4, 3]))
        ),
    ]  # fmt: skip
    if not few:
        layers.append({
            # One below the other, whatever the values: those of the slowest are close together.
            "transform": [
                {"filter": f"datum.verdict == 'slower' && datum.place <= {_MOST_LABELS}"},
                {"calculate": "datum.member + '  +' + format(datum.value, '.1f') + ' %'", "as": "label"},
                {"calculate": f"{reach} * (1 - datum.place * {2 * _LABEL_HEIGHT / _DISTRIBUTION_HEIGHT})", "as": "at"},
            ],
            "mark": {"type": "text", "align": "left", "dx": 24, "color": palette.INK, "fontSize": 11},
            "encoding": {"x": across, "y": {"field": "at", **along}, "text": {"field": "label", "type": "nominal"}},
        })  # fmt: skip
    return {
        "data": {"name": name}, "width": WIDTH, "height": len(rows) * _MEMBER_ROW if few else _DISTRIBUTION_HEIGHT,
        "title": {"text": title, "fontSize": 13, "offset": 6}, "layer": layers,
    }  # fmt: skip


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
