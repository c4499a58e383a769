"""Lines from a result: the time and the rate of a product by shape, and how many times as fast as the baseline it is.

Nothing here knows how a line is drawn, so that every picture and the page draw the same ones.
"""

from __future__ import annotations

import collections
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.figures.scales import number_tick, time_tick, times_tick
from gemmscope.workload import shapes as workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmscope.records.base import Interval
    from gemmscope.records.model import Comparison, Result
    from gemmscope.report.palette import Style

# What is said in place of times.
WHY_NO_SPEED = "Nothing was measured: gemmscope report says why."
SPEED_TITLE = "Time and speed of one float32 matrix product"

# Throughput is drawn where waiting once for all products, and not for each, makes such a difference.
_NOTABLE = 0.05


# The harness's floor is drawn where it is such a share of the shortest time: below that it explains nothing.
_FLOOR = 0.1


class Shape(NamedTuple):
    """M, N and K of a product."""

    m: int
    n: int
    k: int

    @property
    def is_square(self) -> bool:
        """Whether one number says it all."""
        return self.m == self.n == self.k

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.m * self.n * self.k

    @property
    def intensity(self) -> float:
        """FLOP for each byte of the operands and the product, each moved once."""
        return workload.Shape(*self).intensity

    def __str__(self) -> str:
        return f"{self.m}{words.TIMES}{self.n}{words.TIMES}{self.k}"


class Point(NamedTuple):
    """A figure and its interval, which is None where there is none or a logarithm cannot show it."""

    value: float
    bounds: tuple[float, float] | None


@dataclass(frozen=True)
class Series:
    """One line: ``thin`` for throughput, ``faint`` for the harness's floor.

    A throughput line that goes with a line of latency has that one's colour and stands near it: it is not ``named``.
    """

    backend: str
    label: str
    style: Style
    points: dict[Shape, Point]
    thin: bool = False
    faint: bool = False
    named: bool = True


@dataclass(frozen=True)
class Panel:
    """Lines over one axis; ``level`` is a value that has a line of its own across it."""

    title: str
    unit: str
    tick: Callable[[float], str]
    series: list[Series]
    level: float | None = None


def speedup_title(result: Result) -> str:
    """What the picture of speed-ups is called: it names the baseline, where there is one."""
    baseline = baseline_of(result)
    return f"Speed-up over {baseline} in float32 matrix products" if baseline else "Speed-up in float32 matrix products"


def machine_note(result: Result) -> str:
    """On what machine it was, and whether it was cut off."""
    cut_off = "; the run was cut off" if result.status == "partial" else ""
    return f"on {words.line(result.machine.name)}{cut_off}"


def reading_note(panels: list[Panel]) -> str:
    """How to read what is drawn beside the lines."""
    lines = [line for panel in panels for line in panel.series]
    shapes = {shape for line in lines for shape in line.points}
    notes: list[str] = []
    if any(point.bounds for line in lines for point in line.points.values()):
        notes.append(f"{'shaded' if len(shapes) > 1 else 'bars'}: 95 % interval over processes")
    if any(line.thin for line in lines):
        notes.append(f"{'thin dotted' if len(shapes) > 1 else 'hollow'}: throughput, one wait for all products")
    return "; ".join(notes)


def why_no_speedup(result: Result) -> str:
    """What is said in place of speed-ups."""
    libraries = multiplying(result)
    measured = dict.fromkeys(words.line(name) for name, _, _ in times_of(result) if name in libraries)
    if measured:
        return f"Nothing to compare: only {words.listed(list(measured))} was measured."
    return WHY_NO_SPEED


def multiplying(result: Result) -> dict[str, str]:
    """The library of each backend that multiplies."""
    records = {record.name: record for record in result.backends}
    libraries = {cell.backend: cell.backend.partition("-")[0] for cell in result.cells if cell.backend not in records}
    return libraries | {name: record.library for name, record in records.items() if record.multiplies}


def times_of(result: Result) -> dict[tuple[str, str, Shape], Point]:
    """The times that were measured, by backend, mode and shape."""
    times: dict[tuple[str, str, Shape], Point] = {}
    for cell in result.cells:
        if cell.status == "ok" and cell.seconds is not None and (point := point_of(cell.seconds)):
            times[cell.backend, cell.mode, Shape(cell.m, cell.n, cell.k)] = point
    return times


def styles_of(result: Result) -> dict[str, Style]:
    """A style for every backend that was measured and multiplies: the same in all pictures of a run."""
    libraries = multiplying(result)
    order = [record.name for record in result.backends]
    measured = {name: 0 for name, _, _ in times_of(result)}
    names = sorted(measured, key=lambda name: order.index(name) if name in order else len(order))
    # In the order of the run, not of the lines: all pictures have to agree.
    return palette.styles((name, libraries[name]) for name in names if name in libraries)


