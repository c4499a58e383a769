"""From the events of a run to its results: pure, so that any later version can do it again from a journal."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gemmscope.analysis.derive import derive
from gemmscope.analysis.failed import final_status
from gemmscope.errors import ResultsError
from gemmscope.records.base import CellKey
from gemmscope.records.events import (
    BackendProbed,
    BackendsAdded,
    CeilingsSeen,
    CellFailed,
    CellPrepared,
    InstructionsSampled,
    KernelsTraced,
    OperandsPlaced,
    RunFinished,
    RunStarted,
    SamplesTaken,
    SetFinished,
    SetsPlanned,
    Warned,
    WorkerEnded,
    WorkerReady,
)
from gemmscope.records.evidence import SampledInstructions, Surroundings
from gemmscope.records.gpu import TracedKernels
from gemmscope.records.model import REFERENCE, Ceilings, Cell, PlacedOperands, ReferenceWorkload, Result, TimeSpent
from gemmscope.storage.journal import JOURNAL, SUFFIXES, has_journal, read_what_is_whole
from gemmscope.storage.store import RESULTS, check_schema, load
from gemmscope.workload.shapes import parse_shapes

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import Literal

    from gemmscope.records.events import Event
    from gemmscope.records.model import Sample, Status, WorkerRecord

_CEILINGS = ("peak_gflops", "peak_gflops_one_thread", "bandwidth", "bandwidth_one_thread")


def read(file: str | os.PathLike[str]) -> Result:
    """A run as it is stored, without the figures that follow from its samples: by its results file or its journal.

    Args:
        file: A results file, a journal, or a run's folder, whose journal is read where it has no results yet.

    Raises:
        ResultsError: If it cannot be read, or says what no run can have had.
    """
    path = Path(file)
    if path.is_dir() and not (path / RESULTS).exists():
        if not has_journal(path / JOURNAL):
            raise ResultsError(f"{path}: there is no run in this folder: it has neither {RESULTS} nor {JOURNAL}")
        path /= JOURNAL
    if not path.name.endswith(SUFFIXES):
        return load(path)
    events, damaged = read_what_is_whole(path)
    if not events or not isinstance(events[0], RunStarted):
        raise ResultsError(f"{path}: it does not begin with the start of a run, so it cannot be read")
    check_schema(events[0].schema, path)
    if damaged:
        lines = f"line {damaged[0]}" if len(damaged) == 1 else f"{len(damaged)} lines, the first of them {damaged[0]},"
        events.append(Warned(text=f"the journal is damaged: {lines} of it could not be read and is left out"))
    return collect(events)


def assemble(events: Iterable[Event]) -> Result:
    """Puts a run's events together, whole or cut off, and derives all figures and findings from its samples.

    Raises:
        ResultsError: If the first event is not the run's start.
    """
    return derive(collect(events))


def collect(events: Iterable[Event]) -> Result:
    """The records that a run's events add up to, without the figures that follow from their samples.

    Raises:
        ResultsError: If the first event is not the run's start.
    """
    stream = iter(events)
    start = next(stream, None)
    if not isinstance(start, RunStarted):
        raise ResultsError("the journal does not begin with the start of a run, so it cannot be read")
    collected = _Collected(start)
    for event in stream:
        collected.add(event)
    return collected.result()


class _Collected:
    """What the events have said so far."""

    def __init__(self, start: RunStarted) -> None:
        self._start = start
        self._backends = {backend.name: backend for backend in start.backends}
        self._workers: list[WorkerRecord] = []
        self._cells: dict[CellKey, Cell] = {}
        self._samples: dict[CellKey, list[Sample]] = {}
        self._reference: ReferenceWorkload | None = None
        self._warnings: list[str] = []
        self._status: Literal["complete", "partial"] = "partial"
        self._time_spent = TimeSpent()
        self._ceilings: Ceilings | None = None
        self._instructions: dict[CellKey, SampledInstructions] = {}
        self._kernels: list[TracedKernels] = []
        self._clocks: dict[CellKey, dict[str, None]] = {}
        self._surroundings: list[Surroundings] = []
        self._placements: list[PlacedOperands] = []
        self._planned_sets: int | None = None

    def add(self, event: Event) -> None:  # noqa: C901, PLR0912  (one case for each kind of event)
        match event:
            case BackendProbed() if event.status != "ok":
                self._change_backend(event.backend, event.status, event.reason, event.remedy)
            case BackendsAdded():
                self._backends = {backend.name: backend for backend in event.backends} | self._backends
            case WorkerReady():
                self._workers.append(event.worker)
            case CeilingsSeen():
                self._ceilings = best(self._ceilings, event.ceilings)
            case CellPrepared():
                self._prepare(event)
            case CellFailed():
                self._change_cell(event.key, "failed", event.reason)
            case SamplesTaken():
                self._take(event)
            case InstructionsSampled():
                self._instructions[event.key] = SampledInstructions(**event.key.fields, profile=event.profile)
            case KernelsTraced():
                self._trace(event)
            case SetFinished() if event.surroundings is not None:
                self._surroundings.append(event.surroundings)
            case SetsPlanned():
                self._planned_sets = event.sets
            case OperandsPlaced():
                self._placements.append(event.placed)
            case WorkerEnded():
                self._end(event)
            case Warned():
                self._warnings.append(event.text)
            case RunFinished():
                self._status = event.status
                self._time_spent = _sum(self._time_spent, event.time_spent)
            case _:
                pass

    def result(self) -> Result:
        """All records, in the order in which shapes and backends were asked for."""
        cells = sorted((self._with_samples(cell) for cell in self._cells.values()), key=self._order)
        return Result(
            gemmscope=self._start.gemmscope,
            started=self._start.started,
            status=self._status,
            machine=self._start.machine,
            settings=self._start.settings,
            backends=[final_status(backend, cells) for backend in self._backends.values()],
            workers=self._workers,
            cells=cells,
            comparisons=[],
            instructions=list(self._instructions.values()),
            kernels=self._kernels,
            surroundings=self._surroundings,
            planned_sets=self._planned_sets,
            placements=self._placements,
            ceilings=self._ceilings,
            reference=self._reference,
            time_spent=self._time_spent,
            warnings=self._warnings,
        )

    def _prepare(self, event: CellPrepared) -> None:
        before = self._cells.get(event.key)
        errors = [e for e in (event.relative_error, before.relative_error if before else None) if e is not None]
        cell = Cell(
            **event.key.fields, status=event.status, reason=event.reason,
            precision=event.precision or (before.precision if before else None),
            relative_error=max(errors, default=None), estimate=event.estimate,
            pairs_compared=max(event.pairs_compared, before.pairs_compared if before else 0),
            routine=str(event.provenance.get("kernel routine", "")),
            digests=(before.digests if before else {}) | event.digests,
            blas_calls=event.blas_calls if event.blas_calls is not None else before.blas_calls if before else None,
            placed=event.placed or (before is not None and before.placed),
            clock=before.clock if before and before.clock else _clock(event),
        )  # fmt: skip
        # What failed in one set stays failed: a later set's success would hide it.
        if before is None or before.status != "failed":
            self._cells[event.key] = cell
        if event.provenance:
            self._record_provenance(event)

    def _record_provenance(self, event: CellPrepared) -> None:
        """Puts what a backend says of itself to the worker of this set that hosts it."""
        backend = self._backends.get(event.backend)
        for i in range(len(self._workers) - 1, -1, -1):
            worker = self._workers[i]
            if worker.set == event.set and backend is not None and backend.worker == worker.worker:
                known = worker.backends | {event.backend: event.provenance}
                self._workers[i] = msgspec.structs.replace(worker, backends=known)
                return

    def _take(self, event: SamplesTaken) -> None:
        if event.backend != REFERENCE:
            self._samples.setdefault(event.key, []).extend(event.samples)
            return
        before = self._reference.samples if self._reference is not None else []
        self._reference = ReferenceWorkload(shape=str(event.shape), samples=[*before, *event.samples])

    def _trace(self, event: KernelsTraced) -> None:
        self._kernels.append(TracedKernels(**event.key.fields, set=event.set, trace=event.trace))
        if (cell := self._cells.get(event.key)) is not None and cell.status == "ok":
            # CUPTI may refuse in some sets, and then these samples are of another clock.
            clocks = self._clocks.setdefault(event.key, {}) | ({event.trace.clock: None} if event.trace.clock else {})
            self._clocks[event.key] = clocks
            clock = " and ".join(clocks) or cell.clock
            self._cells[event.key] = msgspec.structs.replace(cell, clock=clock, reason=event.trace.reason)

    def _end(self, event: WorkerEnded) -> None:
        """A worker that is lost takes the cells of its backends with it, those that it never came to as well."""
        names = {name for name, backend in self._backends.items() if backend.worker == event.worker}
        for key, cell in self._cells.items():
            if key.backend in names and cell.status == "ok":
                self._change_cell(key, "failed", event.reason)
        for name, shape in itertools.product(sorted(names), parse_shapes([], self._start.settings.shapes)):
            key = CellKey(name, shape)
            backend = self._backends[name]
            asked = self._start.settings.asks_for(name, str(shape)) and not backend.experiment
            if key not in self._cells and backend.status == "ok" and asked:
                self._cells[key] = Cell(
                    backend=name, m=shape.m, n=shape.n, k=shape.k, status="failed", reason=event.reason
                )
        for name in names:
            if self._backends[name].status == "ok":
                self._change_backend(name, "failed", event.reason, "")

    def _change_cell(self, key: CellKey, status: Status, reason: str) -> None:
        cell = self._cells.get(key, Cell(**key.fields))
        self._cells[key] = msgspec.structs.replace(cell, status=status, reason=reason)

    def _change_backend(self, name: str, status: Status, reason: str, remedy: str) -> None:
        backend = self._backends.get(name)
        if backend is not None:
            self._backends[name] = msgspec.structs.replace(backend, status=status, reason=reason, remedy=remedy)

    def _with_samples(self, cell: Cell) -> Cell:
        samples = self._samples.get(cell.key, [])
        if not samples and cell.status == "ok":
            reason = cell.reason or "the run ended before it was measured"
            return msgspec.structs.replace(cell, status="skipped", reason=reason)
        return msgspec.structs.replace(cell, samples=samples, reason="" if cell.status == "ok" else cell.reason)

    def _order(self, cell: Cell) -> tuple[int, int, str]:
        shapes, names = self._start.settings.shapes, list(self._backends)
        return (
            shapes.index(str(cell.shape)) if str(cell.shape) in shapes else len(shapes),
            names.index(cell.backend) if cell.backend in names else len(names),
            cell.mode,
        )


def _clock(event: CellPrepared) -> str:
    """What a device's time is read from, as its backend says; empty for times of the host's."""
    return str(event.provenance.get("device clock", "")) if event.mode == "device" else ""


def best(one: Ceilings | None, other: Ceilings) -> Ceilings:
    """The higher of each figure: whatever disturbs a measurement makes a ceiling lower."""
    if one is None:
        return other
    if one.instructions != other.instructions:  # AMX has ended its process in one of the sets
        return max(one, other, key=lambda each: each.peak_gflops)
    return msgspec.structs.replace(other, **{name: max(getattr(one, name), getattr(other, name)) for name in _CEILINGS})


def _sum(one: TimeSpent, other: TimeSpent) -> TimeSpent:
    """A run that was resumed was measured in two parts."""
    return TimeSpent(**{name: getattr(one, name) + getattr(other, name) for name in TimeSpent.__struct_fields__})
