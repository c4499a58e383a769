"""What a worker is there for: to be measured and compared, or to watch the machine by the reference workload.

A role says which GEMM a worker multiplies, under which key its samples are recorded, and what it costs the run when a
cell or the worker is lost.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar

from gemmscope.measure.pacing import budget_for, too_slow
from gemmscope.records.base import CellKey
from gemmscope.records.events import BackendProbed, CellFailed, CellPrepared, Warned, WorkerEnded
from gemmscope.records.model import REFERENCE
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.backends.variant import Variant
    from gemmscope.measure.knowledge import Knowledge
    from gemmscope.measure.process import WorkerSpec
    from gemmscope.measure.protocol import PreparedCell, Probed
    from gemmscope.measure.schedule import SetPlan
    from gemmscope.records.base import Mode
    from gemmscope.records.events import Observer
    from gemmscope.records.model import Settings

REFERENCE_SHAPE = Shape(192, 192, 192)


class Role(abc.ABC):
    """What a worker is there for."""

    # Whether it only watches the machine: no round is taken for its sake alone.
    watches: ClassVar[bool]

    @abc.abstractmethod
    def variants(self, spec: WorkerSpec, plan: SetPlan) -> list[Variant]:
        """The variants that the worker should open in a set; without any it is not started."""

    @abc.abstractmethod
    def probed(self, set_: int, probed: Probed) -> None:
        """A variant can run, or cannot."""

    @abc.abstractmethod
    def shape(self, shape: Shape) -> Shape:
        """The shape that is multiplied while it is ``shape``'s turn."""

    @abc.abstractmethod
    def worth_preparing(self, plan: SetPlan, shape: Shape, backends: Sequence[str]) -> list[str]:
        """Of the backends that can run, those to prepare at a shape."""

    @abc.abstractmethod
    def known_seconds(self, shape: Shape, backends: Sequence[str]) -> dict[str, dict[Mode, float]]:
        """The seconds of a call that need not be calibrated again, by backend and mode."""

    @abc.abstractmethod
    def admit(self, set_: int, shape: Shape, cell: PreparedCell) -> CellKey | None:
        """The key under which a prepared cell's samples are recorded; None if it is not to be measured."""

    @abc.abstractmethod
    def measured(self, key: CellKey, seconds: float) -> None:
        """A set has measured a cell: a call takes so many seconds."""

    @abc.abstractmethod
    def cell_lost(self, set_: int, key: CellKey, reason: str) -> None:
        """A cell has failed in the middle of a turn, and is not measured further in this set."""

    @abc.abstractmethod
    def worker_lost(self, set_: int, spec: WorkerSpec, reason: str) -> None:
        """The worker has ended, or was ended."""


