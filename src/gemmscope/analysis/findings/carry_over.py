"""Cells whose time depends on what ran just before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.records.base import Interval
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.carry_over import CarryOver
    from gemmscope.analysis.view import View
    from gemmscope.records.base import CellKey

_ID = "carry-over"
_GPU = "the clock or the power state of the GPU carries over"
_CPU = "what is left in caches, clocks or thread pools carries over"


def carry_over(view: View) -> list[Finding]:
    """What carries over from one cell to the next; that nothing does, where that could be tested."""
    found = view.carry_over
    if not found.tested:
        return []
    counted: dict[str, str | float | int | None] = {"cells tested": found.tested, "cells": found.cells}
    cells = f"{found.tested} of {words.count(found.cells, 'cell')} could be tested"
    if not found.shown and found.first is None:
        return [
            Finding(
                id=_ID,
                verdict="not found",
                text="No cell is shown to depend on what ran just before it, or on its place in the turn: "
                f"{cells}, for changes above {words.percent(found.threshold)}.",
                evidence=counted,
            )
        ]
    groups: dict[tuple[object, ...], list[CarryOver]] = {}
    for one in found.shown:
        slower = one.change.estimate > 1
        # A fact about several sizes is one fact; and so is that the first samples of turns are slower.
        fact = (slower,) if one.after is None else (slower, one.cell.label, one.after.label)
        groups.setdefault(fact, []).append(one)
    if found.first is not None:
        groups.setdefault((found.first.estimate > 1,), [])
    return [
        Finding(
            id=_ID,
            verdict="found",
            text=f"{_after(view, those) if len(fact) > 1 else _first(those, found.first)} ({cells}.)",
            evidence={**{_evidence(one): one.change.estimate - 1 for one in those}, **counted},
            backends=list(dict.fromkeys(one.cell.backend for one in those)),
            shapes=list(dict.fromkeys(str(one.cell.shape) for one in those)),
        )
        for fact, those in groups.items()
    ]


def size(change: Interval) -> str:
    """A change of time in words: ``"12 % [11, 13] longer"``, ``"11 % [9, 13] less"``."""
    if change.estimate >= 1:
        return f"{_percent(change.estimate - 1, change.low, change.high, 1)} longer"
    return f"{_percent(1 - change.estimate, change.high, change.low, -1)} less"


def _percent(share: float, low: float | None, high: float | None, sign: int) -> str:
    bounds = "" if low is None or high is None else words.percent_bounds(
        Interval(estimate=share, low=sign * (low - 1), high=sign * (high - 1))
    )  # fmt: skip
    return f"{words.percent(share)} {bounds}".rstrip()


def _after(view: View, those: Sequence[CarryOver]) -> str:
    """One cell, at one size or several, after one other."""
    cell, after = those[0].cell, those[0].after
    assert after is not None
    sizes = words.listed([f"{size(one.change)} at {one.cell.shape.title}" for one in those])
    others = [other for one in those for other in one.others]
    names = {_name(other, cell) for other in others}
    than = "the others" if len(names) > 1 else next(iter(names))
    on_gpu = cell.backend in view.backends and view.backends[cell.backend].device == "gpu"
    why = _GPU if on_gpu else _CPU
    # Modes of one backend cannot be asked for apart, and the layers of a call belong into one run.
    apart = any(_can_be_apart(view, cell.backend, other.backend) for other in (after, *others))
    remedy = "; ask for them in separate runs" if apart else ""
    return f"{cell.label} takes {sizes} right after {_name(after, cell)} than after {than}: {why}{remedy}."


def _can_be_apart(view: View, one: str, other: str) -> bool:
    """Whether two backends can be measured in runs of their own, without a loss."""
    records = [view.backends[name] for name in (one, other) if name in view.backends]
    if one == other or len(records) < 2 or not all(record.is_choice for record in records):
        return False
    return records[0].inside != other and records[1].inside != one


def _name(other: CellKey, cell: CellKey) -> str:
    return "itself" if other.label == cell.label else other.label


def _first(those: Sequence[CarryOver], median: Interval | None) -> str:
    """The first samples of turns: in the median over cells, where that is shown too, and in those where it is shown."""
    most = sorted(those, key=lambda one: -abs(one.change.estimate - 1))
    cells = [f"{size(one.change)} in {one.cell.label} at {one.cell.shape.title}" for one in most]
    slower = those[0].change.estimate > 1 if those else median is None or median.estimate > 1
    if median is not None and (median.estimate > 1) == slower:
        cells.insert(0, f"{size(median)} in the median over cells")
    why = (
        "after the untimed calls before it, clocks, caches and thread pools have not settled yet"
        if slower else "clocks fall during a turn, or caches fill with what other cells leave behind"
    )  # fmt: skip
    return (
        f"The first sample of a turn takes {words.listed(cells)} than the others: {why}. Every cell of a worker comes "
        "first equally often, so ratios hardly change."
    )


def _evidence(one: CarryOver) -> str:
    what = "first of a turn" if one.after is None else f"after {one.after.label}"
    return f"{one.cell.label} at {one.cell.shape.title}, {what}"
