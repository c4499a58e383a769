"""Pictures of a run: how long a product takes, how fast that is, and how many times as fast as the baseline.

Every line is named at its right end, so that no legend is needed. A picture is a white card with a thin frame: it can
be read on a light and on a dark page. matplotlib is loaded when the first picture is drawn, since that takes longer
than all else that the command line does, and it is used without pyplot: no display, no global state.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from gemmscope.report import palette
from gemmscope.report import text as words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from gemmscope.report.palette import Style
    from gemmscope.results.model import Comparison, Interval, Result

Kind = Literal["speed", "speedup"]

# Lengths are in pixels at this many to the inch, which is what a browser takes an inch of an SVG for.
_DPI = 96
_PNG_SCALE = 2
_WIDTH = 830
_MARGIN = 18
_LEFT = 74
_TOP = 66
_TITLE = 32
_BELOW = 58
_PANEL = 300
_NOTHING = 150
_LINE = 17.0
_REACH = 26
_INSET = 16
_MOST_LABEL = 290

_INK = "#1f2328"
_GREY = "#59636e"
_FAINT = "#8b949e"
_GRID = "#eaedf0"
_FRAME = "#d1d9e0"

# Throughput is drawn where waiting once for all products, and not for each, makes such a difference.
_NOTABLE = 0.05
# The harness's floor is drawn where it is such a share of the shortest time: below that it explains nothing.
_FLOOR = 0.1
# A band may stretch an axis by so much: two sets that disagree give an interval over many decades.
_STRETCH = 2.0

_FONTS = ["DejaVu Sans", "Verdana", "Helvetica", "Arial"]


class _Shape(NamedTuple):
    m: int
    n: int
    k: int

    @property
    def is_square(self) -> bool:
        return self.m == self.n == self.k

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k

    def __str__(self) -> str:
        return f"{self.m}{words.TIMES}{self.n}{words.TIMES}{self.k}"


class _Point(NamedTuple):
    """A figure and its interval, which is None where there is none or a logarithm cannot show it."""

    value: float
    bounds: tuple[float, float] | None


@dataclass(frozen=True)
class _Series:
    """One line: ``thin`` for throughput, ``faint`` for the harness's floor."""

    label: str
    style: Style
    points: dict[_Shape, _Point]
    thin: bool = False
    faint: bool = False


@dataclass(frozen=True)
class _Panel:
    """Lines over one axis. ``rises`` says whether more is better, for the title and for the order at a single size."""

    title: str
    unit: str
    tick: Callable[[float], str]
    series: list[_Series]
    level: float | None = None


@dataclass(frozen=True)
class _Scale:
    """Where a shape stands on the horizontal axis. ``offsets`` set backends apart where there is only one shape."""

    shapes: list[_Shape]
    numeric: bool
    offsets: dict[str, float] = field(default_factory=dict)

    def at(self, shape: _Shape, label: str) -> float:
        return float(shape.n) if self.numeric else self.shapes.index(shape) + self.offsets.get(label, 0.0)


