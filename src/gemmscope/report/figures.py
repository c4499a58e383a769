"""Pictures of a run: how long a product takes, how fast that is, and how many times as fast as the baseline.

Every line is named at its right end, so that no legend is needed. A picture is a white card with a thin frame: it can
be read on a light and on a dark page. matplotlib is loaded when the first picture is drawn, since that takes longer
than all else that the command line does, and it is used without pyplot: no display, no global state.
"""

from __future__ import annotations

import bisect
import collections
import contextlib
import functools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from gemmscope.report import palette
from gemmscope.report import text as words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
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
_LEFT = 84
_TOP = 86
_TITLE = 32
_BELOW = 58
_PANEL = 300
_NOTHING = 76
_LINE = 17.0
_REACH = 26
_OVER = 24
_INSET = 16
_TEXT = 12.5
_MOST_NAME = 290
_ANGLE = 28
_BETWEEN = 10
_LEAST_TICKS, _MOST_TICKS = 3, 8

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

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_UNKNOWN_CHARACTER = "\N{REPLACEMENT CHARACTER}"
_SHAPE_AXIS = f"shape M{words.TIMES}N{words.TIMES}K, in the order of work"
# The first comes with matplotlib; a browser that shows an SVG may have only the others.
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
    """One line: ``thin`` for throughput, ``faint`` for the harness's floor.

    A throughput line that goes with a line of latency has that one's colour and stands near it: it is not ``named``.
    """

    backend: str
    label: str
    style: Style
    points: dict[_Shape, _Point]
    thin: bool = False
    faint: bool = False
    named: bool = True


@dataclass(frozen=True)
class _Panel:
    """Lines over one axis; ``level`` is a value that has a line of its own across it."""

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

    def at(self, shape: _Shape, backend: str = "") -> float:
        return float(shape.n) if self.numeric else self.shapes.index(shape) + self.offsets.get(backend, 0.0)


