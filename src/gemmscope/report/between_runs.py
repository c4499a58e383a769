"""What a comparison of runs says, as a document: the answer first, then every cell, then what differs."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.records.base import CellKey
from gemmscope.report.document import Figures, Heading, Item, Items, Paragraph
from gemmscope.report.fleet import of_run
from gemmscope.report.rows.runs import OUTCOMES, changes_table, differences_table
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from gemmscope.analysis.runs.model import Change, Gate, RunsComparison, Slowdown
    from gemmscope.report.document import Block


def comparison_page(comparison: RunsComparison) -> list[Block]:
    """The page of one run against another."""
    after, before = comparison.after, comparison.before
    page: list[Block] = [Heading(f"{after.label} against {before.label}")]
    if comparison.gate is not None:
        page.append(Paragraph(gate_sentence(comparison.gate), "bad" if comparison.gate.slower else "good"))
    page += [
        Paragraph(_counted(comparison), "strong"),
        Items.of(*_sentences(comparison), _capital(comparison.machine.text) + "."),
    ]
    if comparison.warnings:
        page.append(_warnings(comparison.warnings))
    if comparison.changes:
        page.append(Figures(changes_table(comparison)))
    page.append(Heading("What differs"))
    if comparison.differences:
        page.append(Figures(differences_table(comparison.differences)))
    else:
        page.append(Paragraph("Nothing that was recorded: versions, wheels, libraries loaded, machine and settings."))
    if comparison.left_out:
        page += [Heading("Left out"), Items.of(*comparison.left_out)]
    page += [Heading("The runs"), Items.of(f"Before: {of_run(before)}", f"After: {of_run(after)}")]
    return page


def gate_sentence(gate: Gate) -> str:
    """Whether the gate holds, naming what is slower."""
    if not gate.slower:
        return f"The gate holds: nothing is shown to be more than {words.percent(gate.limit)} slower."
    named = "; ".join(map(_slowdown, gate.slower))
    return (
        f"The gate does not hold: more than {words.percent(gate.limit)} slower, by intervals corrected for all cells: "
        f"{named}."
    )


def _slowdown(one: Slowdown) -> str:
    shape = Shape.parse(one.shape)
    label = CellKey(one.backend, shape, one.mode).label
    return f"{label} at {shape.full_title}, {words.ratio(one.ratio)} times the time"


def _warnings(warnings: list[str]) -> Items:
    return Items([Item(f"Warning: {warning}", "open") for warning in warnings])


def _counted(comparison: RunsComparison) -> str:
    counts = collections.Counter(change.verdict for change in comparison.changes)
    said = [f"{counts[outcome]} {word}" for outcome, word in OUTCOMES.items() if counts[outcome]]
    return (
        f"Of {words.count(len(comparison.changes), 'cell')}: {', '.join(said)} "
        f"(margin {words.percent(comparison.margin)}, corrected for the number of cells)."
    )


def _sentences(comparison: RunsComparison) -> list[str]:
    """A sentence for every backend that is slower or faster, slower ones first, with what differs in its library."""
    said: list[str] = []
    for outcome in ("slower", "faster"):
        by_backend: dict[str, list[Change]] = {}
        for change in comparison.changes:
            if change.verdict == outcome:
                by_backend.setdefault(change.key.label, []).append(change)
        for label, changes in by_backend.items():
            where = words.listed([f"{one.shape.full_title} ({_rested_on(one)})" for one in changes])
            said.append(f"{label} is {outcome} at {where}; {_why(comparison, changes[0])}.")
    return said


def _rested_on(change: Change) -> str:
    if change.beside_others is not None:
        return f"{words.ratio(change.beside_others)}, relative to the other libraries"
    if change.rests_on_reference and change.relative is not None:
        return f"{words.ratio(change.relative)}, relative to the reference workload"
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


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
