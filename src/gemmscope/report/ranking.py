"""Which backend is the fastest at a shape, in words, as far as that is settled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.shapes import label, median

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.records.model import Cell, Comparison
    from gemmscope.report.shapes import ShapeCells


def ranking(shape: ShapeCells, margin: float) -> str:
    """Which backend is the fastest in latency, as far as that is settled. Reduced precision is not ranked."""
    latency = [cell for cell in shape.timed if cell.mode == "latency"]
    full = [cell for cell in latency if cell.precision in (None, "float32")]
    reduced = [f"{label(cell)} ({cell.precision})" for cell in latency if cell.precision not in (None, "float32")]
    ranked = [cell for cell in full if 0 < median(cell) < math.inf]
    impossible = [label(cell) for cell in full if not 0 < median(cell) < math.inf]
    said = [_first_of(ranked, shape.comparisons, margin)]
    if reduced:
        said.append(f"Not ranked, because of its precision: {words.listed(reduced)}.")
    if impossible:
        said.append(f"Not ranked, because no product can take that time: {words.listed(impossible)}.")
    return " ".join(said)


def _first_of(ranked: Sequence[Cell], comparisons: Mapping[tuple[str, str], Comparison], margin: float) -> str:
    if not ranked:
        return "Nothing can be ranked here."
    first, *others = ranked
    took = f"{label(first)}, {words.duration(median(first))}"
    if not others:
        return f"Only one to rank: {took}."
    duels = [_duel(first, other, comparisons) for other in others]
    ahead, outcome = duels[0]
    second = label(others[0])
    if outcome == "no interval":
        return (
            f"Least time: {took}; {words.speedup(ahead)} as fast as the second, {second}. "
            f"Fewer than two sets: no interval, so the order is not settled."
        )
    said = []
    for found, sentence in (
        ("unclear", "cannot be told apart from {}: the intervals overlap"),
        ("same", f"the same as {{}} within {words.percent(margin)}"),
        ("no interval", "not settled against {}: no interval"),
    ):
        names = [label(other) for other, (_, result) in zip(others, duels, strict=True) if result == found]
        if names:
            said.append(sentence.format(words.listed(names)))
    if not said:
        return f"Fastest: {took}; {words.speedup(ahead)} as fast as the second, {second}."
    clear = f", {words.speedup(ahead)} as fast as the second, {second}" if outcome == "faster" else ""
    return f"Least time: {took}{clear}; {'; '.join(said)}."


def _duel(first: Cell, other: Cell, comparisons: Mapping[tuple[str, str], Comparison]) -> tuple[float, str]:
    """How many times as fast the first is, and whether that is settled: faster, same, unclear or no interval.

    If one of the two is the baseline, their paired ratio says so more sharply than two intervals of times.
    """
    mine, others = (comparisons.get((cell.backend, "latency")) for cell in (first, other))
    if mine is not None and mine.baseline == other.backend:
        found: str = mine.verdict if mine.verdict != "slower" else "unclear"
        ahead = 1 / mine.ratio.estimate if mine.ratio.estimate else math.inf
        return ahead, found if mine.ratio.low is not None else "no interval"
    if others is not None and others.baseline == first.backend:
        found = {"slower": "faster", "same": "same"}.get(others.verdict, "unclear")
        return others.ratio.estimate, found if others.ratio.low is not None else "no interval"
    ahead = median(other) / median(first)
    high = first.seconds.high if first.seconds else None
    low = other.seconds.low if other.seconds else None
    if high is None or low is None:
        return ahead, "no interval"
    return ahead, "faster" if high < low else "unclear"