class _SizeTicks(NamedTuple):
    """The horizontal axis and what stands below it; ``depth`` is the room that slanted texts need in addition."""

    places: list[float]
    texts: list[str]
    name: str
    limits: tuple[float, float]
    depth: float = 0.0


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
        return _draw(_title(result, kind), _notes(result, panels), panels, _why_empty(result, kind))


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Matplotlib's own settings and ours in place of a user's: a picture looks the same everywhere."""
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


def _notes(result: Result, panels: list[_Panel]) -> tuple[str, str]:
    """What machine it was, and how to read the picture."""
    machine = f"on {words.line(result.machine.name)}"
    if result.status == "partial":
        machine += "; the run was cut off"
    lines = [line for panel in panels for line in panel.series]
    shapes = {shape for line in lines for shape in line.points}
    notes: list[str] = []
    if any(point.bounds for line in lines for point in line.points.values()):
        notes.append(f"{'shaded' if len(shapes) > 1 else 'bars'}: 95 % interval over processes")
    if any(line.thin for line in lines):
        notes.append(f"{'thin dotted' if len(shapes) > 1 else 'hollow'}: throughput, one wait for all products")
    return machine, "; ".join(notes)


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
    # An empty product has no rate: a logarithmic axis has no zero.
    rates = [
        replace(line, points={shape: _rate(shape, point) for shape, point in line.points.items() if shape.flops})
        for line in lines
    ]
    rates = [line for line in rates if line.points]
    return [
        _Panel("Time: lower is better", "time of one product", _time_tick, [*lines, *_floor(times, lines, result)]),
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
            lines.append(_Series(name, f"{_safe(baseline)} = 1", style, ones))
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
        latency, throughput = (
            {shape: point for (other, kind, shape), point in points.items() if (other, kind) == (name, mode)}
            for mode in ("latency", "throughput")
        )
        if latency:
            lines.append(_Series(name, label, style, latency))
        if throughput and any(_differs(times, name, shape) for shape in throughput):
            lines.append(_Series(name, f"{label}, throughput", style, throughput, thin=True, named=not latency))
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
            name,
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


def _draw(title: str, notes: tuple[str, str], panels: list[_Panel], empty: str) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    panels = [panel for panel in panels if panel.series]
    drawn = Figure(dpi=_DPI, facecolor="white", edgecolor=_FRAME, linewidth=_points(2))
    FigureCanvasAgg(drawn)
    if not panels:
        _size(drawn, _TOP + _NOTHING)
        _say(drawn, _MARGIN, _NOTHING / 2, empty, _WIDTH - 2 * _MARGIN, fontsize=_points(14), color=_GREY)
    else:
        _draw_panels(drawn, panels)
    room = _WIDTH - 2 * _MARGIN
    top = drawn.bbox.height
    _say(drawn, _MARGIN, top - 32, title, room, fontsize=_points(17), fontweight="bold")
    for note, y in zip(notes, (54, 73), strict=True):
        _say(drawn, _MARGIN, top - y, note, room, fontsize=_points(_TEXT), color=_GREY)
    return drawn


def _draw_panels(drawn: Figure, panels: list[_Panel]) -> None:
    scale = _scale(panels[0])
    names = [line.label for panel in panels for line in panel.series if line.named]
    right = _REACH + max(_width(drawn, _cut(drawn, name, _MOST_NAME)) for name in names) + _MARGIN
    width = _WIDTH - _LEFT - right
    heights = [max(_PANEL, _LINE * len(panel.series)) for panel in panels]
    ticks = _size_ticks(drawn, scale, width)
    below = _BELOW + ticks.depth
    top = sum(heights) + len(heights) * (_TITLE + below)
    _size(drawn, top + _TOP)
    whole = top + _TOP
    for panel, height in zip(panels, heights, strict=True):
        bottom = top - _TITLE - height
        axes = drawn.add_axes((_LEFT / _WIDTH, bottom / whole, width / _WIDTH, height / whole))
        _say(drawn, _MARGIN, bottom + height + 12, panel.title, fontsize=_points(13.5), fontweight="bold")
        _prepare(axes, panel, scale, ticks)
        for line in panel.series:
            _draw_line(axes, line, scale)
        _name_lines(drawn, axes, panel, scale)
        top = bottom - below


def _scale(panel: _Panel) -> _Scale:
    shapes = sorted({shape for line in panel.series for shape in line.points}, key=lambda shape: (shape.flops, shape))
    if len(shapes) > 1:
        return _Scale(shapes, numeric=all(shape.is_square for shape in shapes))
    # In the order of their figures, so that what leads from a point to its name crosses no other point.
    order = sorted(panel.series, key=lambda line: line.points[shapes[0]].value, reverse=panel.level is None)
    names = list(dict.fromkeys(line.backend for line in order if line.named))
    step = 1 / max(1, len(names) - 1)
    return _Scale(shapes, numeric=False, offsets={name: i * step for i, name in enumerate(names)})


def _prepare(axes: Axes, panel: _Panel, scale: _Scale, ticks: _SizeTicks) -> None:
    """Limits, ticks and what stands beside them."""
    from matplotlib.ticker import NullLocator  # noqa: PLC0415

    axes.set_yscale("log")
    if scale.numeric:
        axes.set_xscale("log", base=2)
    axes.set_xlim(*ticks.limits)
    low, high = _limits(panel.series)
    axes.set_ylim(low, high)
    values = _ticks(low, high)
    axes.set_yticks(values, [panel.tick(value) for value in values])
    axes.set_xticks(ticks.places, ticks.texts)
    if ticks.depth:
        for text in axes.get_xticklabels():
            text.set(rotation=_ANGLE, horizontalalignment="right", rotation_mode="anchor")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelsize=_points(_TEXT), length=_points(4), color=_FRAME)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(ticks.name, fontsize=_points(_TEXT), labelpad=_points(6))
    axes.set_ylabel(f"{panel.unit} (logarithmic)", fontsize=_points(_TEXT))
    axes.yaxis.set_label_coords((26 - _LEFT) / axes.bbox.width, 0.5)
    axes.grid(axis="y", color=_GRID, linewidth=_points(1))
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    if panel.level is not None:
        axes.axhline(panel.level, color=_FAINT, linewidth=_points(1), zorder=1.5)


def _draw_line(axes: Axes, line: _Series, scale: _Scale) -> None:
    points = [line.points.get(shape) for shape in scale.shapes]
    places = [scale.at(shape, line.backend) for shape in scale.shapes]
    style, thin = line.style, line.thin or line.faint
    axes.plot(
        places,
        [point.value if point else math.nan for point in points],
        label=line.label,
        color=style.colour,
        linewidth=_points(1.2 if thin else 2),
        dashes=(2, 2) if line.thin else style.dashes or (None, None),
        marker="" if line.faint else style.marker,
        markersize=_points(4.5 if thin else 7),
        markerfacecolor="white" if line.thin else style.colour,
        markeredgecolor=style.colour if line.thin else "white",
        markeredgewidth=_points(1),
        zorder=2 if thin else 3,
    )
    lows = [point.bounds[0] if point and point.bounds else math.nan for point in points]
    highs = [point.bounds[1] if point and point.bounds else math.nan for point in points]
    if not thin:
        axes.fill_between(places, lows, highs, color=style.colour, alpha=0.12, linewidth=0, zorder=1)
    for index, point in enumerate(points):
        # A band has no width where both neighbours are missing.
        alone = not any(0 <= other < len(points) and points[other] for other in (index - 1, index + 1))
        if point and point.bounds and alone and not line.faint:
            axes.vlines(places[index], *point.bounds, color=style.colour, linewidth=_points(1.5), zorder=2)


def _name_lines(drawn: Figure, axes: Axes, panel: _Panel, scale: _Scale) -> None:
    """Names every line to the right of the axes, as high as it ends, moved apart where two would overlap."""
    from matplotlib.lines import Line2D  # noqa: PLC0415

    ends: list[tuple[float, float, _Series]] = []
    for line in (line for line in panel.series if line.named):
        shape = max(line.points, key=scale.shapes.index)
        x, y = axes.transData.transform((scale.at(shape, line.backend), line.points[shape].value))
        ends.append((float(y), float(x), line))
    ends.sort(key=lambda end: (end[0], end[2].label))
    heights = apart([end[0] for end in ends], _LINE, axes.bbox.y0 - _OVER, axes.bbox.y1 + _OVER)
    left = axes.bbox.x1 + _REACH
    for (y, x, line), height in zip(ends, heights, strict=True):
        drawn.add_artist(
            Line2D(
                [(x + 6) / _WIDTH, (left - 4) / _WIDTH],
                [y / drawn.bbox.height, height / drawn.bbox.height],
                color=line.style.colour,
                linewidth=_points(0.8),
                # From a line that ends early it is a long way: it must not look like measured points.
                linestyle="-" if left - x < _REACH + 2 * _INSET else (0, (1, 2)),
                alpha=0.7,
            )
        )
        text = _say(drawn, left, height, line.label, _MOST_NAME, fontsize=_points(_TEXT), verticalalignment="center")
        text.set(color=line.style.ink, verticalalignment="center_baseline")


def apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Moves places apart until they are ``gap`` from each other, by as little as can be in the sense of least squares.

    What must rise is each place less the gaps below it, and the nearest rising sequence is had by pooling neighbours
    that fall into their mean: M. Ayer et al., Annals of Mathematical Statistics 26 (1955), 641.

    Args:
        wanted: Where each would be, rising.
        gap: The least distance.
        low: The least place.
        high: The greatest place; what has not enough room between the two starts at ``low``.
    """
    pools: list[list[float]] = []
    for index, place in enumerate(wanted):
        pools.append([place - index * gap])
        while len(pools) > 1 and _mean(pools[-2]) >= _mean(pools[-1]):
            last = pools.pop()
            pools[-1].extend(last)
    most = max(low, high - (len(wanted) - 1) * gap)
    level = [min(max(_mean(pool), low), most) for pool in pools for _ in pool]
    return [place + index * gap for index, place in enumerate(level)]


