"""Lines by shape, declared in Vega-Lite: intervals as bands, and a name, a dash and a marker for every line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.charts.data import shapes_in
from gemmscope.report.charts.theme import HEIGHT, WIDTH, value_axis, value_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import altair as alt

    from gemmscope.report.charts.data import Point, Series
    from gemmscope.workload.shapes import Shape

# The backends that a reader has hidden: the page's script fills it.
HIDDEN = "hidden"
_SHOWN = f"indexof({HIDDEN}, datum.backend) < 0"
_BAND = 0.08
_FADED = 0.12
# A name of the legend is so high.
_NAME = 18
# How wide the edge of a mark is that the pointer meets, in pixels.
_REACH = 12


@dataclass(frozen=True)
class Panel:
    """Lines over one axis.

    Args:
        name: Names the panel's parts in the specification: lower-case letters.
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


def lines(panel: Panel) -> alt.LayerChart:
    """The panel's chart: values by size, by shape in the order of work, or by backend where there is one shape."""
    shapes = shapes_in(panel.series)
    return _by_shape(panel, shapes) if len(shapes) > 1 else _by_backend(panel, shapes[0])


def tidy(panel: Panel) -> list[dict[str, Any]]:
    """One row for every point, and one without a value where a line has a gap."""
    shapes = shapes_in(panel.series)
    rows: list[dict[str, Any]] = []
    for line in panel.series:
        places = [place for place, shape in enumerate(shapes) if shape in line.points]
        rows += [_row(panel, line, shape) for shape in shapes[places[0] : places[-1] + 1]]
    return rows


def style_scales(series: Sequence[Series], *, named: bool = True) -> dict[str, Any]:
    """The encodings that tell lines apart; if they are ``named``, with a legend in the order in which lines end."""
    import altair as alt

    ordered = sorted(series, key=lambda line: (line.thin, -list(line.points.values())[-1].value))
    styles = {line.name: line.style for line in ordered}
    names = list(styles)
    legend = alt.Legend(title=None, symbolOpacity=1) if named else None

    def scale(values: list[Any]) -> alt.Scale:
        return alt.Scale(domain=names, range=values)

    dashes = scale([list(style.dashes) or [1, 0] for style in styles.values()])
    return {
        "color": alt.Color("name:N", scale=scale([style.colour for style in styles.values()]), legend=legend),
        "shape": alt.Shape("name:N", scale=scale([style.marker for style in styles.values()]), legend=legend),
        "strokeDash": alt.condition(
            "datum.thin", alt.value([2, 3]), alt.StrokeDash("name:N", scale=dashes, legend=legend)
        ),
    }


def hidden() -> alt.Parameter:
    """The parameter that holds the names of hidden backends."""
    import altair as alt

    return alt.param(name=HIDDEN, value=[])


def shown(chart: Any) -> Any:
    """The chart without what is hidden."""
    return chart.transform_filter(_SHOWN)


def picked_in_legend(name: str) -> tuple[alt.Parameter, Any]:
    """A selection by the legend, and the opacity that makes all others stand back."""
    import altair as alt

    picked = alt.selection_point(name=name, fields=["name"], bind="legend")
    return picked, alt.condition(picked, alt.value(1), alt.value(_FADED))


def _row(panel: Panel, line: Series, shape: Shape) -> dict[str, Any]:
    row: dict[str, Any] = {
        "backend": words.line(line.backend), "name": line.name, "label": line.label, "thin": line.thin or line.floor,
        "shape": shape.title, "size": shape.n, "value": None,
    }  # fmt: skip
    if point := line.points.get(shape):
        row |= {"value": rounded(point.value), "said": panel.say(point)}
        if point.bounds:
            low, high = point.bounds
            row |= {"low": rounded(low), "high": rounded(high)}
    return row


def rounded(value: float) -> float:
    """Six digits, which is more than a pixel shows: the page is smaller for it."""
    return float(f"{value:.6g}")