def draw(result: Result, folder: Path) -> list[Path]:
    """Writes ``speed.svg``, ``speed.png``, ``speedup.svg`` and ``speedup.png`` into a folder, which is made if need be.

    The same result gives the same bytes, with the same version of matplotlib.

    Returns:
        What was written.

    Raises:
        OSError: If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for kind in get_args(Kind):
        drawn = figure(result, kind)
        with _settings():
            for suffix, dpi, metadata in (
                ("svg", _DPI, {"Date": None, "Creator": None, "Title": _title(result, kind)}),
                ("png", _DPI * _PNG_SCALE, {"Software": None}),
            ):
                path = folder / f"{kind}.{suffix}"
                drawn.savefig(path, format=suffix, dpi=dpi, metadata=metadata)
                written.append(path)
    return written


def figure(result: Result, kind: Kind) -> Figure:
    """One picture, without writing it.

    Args:
        result: The run.
        kind: ``'speed'`` for the time of one product and its GFLOP/s by size, ``'speedup'`` for how many times as fast
            as the baseline each backend is. A picture that has nothing to show says so.
    """
    with _settings():
        panels = _speed(result) if kind == "speed" else _speedup(result)
        return _draw(_title(result, kind), _subtitle(result, panels), panels, _why_empty(result, kind))


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """matplotlib's own settings and ours in place of a user's: a picture looks the same everywhere."""
    import matplotlib as mpl  # noqa: PLC0415  (the command line must start fast)

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({
            "svg.fonttype": "none",
            "svg.hashsalt": "gemmscope",
            "text.parse_math": False,
            "font.family": "sans-serif",
            "font.sans-serif": _FONTS,
            "font.size": _points(12),
            "text.color": _INK,
            "axes.labelcolor": _GREY,
            "xtick.color": _GREY,
            "ytick.color": _GREY,
            "axes.edgecolor": _FRAME,
        })  # fmt: skip
        yield


# --- What is shown ----------------------------------------------------------------------------------------------------


def _title(result: Result, kind: Kind) -> str:
    if kind == "speed":
        return "Time and speed of one float32 matrix product"
    baseline = _baseline(result)
    return f"Speed-up over {baseline} in float32 matrix products" if baseline else "Speed-up in float32 matrix products"


def _subtitle(result: Result, panels: list[_Panel]) -> str:
    notes = [words.line(result.machine.name)]
    points = [point for panel in panels for series in panel.series for point in series.points.values()]
    if any(point.bounds for point in points):
        notes.append("shaded: 95 % interval over processes")
    if result.status == "partial":
        notes.append("the run was cut off")
    return "; ".join(notes)


def _why_empty(result: Result, kind: Kind) -> str:
    multiplying = _multiplying(result)
    measured = dict.fromkeys(words.line(name) for name, _, _ in _times(result) if name in multiplying)
    if kind == "speedup" and measured:
        return f"Nothing to compare: only {words.listed(list(measured))} was measured."
    return "Nothing was measured: gemmscope report says why."


def _multiplying(result: Result) -> dict[str, str]:
    """The library of each backend that multiplies."""
    records = {record.name: record for record in result.backends}
    libraries = {cell.backend: cell.backend.partition("-")[0] for cell in result.cells if cell.backend not in records}
    return libraries | {name: record.library for name, record in records.items() if record.multiplies}


def _times(result: Result) -> dict[tuple[str, str, _Shape], _Point]:
    """The times that were measured, by backend, mode and shape."""
    times: dict[tuple[str, str, _Shape], _Point] = {}
    for cell in result.cells:
        if cell.status == "ok" and cell.seconds is not None and (point := _point(cell.seconds)):
            times[cell.backend, cell.mode, _Shape(cell.m, cell.n, cell.k)] = point
    return times


def _styles(result: Result) -> dict[str, Style]:
    libraries = _multiplying(result)
    order = [record.name for record in result.backends]
    measured = {name: 0 for name, _, _ in _times(result)}
    names = sorted(measured, key=lambda name: order.index(name) if name in order else len(order))
    # In the order of the run, not of the lines: both pictures have to agree.
    return palette.styles((name, libraries[name]) for name in names if name in libraries)


def _speed(result: Result) -> list[_Panel]:
    times = _times(result)
    lines = _lines(times, _styles(result))
    rates = [
        _Series(line.label, line.style, {shape: _rate(shape, point) for shape, point in line.points.items()}, line.thin)
        for line in lines
    ]
    return [
        _Panel("Time of one product: lower is better", "time", _time_tick, [*lines, *_floor(times, lines, result)]),
        _Panel("Speed: higher is better", "GFLOP/s", _number_tick, rates),
    ]


def _speedup(result: Result) -> list[_Panel]:
    baseline = _baseline(result)
    if not baseline:
        return [_Panel("", "", _times_tick, [])]
    styles = _styles(result)
    times = _times(result)
    speedups: dict[tuple[str, str, _Shape], _Point] = {}
    for comparison in result.comparisons:
        key = comparison.backend, comparison.mode, _Shape(comparison.m, comparison.n, comparison.k)
        if words.line(comparison.baseline) == baseline and key in times and (point := _speedup_point(comparison)):
            speedups[key] = point
    lines = _lines(speedups, styles, times)
    for name, style in styles.items():
        if words.line(name) == baseline:
            ones = {shape: _Point(1.0, None) for other, mode, shape in times if (other, mode) == (name, "latency")}
            lines.append(_Series(f"{_safe(baseline)} = 1", style, ones))
    title = "Above 1 is faster, below 1 slower"
    return [_Panel(title, f"speed-up over {_safe(baseline)}", _times_tick, lines, level=1.0)]


def _baseline(result: Result) -> str:
    """What most comparisons are with. It can change from shape to shape, where the usual one could not be measured."""
    counts = collections.Counter(words.line(comparison.baseline) for comparison in result.comparisons)
    return counts.most_common(1)[0][0] if counts else ""


def _lines(
    points: dict[tuple[str, str, _Shape], _Point],
    styles: dict[str, Style],
    times: dict[tuple[str, str, _Shape], _Point] | None = None,
) -> list[_Series]:
    """A line for every backend's latency, and for its throughput where the times of the two differ."""
    times = points if times is None else times
    lines: list[_Series] = []
    for name, style in styles.items():
        label = _safe(words.line(name))
        for mode, text in (("latency", label), ("throughput", f"{label}, throughput")):
            own = {shape: point for (other, kind, shape), point in points.items() if (other, kind) == (name, mode)}
            if own and (mode == "latency" or any(_differs(times, name, shape) for shape in own)):
                lines.append(_Series(text, style, own, thin=mode != "latency"))
    return lines