# --- Axes -------------------------------------------------------------------------------------------------------------


def _size_ticks(drawn: Figure, scale: _Scale, width: float) -> _SizeTicks:
    """Every measured size that has room, first of all the smallest and the largest. Shapes are slanted if need be."""
    shapes = scale.shapes
    if scale.offsets:
        name = "size" if shapes[0].is_square else _SHAPE_AXIS
        return _SizeTicks([0.5], [str(shapes[0])], name, _spread([0.0, 1.0], width, _INSET))
    places = [scale.at(shape) for shape in shapes]
    texts = [str(shape.n) if scale.numeric else str(shape) for shape in shapes]
    needed = [_width(drawn, text) + _BETWEEN for text in texts]
    steps = [math.log2(place) for place in places] if scale.numeric else places
    low, high = _spread(steps, width, _INSET)
    kept = _kept([width * (step - low) / (high - low) for step in steps], needed)
    if scale.numeric:
        name = f"size N, of N{words.TIMES}N matrices (logarithmic)"
        return _SizeTicks([places[i] for i in kept], [texts[i] for i in kept], name, (2**low, 2**high))
    depth = 0.0
    if len(kept) < len(shapes):
        angle = math.radians(_ANGLE)
        depth = max(needed) * math.sin(angle)
        low, high = _spread(steps, width, max(_INSET, max(needed) * math.cos(angle) - _LEFT))
        needed = [_TEXT / math.sin(angle) for _ in needed]
        kept = _kept([width * (step - low) / (high - low) for step in steps], needed)
    return _SizeTicks([places[i] for i in kept], [texts[i] for i in kept], _SHAPE_AXIS, (low, high), depth)