def _by_shape(panel: Panel, shapes: Sequence[Shape]) -> alt.LayerChart:
    import altair as alt

    points = [point for line in panel.series for point in line.points.values()]
    across = _sizes(shapes) if all(shape.is_square and shape.n for shape in shapes) else _names(shapes)
    up: Mapping[str, Any] = {"scale": value_scale(points), "axis": value_axis(points, panel.labels, title=panel.unit)}
    styles = style_scales(panel.series)
    picked, opacity = picked_in_legend(f"picked_{panel.name}")
    base = alt.Chart().encode(x=across, color=styles["color"])
    value = alt.Y("value:Q", **up)
    band = base.transform_filter("!datum.thin && isValid(datum.low)").mark_area(aria=False).encode(
        y=alt.Y("low:Q", **up), y2="high:Q",
        # An opacity of the whole mark would have a PNG drawn on as many canvases as there are marks.
        fillOpacity=alt.condition(picked, alt.value(_BAND), alt.value(0.02)),
    )  # fmt: skip
    line = base.mark_line(invalid="break-paths-filter-domains", aria=False).encode(
        y=value, strokeDash=styles["strokeDash"], opacity=opacity, strokeWidth=_if_thin(1.3, 2), detail="label:N"
    )
    marks = _points(base, panel, y=value, shape=styles["shape"], fillOpacity=opacity, size=_if_thin(24, 52))
    layers = [band, line.properties(name=f"{panel.name}_lines").add_params(picked), marks]
    return _whole(panel, layers, height=max(HEIGHT, _NAME * len({line.name for line in panel.series})))


def _by_backend(panel: Panel, shape: Shape) -> alt.LayerChart:
    """A single shape: a row for every backend, the values along the horizontal axis."""
    import altair as alt

    points = [point for line in panel.series for point in line.points.values()]
    order = sorted(panel.series, key=lambda line: line.points[shape].value, reverse=panel.labels != "time")
    along: Mapping[str, Any] = {
        "scale": value_scale(points),
        "axis": value_axis(points, panel.labels, title=f"{panel.unit}, {shape.full_title}", grid=True),
    }
    styles = style_scales(panel.series, named=False)
    base = alt.Chart().encode(
        y=alt.Y("label:N", sort=[line.label for line in order], title=None, axis=alt.Axis(labelColor=palette.INK)),
        color=styles["color"],
    )
    value = alt.X("value:Q", **along)
    bar = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2, aria=False).encode(
        x=alt.X("low:Q", **along), x2="high:Q"
    )  # fmt: skip
    marks = _points(base, panel, x=value, shape=styles["shape"], size=alt.value(70))
    return _whole(panel, [bar, marks], height=alt.Step(20), along="x")


def _whole(panel: Panel, layers: list[Any], height: Any, along: str = "y") -> alt.LayerChart:
    import altair as alt

    if panel.level is not None:
        level: Any = alt.Chart(alt.InlineData(values=[{}])).mark_rule(color=palette.FAINT, strokeDash=[2, 3])
        layers.insert(0, level.encode(**{along: alt.datum(panel.level)}))
    chart = shown(alt.layer(*layers, data=alt.NamedData(panel.name))).properties(width=WIDTH, height=height)
    if panel.title:
        chart = chart.properties(title=alt.TitleParams(panel.title, fontSize=13, offset=10))
    return chart  # type: ignore[no-any-return]


def _points(base: Any, panel: Panel, **more: Any) -> Any:
    """Marks, with what is said at the pointer in words; an edge that cannot be seen makes them easier to meet."""
    import altair as alt

    return base.transform_filter("isValid(datum.value)").mark_point(filled=True, opacity=1).encode(
        stroke=alt.value("transparent"), strokeWidth=alt.value(_REACH), tooltip=[
            alt.Tooltip("label:N", title="backend"),
            alt.Tooltip("shape:N", title="shape"),
            alt.Tooltip("said:N", title=panel.unit),
        ], **more,
    )  # fmt: skip


def _if_thin(thin: float, usual: float) -> Any:
    import altair as alt

    return alt.condition("datum.thin", alt.value(thin), alt.value(usual))


def _sizes(shapes: Sequence[Shape]) -> alt.X:
    import altair as alt

    sizes = [shape.n for shape in shapes]
    room = (sizes[-1] / sizes[0]) ** 0.03
    return alt.X(
        "size:Q", title=f"size N, of N{words.TIMES}N matrices",
        scale=alt.Scale(type="log", base=2, domain=[sizes[0] / room, sizes[-1] * room], nice=False),
        axis=alt.Axis(values=sizes, format="d", labelOverlap="greedy"),
    )  # fmt: skip


def _names(shapes: Sequence[Shape]) -> alt.X:
    import altair as alt

    names = [shape.title for shape in shapes]
    return alt.X(
        "shape:N", sort=names, title=f"shape M{words.TIMES}N{words.TIMES}K, in the order of work",
        scale=alt.Scale(domain=names, type="point", padding=0.3),
        axis=alt.Axis(labelAngle=-40, labelOverlap="greedy"),
    )  # fmt: skip
