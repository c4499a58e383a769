"""From the events of a run to its results: pure, so that any later version can do it again from a journal."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import msgspec

from gemmscope.analysis import findings, statistics
from gemmscope.analysis.breakdown import cpu, gpu
from gemmscope.analysis.threads import threads_warnings
from gemmscope.errors import ResultsError
from gemmscope.records.events import (
    BackendProbed,
    CeilingsSeen,
    CellFailed,
    CellPrepared,
    RunFinished,
    RunStarted,
    SamplesTaken,
    Warned,
    WorkerEnded,
    WorkerReady,
)
from gemmscope.records.model import (
    BASELINE,
    REFERENCE,
    Ceilings,
    Cell,
    Comparison,
    ReferenceWorkload,
    Result,
    TimeSpent,
)
from gemmscope.workload.shapes import parse_shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.records.events import Event
    from gemmscope.records.model import BackendRecord, Sample, Settings, WorkerRecord

# A canary that changed by more than this between sets says that the machine did.
_DRIFT = 0.05

# More than these cells with processes of several kinds are counted and not described.
_MOST_MODES_SAID = 3

_CEILINGS = ("peak_gflops", "peak_gflops_one_thread", "bandwidth", "bandwidth_one_thread")

Key = tuple[str, int, int, int, str]


def assemble(events: Iterable[Event]) -> Result:
    """Puts a run's events together, whole or cut off, and derives all figures and findings from its samples.

    Raises:
        ResultsError: If the first event is not the run's start.
    """
    stream = iter(events)
    start = next(stream, None)
    if not isinstance(start, RunStarted):
        raise ResultsError("the journal does not begin with the start of a run, so it cannot be read")
    gathered = _Gathered(start)
    for event in stream:
        gathered.add(event)
    result = gathered.result()
    return msgspec.structs.replace(result, findings=findings.derive(result))


class _Gathered:
    """What the events have said so far."""

    def __init__(self, start: RunStarted) -> None:
        self._start = start
        self._backends = {backend.name: backend for backend in start.backends}
        self._workers: list[WorkerRecord] = []
        self._cells: dict[Key, Cell] = {}
        self._samples: dict[Key, list[Sample]] = {}
        self._reference: list[Sample] = []
        self._reference_shape = ""
        self._warnings: list[str] = []
        self._status: str = "partial"
        self._account = TimeSpent()
        self._ceilings: Ceilings | None = None

    def add(self, event: Event) -> None:  # noqa: C901, PLR0912  (one case for each kind of event)
        match event:
            case BackendProbed():
                if event.status != "ok":
                    self._change_backend(event.backend, event.status, event.reason, event.remedy)
            case WorkerReady():
                self._workers.append(event.worker)
            case CeilingsSeen():
                self._ceilings = best(self._ceilings, event.ceilings)
            case CellPrepared():
                self._prepare(event)
            case CellFailed():
                key = _key(event)
                self._cells[key] = msgspec.structs.replace(self._cells[key], status="failed", reason=event.reason)
            case SamplesTaken():
                if event.backend == REFERENCE:
                    self._reference += event.samples
                    self._reference_shape = f"{event.m}x{event.n}x{event.k}"
                else:
                    self._samples.setdefault(_key(event), []).extend(event.samples)
            case WorkerEnded():
                self._end(event)
            case Warned():
                self._warnings.append(event.text)
            case RunFinished():
                self._status = event.status
                self._account = _sum(self._account, event.time_spent)
            case _:
                pass

    def result(self) -> Result:
        """All records, with the figures that follow from the samples."""
        cells = _with_modes([self._measured(cell) for cell in self._cells.values()])
        cells.sort(key=self._order)
        reference = _reference(self._reference_shape, self._reference)
        comparisons = compare(cells, self._start.settings, self._backends)
        return Result(
            gemmscope=self._start.gemmscope,
            started=self._start.started,
            status=self._status,  # type: ignore[arg-type]
            machine=self._start.machine,
            settings=self._start.settings,
            backends=[self._final_status(backend, cells) for backend in self._backends.values()],
            workers=self._workers,
            cells=cells,
            comparisons=comparisons,
            parts=[*cpu.derive(cells, self._backends), *gpu.derive(cells, self._backends)],
            ceilings=self._ceilings,
            reference=reference,
            time_spent=self._account,
            warnings=[
                *self._warnings,
                *threads_warnings(self._start.settings, self._start.machine, self._workers),
                *_drift_warning(reference),
                *_modes_warnings(cells),
                *_width_warning(comparisons, self._start.settings),
            ],
        )

    def _prepare(self, event: CellPrepared) -> None:
        key = _key(event)
        before = self._cells.get(key)
        errors = [e for e in (event.relative_error, before.relative_error if before else None) if e is not None]
        cell = Cell(
            backend=event.backend, m=event.m, n=event.n, k=event.k, mode=event.mode, status=event.status,
            reason=event.reason, precision=event.precision or (before.precision if before else None),
            relative_error=max(errors, default=None), estimate=event.estimate,
            pairs_compared=max(event.pairs_compared, before.pairs_compared if before else 0),
            routine=str(event.provenance.get("kernel routine", "")),
        )  # fmt: skip
        # What failed in one set stays failed: a later set's success would hide it.
        if before is None or before.status != "failed":
            self._cells[key] = cell
        if event.provenance:
            for i in range(len(self._workers) - 1, -1, -1):
                worker = self._workers[i]
                if worker.set == event.set and event.backend in self._hosted(worker):
                    told = worker.backends | {event.backend: event.provenance}
                    self._workers[i] = msgspec.structs.replace(worker, backends=told)
                    break

    def _hosted(self, worker: WorkerRecord) -> list[str]:
        return [name for name, backend in self._backends.items() if backend.worker == worker.worker]

    def _end(self, event: WorkerEnded) -> None:
        names = {name for name, backend in self._backends.items() if backend.worker == event.worker}
        for key, cell in self._cells.items():
            if cell.backend in names and cell.status == "ok":
                self._cells[key] = msgspec.structs.replace(cell, status="failed", reason=event.reason)
        for name, shape in itertools.product(sorted(names), parse_shapes([], self._start.settings.shapes)):
            key = (name, shape.m, shape.n, shape.k, "latency")
            if key not in self._cells and self._backends[name].status == "ok":
                self._cells[key] = Cell(
                    backend=name, m=shape.m, n=shape.n, k=shape.k, status="failed", reason=event.reason
                )
        for name in names:
            if self._backends[name].status == "ok":
                self._change_backend(name, "failed", event.reason, "")

    def _change_backend(self, name: str, status: str, reason: str, remedy: str) -> None:
        backend = self._backends.get(name)
        if backend is not None:
            self._backends[name] = msgspec.structs.replace(backend, status=status, reason=reason, remedy=remedy)

    def _measured(self, cell: Cell) -> Cell:
        samples = self._samples.get((cell.backend, cell.m, cell.n, cell.k, cell.mode), [])
        if not samples:
            if cell.status == "ok":
                return msgspec.structs.replace(cell, status="skipped", reason="the run ended before it was measured")
            return cell
        medians = statistics.set_medians(samples)
        seconds = statistics.ratio_interval(list(medians.values()))
        processor = [sample.cpu_seconds for sample in samples if sample.cpu_seconds is not None]
        wall = sum(sample.seconds for sample in samples)
        return msgspec.structs.replace(
            cell,
            seconds=seconds,
            gflops=2 * cell.m * cell.n * cell.k / seconds.estimate / 1e9 if self._multiplies(cell.backend) else None,
            threads=sum(processor) / wall if processor and wall > 0 else None,
            efficiency_share=_efficiency_share(samples),
            joules=_joules(samples),
            frequency_hz=_frequency(samples),
            spread_within=statistics.spread_within(samples),
            spread_between=statistics.spread_between(medians),
            samples=samples,
        )

    def _multiplies(self, backend: str) -> bool:
        return backend not in self._backends or self._backends[backend].multiplies

    def _order(self, cell: Cell) -> tuple[int, int, str]:
        shapes = self._start.settings.shapes
        shape = f"{cell.m}x{cell.n}x{cell.k}"
        names = list(self._backends)
        return (
            shapes.index(shape) if shape in shapes else len(shapes),
            names.index(cell.backend) if cell.backend in names else len(names),
            cell.mode,
        )

    def _final_status(self, backend: BackendRecord, cells: Sequence[Cell]) -> BackendRecord:
        """A backend fails as a whole if one of its cells did."""
        if backend.status != "ok":
            return backend
        failed = next((cell for cell in cells if cell.backend == backend.name and cell.status == "failed"), None)
        if failed is None:
            return backend
        return msgspec.structs.replace(backend, status="failed", reason=failed.reason)


def compare(cells: Sequence[Cell], settings: Settings, backends: dict[str, BackendRecord]) -> list[Comparison]:
    """Every cell against the baseline at the same shape: ``numpy-cpu``, or the first backend that was measured.

    A throughput cell is compared with the baseline's own throughput, or with its latency if, like NumPy, it has no
    other: a product that is complete when its call returns gains nothing from a common wait. A device's own time is no
    call's, and is compared with none.
    """
    measured = [
        cell for cell in cells
        if cell.status == "ok" and cell.samples and cell.mode != "device"
        and (cell.backend not in backends or backends[cell.backend].multiplies)
    ]  # fmt: skip
    comparisons: list[Comparison] = []
    probabilities: list[float] = []
    for _, group in itertools.groupby(measured, key=lambda cell: (cell.m, cell.n, cell.k)):
        here = {(cell.backend, cell.mode): cell for cell in group}
        names = [name for name, mode in here if mode == "latency"]
        if not names:
            continue
        name = BASELINE if BASELINE in names else names[0]
        for (backend, mode), cell in here.items():
            baseline = here.get((name, mode), here[name, "latency"])
            if backend == name:
                continue
            ratios, rounds = statistics.set_ratios(cell.samples, baseline.samples)
            if not ratios:
                continue
            ratio = statistics.ratio_interval(list(ratios.values()))
            verdict = statistics.verdict(ratio, settings.margin)
            comparisons.append(
                Comparison(
                    backend=backend, baseline=name, m=cell.m, n=cell.n, k=cell.k, mode=mode, ratio=ratio,
                    speedup=1 / ratio.estimate, verdict=verdict,
                    converged=verdict != "unclear" or statistics.half_width(ratio) <= settings.width,
                    sets=len(ratios), rounds=rounds,
                )
            )  # fmt: skip
            logs = [math.log(value) for value in ratios.values()]
            probabilities.append(statistics.verdict_probability(logs, settings.margin))
    held = statistics.holm(probabilities, statistics.VERDICT_LEVEL)
    return [
        msgspec.structs.replace(comparison, corrected=comparison.verdict if holds else "unclear")
        for comparison, holds in zip(comparisons, held, strict=True)
    ]


def best(one: Ceilings | None, other: Ceilings) -> Ceilings:
    """The higher of each figure: whatever disturbs a measurement makes a ceiling lower."""
    if one is None:
        return other
    return msgspec.structs.replace(other, **{name: max(getattr(one, name), getattr(other, name)) for name in _CEILINGS})


def _efficiency_share(samples: Sequence[Sample]) -> float | None:
    """The share of processor time on efficiency cores, of the samples for which it is known."""
    known = [s for s in samples if s.efficiency_seconds is not None and s.cpu_seconds is not None]
    total = sum(sample.cpu_seconds or 0.0 for sample in known)
    return sum(sample.efficiency_seconds or 0.0 for sample in known) / total if total > 0 else None


def _joules(samples: Sequence[Sample]) -> float | None:
    """The energy of one product, over the samples for which it is known; energy counters step too seldom for one."""
    known = [sample for sample in samples if sample.joules is not None]
    used = sum(sample.joules or 0.0 for sample in known)
    return used / sum(sample.loops for sample in known) if used > 0 else None


def _frequency(samples: Sequence[Sample]) -> float | None:
    """Cycles per processor second: the clock of the cores that did the work, on average."""
    known = [sample for sample in samples if sample.cycles and sample.cpu_seconds]
    seconds = sum(sample.cpu_seconds or 0.0 for sample in known)
    return sum(sample.cycles or 0.0 for sample in known) / seconds if seconds > 0 else None


def _reference(shape: str, samples: Sequence[Sample]) -> ReferenceWorkload | None:
    if not samples:
        return None
    medians = statistics.set_medians(samples)
    first, *others = medians.values()
    drift = max((value / first - 1 for value in others), key=abs, default=None)
    return ReferenceWorkload(shape=shape, seconds=statistics.ratio_interval(list(medians.values())), drift=drift,
                  samples=list(samples))  # fmt: skip


def _drift_warning(reference: ReferenceWorkload | None) -> list[str]:
    if reference is None or reference.drift is None or abs(reference.drift) < _DRIFT:
        return []
    word = "slower" if reference.drift > 0 else "faster"
    warning = (
        f"the machine changed while it was measured: the canary, a fixed product of {reference.shape}, became up to "
        f"{abs(reference.drift):.0%} {word} than in the first set; ratios are paired and hold, absolute times less so"
    )
    return [warning]


def _with_modes(cells: Sequence[Cell]) -> list[Cell]:
    """The cells, with the groups into which their processes fall once the machine's own changes are taken out."""
    by_shape: dict[tuple[int, int, int], list[dict[int, float]]] = {}
    for cell in cells:
        if cell.samples:
            by_shape.setdefault((cell.m, cell.n, cell.k), []).append(statistics.set_medians(cell.samples))
    factors = {shape: statistics.machine_factors(medians) for shape, medians in by_shape.items()}
    return [
        msgspec.structs.replace(
            cell, process_modes=statistics.process_modes(cell.samples, factors[cell.m, cell.n, cell.k])
        )
        if cell.samples
        else cell
        for cell in cells
    ]


