"""What charts say in words: values with their intervals, how to read what is drawn, and what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.records.base import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from gemmscope.records.model import Result
    from gemmscope.report.charts.data import Point, Series

_MOST_FINDINGS = 3


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


def how_to_read(series: Iterable[Series]) -> str:
    """What is drawn beside the lines."""
    series = list(series)
    alone = len({shape for line in series for shape in line.points}) == 1
    notes: list[str] = []
    if any(point.bounds for line in series for point in line.points.values()):
        notes.append(f"{'bars' if alone else 'shaded'}: 95 % interval over processes")
    if any(line.thin for line in series):
        notes.append(f"{'throughput' if alone else 'thin, dotted: throughput'}, one wait for all calls")
    return "; ".join(notes)


def found(result: Result, rules: Collection[str], otherwise: str) -> str:
    """The run's own findings of these rules, so that a chart never contradicts them, and then a sentence of its own."""
    texts = [words.line(one.text) for one in result.findings if one.id in rules and one.verdict != "not testable"]
    return " ".join([*texts[:_MOST_FINDINGS], otherwise])


def _bounds(point: Point, say: Callable[[float], str]) -> str:
    return f" [{', '.join(map(say, point.bounds))}]" if point.bounds else ""