def speed(result: Result) -> list[Panel]:
    """The time of one product, and its rate."""
    times = times_of(result)
    lines = _lines(times, styles_of(result))
    # An empty product has no rate: a logarithmic axis has no zero.
    rates = [
        replace(line, points={shape: rate_of(shape, point) for shape, point in line.points.items() if shape.flops})
        for line in lines
    ]
    rates = [line for line in rates if line.points]
    return [
        Panel("Time: lower is better", "time of one product", time_tick, [*lines, *_floor(times, lines, result)]),
        Panel("Speed: higher is better", "GFLOP/s", number_tick, rates),
    ]


def speedup(result: Result) -> list[Panel]:
    """How many times as fast as the baseline each backend is."""
    baseline = baseline_of(result)
    if not baseline:
        return [Panel("", "", times_tick, [])]
    styles = styles_of(result)
    times = times_of(result)
    speedups: dict[tuple[str, str, Shape], Point] = {}
    for comparison in result.comparisons:
        key = comparison.backend, comparison.mode, Shape(comparison.m, comparison.n, comparison.k)
        if words.line(comparison.baseline) == baseline and key in times and (point := _speedup_point(comparison)):
            speedups[key] = point
    lines = _lines(speedups, styles, times)
    for name, style in styles.items():
        if words.line(name) == baseline:
            ones = {shape: Point(1.0, None) for other, mode, shape in times if (other, mode) == (name, "latency")}
            lines.append(Series(name, f"{baseline} = 1", style, ones))
    title = "Above 1 is faster, below 1 slower"
    return [Panel(title, f"speed-up over {baseline}", times_tick, lines, level=1.0)]


def baseline_of(result: Result) -> str:
    """What most comparisons are with. It can change from shape to shape, where the usual one could not be measured."""
    counts = collections.Counter(words.line(comparison.baseline) for comparison in result.comparisons)
    return counts.most_common(1)[0][0] if counts else ""


def _lines(
    points: dict[tuple[str, str, Shape], Point],
    styles: dict[str, Style],
    times: dict[tuple[str, str, Shape], Point] | None = None,
) -> list[Series]:
    """A line for every backend's latency, and for its throughput where the times of the two differ."""
    times = points if times is None else times
    lines: list[Series] = []
    for name, style in styles.items():
        label = words.line(name)
        latency, throughput = (
            {shape: point for (other, kind, shape), point in points.items() if (other, kind) == (name, mode)}
            for mode in ("latency", "throughput")
        )
        if latency:
            lines.append(Series(name, label, style, latency))
        if throughput and any(_differs(times, name, shape) for shape in throughput):
            lines.append(Series(name, f"{label}, throughput", style, throughput, thin=True, named=not latency))
    return lines


def _differs(times: dict[tuple[str, str, Shape], Point], name: str, shape: Shape) -> bool:
    latency, throughput = (times.get((name, mode, shape)) for mode in ("latency", "throughput"))
    return latency is None or throughput is None or abs(math.log(throughput.value / latency.value)) > _NOTABLE


def _floor(times: dict[tuple[str, str, Shape], Point], lines: list[Series], result: Result) -> list[Series]:
    """What the harness itself takes, where that is not next to nothing."""
    idle = [record.name for record in result.backends if not record.multiplies]
    least = min((point.value for line in lines for point in line.points.values()), default=math.inf)
    grey = palette.Style(palette.FAINT, palette.GREY, (1, 2), "")
    floors = [
        Series(
            name,
            f"{words.line(name)} (floor)",
            grey,
            {shape: point for (other, mode, shape), point in times.items() if (other, mode) == (name, "latency")},
            faint=True,
        )
        for name in idle
    ]
    return [line for line in floors if any(point.value >= _FLOOR * least for point in line.points.values())]


def point_of(value: Interval) -> Point | None:
    """A measured figure, unless a logarithmic axis cannot show it: zero, negative, or none at all."""
    if not _can_be_drawn(value.estimate):
        return None
    if value.low is None or value.high is None or not (_can_be_drawn(value.low) and _can_be_drawn(value.high)):
        return Point(value.estimate, None)
    return Point(value.estimate, (value.low, value.high))


def rate_of(shape: Shape, point: Point) -> Point:
    """GFLOP/s from a time."""
    work = shape.flops / 1e9
    return Point(work / point.value, (work / point.bounds[1], work / point.bounds[0]) if point.bounds else None)


def _speedup_point(comparison: Comparison) -> Point | None:
    point = point_of(comparison.ratio)
    if point is None:
        return None
    return Point(1 / point.value, (1 / point.bounds[1], 1 / point.bounds[0]) if point.bounds else None)


def _can_be_drawn(value: float) -> bool:
    return math.isfinite(value) and value > 0
