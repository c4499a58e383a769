"""Lines by shape, declared in Vega-Lite: intervals as bands, and for every line a dash, a marker and a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.charts.data import points_of, shapes_in
from gemmscope.report.charts.labels import NAME_HEIGHT, Axis, apart
from gemmscope.report.charts.theme import HEIGHT, WIDTH, linear, logarithmic, rounded, styled, tooltip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmscope.report.charts.data import Point, Series
    from gemmscope.workload.shapes import Shape

# The backends that a reader has hidden: the page's script fills it.
HIDDEN = {"name": "hidden", "value": []}
SHOWN = [{"filter": "indexof(hidden, datum.backend) < 0"}]
# Of panels below each other.
OWN_SCALES = {"scale": dict.fromkeys(("color", "shape", "strokeDash"), "independent")}
_BAND = 0.08
_FADED = 0.12
# How far beside the plot names stand, in pixels.
BESIDE = 16
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
        is_linear: Whether the values begin at zero, and are not drawn by their logarithms.
        least_height: Of the plot, in pixels; it is higher where names need the room.
        beside: The lines of a panel above or below it, whose shapes it has too.
    """

    name: str
    title: str
    unit: str
    labels: str
    series: Sequence[Series]
    say: Callable[[Point], str]
    level: float | None = None
    is_linear: bool = False
    least_height: int = HEIGHT
    beside: Sequence[Series] = ()

    @property
    def shapes(self) -> list[Shape]:
        """All shapes along its axis."""
        return shapes_in([*self.series, *self.beside])

    @property
    def height(self) -> int:
        """The height of the plot, in pixels."""
        return max(self.least_height, (NAME_HEIGHT + 2) * len(self._named))

    @property
    def limits(self) -> tuple[float, float]:
        """The values between which it is drawn."""
        low, high = limits([point for _, _, point in points_of(self.series)])
        return (0.0, high) if self.is_linear else (low, high)

    def axis(self, title: str, **axis: Any) -> dict[str, Any]:
        """Scale and axis of its values."""
        low, high = self.limits
        if self.is_linear:
            return linear(high, self.labels, title, **axis)
        return logarithmic(low, high, self.labels, title, **axis)

    @property
    def _named(self) -> list[Series]:
        """The lines that have a name of their own."""
        first = {line.name: line for line in reversed(self.series)}
        return [line for line in self.series if first[line.name] is line]

    @property
    def view(self) -> dict[str, Any]:
        """Values by size, by shape in the order of work, or by backend where there is one shape."""
        shapes = self.shapes
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
        shapes = self.shapes
        names = self._names_beside() if len(shapes) > 1 else {}
        rows: list[dict[str, Any]] = []
        for line in self.series:
            places = [place for place, shape in enumerate(shapes) if shape in line.points]
            rows += [self._row(line, shape) for shape in shapes[places[0] : places[-1] + 1]]
            rows[-1] |= names.get(line.label, {})
        return rows

    def _names_beside(self) -> dict[str, dict[str, Any]]:
        """Where each line's name stands: ``at``, and ``flat`` where the page makes the axis linear."""
        ends = [list(_in_order(line).values())[-1].value for line in self._named]
        low, high = self.limits
        at = apart(ends, Axis(low, high, self.height, not self.is_linear))
        flat = apart(ends, Axis(0.0, high, self.height, is_log=False))
        return {
            line.label: {"at": at[i]} | ({} if self.is_linear else {"flat": flat[i]})
            for i, line in enumerate(self._named)
        }

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


def picked_by_name(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A selection by a click on a line's name, and the opacity that makes all others stand back.

    It belongs to the layer of names. Where the page shows a legend instead, it binds the selection to that.
    """
    picked = {"name": name, "select": {"type": "point", "fields": ["name"]}}
    return picked, {"condition": {"param": name, "value": 1}, "value": _FADED}


def names_beside(
    chart: str, last: dict[str, Any], encoding: dict[str, Any], opacity: dict[str, Any]
) -> list[dict[str, Any]]:
    """Two layers: names at the right edge, and dots that lead to each from where its own line ends.

    The page leaves them out where there is no room beside a chart, and shows a legend instead.

    Args:
        chart: Whose names they are: layers are known by it.
        last: The right edge, as the channel of a place.
        encoding: The places of points, and the colours of lines.
        opacity: That of lines.
    """
    here = {"transform": [{"filter": "isValid(datum.at)"}]}
    leader = {
        "name": f"beside_leader_{chart}", **here,
        "mark": {"type": "rule", "strokeWidth": 1, "strokeDash": [2, 2], "x2Offset": BESIDE - 4, "aria": False},
        "encoding": encoding | {"x2": {"datum": last["datum"]}, "y2": {"field": "at"}, "opacity": opacity},
    }  # fmt: skip
    name = {
        "name": f"beside_name_{chart}", **here,
        "mark": {"type": "text", "align": "left", "dx": BESIDE, "fontSize": 12, "cursor": "pointer", "limit": 230},
        "encoding": {
            "x": last, "y": encoding["y"] | {"field": "at"}, "text": {"field": "name", "type": "nominal"},
            "color": {"value": palette.INK}, "opacity": opacity,
        },
    }  # fmt: skip
    return [leader, name]


def _by_shape(panel: Panel, shapes: Sequence[Shape]) -> dict[str, Any]:
    are_sizes = all(shape.is_square and shape.n for shape in shapes)
    across = _sizes(shapes) if are_sizes else _names(shapes)
    last = {"datum": shapes[-1].n if are_sizes else shapes[-1].title, "type": across["type"]}
    up = panel.axis(panel.unit, grid=True)
    styles = look(panel.series, named=False)
    picked, opacity = picked_by_name(f"picked_{panel.name}")
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
        "mark": {"type": "line", "aria": False, "invalid": "break-paths-filter-domains"},
        "encoding": value | {
            "strokeDash": {**styles["strokeDash"], "condition": {"test": "datum.thin", "value": [2, 3]}},
            "opacity": opacity, "strokeWidth": _if_thin(1.3, 2),
            "detail": {"field": "label", "type": "nominal"},
        },
    }  # fmt: skip
    marks = _marks(panel, value | {"shape": styles["shape"], "fillOpacity": opacity, "size": _if_thin(24, 52)})
    leader, name = names_beside(panel.name, last, value, opacity)
    return {"layer": [band, line, marks, leader, name | {"params": [picked]}], "height": panel.height}


def _by_backend(panel: Panel, shape: Shape) -> dict[str, Any]:
    """A single shape: a row for every backend, the values along the horizontal axis."""
    order = sorted(panel.series, key=lambda line: line.points[shape].value, reverse=panel.labels != "time")
    along = panel.axis(f"{panel.unit}, {shape.full_title}", grid=True)
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


def _in_order(line: Series) -> dict[Shape, Point]:
    """A line's points in the order of work."""
    return {shape: line.points[shape] for shape in shapes_in([line])}


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