def _differs(times: dict[tuple[str, str, _Shape], _Point], name: str, shape: _Shape) -> bool:
    latency, throughput = (times.get((name, mode, shape)) for mode in ("latency", "throughput"))
    return latency is None or throughput is None or abs(math.log(throughput.value / latency.value)) > _NOTABLE


def _floor(times: dict[tuple[str, str, _Shape], _Point], lines: list[_Series], result: Result) -> list[_Series]:
    """What the harness itself takes, where that is not next to nothing."""
    idle = [record.name for record in result.backends if not record.multiplies]
    least = min((point.value for line in lines for point in line.points.values()), default=math.inf)
    grey = palette.Style(_FAINT, _GREY, (1, 2), "")
    floors = [
        _Series(
            f"{_safe(words.line(name))} (floor)",
            grey,
            {shape: point for (other, mode, shape), point in times.items() if (other, mode) == (name, "latency")},
            faint=True,
        )
        for name in idle
    ]
    return [line for line in floors if any(point.value >= _FLOOR * least for point in line.points.values())]


def _point(value: Interval) -> _Point | None:
    if not _can_be_drawn(value.median):
        return None
    if value.low is None or value.high is None or not (_can_be_drawn(value.low) and _can_be_drawn(value.high)):
        return _Point(value.median, None)
    return _Point(value.median, (value.low, value.high))


def _rate(shape: _Shape, point: _Point) -> _Point:
    work = shape.flops / 1e9
    return _Point(work / point.value, (work / point.bounds[1], work / point.bounds[0]) if point.bounds else None)


def _speedup_point(comparison: Comparison) -> _Point | None:
    point = _point(comparison.ratio)
    if point is None:
        return None
    return _Point(1 / point.value, (1 / point.bounds[1], 1 / point.bounds[0]) if point.bounds else None)


def _can_be_drawn(value: float) -> bool:
    return math.isfinite(value) and value > 0


# --- How it is drawn --------------------------------------------------------------------------------------------------


