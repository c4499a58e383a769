"""From two runs of one machine to what changed: ratios, verdicts, and whether the machine explains them.

Two runs differ by more than the sets of one do: minutes or weeks lie between them. What is known not to have changed,
the reference workload and the libraries of the same provenance, says by how much. A cell is judged by its time relative
to theirs in the same sets. Where there are too few of them, a change is the library's only if it is larger than what
runs differ by, and if the reference workload cannot have moved as far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from gemmscope.analysis import statistics
from gemmscope.analysis.runs import drift, others
from gemmscope.analysis.runs.comparable import common_cells, doubts, require_one_machine, set_count
from gemmscope.analysis.runs.machine import machine_change
from gemmscope.analysis.runs.model import Change, ComparedRun, Gate, RunsComparison, Slowdown
from gemmscope.analysis.runs.others import InBoth
from gemmscope.analysis.runs.provenance import differences, library_facts
from gemmscope.records.model import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.runs.model import MachineChange, Outcome
    from gemmscope.analysis.runs.others import Beside, BySet
    from gemmscope.analysis.statistics import Estimate
    from gemmscope.records.model import Cell, Result, Sample

# Between runs the smallest difference worth naming is larger than within one.
MARGIN = 0.02
# The library that the reference workload is a C++ loop on.
_REFERENCE_LIBRARY = "cblas"


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
    cells, left_out = common_cells(before[1], after[1])
    found = differences(before[1], after[1])
    changed = {of for difference in found for of in difference.of}
    moves = _moves(_pairs(cells, before[1], after[1], changed))
    reference = None if REFERENCE in changed else _reference_move(before[1], after[1])
    machine = machine_change(reference, [move.plain for move in moves if not move.pair.library_changed])
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
class _Pair:
    """A cell of two runs: the logarithms of its seconds by set, also relative to the reference workload's beside it."""

    before: Cell
    after: Cell
    worker: str
    library: str
    device: str
    library_changed: bool
    logs: InBoth
    relative: InBoth | None

    def has_a_voice_for(self, other: _Pair) -> bool:
        """Whether what it did tells what the machine did to the other, and not what a library did.

        A library's own cells are no measure of what it does: it would excuse itself.
        """
        mine, its = self.after.key, other.after.key
        alike = (mine.shape, mine.mode, self.device) == (its.shape, its.mode, other.device)
        return alike and self.library != other.library and not self.library_changed


@dataclass(frozen=True)
class _Move:
    """By how much a cell's time moved: by itself, relative to the reference workload, and to the other libraries."""

    pair: _Pair
    scatter: float
    plain: Estimate
    relative: Estimate | None
    beside: Beside | None


@dataclass(frozen=True)
class _Judged:
    """What a verdict rests on: estimates that must all agree. ``plain`` is the move as the sets alone have it."""

    plain: Estimate
    ratio: Estimate
    relative: Estimate | None
    beside: Estimate | None
    machine: MachineChange

    @property
    def estimates(self) -> list[Estimate]:
        """What the verdict rests on: the ratio relative to the other libraries, or what there is instead of it.

        Where the machine changed, the plain ratio and that relative to the reference workload; else the sharper one.
        The error of the plain one does not hold what a changed machine did: the other's does. On a machine whose speed
        goes up and down all the time, both runs alike, the one relative to the reference workload is free of that.
        """
        if self.beside is not None:
            return [self.beside]
        if self.relative is None:
            return [self.ratio]
        if self.machine.status in ("changed", "doubtful"):
            return [self.plain, self.relative]
        return [self.relative if self.rests_on_reference else self.ratio]

    @property
    def rests_on_reference(self) -> bool:
        """Whether the verdict rests on the time relative to the reference workload: by its error, not its mean."""
        if self.beside is not None or self.relative is None or self.machine.status != "steady":
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
        # Relative to the others it may be the same, and have moved with them nevertheless.
        return self.without_a_claim(margin) if verdicts == {"same"} and self._moved(margin) else verdicts.pop()

    def without_a_claim(self, margin: float) -> Outcome:
        """What is left where no claim holds: a cell that moved when the machine did is the machine's."""
        return "machine" if self._moved(margin) and self.machine.status == "changed" else "unclear"

    def _moved(self, margin: float) -> bool:
        return statistics.verdict(self.plain.interval(), margin) in ("faster", "slower")

    @property
    def _is_explained(self) -> bool:
        """Whether the reference workload may have moved as far: then the machine may have done it, or the library.

        Not where the time relative to that very reference workload, or to the other libraries, is judged.
        """
        if self.beside is not None or self.rests_on_reference:
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


def _pairs(cells: Sequence[tuple[Cell, Cell]], before: Result, after: Result, changed: set[str]) -> list[_Pair]:
    backends = {backend.name: backend for backend in after.backends}
    known = [library_facts(run) for run in (before, after)]
    found: list[_Pair] = []
    for earlier, later in cells:
        backend = backends.get(later.backend)
        library = backend.library if backend else later.backend
        worker = (backend.worker if backend else "") or library
        # A worker that only one run has a record of cannot be known to be the same.
        unknown = (worker in known[0]) != (worker in known[1])
        relative = InBoth(_relative_logs(earlier, before), _relative_logs(later, after))
        found.append(
            _Pair(
                before=earlier, after=later, worker=worker, library=library, device=backend.device if backend else "",
                library_changed=worker in changed or unknown,
                logs=InBoth(_logs(earlier.samples), _logs(later.samples)),
                relative=relative if all(relative) and REFERENCE not in changed else None,
            )
        )  # fmt: skip
    return found


