"""Frameworks by BLAS libraries: which of the two explains the differences, and whether the results agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.grid import effects, grid_of, odd_ones
from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from gemmscope.analysis.grid import Effects, Factor, Grid
    from gemmscope.analysis.view import View
    from gemmscope.workload.shapes import Shape


def blas_or_framework(view: View) -> list[Finding]:
    """At every shape, which factor explains more of the differences between the combinations."""
    grid = grid_of(view)
    if grid is None:
        return []
    found = [one for shape in view.shapes if (one := effects(view, grid, shape)) is not None]
    return [_explained(view, grid, one) for one in found]


def _explained(view: View, grid: Grid, found: Effects) -> Finding:
    blas, framework = found.blas, found.framework
    text = f"At {found.shape.title} {_sentence(view, found)}"
    # A library that is far behind explains nearly all by itself: what is left between the others?
    if len(found.near) > 1 and blas.slowest not in found.near:
        nearer = effects(view, grid, found.shape, found.near)
        if nearer is not None:
            text += f" Among {words.listed(found.near, 9)}, which are within a factor of 2, {_sentence(view, nearer)}"
    return Finding(
        id="blas-or-framework",
        verdict="found" if found.more else "not found",
        text=text,
        evidence={
            "share of the BLAS": blas.share.estimate,
            "share of the framework": framework.share.estimate,
            f"{blas.slowest} / {blas.fastest}": blas.ratio.estimate,
            f"{framework.slowest} / {framework.fastest}": framework.ratio.estimate,
        },
        backends=list(grid.names.values()),
        shapes=[str(found.shape)],
    )


def _sentence(view: View, found: Effects) -> str:
    blas, framework = found.blas, found.framework
    margin = 1 + view.result.settings.margin
    if max(blas.ratio.estimate, framework.ratio.estimate) <= margin:
        return f"all {found.combinations} combinations take the same time, to within the margin."
    shares = [("the BLAS", _share(blas)), ("the framework", _share(framework))]
    if found.more:
        (name, share), (other, rest) = shares if found.more == "blas" else shares[::-1]
        lead = f"{name} explains {share} of the differences between {found.combinations} combinations, {other} {rest}"
    else:
        either = " or ".join(f"{name} ({share})" for name, share in shares)
        lead = f"it is open whether {either} explains more of the differences between {found.combinations} combinations"
    return (
        f"{lead}. A call on {blas.slowest} takes {words.ratio(blas.ratio)} times as long as on {blas.fastest}; one by "
        f"{framework.slowest} takes {words.ratio(framework.ratio)} times as long as one by {framework.fastest}."
    )


def _share(factor: Factor) -> str:
    bounds = words.percent_bounds(factor.share)
    return f"{words.percent(factor.share.estimate)}{' ' + bounds if bounds else ''}"


def same_results(view: View) -> list[Finding]:
    """Whether all frameworks compute the same on the same BLAS, to the last bit, and what was counted."""
    grid = grid_of(view)
    if grid is None:
        return []
    compared = {
        (library, shape): odd
        for library in grid.shared
        for shape in view.shapes
        if (odd := odd_ones(view, grid, shape, library)) is not None
    }
    if not compared:
        return []
    differ: dict[str, list[str]] = {}
    for (library, shape), odd in compared.items():
        if odd:
            differ.setdefault(words.listed(odd, 9), []).append(f"on {library} at {shape.title}")
    text = "On the same BLAS the results of all frameworks are the same, to the last bit"
    if differ:
        text += ", but they differ with " + "; with ".join(
            f"{who} {words.listed(where, 6)}" for who, where in differ.items()
        )
    else:
        text += f" ({words.listed(grid.shared, 9)}, at {words.shapes(_compared_at(view, compared))})"
    return [
        Finding(
            id="same-results",
            verdict="found",
            text=f"{text}.{_counted(view, grid)}",
            evidence={f"{library} at {shape.title}": ", ".join(odd) or "the same"
                      for (library, shape), odd in compared.items()},
            backends=list(grid.names.values()),
        )
    ]  # fmt: skip


def _compared_at(view: View, compared: dict[tuple[str, Shape], list[str]]) -> list[Shape]:
    return [shape for shape in view.shapes if any(one == shape for _, one in compared)]


def _counted(view: View, grid: Grid) -> str:
    """What the preloaded library counted: that it was called is what a column rests on."""
    counts = {
        f"{name} at {shape.title}": cell.blas_calls
        for shape in view.shapes
        for (_, library), name in grid.names.items()
        if library in grid.shared and (cell := view.cell(name, shape)) is not None and cell.blas_calls is not None
    }
    if not counts:
        return ""
    others = [f"{where} ({count:g})" for where, count in counts.items() if count != 1]
    if others:
        return f" Not every call of a framework was one call of the BLAS, as counted: {words.listed(others)}."
    return " Every call of a framework was one call of the BLAS, as counted."
