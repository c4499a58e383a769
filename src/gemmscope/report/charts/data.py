"""What the charts of a run show and say: lines of points, derived once from the records and handed to every chart.

Nothing here knows how a line is drawn.
"""

from __future__ import annotations

import collections
import functools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.records import words
from gemmscope.records.base import CellKey, Interval, is_plain
from gemmscope.report import palette
from gemmscope.report.trust import machine_title
from gemmscope.workload.shapes import by_work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gemmscope.analysis.view import View
    from gemmscope.records.model import Result
    from gemmscope.report.palette import Style
    from gemmscope.workload.shapes import Shape

NOTHING_MEASURED = "nothing was measured: the tables say why"

# Throughput is drawn where waiting once for all calls, and not for each, changes the time by this share.
_NOTABLE = 0.05
# The floor of the harness is drawn where it is this share of the shortest time: below that it explains nothing.
_FLOOR = 0.1
_MOST_FINDINGS = 3
# So many lines can be told apart in a picture.
_FEW = 6


class Point(NamedTuple):
    """A value and its interval, which is None where there is none or a logarithm cannot show it."""

    value: float
    bounds: tuple[float, float] | None = None

    @property
    def inverse(self) -> Point:
        """1 / value, with the bounds swapped."""
        return Point(1 / self.value, (1 / self.bounds[1], 1 / self.bounds[0]) if self.bounds else None)

    def times(self, factor: float) -> Point:
        """The value and its bounds, scaled by a positive factor."""
        return Point(self.value * factor, (self.bounds[0] * factor, self.bounds[1] * factor) if self.bounds else None)


@dataclass(frozen=True)
class Series:
    """One line: ``thin`` for throughput, ``floor`` for what the harness itself takes.

    ``name`` stands in the legend: a throughput line that goes with a line of latency looks like that one, but thin, and
    shares its name.
    """

    backend: str
    label: str
    name: str
    style: Style
    points: Mapping[Shape, Point]
    thin: bool = False
    floor: bool = False


@dataclass(frozen=True)
class RunData:
    """A run, and what all of its charts have in common.

    Args:
        view: The run.
        few: Draw the lines that a reader chooses between: without instruments and throughput, and without variants
            where there would be too many to tell apart. For pictures, in which nothing can be hidden.
        only: Draw these backends alone, and no throughput.
    """

    view: View
    few: bool = False
    only: tuple[str, ...] = ()

    @property
    def result(self) -> Result:
        """All records of the run."""
        return self.view.result

    @property
    def machine(self) -> str:
        """On which machine and when it was measured, what versions, and whether the run was cut off."""
        cut_off = "; the run was cut off" if self.result.status == "partial" else ""
        versions = "".join(f", {one}" for one in self.versions)
        return f"on {machine_title(self.result.machine)}, {self.result.started[:10]}{versions}{cut_off}"

    @property
    def versions(self) -> list[str]:
        """The version of every library that is drawn, such as ``"numpy 2.4.6"``; two where two were compared."""
        drawn = {self.libraries[name] for name in self.drawn}
        versions: dict[str, list[str]] = {}
        for worker in self.result.workers:
            version = worker.provenance.get(worker.library)
            if worker.library in drawn and isinstance(version, str):
                known = versions.setdefault(words.line(worker.library), [])
                known += [said for said in [words.line(version)] if said not in known]
        return [f"{name} {words.listed(found)}" for name, found in versions.items()]

    def found(self, *rules: str) -> list[str]:
        """The run's own findings of these rules, so that a chart never contradicts them."""
        findings = [one for one in self.result.findings if one.id in rules and one.verdict != "not testable"]
        return [words.line(one.text) for one in findings[:_MOST_FINDINGS]]

    @functools.cached_property
    def libraries(self) -> dict[str, str]:
        """The library of each backend that multiplies."""
        records = self.view.backends
        without = (cell.backend for cell in self.result.cells if cell.backend not in records)
        libraries = {name: name.partition("-")[0] for name in without}
        return libraries | {name: record.library for name, record in records.items() if record.multiplies}

    @functools.cached_property
    def times(self) -> dict[CellKey, Point]:
        """The times that were measured, in seconds."""
        return {
            cell.key: point
            for cell in self.result.cells
            if cell.status == "ok" and cell.seconds is not None and (point := _drawable(cell.seconds))
        }

    @functools.cached_property
    def styles(self) -> dict[str, Style]:
        """A style for every backend that was measured and multiplies, in the order of the run; all charts have it."""
        order = {record.name: place for place, record in enumerate(self.result.backends)}
        names = sorted({key.backend: None for key in self.times}, key=lambda name: order.get(name, len(order)))
        return palette.styles((name, self.libraries[name]) for name in names if name in self.libraries)

    @functools.cached_property
    def drawn(self) -> list[str]:
        """The backends that have lines, in the order of the run."""
        names = list(self.styles)
        if self.only:
            return [name for name in names if name in self.only]
        if not self.few or len(names) <= _FEW:
            return names
        choices = [name for name in names if name in self.view.choices]
        plain = list(filter(is_plain, choices))
        if len(choices) < 2:
            return names
        return plain if len(choices) > _FEW and len(plain) > 1 else choices

    @functools.cached_property
    def baseline(self) -> str:
        """What most comparisons are with, on one line; empty where there are none.

        It can change from shape to shape, where the usual one could not be measured.
        """
        counts = collections.Counter(words.line(comparison.baseline) for comparison in self.result.comparisons)
        return counts.most_common(1)[0][0] if counts else ""

    @functools.cached_property
    def lines(self) -> list[Series]:
        """The time of one call of every backend that multiplies, in seconds."""
        return self._series(self.times)

    @functools.cached_property
    def floors(self) -> list[Series]:
        """What the harness itself takes, where that is not next to nothing."""
        shortest = min((point.value for _, _, point in points_of(self.lines)), default=math.inf)
        style = palette.Style(palette.FAINT, (1, 3), "circle", palette.FAINT)
        idle = [record.name for record in self.result.backends if not record.multiplies]
        floors = [
            Series(name, label, label, style, _of_mode(self.times, name, "latency"), floor=True)
            for name in idle
            if (label := f"{words.line(name)} (floor)")
        ]
        return [line for line in floors if any(point.value >= _FLOOR * shortest for point in line.points.values())]

    @functools.cached_property
    def rates(self) -> list[Series]:
        """GFLOP/s of the same lines. An empty matrix has no rate."""
        rates = [
            replace(line, points={
                shape: point.inverse.times(shape.flops / 1e9) for shape, point in line.points.items() if shape.flops
            })
            for line in self.lines
        ]  # fmt: skip
        return [line for line in rates if line.points]

    @functools.cached_property
    def speedups(self) -> list[Series]:
        """How many times as fast as the baseline each backend is, and the baseline itself, at 1."""
        speedups: dict[CellKey, Point] = {}
        for comparison in self.result.comparisons:
            if words.line(comparison.baseline) != self.baseline or comparison.key not in self.times:
                continue
            if point := _drawable(comparison.ratio):
                speedups[comparison.key] = point.inverse
        lines = self._series(speedups)
        for name, style in self.styles.items():
            if lines and words.line(name) == self.baseline and (not self.only or name in self.only):
                ones = {shape: Point(1.0) for shape in _of_mode(self.times, name, "latency")}
                lines.append(Series(name, label := f"{self.baseline} = 1", label, style, ones))
        return lines

    def _series(self, points: Mapping[CellKey, Point]) -> list[Series]:
        """A line for every backend's latency, and for another mode where the times of the two differ."""
        lines: list[Series] = []
        for name in self.drawn:
            style = self.styles[name]
            if latency := _of_mode(points, name, "latency"):
                lines.append(Series(name, words.line(name), words.line(name), style, latency))
            if latency and (self.few or self.only):
                continue
            # A device's own time is no time of a call, and has its place in the tables and the parts.
            throughput = _of_mode(points, name, "throughput")
            if any(self._differs(name, shape) for shape in throughput):
                label = words.line(CellKey(name, next(iter(throughput)), "throughput").label)
                lines.append(Series(name, label, words.line(name) if latency else label, style, throughput, thin=True))
        return lines

    def _differs(self, name: str, shape: Shape) -> bool:
        latency, throughput = self.times.get(CellKey(name, shape)), self.times.get(CellKey(name, shape, "throughput"))
        return latency is None or throughput is None or abs(math.log(throughput.value / latency.value)) > _NOTABLE