def _moves(pairs: Sequence[_Pair]) -> list[_Move]:
    scatter = others.scatter([pair.logs for pair in pairs])
    apart = [others.separate(pair.logs, _voices(pair, pairs)) for pair in pairs]
    scatter_apart = others.scatter([one.cell[0] for one in apart if one is not None])
    return [
        _Move(
            pair=pair,
            scatter=scatter,
            plain=others.change_of(pair.logs, pair.logs, scatter),
            relative=None if pair.relative is None else others.change_of(pair.relative, pair.logs, scatter),
            beside=None if one is None else one.change(scatter_apart),
        )
        for pair, one in zip(pairs, apart, strict=True)
    ]


def _voices(pair: _Pair, pairs: Sequence[_Pair]) -> list[InBoth]:
    """One for each other library that did not change, and one for the reference workload, at the pair's shape."""
    by_library: dict[str, list[InBoth]] = {}
    for other in pairs:
        if other.has_a_voice_for(pair):
            by_library.setdefault(other.library, []).append(other.logs)
    voices = [others.voice(cells) for cells in by_library.values()]
    # It is a workload of a BLAS on the processor: what a GPU did, or that very library, it does not tell.
    if pair.relative is not None and pair.device != "gpu" and pair.library != _REFERENCE_LIBRARY:
        voices.append(
            InBoth(*(
                {set_: took[set_] - relative[set_] for set_ in relative}
                for took, relative in zip(pair.logs, pair.relative, strict=True)
            ))
        )  # fmt: skip
    return voices


def _judged(move: _Move, moves: Sequence[_Move], reference: Estimate | None, machine: MachineChange) -> _Judged:
    # A library's own cells are no measure of what runs differ by: it would excuse itself.
    unchanged = [other for other in moves if other.pair.library != move.pair.library and not other.pair.library_changed]
    plain = [other.plain for other in unchanged] + ([reference] if reference is not None else [])
    relative = [other.relative for other in unchanged if other.relative is not None]
    return _Judged(
        plain=move.plain,
        ratio=drift.between_runs(move.plain, plain),
        relative=None if move.relative is None else drift.between_runs(move.relative, relative, moving=2),
        beside=None if move.beside is None else move.beside.between_runs(_moves_of_voices(move, moves)),
        machine=machine,
    )


def _moves_of_voices(move: _Move, moves: Sequence[_Move]) -> list[Estimate]:
    """What the voices of a cell did, each relative to the other voices: at this shape, and at others."""
    mine = move.pair
    beside = {
        other.pair.after.key._replace(backend=""): other.beside
        for other in moves
        if (other.pair.library, other.pair.device) == (mine.library, mine.device)
    }
    return [moved for one in beside.values() if one is not None for moved in one.moves]


def _change(move: _Move, judged: _Judged, verdict: Outcome) -> Change:
    pair = move.pair
    # Of the sets that the ratio rests on, so that it is that of these two.
    times = [math.exp(fmean(drift.undisturbed(logs, logs, move.scatter))) for logs in pair.logs]
    return Change(
        **pair.after.key.fields, library=pair.library, worker=pair.worker,
        library_changed=pair.library_changed, before=times[0], after=times[1], ratio=judged.ratio.interval(),
        relative=None if judged.relative is None else judged.relative.interval(),
        beside_others=None if judged.beside is None else judged.beside.interval(), verdict=verdict,
        rests_on_reference=judged.rests_on_reference, sets=(len(pair.logs.before), len(pair.logs.after)),
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
                Slowdown(backend=move.pair.after.backend, shape=str(move.pair.after.shape),
                         mode=move.pair.after.mode, ratio=min(intervals, key=lambda interval: interval.low or 0.0))
            )  # fmt: skip
    return Gate(limit=limit, slower=slower)


def _reference_move(before: Result, after: Result) -> Estimate | None:
    """By how much the reference workload's time moved: like any cell it may move a little for reasons of its own."""
    if before.reference is None or after.reference is None or before.reference.shape != after.reference.shape:
        return None
    if not before.reference.samples or not after.reference.samples:
        return None
    logs = InBoth(_logs(before.reference.samples), _logs(after.reference.samples))
    return drift.between_runs(others.change_of(logs, logs, 0.0), [])


# --- Samples ----------------------------------------------------------------------------------------------------------


def _logs(samples: Sequence[Sample]) -> BySet:
    return {set_: math.log(value) for set_, value in statistics.set_medians(samples).items()}


def _relative_logs(cell: Cell, run: Result) -> BySet:
    if run.reference is None:
        return {}
    ratios = statistics.nearest_ratios(cell.samples, run.reference.samples)
    return {set_: math.log(value) for set_, value in ratios.items()}
