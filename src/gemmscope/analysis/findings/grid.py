"""Frameworks by BLAS libraries: which of the two explains the differences, and whether the results agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.grid import effects, grid_of, identical
from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from gemmscope.analysis.grid import Effects, Factor, Grid
    from gemmscope.analysis.view import View


def blas_or_framework(view: View) -> list[Finding]:
    """At every shape, which factor explains more of the differences between the combinations."""
    grid = grid_of(view)
    if grid is None:
        return []
    found = (effects(view, grid, shape) for shape in view.shapes)
    return [_explained(grid, one) for one in found if one is not None]


def _explained(grid: Grid, found: Effects) -> Finding:
    where = found.shape.title
    blas, framework = found.blas, found.framework
    if found.decides == "blas":
        lead = f"At {where} the BLAS decides, not the framework: it explains {_share(blas)}"
    elif found.decides == "framework":
        lead = f"At {where} the framework decides, not the BLAS: it explains {_share(framework)}"
    else:
        lead = (
            f"At {where} it is not settled whether the BLAS or the framework matters more: they explain {_share(blas)} "
            f"and {_share(framework)}"
        )
    text = (
        f"{lead} of the differences between {found.combinations} combinations. Averaged over the frameworks, a call "
        f"takes {words.ratio(blas.ratio)} times as long on {blas.slowest} as on {blas.fastest}; averaged over the BLAS "
        f"libraries, {words.ratio(framework.ratio)} times as long with {framework.slowest} as with {framework.fastest}."
    )
    return Finding(
        id="blas-or-framework",
        verdict="found" if found.decides else "not found",
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


def _share(factor: Factor) -> str:
    bounds = words.percent_bounds(factor.share)
    return f"{words.percent(factor.share.estimate)}{' ' + bounds if bounds else ''}"


def same_results(view: View) -> list[Finding]:
    """Whether all frameworks compute the same on the same BLAS, to the last bit, and what was counted."""
    grid = grid_of(view)
    if grid is None:
        return []
    same: dict[str, list[str]] = {}
    differ: dict[str, list[str]] = {}
    for library in grid.shared:
        for shape in view.shapes:
            found = identical(view, grid, shape, library)
            if found is not None:
                (same if found else differ).setdefault(library, []).append(shape.title)
    said = [_results(libraries, verb) for libraries, verb in ((same, "agree"), (differ, "differ")) if libraries]
    if not said:
        return []
    return [
        Finding(
            id="same-results",
            verdict="not found" if differ else "found",
            text="On the same BLAS the results of all frameworks " + ", and ".join(said) + "." + _counted(view, grid),
            evidence={f"{library}, {verb}": ", ".join(shapes)
                      for verb, found in (("the same", same), ("differ", differ)) for library, shapes in found.items()},
            backends=list(grid.names.values()),
        )
    ]  # fmt: skip


def _results(libraries: dict[str, list[str]], verb: str) -> str:
    by_shapes: dict[str, list[str]] = {}
    for library, shapes in libraries.items():
        by_shapes.setdefault(words.listed(shapes, 9), []).append(library)
    where = "; ".join(f"on {words.listed(names, 9)} at {shapes}" for shapes, names in by_shapes.items())
    return f"agree to the last bit {where}" if verb == "agree" else f"differ in their last bits {where}"


def _counted(view: View, grid: Grid) -> str:
    """What the preloaded library counted: that it was called is what a column rests on."""
    counts = {
        name: cell.blas_calls
        for shape in view.shapes
        for (_, library), name in grid.names.items()
        if library in grid.shared and (cell := view.cell(name, shape)) is not None and cell.blas_calls is not None
    }
    if not counts:
        return ""
    others = [f"{name} ({count:g})" for name, count in counts.items() if count != 1]
    if others:
        return f" Calls of the BLAS for each call of a framework are not one with {words.listed(others)}."
    return " Each call of a framework was one call of the BLAS, as counted."
