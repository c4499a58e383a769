"""Cells whose time depends on where their operands begin within a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis import placement
from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from gemmscope.analysis.placement import Placement
    from gemmscope.analysis.view import View


def layout(view: View) -> list[Finding]:
    """Where layout matters, and how much; one finding for all cells."""
    result = view.result
    found = placement.find(result.cells, result.settings.pairs)
    if not found:
        return []
    listed = words.listed([_named(one) for one in found])
    return [
        Finding(
            id="layout",
            verdict="found",
            text=f"Layout matters here. With the places within a page at which operands begin, times vary: {listed}. "
            "Every batch of processes draws new places, so the intervals include this; your program has only one. "
            "Align or pad your operands, and time the layout that you have chosen.",
            evidence={f"{one.cell.label} at {one.cell.shape.title}": one.size.estimate for one in found},
            backends=list(dict.fromkeys(one.cell.backend for one in found)),
            shapes=list(dict.fromkeys(str(one.cell.shape) for one in found)),
        )
    ]


def _named(one: Placement) -> str:
    bounds = words.percent_bounds(one.size)
    return f"{one.cell.label} at {one.cell.shape.title} by {words.percent(one.size.estimate)} {bounds}".rstrip()
