"""Lines by shape, declared in Vega-Lite: intervals as bands, and a name, a dash and a marker for every line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.charts.data import points_of, shapes_in
from gemmscope.report.charts.theme import HEIGHT, WIDTH, logarithmic, rounded, styled, tooltip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmscope.report.charts.data import Point, Series
    from gemmscope.workload.shapes import Shape

# The backends that a reader has hidden: the page's script fills it.
HIDDEN = {"name": "hidden", "value": []}
SHOWN = [{"filter": "indexof(hidden, datum.backend) < 0"}]
_BAND = 0.08
_FADED = 0.12
# A name of the legend is so high.
_NAME = 18
# An interval may stretch an axis by this factor: two sets that disagree give an interval over many decades.
_STRETCH = 2.0


@dataclass(frozen=True)
class Panel:
    """Lines over one axis.

    Args:
        name: Names the panel's data and selection in the specification: lower-case letters.
        title: What stands above it.
        unit: What stands beside its values.
        labels: How values are written on the axis, one of ``theme.LABELS``.
        series: One or more, each with at least one point.
        say: A point in words, with its interval.
        level: A value that has a line across the panel.
    """

    name: str
    title: str
    unit: str
    labels: str
    series: Sequence[Series]
    say: Callable[[Point], str]
    level: float | None = None

    @property
    def view(self) -> dict[str, Any]:
        """Values by size, by shape in the order of work, or by backend where there is one shape."""
        shapes = shapes_in(self.series)
        along, drawn = ("y", _by_shape(self, shapes)) if len(shapes) > 1 else ("x", _by_backend(self, shapes[0]))
        if self.level is not None:
            level = {
                "data": {"values": [{}]},
                "mark": {"type": "rule", "color": palette.FAINT, "strokeDash": [2, 3]},
                "encoding": {along: {"datum": self.level}},
            }
            drawn["layer"].insert(0, level)
        return {
            "data": {"name": self.name}, "transform": SHOWN, "width": WIDTH,
            "title": {"text": self.title, "fontSize": 13, "offset": 10}, **drawn,
        }  # fmt: skip

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row for every point, and one without a value where a line has a gap."""
        shapes = shapes_in(self.series)
        rows: list[dict[str, Any]] = []
        for line in self.series:
            places = [place for place, shape in enumerate(shapes) if shape in line.points]
            rows += [self._row(line, shape) for shape in shapes[places[0] : places[-1] + 1]]
        return rows

    def _row(self, line: Series, shape: Shape) -> dict[str, Any]:
        row = {
            "backend": words.line(line.backend), "name": line.name, "label": line.label,
            "thin": line.thin or line.floor, "shape": shape.title, "size": shape.n, "value": None,
        }  # fmt: skip
        if point := line.points.get(shape):
            row |= {"value": rounded(point.value), "said": self.say(point)}
            if point.bounds:
                row |= {"low": rounded(point.bounds[0]), "high": rounded(point.bounds[1])}
        return row


def limits(points: Sequence[Point]) -> tuple[float, float]:
    """The limits of an axis, around all points and as much of their intervals as is useful."""
    low, high = min(point.value for point in points), max(point.value for point in points)
    bounds = [bound for point in points if point.bounds for bound in point.bounds]
    low = max(min(low, *bounds), low / _STRETCH) if bounds else low
    high = min(max(high, *bounds), high * _STRETCH) if bounds else high
    room = max(1.08, (high / low) ** 0.05)
    return low / room, high * room


def look(series: Sequence[Series], *, named: bool = True) -> dict[str, Any]:
    """The encodings that tell lines apart; if they are ``named``, with a legend in the order in which lines end."""
    ordered = sorted(series, key=lambda line: (line.thin, -list(line.points.values())[-1].value))
    legend = {"title": None, "symbolOpacity": 1} if named else None
    return styled("name", {line.name: line.style for line in ordered}, legend)