def _spread(steps: list[float], width: float, left: float) -> tuple[float, float]:
    """The limits of an axis of that width, with room in pixels to the left of the first step and after the last."""
    per_pixel = (steps[-1] - steps[0]) / (width - left - _INSET)
    return steps[0] - left * per_pixel, steps[-1] + _INSET * per_pixel


def _kept(places: list[float], widths: list[float]) -> list[int]:
    """The texts that can stand side by side, centred at their places: both ends first, then from the left."""
    kept: list[int] = []
    for index in dict.fromkeys([len(places) - 1, *range(len(places))]):
        if all(abs(places[index] - places[other]) >= (widths[index] + widths[other]) / 2 for other in kept):
            kept.append(index)
    return sorted(kept)


def _limits(lines: list[_Series]) -> tuple[float, float]:
    """The limits of the vertical axis, around all points and as much of their intervals as is useful."""
    points = [point for line in lines for point in line.points.values()]
    low, high = min(point.value for point in points), max(point.value for point in points)
    bounds = [bound for point in points if point.bounds for bound in point.bounds]
    low = max(min(low, *bounds), low / _STRETCH) if bounds else low
    high = min(max(high, *bounds), high * _STRETCH) if bounds else high
    room = max(1.08, (high / low) ** 0.05)
    return low / room, high * room


def _ticks(low: float, high: float) -> list[float]:
    """Round values for a logarithmic axis: steps of 1, 2 and 5, decades where it is long, even steps where short."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for digits in ((1, 2, 5), (1,)):
        ticks = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= _MOST_TICKS:
            break
    if len(ticks) >= _LEAST_TICKS:
        return ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]
    step = 10.0 ** math.floor(math.log10(high - low))
    step = next(step * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if (high - low) / (step * part) <= _MOST_TICKS)
    return [
        round(i * step, 12 - math.floor(math.log10(step))) for i in range(math.ceil(low / step), int(high / step) + 1)
    ]


def _time_tick(seconds: float) -> str:
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, f"{words.MICRO}s")):
        if seconds >= scale * (1 - 1e-9):
            return f"{seconds / scale:.6g} {unit}"
    return f"{seconds / 1e-9:.6g} ns"


def _number_tick(value: float) -> str:
    return f"{value:.6g}"


def _times_tick(value: float) -> str:
    return f"{value:.6g}{words.TIMES}"


# --- Text -------------------------------------------------------------------------------------------------------------


def _say(drawn: Figure, x: float, y: float, text: str, room: float = math.inf, **style: Any) -> Text:
    """A text at a place in pixels from the lower left, cut where it is longer than the room for it."""
    said = drawn.text(x / _WIDTH, y / drawn.bbox.height, _cut(drawn, _safe(text), room, **style), **style)
    said.set_in_layout(False)
    return said


def _cut(drawn: Figure, text: str, room: float, **style: Any) -> str:
    if _width(drawn, text, **style) <= room:
        return text
    cuts = [text[:length].rstrip() + _ELLIPSIS for length in range(1, len(text))]
    fitting = bisect.bisect_right(cuts, room, key=lambda cut: _width(drawn, cut, **style))
    return cuts[max(0, fitting - 1)]


def _width(drawn: Figure, text: str, **style: Any) -> float:
    """How wide a text is, in pixels."""
    said = drawn.text(0, 0, text, **{"fontsize": _points(_TEXT)} | style)
    width = said.get_window_extent().width
    said.remove()
    return float(width)


def _safe(text: str) -> str:
    """A text on one line, with a sign in place of what the font has no picture for, which matplotlib would warn of."""
    known = _characters()
    return "".join(character if ord(character) in known else _UNKNOWN_CHARACTER for character in words.line(text))


@functools.cache
def _characters() -> frozenset[int]:
    from matplotlib import font_manager  # noqa: PLC0415

    # The font that matplotlib brings along.
    font = font_manager.get_font(font_manager.findfont(_FONTS[0]))
    return frozenset(font.get_charmap())


def _size(drawn: Figure, height: float) -> None:
    drawn.set_size_inches(_WIDTH / _DPI, height / _DPI)


def _points(pixels: float) -> float:
    """The unit of matplotlib's lengths, 72 to the inch."""
    return pixels * 72 / _DPI


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