def _draw(title: str, subtitle: str, panels: list[_Panel], empty: str) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    panels = [panel for panel in panels if panel.series]
    heights = [_height(panel) for panel in panels] or [_NOTHING - _TITLE - _BELOW]
    height = _TOP + sum(heights) + len(heights) * (_TITLE + _BELOW)
    drawn = Figure(figsize=(_WIDTH / _DPI, height / _DPI), dpi=_DPI, facecolor="white", edgecolor=_FRAME, linewidth=1)
    FigureCanvasAgg(drawn)
    _say(drawn, _MARGIN, height - 30, title, size=16, weight="bold")
    _say(drawn, _MARGIN, height - 52, subtitle, size=12, color=_GREY)
    if not panels:
        drawn.text(0.5, 0.3, _safe(empty), ha="center", fontsize=_points(14), color=_GREY)
        return drawn

    scale = _scale(panels[0])
    right = _label_room(drawn, panels)
    top = height - _TOP
    for panel, panel_height in zip(panels, heights, strict=True):
        bottom = top - _TITLE - panel_height
        axes = drawn.add_axes(
            (_LEFT / _WIDTH, bottom / height, (_WIDTH - _LEFT - right) / _WIDTH, panel_height / height)
        )
        _say(drawn, _MARGIN, bottom + panel_height + 12, panel.title, size=13, weight="bold")
        _prepare(axes, panel, scale)
        for series in panel.series:
            _draw_series(axes, series, scale)
        _label_lines(axes, panel, scale)
        _thin_out(axes)
        top = bottom - _BELOW
    return drawn


def _height(panel: _Panel) -> float:
    return max(_PANEL, _LINE * (len(panel.series) + 1))


def _scale(panel: _Panel) -> _Scale:
    shapes = sorted({shape for line in panel.series for shape in line.points}, key=lambda shape: (shape.flops, shape))
    numeric = len(shapes) > 1 and all(shape.is_square for shape in shapes)
    if len(shapes) > 1:
        return _Scale(shapes, numeric)
    # Slowest first, so that what leads from a point to its name crosses no other point.
    order = sorted(panel.series, key=lambda line: line.points[shapes[0]].value, reverse=panel.unit == "time")
    step = 1 / max(1, len(order) - 1)
    return _Scale(shapes, numeric=False, offsets={line.label: i * step for i, line in enumerate(order)})


def _prepare(axes: Axes, panel: _Panel, scale: _Scale) -> None:
    """Limits, ticks and what stands beside them."""
    axes.set_yscale("log")
    if scale.numeric:
        axes.set_xscale("log", base=2)
    _limit(axes, panel, scale)
    low, high = axes.get_ylim()
    ticks = _ticks(low, high)
    axes.set_yticks(ticks, [panel.tick(value) for value in ticks])
    places = [scale.at(shape, "") for shape in scale.shapes]
    square = all(shape.is_square for shape in scale.shapes)
    if scale.offsets:
        places = [sum(axes.get_xlim()) / 2]
    axes.set_xticks(places, [str(shape.n if scale.numeric else shape) for shape in scale.shapes])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_tick_params(which="minor", size=0, labelsize=0)
        axis.set_minor_locator(_no_ticks())
    axes.tick_params(labelsize=_points(12), length=0 if scale.offsets else 3, color=_FRAME)
    axes.tick_params(axis="y", length=0)
    by_size = f"size N (N{words.TIMES}N{words.TIMES}N, logarithmic)" if scale.numeric else "size"
    axes.set_xlabel(by_size if square else f"shape (M{words.TIMES}N{words.TIMES}K, by work)", fontsize=_points(12))
    axes.set_ylabel(f"{panel.unit} (logarithmic)", fontsize=_points(12))
    axes.yaxis.set_label_coords((26 - _LEFT) / axes.bbox.width, 0.5)
    axes.grid(axis="y", color=_GRID, linewidth=_points(1))
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    if panel.level is not None:
        axes.axhline(panel.level, color=_GREY, linewidth=_points(1.2), zorder=1.5)


def _no_ticks() -> NullLocator:
    from matplotlib.ticker import NullLocator  # noqa: PLC0415

    return NullLocator()