class Subject(Role):
    """A worker whose backends the run is about: what happens to them is recorded, and a loss costs the backend.

    Args:
        settings: What was asked for.
        knowledge: What the run has learnt, shared by all workers.
        observer: Told of every event.
    """

    watches = False

    def __init__(self, settings: Settings, knowledge: Knowledge, observer: Observer) -> None:
        self._settings = settings
        self._knowledge = knowledge
        self._observer = observer

    def variants(self, spec: WorkerSpec, plan: SetPlan) -> list[Variant]:
        """Those that the set measures and that are not known to be absent."""
        absent = self._knowledge.absent
        return [variant for variant in spec.variants if variant.name not in absent and plan.measures(variant.name)]

    def probed(self, set_: int, probed: Probed) -> None:
        """Recorded. A variant that cannot run is not opened again."""
        if probed.status != "ok":
            self._knowledge.absent.add(probed.backend)
        self._observer(
            BackendProbed(set=set_, backend=probed.backend, status=probed.status, reason=probed.reason,
                          remedy=probed.remedy)
        )  # fmt: skip

    def shape(self, shape: Shape) -> Shape:
        """The shape itself."""
        return shape

    def worth_preparing(self, plan: SetPlan, shape: Shape, backends: Sequence[str]) -> list[str]:
        """Without those that are lost at this shape, or would take more time than the run can give."""
        worth: list[str] = []
        for backend in backends:
            key = CellKey(backend, shape)
            if key in self._knowledge.lost or not plan.measures(backend, shape):
                continue
            seconds = 0.0 if self._was_tried(key) else self._knowledge.expected_seconds(backend, shape)
            if self._too_slow(seconds):
                self._skip(plan.number, key, seconds)
            else:
                worth.append(backend)
        return worth

    def known_seconds(self, shape: Shape, backends: Sequence[str]) -> dict[str, dict[Mode, float]]:
        """What earlier sets have measured."""
        return self._knowledge.seconds_at(shape, backends)

    def admit(self, set_: int, shape: Shape, cell: PreparedCell) -> CellKey | None:
        """Recorded, unless it is lost already. A cell that is too slow for the run is skipped."""
        key = CellKey(cell.backend, shape, cell.mode)
        if key in self._knowledge.lost:
            return None
        seconds = cell.seconds or 0.0
        # Judged once: a cell at the limit must not be measured in one set and skipped in the next.
        if cell.status == "ok" and not self._was_tried(key) and self._too_slow(seconds):
            self._skip(set_, key, seconds)
            return None
        self._observer(CellPrepared(
            **key.fields, set=set_, status=cell.status, reason=cell.reason, relative_error=cell.relative_error,
            precision=cell.precision, pairs_compared=cell.pairs_compared, seconds=cell.seconds,
            provenance=cell.provenance,
        ))  # fmt: skip
        if cell.status in ("failed", "unavailable"):
            self._knowledge.lost.add(key)
        if cell.status != "ok":
            return None
        self._knowledge.admit(key, seconds)
        return key

    def measured(self, key: CellKey, seconds: float) -> None:
        """Remembered for the next set."""
        self._knowledge.remember(key, seconds)

    def cell_lost(self, set_: int, key: CellKey, reason: str) -> None:
        """Recorded as failed, and not measured again."""
        self._knowledge.lost.add(key)
        self._observer(CellFailed(**key.fields, set=set_, reason=reason))

    def worker_lost(self, set_: int, spec: WorkerSpec, reason: str) -> None:
        """Recorded; none of the worker's variants is measured again."""
        self._knowledge.absent |= {variant.name for variant in spec.variants}
        self._observer(WorkerEnded(set=set_, worker=spec.name, reason=reason))

    def _was_tried(self, key: CellKey) -> bool:
        return self._knowledge.was_tried(key.backend, key.shape)

    def _too_slow(self, seconds: float) -> bool:
        return too_slow(seconds, self._settings.sets, self._settings.seconds)

    def _skip(self, set_: int, key: CellKey, seconds: float) -> None:
        needed = budget_for(seconds, self._settings.sets)
        reason = f"one call is expected to take {seconds:.3g} s; --seconds {needed:.0f} would make room for it"
        self._knowledge.lost.add(key)
        self._observer(CellPrepared(**key.fields, set=set_, status="skipped", reason=reason, estimate=seconds))


class Reference(Role):
    """The worker of the reference workload: one fixed GEMM, timed in every round to see the machine change.

    It shares no knowledge with the run's other cells, since its backend may be one of those that are measured. If it is
    lost, only drift is not watched.
    """

    watches = True

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._lost = False

    def variants(self, spec: WorkerSpec, plan: SetPlan) -> list[Variant]:
        """All in every set, until the worker was lost."""
        return [] if self._lost else spec.variants

    def probed(self, set_: int, probed: Probed) -> None:
        """Where the library is not there, drift is not watched."""
        self._lost |= probed.status != "ok"

    def shape(self, shape: Shape) -> Shape:
        """Always the same."""
        return REFERENCE_SHAPE

    def worth_preparing(self, plan: SetPlan, shape: Shape, backends: Sequence[str]) -> list[str]:
        """Always."""
        return list(backends)

    def known_seconds(self, shape: Shape, backends: Sequence[str]) -> dict[str, dict[Mode, float]]:
        """Nothing: it is calibrated again at every shape, which takes hardly any time."""
        return {}

    def admit(self, set_: int, shape: Shape, cell: PreparedCell) -> CellKey | None:
        """Under the name and the shape of the reference workload."""
        return CellKey(REFERENCE, REFERENCE_SHAPE, cell.mode) if cell.status == "ok" else None

    def measured(self, key: CellKey, seconds: float) -> None:
        """Not remembered."""

    def cell_lost(self, set_: int, key: CellKey, reason: str) -> None:
        """The next shape tries again."""

    def worker_lost(self, set_: int, spec: WorkerSpec, reason: str) -> None:
        """A warning."""
        self._lost = True
        self._observer(Warned(text=f"the reference workload was lost, so drift is not watched: {reason}"))
