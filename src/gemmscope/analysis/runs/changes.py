"""From two runs of one machine to what changed: ratios, verdicts, and whether the machine explains them.

Two runs differ by more than the sets of one do: minutes or weeks lie between them. What is known not to have changed,
the reference workload and the libraries of the same provenance, says by how much. A change is the library's only where
it is larger than that, and where the reference workload cannot have moved as far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.analysis import statistics
from gemmscope.analysis.runs import drift
from gemmscope.analysis.runs.comparable import common_cells, doubts, require_one_machine, set_count
from gemmscope.analysis.runs.machine import machine_change
from gemmscope.analysis.runs.model import Change, ComparedRun, Gate, RunsComparison, Slowdown
from gemmscope.analysis.runs.provenance import differences, library_facts
from gemmscope.records.model import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.runs.model import MachineChange, Outcome
    from gemmscope.analysis.statistics import Estimate
    from gemmscope.records.model import Cell, Result, Sample

# Between runs the smallest difference worth naming is larger than within one.
MARGIN = 0.02


def compare_runs(
    before: tuple[str, Result], after: tuple[str, Result], *, margin: float = MARGIN, limit: float | None = None
) -> RunsComparison:
    """A later run against an earlier one of the same machine.

    Args:
        before: The earlier run, under its label.
        after: The later run, under its label.
        margin: The smallest relative difference worth naming; 0.02 is 2 %.
        limit: The slow-down from which on a gate does not hold, as a share; None for no gate.

    Raises:
        UsageError: If they are of two machines, asked for different numbers of threads, or share no cell.
    """
    require_one_machine(before[1], after[1])
    pairs, left_out = common_cells(before[1], after[1])
    found = differences(before[1], after[1])
    changed = {of for difference in found for of in difference.of}
    moves = _moves(pairs, before[1], after[1], changed)
    reference = None if REFERENCE in changed else _reference_move(before[1], after[1])
    machine = machine_change(reference, [move.plain for move in moves if not move.library_changed])
    judged = [_judged(move, moves, reference, machine) for move in moves]
    held = statistics.holm([one.verdict_probability(margin) for one in judged], statistics.VERDICT_LEVEL)
    return RunsComparison(
        before=label_run(*before),
        after=label_run(*after),
        margin=margin,
        warnings=doubts(before[1], after[1]),
        left_out=left_out,
        differences=found,
        machine=machine,
        changes=[
            _change(move, one, one.outcome(margin) if holds else one.without_a_claim(margin))
            for move, one, holds in zip(moves, judged, held, strict=True)
        ],
        gate=None if limit is None else _gate(moves, judged, limit),
    )


def label_run(label: str, result: Result) -> ComparedRun:
    """What a comparison says of a run."""
    return ComparedRun(label=label, started=result.started, gemmscope=result.gemmscope, machine=result.machine,
               sets=set_count(result))  # fmt: skip


@dataclass(frozen=True)
class _Move:
    """A cell of two runs, and by how much its time moved, also relative to the reference workload's beside it."""

    before: Cell
    after: Cell
    worker: str
    library: str
    library_changed: bool
    plain: Estimate
    relative: Estimate | None


@dataclass(frozen=True)
class _Judged:
    """What a verdict rests on: estimates that must all agree. ``plain`` is the move as the sets alone have it."""

    plain: Estimate
    ratio: Estimate
    relative: Estimate | None
    machine: MachineChange

    @property
    def estimates(self) -> list[Estimate]:
        """Where the machine changed, the plain ratio and that relative to the reference workload; else the sharper one.

        The error of the plain one does not hold what a changed machine did: the other's does. On a machine whose speed
        goes up and down all the time, both runs alike, the one relative to the reference workload is free of that.
        """
        if self.relative is None:
            return [self.ratio]
        if self.machine.status in ("changed", "doubtful"):
            return [self.plain, self.relative]
        return [self.relative if self.rests_on_reference else self.ratio]

    @property
    def rests_on_reference(self) -> bool:
        """Whether the verdict rests on the time relative to the reference workload: by its error, not its mean."""
        if self.relative is None or self.machine.status != "steady":
            return False
        widths = [statistics.half_width(estimate.interval()) for estimate in (self.relative, self.ratio)]
        return widths[0] < widths[1]

    def slower(self, bound: float) -> float:
        """The p-value of the claim that the library's doing lies above the bound, a logarithm of a ratio."""
        return 1.0 if self._is_explained else self._above(bound)

    def verdict_probability(self, margin: float) -> float:
        """The p-value of the verdict that all estimates speak for."""
        edge = math.log1p(margin)
        faster = 1.0 if self._is_explained else self._below(-edge)
        return min(faster, self.slower(edge), max(self._above(-edge), self._below(edge)))

    def outcome(self, margin: float) -> Outcome:
        """The verdict of this cell alone, if a claim of it holds."""
        verdicts = {statistics.verdict(estimate.interval(), margin) for estimate in self.estimates}
        if len(verdicts) > 1 or (self._is_explained and verdicts != {"same"}):
            return self.without_a_claim(margin)
        return verdicts.pop()

    def without_a_claim(self, margin: float) -> Outcome:
        """What is left where no claim holds: a cell that moved when the machine did is the machine's."""
        moved = statistics.verdict(self.plain.interval(), margin) in ("faster", "slower")
        return "machine" if moved and self.machine.status == "changed" else "unclear"

    @property
    def _is_explained(self) -> bool:
        """Whether the reference workload may have moved as far: then the machine may have done it, or the library.

        Not where the time relative to that very reference workload is judged.
        """
        if self.rests_on_reference:
            return False
        reference = self.machine.reference
        if reference is None:
            return self.machine.status == "unknown"
        if reference.low is None or reference.high is None:
            return True
        return math.log(max(reference.low, 1e-300)) <= self.plain.mean <= math.log(reference.high)

    def _above(self, bound: float) -> float:
        return max(estimate.above(bound) for estimate in self.estimates)

    def _below(self, bound: float) -> float:
        return max(estimate.below(bound) for estimate in self.estimates)


