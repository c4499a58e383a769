"""How far the figures can be trusted: precision, threads, and what the machine did meanwhile."""

from __future__ import annotations

import collections
import statistics
from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.subject import Subject
from gemmscope.analysis.statistics import set_medians
from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.analysis.view import View
    from gemmscope.records.model import Cell, Comparison

# Processor seconds per wall second that differ by less than this factor are as good as equal.
_AS_MANY_THREADS = 1.3
# A reference workload that changed by more than this between sets says that the machine did.
_DRIFT = 0.05
# Samples of one process that scatter by more than this make every interval wide.
_NOISY = 0.10


def unequal_precision(view: View) -> list[Finding]:
    """Cells that do not compute in float32's precision."""
    reduced = [cell for cell in view.result.cells if cell.precision not in (None, "float32", "wrong")]
    if not reduced:
        return []
    worst = {cell.backend: cell for cell in sorted(reduced, key=lambda cell: cell.relative_error or 0.0)}
    listed = words.listed([
        f"{name} in {cell.precision} (relative error {words.error(cell.relative_error or 0.0)})"
        for name, cell in worst.items()
    ])  # fmt: skip
    return [
        Finding(
            id="unequal-precision",
            verdict="found",
            text=f"Some results have reduced precision: {listed}. They are not ranked with the others.",
            evidence={f"{name}, relative error": cell.relative_error for name, cell in worst.items()},
            backends=list(worst),
            shapes=_shapes(reduced),
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
        if len(cells) < 2:
            continue
        most = max(cell.threads or 0.0 for cell in cells)
        fewer = [cell for cell in cells if most > _AS_MANY_THREADS * (cell.threads or most)]
        if not fewer:
            return []
        listed = words.listed([f"{cell.backend} {cell.threads:.1f}" for cell in fewer])
        return [
            Finding(
                id="unequal-threads",
                verdict="found",
                text=f"Not all backends used the same number of processors at {shape.title}: up to {most:.1f} were "
                f"busy, but with {listed}. This explains part of the difference in speed; per thread, their kernels "
                "may be as fast.",
                evidence={cell.backend: cell.threads for cell in cells},
                backends=[cell.backend for cell in fewer],
                shapes=[str(shape)],
            )
        ]
    return []


def too_many_threads(view: View) -> list[Finding]:
    """Backends that ran on more threads than there are processors for them, by the libraries' own counts.

    A container's quota counts: libraries see the processors, and not the quota.
    """
    machine = view.result.machine
    usable = machine.usable_cpus if machine.usable_cpus is not None else float(machine.logical_cpus)
    names: dict[int, list[str]] = collections.defaultdict(list)
    for subject in _measured_on_the_processor(view):
        if subject.pool is not None and subject.pool > usable:
            names[subject.pool].append(subject.name)
    return [
        Finding(
            id="too-many-threads",
            verdict="found",
            text=f"{words.listed(those)} ran {count} threads on {usable:g} processors. Threads that have to wait for a "
            "processor make times long and uneven; ask for fewer with --threads.",
            evidence={"threads": count, "processors": usable},
            backends=those,
        )
        for count, those in sorted(names.items())
    ]


def other_threads_than_asked(view: View) -> list[Finding]:
    """Backends whose libraries did not take the number of threads that they were asked for."""
    names: dict[tuple[int, int], list[str]] = collections.defaultdict(list)
    for subject in _measured_on_the_processor(view):
        asked = subject.asked_threads
        if asked is not None and subject.pool is not None and subject.pool != asked:
            names[asked, subject.pool].append(subject.name)
    return [
        Finding(
            id="other-threads-than-asked",
            verdict="found",
            text=f"By the libraries' own counts {words.listed(those)} had {words.count(pool, 'thread')}, and not the "
            f"{asked} asked for.",
            evidence={"asked": asked, "threads": pool},
            backends=those,
        )
        for (asked, pool), those in sorted(names.items())
    ]


def is_notable(drift: float | None) -> bool:
    """Whether the reference workload moved by so much that the machine was not steady."""
    return drift is not None and abs(drift) >= _DRIFT


def drift(view: View) -> list[Finding]:
    """A machine that changed its speed while it was measured."""
    reference = view.result.reference
    if reference is None or reference.drift is None:
        return []
    found = is_notable(reference.drift)
    word = "slower" if reference.drift > 0 else "faster"
    fixed = f"the reference workload, a fixed GEMM of {words.dimensions(reference.shape)},"
    text = (
        f"The machine's speed changed during the run: {fixed} became up to {words.percent(abs(reference.drift))} "
        f"{word} than in the first batch of processes. Ratios are paired, so they still hold; absolute times are less "
        "certain."
        if found
        else f"The machine was steady: {fixed} changed by at most {words.percent(abs(reference.drift))}."
    )
    return [
        Finding(id="drift", verdict="found" if found else "not found", text=text, evidence={"drift": reference.drift})
    ]


def other_runs(view: View) -> list[Finding]:
    """Other runs of gemmscope, such as other ranks of a job, that measured on the same processors meanwhile."""
    sets = view.result.surroundings
    shared = [one for one in sets if one.other_runs]
    if not shared:
        return []
    most = max(one.other_runs for one in shared)
    who, was = ("Another gemmscope", "was") if most == 1 else (f"Up to {most} other runs of gemmscope", "were")
    if view.result.machine.launched is not None and view.result.machine.launched.local_size > 1:
        who += " (another rank of this job, perhaps)"
    text = (
        f"{who} {was} measuring on the same processors at the same time, in {len(shared)} of "
        f"{words.count(len(sets), 'batch', 'batches')}: threads that spin for one run hold up the other, and no time "
        "here is the library's own. Bind each run to processors of its own, or measure one after the other."
    )
    return [
        Finding(
            id="other-runs", verdict="found", text=text,
            evidence={"other runs": most, "batches": len(shared), "of": len(sets)},
        )
    ]  # fmt: skip


def disturbed_sets(view: View) -> list[Finding]:
    """Sets that do not count in some comparisons, because they lie apart from the others there."""
    left_out = collections.Counter(set_ for comparison in view.result.comparisons for set_ in comparison.left_out)
    if not left_out:
        return []
    reference = view.result.reference
    medians = set_medians(reference.samples) if reference is not None else {}
    told = []
    for set_, count in sorted(left_out.items()):
        others = [value for other, value in medians.items() if other != set_]
        seen = f"batch {set_ + 1} is left out of {words.count(count, 'comparison')}"
        if set_ in medians and others:
            change = medians[set_] / statistics.median(others) - 1
            word = "longer" if change > 0 else "less"
            seen += f" (the reference workload took {words.percent(abs(change))} {word} there)"
        told.append(seen)
    return [
        Finding(
            id="disturbed-sets",
            verdict="found",
            text=f"Something disturbed the run for a while: {words.listed(told)}. A batch is left out where its ratio "
            "is far from those of all other batches.",
            evidence={f"batch {set_ + 1}, comparisons": count for set_, count in left_out.items()},
            backends=list(dict.fromkeys(one.backend for one in view.result.comparisons if one.left_out)),
            shapes=list(dict.fromkeys(str(one.shape) for one in view.result.comparisons if one.left_out)),
        )
    ]


def process_modes(view: View) -> list[Finding]:
    """Cells whose fresh processes fall into groups."""
    found = [cell for cell in view.result.cells if cell.process_modes]
    if not found:
        return []
    widest = max(found, key=_mode_ratio)
    slow, fast = widest.process_modes[-1], widest.process_modes[0]
    cells = words.count(len(found), "cell")
    return [
        Finding(
            id="process-modes",
            verdict="found",
            text=f"In {cells} fresh processes fall into a faster and a slower group, most of all in "
            f"{widest.key.label} at {widest.shape.title}: {words.duration(fast.seconds)} in "
            f"{words.count(len(fast.sets), 'process', 'processes')}, {words.duration(slow.seconds)} in "
            f"{len(slow.sets)}. Your program, which runs once, gets one or the other.",
            evidence={"cells": len(found), "slowest over fastest": _mode_ratio(widest)},
            backends=list(dict.fromkeys(cell.backend for cell in found)),
            shapes=_shapes(found),
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
            text=f"The machine was noisy: in {len(noisy)} of {words.count(len(view.result.cells), 'cell')} the samples "
            f"of one process scatter by more than {words.percent(_NOISY)}, most of all in {worst.key.label} at "
            f"{worst.shape.title} ({words.percent(worst.spread_within or 0.0)}). Other programs were probably running.",
            evidence={"cells": len(noisy), "worst": worst.spread_within},
            backends=list(dict.fromkeys(cell.backend for cell in noisy)),
            shapes=_shapes(noisy),
        )
    ]


def unclear(comparisons: Sequence[Comparison]) -> dict[str, int]:
    """How many verdicts are unclear, all taken together as in the tables, by why; ``"wide"`` are those still open."""
    those = [one for one in comparisons if one.corrected == "unclear"]
    counts = {
        "wide": sum(not one.converged for one in those),
        "near the margin": sum(one.converged and one.verdict == "unclear" for one in those),
        "together": sum(one.verdict != "unclear" for one in those),
    }
    return {why: count for why, count in counts.items() if count}


def not_converged(view: View) -> list[Finding]:
    """Comparisons that stayed unclear, and why: most because their interval is still wide."""
    result = view.result
    counts = unclear(result.comparisons)
    if not counts:
        return []
    width = f"\N{PLUS-MINUS SIGN}{words.percent(result.settings.width)}"
    why = {
        "wide": f"an interval wider than {width}",
        "near the margin": "a narrow interval around the margin",
        "together": "a verdict each by itself, but not once all are taken together",
    }
    total = sum(counts.values())
    those = [one for one in result.comparisons if one.corrected == "unclear"]
    return [
        Finding(
            id="not-converged",
            verdict="found",
            text=f"{total} of {words.count(len(result.comparisons), 'comparison')} {'is' if total == 1 else 'are'} "
            f"unclear{_why(counts, why)}. More time "
            "(--seconds), a quieter machine or a wider --margin may settle this.",
            evidence={"comparisons": total, "of": len(result.comparisons), "not converged": counts.get("wide", 0)},
            backends=list(dict.fromkeys(one.backend for one in those)),
            shapes=list(dict.fromkeys(str(one.shape) for one in those)),
        )
    ]


def _why(counts: Mapping[str, int], why: Mapping[str, str]) -> str:
    if len(counts) == 1:
        return f", with {why[next(iter(counts))]}"
    return f": {words.listed([f'{count} with {why[name]}' for name, count in counts.items()])}"


def _measured_on_the_processor(view: View) -> list[Subject]:
    return [
        subject
        for name, record in view.backends.items()
        if record.device == "cpu" and record.multiplies and (subject := Subject(view, name)).shapes
    ]


def _shapes(cells: list[Cell]) -> list[str]:
    return list(dict.fromkeys(str(cell.shape) for cell in cells))


def _mode_ratio(cell: Cell) -> float:
    return cell.process_modes[-1].seconds / cell.process_modes[0].seconds


def _multiplies(view: View, cell: Cell) -> bool:
    record = view.backends.get(cell.backend)
    return record is None or record.multiplies
