"""Two cells against each other, paired inside rounds; and every cell of a run against the baseline."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis import sequential, statistics
from gemmscope.records.model import BASELINE, Comparison

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.records.base import Interval
    from gemmscope.records.model import BackendRecord, Cell, Settings, Verdict
    from gemmscope.workload.shapes import Shape


class PairwiseComparison(NamedTuple):
    """Two backends at one shape.

    ``ratio`` is the time of ``one`` relative to that of ``other``: below 1 is faster. ``probability`` is the p-value of
    the verdict that the sets speak for, by :meth:`~gemmscope.analysis.statistics.Estimate.verdict_probability`, for
    whenever the run stopped; ``sets`` and ``rounds`` say how many of each both were measured in, and ``left_out`` which
    of these sets do not count, because they lie apart from the others.
    """

    one: str
    other: str
    shape: Shape
    ratio: Interval
    verdict: Verdict
    probability: float
    sets: int
    rounds: int
    left_out: tuple[int, ...] = ()


def compare_cells(one: Cell, other: Cell, margin: float, sets: int) -> PairwiseComparison | None:
    """One cell against another of the same shape; None where they were never measured in one round.

    The interval and the probability hold whenever the run stopped (:mod:`~gemmscope.analysis.sequential`).

    Args:
        one: The cell in question.
        other: What it is compared with.
        margin: The smallest relative difference worth naming.
        sets: How many sets were planned, before any were added.
    """
    ratios, rounds = statistics.set_ratios(one.samples, other.samples)
    if not ratios:
        return None
    logs = [math.log(value) for value in ratios.values()]
    left_out = statistics.apart(logs)
    estimate = statistics.without(logs, left_out)
    looked, first = len(logs), sequential.first_look(sets)
    ratio = estimate.interval(1 - sequential.nominal_level(1 - statistics.CONFIDENCE, looked, first))
    # The levels are two-sided, and the probability is of one side.
    probability = sequential.overall_level(2 * estimate.verdict_probability(margin), looked, first) / 2
    numbers = list(ratios)
    return PairwiseComparison(
        one.backend,
        other.backend,
        one.shape,
        ratio,
        statistics.verdict(ratio, margin),
        probability,
        looked,
        rounds,
        tuple(numbers[i] for i in left_out),
    )


def corrected(comparisons: Sequence[PairwiseComparison]) -> list[PairwiseComparison]:
    """The comparisons with "unclear" for the verdicts that do not hold when all are taken together (Holm's method)."""
    held = statistics.holm([one.probability for one in comparisons], statistics.VERDICT_LEVEL)
    return [one if holds else one._replace(verdict="unclear") for one, holds in zip(comparisons, held, strict=True)]


def baseline_of(measured: Sequence[str]) -> str:
    """The backend that the others at a shape are compared with: ``numpy-cpu``, or else the first; ``""`` if none.

    Args:
        measured: The backends that multiply and could be measured in latency, in the order of the run.
    """
    return BASELINE if BASELINE in measured else next(iter(measured), "")


def compare_with_baseline(
    cells: Sequence[Cell], settings: Settings, backends: Mapping[str, BackendRecord], sets: int
) -> list[Comparison]:
    """Every cell against the baseline at the same shape: ``numpy-cpu``, or the first backend that was measured.

    A throughput cell is compared with the baseline's own throughput, or with its latency if, like NumPy, it has no
    other: a call that is complete when it returns gains nothing from a common wait. A device's own time is no call's,
    and is compared with none.

    Args:
        cells: A run's cells with their samples, those of one shape one after the other.
        settings: For the margin, and the half-width from which on an unclear verdict counts as converged.
        backends: The run's backends, by name.
        sets: How many sets were planned, before any were added.
    """
    measured = [
        cell
        for cell in cells
        if cell.status == "ok" and cell.samples and cell.mode != "device"
        and (cell.backend not in backends or _is_compared(backends[cell.backend]))
    ]  # fmt: skip
    pairs: list[tuple[Cell, PairwiseComparison]] = []
    for _, group in itertools.groupby(measured, key=lambda cell: cell.shape):
        here = {(cell.backend, cell.mode): cell for cell in group}
        names = [name for name, mode in here if mode == "latency"]
        if not names:
            continue
        baseline = baseline_of(names)
        for (backend, mode), cell in here.items():
            other = here.get((baseline, mode), here[baseline, "latency"])
            if backend != baseline and (found := compare_cells(cell, other, settings.margin, sets)):
                pairs.append((cell, found))
    verdicts = [one.verdict for one in corrected([found for _, found in pairs])]
    return [
        _record(cell, found, verdict, settings.width) for (cell, found), verdict in zip(pairs, verdicts, strict=True)
    ]


def _is_compared(backend: BackendRecord) -> bool:
    """Experiments are paired with what they were made for, and with nothing else."""
    return backend.multiplies and not backend.experiment


def _record(cell: Cell, found: PairwiseComparison, verdict: Verdict, width: float) -> Comparison:
    converged = found.verdict != "unclear" or statistics.half_width(found.ratio) <= width
    return Comparison(
        **cell.key.fields, baseline=found.other, ratio=found.ratio,
        speedup=1 / found.ratio.estimate, verdict=found.verdict, corrected=verdict, converged=converged,
        sets=found.sets, rounds=found.rounds, left_out=list(found.left_out),
    )  # fmt: skip
