"""What a comparison of runs says, as a page: the answer first, then every cell, then what differs."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.document import Heading, Items, Paragraph, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.runs.model import Change, ComparedRun, Fleet, FleetCell, Gate, Outcome, RunsComparison
    from gemmscope.report.document import Block

# As they are listed and said.
_OUTCOMES: dict[Outcome, str] = {
    "slower": "slower",
    "faster": "faster",
    "same": "the same",
    "unclear": "unclear",
    "machine": "moved with the machine",
}


def comparison_page(comparison: RunsComparison) -> list[Block]:
    """The page of one run against another."""
    after, before = comparison.after, comparison.before
    page: list[Block] = [Heading(f"{after.label} against {before.label}")]
    if comparison.gate is not None:
        page.append(Paragraph(gate_sentence(comparison.gate)))
    page += [
        Paragraph(_counted(comparison)),
        Items([*_sentences(comparison), _capital(comparison.machine.text) + "."]),
    ]
    if comparison.warnings:
        page.append(Items([f"Warning: {warning}" for warning in comparison.warnings]))
    page.append(_changes(comparison))
    page.append(Heading("What differs"))
    if comparison.differences:
        rows = [[", ".join(one.of), one.fact, one.before, one.after] for one in comparison.differences]
        page.append(Table(["of", "fact", "before", "after"], rows))
    else:
        page.append(Paragraph("Nothing that was recorded: versions, wheels, libraries loaded, machine and settings."))
    if comparison.left_out:
        page += [Heading("Left out"), Items(comparison.left_out)]
    page.append(Items([_said_of(which, run) for which, run in (("Before", before), ("After", after))]))
    return page


def gate_sentence(gate: Gate) -> str:
    """Whether the gate holds, naming what is slower."""
    if not gate.slower:
        return f"The gate holds: nothing is shown to be more than {words.percent(gate.limit)} slower."
    named = [
        f"{_label(one.backend, one.mode)} at {_times(one.shape)}, {words.ratio(one.ratio)} times the time"
        for one in gate.slower
    ]
    return (
        f"The gate does not hold: more than {words.percent(gate.limit)} slower, by intervals corrected for all cells: "
        f"{'; '.join(named)}."
    )


def fleet_page(fleet: Fleet) -> list[Block]:
    """The page of several machines: for every shape a table of machines by backend."""
    page: list[Block] = [
        Heading(f"{words.count(len(fleet.runs), 'machine')} side by side"),
        Paragraph(
            "Seconds of one product with their 95 % intervals over sets, and GFLOP/s. These are different machines, so "
            "a difference down a column is the machine's; there are no verdicts."
        ),
    ]
    if fleet.warnings:
        page.append(Items([f"Warning: {warning}" for warning in fleet.warnings]))
    by_shape: dict[tuple[int, int, int], list[FleetCell]] = collections.defaultdict(list)
    for cell in fleet.cells:
        by_shape[cell.m, cell.n, cell.k].append(cell)
    for shape, cells in sorted(by_shape.items(), key=lambda item: (item[0][0] * item[0][1] * item[0][2], item[0])):
        page += [Heading(words.TIMES.join(map(str, shape))), _machines_by_backend(fleet.runs, cells)]
    page.append(Items([f"{run.label}: {_machine(run)}, {run.started}, {words.count(run.sets, 'set')}"
                       for run in fleet.runs]))  # fmt: skip
    return page


def _machines_by_backend(runs: Sequence[ComparedRun], cells: Sequence[FleetCell]) -> Table:
    found = {(cell.run, _label(cell.backend, cell.mode)): cell for cell in cells}
    columns = list(dict.fromkeys(label for _, label in found))
    rows: list[list[str]] = []
    for i, run in enumerate(runs):
        here = {label: found[i, label] for label in columns if (i, label) in found}
        timed = {label: cell for label, cell in here.items() if cell.mode == "latency"}
        least = min(timed, key=lambda label: timed[label].seconds.estimate, default="")
        rows.append([run.label, *(_figure(here.get(label)) for label in columns), least])
    return Table(["run", *columns, "least time"], rows, frozenset(range(1, len(columns) + 1)))


def _figure(cell: FleetCell | None) -> str:
    if cell is None:
        return "not measured"
    rate = "" if cell.gflops is None else f", {words.rate_number(cell.gflops)}"
    return words.interval(cell.seconds) + rate


def _counted(comparison: RunsComparison) -> str:
    counts = collections.Counter(change.verdict for change in comparison.changes)
    said = [f"{counts[outcome]} {word}" for outcome, word in _OUTCOMES.items() if counts[outcome]]
    return (
        f"Of {words.count(len(comparison.changes), 'cell')}: {', '.join(said)} "
        f"(from {words.percent(comparison.margin)} on, corrected for their number)."
    )


def _sentences(comparison: RunsComparison) -> list[str]:
    """A sentence for every backend that is slower or faster, slower ones first, with what differs in its library."""
    said: list[str] = []
    for outcome in ("slower", "faster"):
        by_backend: dict[str, list[Change]] = {}
        for change in comparison.changes:
            if change.verdict == outcome:
                by_backend.setdefault(_label(change.backend, change.mode), []).append(change)
        for label, changes in by_backend.items():
            where = words.listed([f"{_shape(one)} ({_rested_on(one)})" for one in changes])
            said.append(f"{label} is {outcome} at {where}; {_why(comparison, changes[0])}.")
    return said


def _rested_on(change: Change) -> str:
    if change.rests_on_reference and change.relative is not None:
        return f"{words.ratio(change.relative)}, relative to the canary"
    return words.ratio(change.ratio)


def _why(comparison: RunsComparison, change: Change) -> str:
    if not change.library_changed:
        return "nothing recorded of its library differs"
    facts = [
        f"{one.fact} {one.before} \N{RIGHTWARDS ARROW} {one.after}"
        for one in comparison.differences
        if change.worker in one.of
    ]
    return f"what differs in its library: {words.listed(facts, 3)}" if facts else "its worker is not the same"


def _changes(comparison: RunsComparison) -> Table:
    changed = comparison.machine.status in ("changed", "doubtful")
    relative = changed or any(one.rests_on_reference for one in comparison.changes)
    rows = [
        [
            _label(one.backend, one.mode),
            _shape(one),
            words.duration(one.before),
            words.duration(one.after),
            words.ratio(one.ratio),
            *([words.ratio(one.relative) if one.relative is not None else ""] if relative else []),
            _OUTCOMES[one.verdict],
        ]
        for one in comparison.changes
    ]
    headers = ["backend", "shape", "before", "after", "after / before [95 %]"]
    if relative:
        headers.append("relative to canary [95 %]")
    return Table([*headers, "verdict"], rows, frozenset({2, 3}))


def _said_of(which: str, run: ComparedRun) -> str:
    return (
        f"{which}: {run.label}, {run.started}, gemmscope {run.gemmscope}, {words.count(run.sets, 'set')}, on "
        f"{_machine(run)}"
    )


def _machine(run: ComparedRun) -> str:
    return words.line(run.machine.name)


def _label(backend: str, mode: str) -> str:
    return backend if mode == "latency" else f"{backend}, {mode}"


def _shape(change: Change) -> str:
    return f"{change.m}{words.TIMES}{change.n}{words.TIMES}{change.k}"


def _times(shape: str) -> str:
    return shape.replace("x", words.TIMES)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