def picked_in_legend(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A selection by the legend, and the opacity that makes all others stand back."""
    picked = {"name": name, "select": {"type": "point", "fields": ["name"]}, "bind": "legend"}
    return picked, {"condition": {"param": name, "value": 1}, "value": _FADED}


def _by_shape(panel: Panel, shapes: Sequence[Shape]) -> dict[str, Any]:
    across = _sizes(shapes) if all(shape.is_square and shape.n for shape in shapes) else _names(shapes)
    up = _axis(panel, panel.unit)
    styles = look(panel.series)
    picked, opacity = picked_in_legend(f"picked_{panel.name}")
    base = {"x": across, "color": styles["color"]}
    value = base | {"y": {"field": "value", **up}}
    band = {
        "transform": [{"filter": "!datum.thin && isValid(datum.low)"}],
        "mark": {"type": "area", "aria": False},
        # An opacity of the whole mark would have a PNG drawn on as many canvases as there are marks.
        "encoding": base | {
            "y": {"field": "low", **up}, "y2": {"field": "high"},
            "fillOpacity": {"condition": {"param": picked["name"], "value": _BAND}, "value": 0.02},
        },
    }  # fmt: skip
    line = {
        "params": [picked],
        "mark": {"type": "line", "aria": False, "invalid": "break-paths-filter-domains"},
        "encoding": value | {
            "strokeDash": {**styles["strokeDash"], "condition": {"test": "datum.thin", "value": [2, 3]}},
            "opacity": opacity, "strokeWidth": _if_thin(1.3, 2),
            "detail": {"field": "label", "type": "nominal"},
        },
    }  # fmt: skip
    marks = _marks(panel, value | {"shape": styles["shape"], "fillOpacity": opacity, "size": _if_thin(24, 52)})
    height = max(HEIGHT, _NAME * len({line.name for line in panel.series}))
    return {"layer": [band, line, marks], "height": height}


def _by_backend(panel: Panel, shape: Shape) -> dict[str, Any]:
    """A single shape: a row for every backend, the values along the horizontal axis."""
    order = sorted(panel.series, key=lambda line: line.points[shape].value, reverse=panel.labels != "time")
    along = _axis(panel, f"{panel.unit}, {shape.full_title}", grid=True)
    styles = look(panel.series, named=False)
    base = {
        "y": {
            "field": "label", "type": "nominal", "sort": [line.label for line in order], "title": None,
            "axis": {"labelColor": palette.INK},
        },
        "color": styles["color"],
    }  # fmt: skip
    bar = {
        "transform": [{"filter": "isValid(datum.low)"}],
        "mark": {"type": "rule", "strokeWidth": 2, "aria": False},
        "encoding": base | {"x": {"field": "low", **along}, "x2": {"field": "high"}},
    }
    here = {"x": {"field": "value", **along}, "shape": styles["shape"], "size": {"value": 70}}
    return {"layer": [bar, _marks(panel, base | here)], "height": {"step": 20}}


def _axis(panel: Panel, title: str, **axis: Any) -> dict[str, Any]:
    return logarithmic(*limits([point for _, _, point in points_of(panel.series)]), panel.labels, title, **axis)


def _marks(panel: Panel, encoding: dict[str, Any]) -> dict[str, Any]:
    """Marks, with what is said at the pointer in words; an edge that cannot be seen makes them easier to meet."""
    return {
        "transform": [{"filter": "isValid(datum.value)"}],
        "mark": {"type": "point", "filled": True, "opacity": 1},
        "encoding": encoding | {
            "stroke": {"value": "transparent"}, "strokeWidth": {"value": 12},
            "tooltip": tooltip(label="backend", shape="shape", said=panel.unit),
        },
    }  # fmt: skip


def _if_thin(thin: float, usual: float) -> dict[str, Any]:
    return {"condition": {"test": "datum.thin", "value": thin}, "value": usual}


def _sizes(shapes: Sequence[Shape]) -> dict[str, Any]:
    sizes = [shape.n for shape in shapes]
    room = (sizes[-1] / sizes[0]) ** 0.03
    return {
        "field": "size", "type": "quantitative", "title": f"size N, of N{words.TIMES}N matrices",
        "scale": {"type": "log", "base": 2, "domain": [sizes[0] / room, sizes[-1] * room], "nice": False},
        "axis": {"values": sizes, "format": "d", "labelOverlap": "greedy"},
    }  # fmt: skip


def _names(shapes: Sequence[Shape]) -> dict[str, Any]:
    names = [shape.title for shape in shapes]
    return {
        "field": "shape", "type": "nominal", "sort": names,
        "title": f"shape M{words.TIMES}N{words.TIMES}K, in the order of work",
        "scale": {"type": "point", "domain": names, "padding": 0.3},
        "axis": {"labelAngle": -40, "labelOverlap": "greedy"},
    }  # fmt: skip