def points_of(series: Iterable[Series]) -> list[tuple[Series, Shape, Point]]:
    """All points, each with its line and its shape."""
    return [(line, shape, point) for line in series for shape, point in line.points.items()]


def shapes_in(series: Iterable[Series]) -> list[Shape]:
    """All shapes that have a point, in the order of their work."""
    return by_work(shape for _, shape, _ in points_of(series))


def say_time(point: Point) -> str:
    """``'1.03 µs [1.01, 1.06]'``."""
    low, high = point.bounds or (None, None)
    return words.interval(Interval(estimate=point.value, low=low, high=high))


def say_rate(point: Point) -> str:
    """``'189 GFLOP/s [187, 191]'``."""
    return words.rate(point.value) + _bounds(point, words.rate_number)


def say_speedup(point: Point) -> str:
    """``'3.2× [3.1×, 3.3×]'``."""
    return words.speedup(point.value) + _bounds(point, words.speedup)


def how_to_read(series: Sequence[Series]) -> str:
    """What is drawn beside the lines."""
    alone = len(shapes_in(series)) == 1
    notes: list[str] = []
    if any(point.bounds for _, _, point in points_of(series)):
        notes.append(f"{'bars' if alone else 'shaded'}: 95 % interval over processes")
    if any(line.thin for line in series):
        notes.append(f"{'throughput' if alone else 'thin, dotted: throughput'}, one wait for all calls")
    return "; ".join(notes)


def ends(series: Sequence[Series], say: Callable[[Point], str]) -> tuple[str, list[str]]:
    """The largest shape drawn, and in words the least and the greatest value there, of latency if there is any.

    Where one line alone is there, that is one value.
    """
    last = shapes_in(series)[-1]
    there = [line for line in series if last in line.points]
    latency = [line for line in there if not line.thin]
    values = sorted(latency or there, key=lambda line: line.points[last].value)
    said = [f"{say(line.points[last])} ({line.label})" for line in (values[0], values[-1])]
    return f"At {last.title}, the largest shape drawn,", said[: len(values)]


def _drawable(value: Interval) -> Point | None:
    """A measured value, unless a logarithmic axis cannot show it: zero, negative, or no number at all."""
    if not 0 < value.estimate < math.inf:
        return None
    bounds = [bound for bound in (value.low, value.high) if bound is not None and 0 < bound < math.inf]
    return Point(value.estimate, (bounds[0], bounds[1]) if len(bounds) == 2 else None)


def _bounds(point: Point, say: Callable[[float], str]) -> str:
    if point.bounds is None:
        return ""
    is_too_wide = words.is_too_wide(Interval(estimate=point.value, low=point.bounds[0], high=point.bounds[1]))
    return f" {words.TOO_NOISY if is_too_wide else '[' + ', '.join(map(say, point.bounds)) + ']'}"


def _of_mode(points: Mapping[CellKey, Point], backend: str, mode: str) -> dict[Shape, Point]:
    return {key.shape: point for key, point in points.items() if (key.backend, key.mode) == (backend, mode)}
