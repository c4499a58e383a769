"""How far the figures can be trusted: precision, threads, and what the machine did meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.findings.view import title
from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from gemmscope.analysis.findings.view import View
    from gemmscope.records.model import Cell

# Processor seconds per wall second that differ by less than this factor are as good as equal.
_AS_MANY_THREADS = 1.3
# A canary that moved by more than this between sets says that the machine did.
_DRIFT = 0.05
# Samples of one process that scatter by more than this make every interval wide.
_NOISY = 0.10


def unequal_precision(view: View) -> list[Finding]:
    """Cells that do not compute in float32's precision."""
    reduced = [cell for cell in view.result.cells if cell.precision not in (None, "float32", "wrong")]
    if not reduced:
        return []
    worst = {cell.backend: cell for cell in sorted(reduced, key=lambda cell: cell.relative_error or 0.0)}
    told = [f"{name} in {cell.precision} (relative error {words.error(cell.relative_error or 0.0)})" for name, cell in worst.items()]  # fmt: skip  # noqa: E501
    text = f"Not all products are of the same precision: {words.listed(told)}. They are not ranked with the others."
    return [
        Finding(
            id="unequal-precision",
            verdict="found",
            text=text,
            evidence={f"{name}, relative error": cell.relative_error for name, cell in worst.items()},
            backends=list(worst),
            shapes=list(dict.fromkeys(f"{cell.m}x{cell.n}x{cell.k}" for cell in reduced)),
        )
    ]


def unequal_threads(view: View) -> list[Finding]:
    """Backends that kept fewer processors busy than others, at the largest square."""
    for shape in reversed(view.squares):
        cells = [
            cell
            for record in view.result.backends
            if record.device == "cpu" and record.multiplies and (cell := view.cell(record.name, shape)) and cell.threads
        ]
        if len(cells) < 2:  # noqa: PLR2004  (one cell is equal to itself)
            continue
        most = max(cell.threads or 0.0 for cell in cells)
        fewer = [cell for cell in cells if most > _AS_MANY_THREADS * (cell.threads or most)]
        if not fewer:
            return []
        told = words.listed([f"{cell.backend} {cell.threads:.1f}" for cell in fewer])
        text = (
            f"Not all used as many processors: at {title(shape)} up to {most:.1f} were busy, but {told}. "
            "What they are slower by is not all the kernel's doing."
        )
        return [
            Finding(
                id="unequal-threads",
                verdict="found",
                text=text,
                evidence={cell.backend: cell.threads for cell in cells},
                backends=[cell.backend for cell in fewer],
                shapes=[str(shape)],
            )
        ]
    return []


def drift(view: View) -> list[Finding]:
    """A machine that changed its speed while it was measured."""
    reference = view.result.reference
    if reference is None or reference.drift is None:
        return []
    found = abs(reference.drift) >= _DRIFT
    text = (
        f"The machine changed its speed by up to {words.percent(reference.drift, signed=True)} between sets. Ratios "
        "are paired and hold; times are those of a machine that was not the same throughout."
        if found
        else f"The machine kept its speed: the canary's medians stayed within {words.percent(abs(reference.drift))}."
    )
    return [
        Finding(id="drift", verdict="found" if found else "not found", text=text, evidence={"drift": reference.drift})
    ]


def process_modes(view: View) -> list[Finding]:
    """Cells whose fresh processes fall into groups."""
    found = [cell for cell in view.result.cells if cell.process_modes]
    if not found:
        return []
    widest = max(found, key=_mode_ratio)
    slow, fast = widest.process_modes[-1], widest.process_modes[0]
    return [
        Finding(
            id="process-modes",
            verdict="found",
            text=f"{words.count(len(found), 'cell')} differ between fresh processes by more than within them, most "
            f"{widest.backend} at {widest.m}×{widest.n}×{widest.k}: {words.duration(fast.seconds)} in "
            f"{words.count(len(fast.sets), 'process', 'processes')}, {words.duration(slow.seconds)} in "
            f"{len(slow.sets)}. A single run of a program meets one or the other.",
            evidence={"cells": len(found), "slowest over fastest": _mode_ratio(widest)},
            backends=list(dict.fromkeys(cell.backend for cell in found)),
            shapes=list(dict.fromkeys(f"{cell.m}x{cell.n}x{cell.k}" for cell in found)),
        )
    ]


def noise(view: View) -> list[Finding]:
    """Cells whose samples scatter widely inside one process."""
    noisy = [cell for cell in view.result.cells if (cell.spread_within or 0.0) > _NOISY and _multiplies(view, cell)]
    if not noisy:
        return []
    worst = max(noisy, key=lambda cell: cell.spread_within or 0.0)
    return [
        Finding(
            id="noise",
            verdict="found",
            text=f"In {words.count(len(noisy), 'cell')} of {len(view.result.cells)} samples of one process scatter by "
            f"more than {words.percent(_NOISY)}, most in {worst.backend} at {worst.m}×{worst.n}×{worst.k} "
            f"({words.percent(worst.spread_within or 0.0)}): something else was at work on this machine.",
            evidence={"cells": len(noisy), "worst": worst.spread_within},
            backends=list(dict.fromkeys(cell.backend for cell in noisy)),
            shapes=list(dict.fromkeys(f"{cell.m}x{cell.n}x{cell.k}" for cell in noisy)),
        )
    ]


def not_converged(view: View) -> list[Finding]:
    """Comparisons that stayed unclear though their interval is still wide."""
    wide = [comparison for comparison in view.result.comparisons if not comparison.converged]
    if not wide:
        return []
    return [
        Finding(
            id="not-converged",
            verdict="found",
            text=f"{len(wide)} of {words.count(len(view.result.comparisons), 'comparison')} stayed open: more time "
            "(--seconds), a quieter machine or a wider --margin would settle them.",
            evidence={"comparisons": len(wide), "of": len(view.result.comparisons)},
            backends=list(dict.fromkeys(comparison.backend for comparison in wide)),
            shapes=list(dict.fromkeys(f"{one.m}x{one.n}x{one.k}" for one in wide)),
        )
    ]


def _mode_ratio(cell: Cell) -> float:
    return cell.process_modes[-1].seconds / cell.process_modes[0].seconds


def _multiplies(view: View, cell: Cell) -> bool:
    record = view.backends.get(cell.backend)
    return record is None or record.multiplies