def _modes_warnings(cells: Sequence[Cell]) -> list[str]:
    warnings: list[str] = []
    found = [cell for cell in cells if cell.process_modes]
    for cell in found[:_MOST_MODES_SAID]:
        sets = sum(len(mode.sets) for mode in cell.process_modes)
        kinds = ", ".join(f"{mode.seconds:.3g} s in {len(mode.sets)}" for mode in cell.process_modes)
        warnings.append(
            f"{cell.backend} at {cell.m}x{cell.n}x{cell.k} ({cell.mode}) differs between processes by more than within "
            f"them: {kinds} of {sets} sets; its interval spans them all"
        )
    if len(found) > _MOST_MODES_SAID:
        warnings.append(f"so do {len(found) - _MOST_MODES_SAID} further cells: see process_modes in the results")
    return warnings


def _width_warning(comparisons: Sequence[Comparison], settings: Settings) -> list[str]:
    wide = [comparison for comparison in comparisons if not comparison.converged]
    if not wide:
        return []
    warning = (
        f"{len(wide)} of {len(comparisons)} comparisons did not converge: they are unclear, and their intervals wider "
        f"than ±{settings.width:.2%}; more time (--seconds), a quieter machine or a wider --margin would settle them"
    )
    return [warning]


def _key(event: CellPrepared | CellFailed | SamplesTaken) -> Key:
    return (event.backend, event.m, event.n, event.k, event.mode)


def _sum(one: TimeSpent, other: TimeSpent) -> TimeSpent:
    """A run that was resumed has two accounts."""
    return TimeSpent(**{name: getattr(one, name) + getattr(other, name) for name in TimeSpent.__struct_fields__})