def _moves(pairs: Sequence[tuple[Cell, Cell]], before: Result, after: Result, changed: set[str]) -> list[_Move]:
    workers = {backend.name: (backend.worker or backend.library, backend.library) for backend in after.backends}
    known = [library_facts(run) for run in (before, after)]
    found: list[_Move] = []
    for earlier, later in pairs:
        worker, library = workers.get(later.backend, (later.backend, later.backend))
        # A worker that only one run has a record of cannot be known to be the same.
        unknown = (worker in known[0]) != (worker in known[1])
        relative = [_relative_logs(cell, run) for cell, run in ((earlier, before), (later, after))]
        found.append(
            _Move(
                before=earlier, after=later, worker=worker, library=library,
                library_changed=worker in changed or unknown,
                plain=drift.welch(_logs(earlier.samples), _logs(later.samples)),
                relative=drift.welch(*relative) if all(relative) and REFERENCE not in changed else None,
            )
        )  # fmt: skip
    return found


def _judged(move: _Move, moves: Sequence[_Move], reference: Estimate | None, machine: MachineChange) -> _Judged:
    # A library's own cells are no measure of what runs differ by: it would excuse itself.
    others = [other for other in moves if other.library != move.library and not other.library_changed]
    plain = [other.plain for other in others] + ([reference] if reference is not None else [])
    relative = [other.relative for other in others if other.relative is not None]
    return _Judged(
        plain=move.plain,
        ratio=drift.between_runs(move.plain, plain),
        relative=None if move.relative is None else drift.between_runs(move.relative, relative, moving=2),
        machine=machine,
    )


def _change(move: _Move, judged: _Judged, verdict: Outcome) -> Change:
    cell = move.after
    times = [math.exp(math.fsum(logs) / len(logs)) for logs in (_logs(move.before.samples), _logs(cell.samples))]
    return Change(
        **cell.key.fields, library=move.library, worker=move.worker,
        library_changed=move.library_changed, before=times[0], after=times[1], ratio=judged.ratio.interval(),
        relative=None if judged.relative is None else judged.relative.interval(), verdict=verdict,
        rests_on_reference=judged.rests_on_reference,
        sets=(len(_logs(move.before.samples)), len(_logs(cell.samples))),
    )  # fmt: skip


def _gate(moves: Sequence[_Move], judged: Sequence[_Judged], limit: float) -> Gate:
    """The cells whose whole interval lies above the limit, corrected for all cells by Holm's method."""
    bound = math.log1p(limit)
    probabilities = [one.slower(bound) for one in judged]
    held = statistics.holm(probabilities, statistics.VERDICT_LEVEL)
    slower: list[Slowdown] = []
    for move, one, probability, holds in zip(moves, judged, probabilities, held, strict=True):
        if holds:
            # Holm's step at which this cell was tested: its interval at that level is the one that lies above.
            step = sum(other >= probability for other in probabilities)
            intervals = [estimate.interval(1 - 2 * statistics.VERDICT_LEVEL / step) for estimate in one.estimates]
            slower.append(
                Slowdown(backend=move.after.backend, shape=str(move.after.shape),
                         mode=move.after.mode, ratio=min(intervals, key=lambda interval: interval.low or 0.0))
            )  # fmt: skip
    return Gate(limit=limit, slower=slower)


def _reference_move(before: Result, after: Result) -> Estimate | None:
    """By how much the reference workload's time moved: like any cell it may move a little for reasons of its own."""
    if before.reference is None or after.reference is None or before.reference.shape != after.reference.shape:
        return None
    if not before.reference.samples or not after.reference.samples:
        return None
    return drift.between_runs(drift.welch(_logs(before.reference.samples), _logs(after.reference.samples)), [])


# --- Samples ----------------------------------------------------------------------------------------------------------


def _logs(samples: Sequence[Sample]) -> list[float]:
    return [math.log(value) for value in statistics.set_medians(samples).values()]


def _relative_logs(cell: Cell, run: Result) -> list[float]:
    if run.reference is None:
        return []
    return [math.log(value) for value in statistics.nearest_ratios(cell.samples, run.reference.samples).values()]
