"""Which verdicts are still open while a run goes on: by the comparison alone, from the samples so far.

Parts, findings and everything else wait for the end of the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis import sequential
from gemmscope.analysis.comparison import compare_with_baseline
from gemmscope.records.events import (
    BackendsAdded,
    CellFailed,
    CellPrepared,
    RunStarted,
    SamplesTaken,
    SetsPlanned,
    WorkerEnded,
)
from gemmscope.records.model import Cell
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmscope.measure.schedule import OpenCells
    from gemmscope.records.base import CellKey
    from gemmscope.records.events import Event
    from gemmscope.records.model import Comparison, Sample, Status


class OpenVerdicts:
    """An observer that keeps every cell's samples and status, and compares the cells when it is asked.

    Args:
        start: The run's start.
        events: What has happened since, in a run that goes on.
    """

    def __init__(self, start: RunStarted, events: Iterable[Event] = ()) -> None:
        self._settings = start.settings
        self._sets = start.settings.sets
        self._backends = {backend.name: backend for backend in start.backends}
        self._status: dict[CellKey, Status] = {}
        self._samples: dict[CellKey, list[Sample]] = {}
        for event in events:
            self(event)

    def __call__(self, event: Event) -> None:
        """Takes in an event."""
        match event:
            case BackendsAdded():
                self._backends |= {backend.name: backend for backend in event.backends}
            case SetsPlanned():
                self._sets = event.sets
            case SamplesTaken():
                self._samples.setdefault(event.key, []).extend(event.samples)
            case CellPrepared() if self._status.get(event.key) != "failed":
                self._status[event.key] = event.status
            case CellFailed():
                self._status[event.key] = "failed"
            case WorkerEnded():
                lost = [key for key, status in self._status.items() if status == "ok" and self._hosts(event, key)]
                self._status |= dict.fromkeys(lost, "failed")
            case _:
                pass

    def comparisons(self) -> list[Comparison]:
        """The comparisons that the run would have if it ended now."""
        return compare_with_baseline(self._cells(), self._settings, self._backends, self._sets)

    def open_cells(self, *, provisional: bool = False) -> OpenCells:
        """The cells that further sets should measure.

        Those whose comparison is unclear, with an interval that is wider than the run aims at; and those that are
        settled, but not at a look: their verdict does not count before the next. Provisionally it does; and there what
        is compared with nothing, such as a kernel inside a call, is as open as its shape.
        """
        found: OpenCells = {}
        first = sequential.first_look(self._sets)
        comparisons = self.comparisons()
        for comparison in comparisons:
            counts = provisional or sequential.is_look(comparison.sets, first)
            if not (comparison.converged and counts):
                found.setdefault(comparison.shape, set()).update((comparison.backend, comparison.baseline))
        if provisional:
            compared = {(comparison.shape, comparison.backend) for comparison in comparisons}
            for key in self._samples:
                if key.shape in found and (key.shape, key.backend) not in compared:
                    found[key.shape].add(key.backend)
        return found

    def _cells(self) -> list[Cell]:
        """The cells that can be compared, in the order of the results."""
        shapes = {Shape.parse(text): i for i, text in enumerate(self._settings.shapes)}
        names = {name: i for i, name in enumerate(self._backends)}
        keys = [key for key in self._samples if self._status.get(key) == "ok" and key.shape in shapes]
        keys.sort(key=lambda key: (shapes[key.shape], names.get(key.backend, len(names)), key.mode))
        return [Cell(**key.fields, samples=self._samples[key]) for key in keys]

    def _hosts(self, event: WorkerEnded, key: CellKey) -> bool:
        backend = self._backends.get(key.backend)
        return backend is not None and backend.worker == event.worker
