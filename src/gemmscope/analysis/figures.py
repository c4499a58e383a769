"""The figures that follow from a run's samples: those of its cells, comparisons, and parts of calls."""

from __future__ import annotations

import collections
import re
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from gemmscope.analysis import processes, statistics
from gemmscope.analysis.breakdown import cpu, gpu
from gemmscope.analysis.comparison import compare_with_baseline
from gemmscope.analysis.failed import final_status, why_impossible
from gemmscope.records.model import sets_planned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.model import BackendRecord, Cell, ReferenceWorkload, Result, Sample
    from gemmscope.workload.shapes import Shape

# In how many samples of a set one that was disturbed does not make the median.
_SAMPLES_OF_DRIFT = 3

# What was derived from samples used to stand among the warnings of a file; now a finding says it.
_FORMER_WARNINGS = re.compile(
    r"the machine changed while it was measured: the canary|.* differs between processes by more than within them"
    r"|so do \d+ further cells|\d+ of \d+ comparisons did not converge|.* threads, and this run may use "
)


def figures(result: Result) -> Result:
    """A run with the figures of its cells, comparisons and parts; one that has kept no samples stays as it is."""
    if not any(cell.samples for cell in result.cells):
        return result
    backends = {backend.name: backend for backend in result.backends}
    cells = _with_process_modes([_possible(cell, backends.get(cell.backend), result) for cell in result.cells])
    return msgspec.structs.replace(
        result,
        backends=[final_status(backend, cells) for backend in result.backends],
        cells=cells,
        comparisons=compare_with_baseline(cells, result.settings, backends, sets_planned(result)),
        parts=[*cpu.derive(cells, backends), *gpu.derive(cells, backends)],
        reference=measure_reference(result.reference),
        warnings=[warning for warning in result.warnings if not _FORMER_WARNINGS.match(warning)],
    )


def _possible(cell: Cell, backend: BackendRecord | None, result: Result) -> Cell:
    """A cell with its figures; one whose figures cannot be has none, and has failed. Its samples stay."""
    measured = measure(cell, backend)
    why = why_impossible(measured, backend, result.ceilings, result.machine)
    return msgspec.structs.replace(cell, status="failed", reason=why, seconds=None, gflops=None) if why else measured


def measure(cell: Cell, backend: BackendRecord | None) -> Cell:
    """A cell with the figures that follow from its own samples."""
    if not cell.samples:
        return cell
    medians = statistics.set_medians(cell.samples)
    seconds = statistics.ratio_interval(list(medians.values()))
    multiplies = backend is None or backend.multiplies
    return msgspec.structs.replace(
        cell,
        seconds=seconds,
        gflops=cell.shape.flops / seconds.estimate / 1e9 if multiplies else None,
        threads=_threads(cell.samples),
        efficiency_share=_efficiency_share(cell.samples),
        joules=_joules(cell.samples),
        frequency_hz=_frequency(cell.samples),
        page_faults=_page_faults(cell.samples),
        spread_within=statistics.spread_within(cell.samples),
        spread_between=statistics.spread_between(medians),
    )


def measure_reference(reference: ReferenceWorkload | None) -> ReferenceWorkload | None:
    """The reference workload's time, and by how much it changed at most from the first set that shows it.

    A short run may time it only once in a set, and one sample may be of a pool of threads that had to wake up: no sign
    of the machine's speed.
    """
    if reference is None or not reference.samples:
        return reference
    medians = statistics.set_medians(reference.samples)
    known = collections.Counter(sample.set for sample in reference.samples)
    steady = [value for set_, value in medians.items() if known[set_] >= _SAMPLES_OF_DRIFT]
    drift = max((value / steady[0] - 1 for value in steady[1:]), key=abs, default=None)
    return msgspec.structs.replace(reference, seconds=statistics.ratio_interval(list(medians.values())), drift=drift)


def _with_process_modes(cells: Sequence[Cell]) -> list[Cell]:
    """The cells, with the groups into which their processes fall once the machine's own changes are taken out."""
    by_shape: dict[Shape, list[dict[int, float]]] = {}
    for cell in cells:
        if cell.samples and cell.status == "ok":
            by_shape.setdefault(cell.shape, []).append(statistics.set_medians(cell.samples))
    factors = {shape: processes.machine_factors(medians) for shape, medians in by_shape.items()}
    return [
        msgspec.structs.replace(cell, process_modes=processes.process_modes(cell.samples, factors[cell.shape]))
        if cell.samples and cell.status == "ok"
        else cell
        for cell in cells
    ]


def _threads(samples: Sequence[Sample]) -> float | None:
    """Processor seconds per wall second."""
    processor = [sample.cpu_seconds for sample in samples if sample.cpu_seconds is not None]
    wall = sum(sample.seconds for sample in samples)
    return sum(processor) / wall if processor and wall > 0 else None


def _efficiency_share(samples: Sequence[Sample]) -> float | None:
    """The share of processor time on efficiency cores, of the samples for which it is known."""
    known = [s for s in samples if s.efficiency_seconds is not None and s.cpu_seconds is not None]
    total = sum(sample.cpu_seconds or 0.0 for sample in known)
    return sum(sample.efficiency_seconds or 0.0 for sample in known) / total if total > 0 else None


def _joules(samples: Sequence[Sample]) -> float | None:
    """The energy of one call, over the samples for which it is known; energy counters step too seldom for one."""
    known = [sample for sample in samples if sample.joules is not None]
    used = sum(sample.joules or 0.0 for sample in known)
    return used / sum(sample.loops for sample in known) if used > 0 else None


def _page_faults(samples: Sequence[Sample]) -> float | None:
    """The minor page faults of a call, in the middle of the samples: the first calls of a process always have some."""
    known = [sample.page_faults / sample.loops for sample in samples if sample.page_faults is not None]
    return median(known) if known else None


def _frequency(samples: Sequence[Sample]) -> float | None:
    """Cycles per processor second: the clock of the cores that did the work, on average."""
    known = [sample for sample in samples if sample.cycles and sample.cpu_seconds]
    seconds = sum(sample.cpu_seconds or 0.0 for sample in known)
    return sum(sample.cycles or 0.0 for sample in known) / seconds if seconds > 0 else None
