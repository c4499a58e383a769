"""Runs beside each other, as tables: every cell after against before, what differs, and machines by backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.rows.cells import INTERVAL
from gemmscope.report.rows.model import Column, Group, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.runs.model import Change, ComparedRun, Difference, FleetCell, Outcome, RunsComparison
    from gemmscope.report.rows.model import Tone
    from gemmscope.workload.shapes import Shape

# As they are listed and said.
OUTCOMES: dict[Outcome, str] = {
    "slower": "slower",
    "faster": "faster",
    "same": "the same",
    "unclear": "unclear",
    "machine": "moved with the machine",
}
TONES: dict[Outcome, Tone] = {"slower": "bad", "faster": "good", "same": "quiet", "unclear": "open", "machine": "open"}


def changes_table(comparison: RunsComparison) -> Table[Change]:
    """Every cell that both runs have: its times, and their ratio."""
    columns: list[Column[Change]] = [
        Column("backend", "backend", lambda change: change.key.label),
        Column("shape", "shape", lambda change: change.shape.full_title, right=True),
        Column("before", "before", lambda change: change.before, words.duration, right=True, drop=4),
        Column("after", "after", lambda change: change.after, words.duration, right=True, drop=5),
        Column("ratio", "after /\nbefore", lambda change: change.ratio, words.ratio_median, right=True),
        Column("ratio-interval", INTERVAL, lambda change: change.ratio, words.ratio_bounds, drop=3,
               name="intervals of ratios"),
    ]  # fmt: skip
    if any(change.beside_others is not None for change in comparison.changes):
        columns += [
            Column("beside-others", "relative to the\nother libraries", lambda change: change.beside_others,
                   words.ratio_median, right=True),
            Column("beside-others-interval", INTERVAL, lambda change: change.beside_others, words.ratio_bounds,
                   name="intervals relative to the other libraries"),
        ]  # fmt: skip
    if _reference_counts(comparison):
        columns += [
            Column("relative", "relative to the\nreference workload", lambda change: change.relative,
                   words.ratio_median, right=True, drop=2),
            Column("relative-interval", INTERVAL, lambda change: change.relative, words.ratio_bounds, drop=1,
                   name="intervals relative to the reference workload"),
        ]  # fmt: skip
    columns.append(
        Column("verdict", "verdict", lambda change: change.verdict, OUTCOMES.__getitem__,
               tone=lambda change: TONES[change.verdict])
    )  # fmt: skip
    caption = f"{comparison.after.label} against {comparison.before.label}, cell by cell"
    return Table("changes", caption, columns, [Group("", comparison.changes)])


def _reference_counts(comparison: RunsComparison) -> bool:
    """Whether any verdict has to do with the times relative to the reference workload."""
    moved = comparison.machine.status in ("changed", "doubtful")
    return any(
        change.rests_on_reference or (moved and change.beside_others is None and change.relative is not None)
        for change in comparison.changes
    )


def differences_table(differences: Sequence[Difference]) -> Table[Difference]:
    """What was recorded of two runs and is not the same."""
    columns: list[Column[Difference]] = [
        Column("of", "of", lambda one: ", ".join(one.of)),
        Column("fact", "fact", lambda one: one.fact),
        Column("before", "before", lambda one: one.before),
        Column("after", "after", lambda one: one.after),
    ]
    return Table("differences", "What differs between the runs", columns, [Group("", differences)])


@dataclass(frozen=True)
class MachineRow:
    """One machine at one shape: its cells by their label."""

    label: str
    cells: dict[str, FleetCell]

    @property
    def fastest(self) -> str:
        """The first of the run's ranking at this shape, and how many are tied with it."""
        standings = [cell.standing for cell in self.cells.values()]
        first = next((label for label, cell in self.cells.items() if cell.standing == "fastest"), "")
        tied = standings.count("tied")
        return f"{first}, tied with {tied}" if tied else first


def machines_table(shape: Shape, runs: Sequence[ComparedRun], cells: Sequence[FleetCell]) -> Table[MachineRow]:
    """A row for every machine, and a column for every backend."""
    labels = list(dict.fromkeys(cell.key.label for cell in cells))
    rows = [
        MachineRow(run.label, {cell.key.label: cell for cell in cells if cell.run == number})
        for number, run in enumerate(runs)
    ]
    columns: list[Column[MachineRow]] = [
        Column("run", "run", lambda row: row.label),
        *(_machine_column(label, len(labels) - number) for number, label in enumerate(labels)),
        Column("fastest", "fastest", lambda row: row.fastest),
    ]
    return Table("machines", f"Machines by backend at {shape.full_title}", columns, [Group("", rows)])


def _machine_column(label: str, drop: int) -> Column[MachineRow]:
    return Column(label, label, lambda row: _figure(row.cells.get(label)), right=True, drop=drop)


def _figure(cell: FleetCell | None) -> str:
    if cell is None:
        return "not measured"
    rate = "" if cell.gflops is None else f", {words.rate_number(cell.gflops)}"
    return words.interval(cell.seconds) + rate
