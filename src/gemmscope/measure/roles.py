"""What a worker is there for: to be measured and compared, or to watch the machine by the reference workload.

A role says which GEMM a worker multiplies, under which key its samples are recorded, and what it costs the run when a
cell or the worker is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gemmscope.measure.pacing import RATE_SECONDS, budget_for, longest_call, too_slow
from gemmscope.records import words
from gemmscope.records.base import CellKey
from gemmscope.records.events import BackendProbed, CellFailed, CellPrepared, Warned, WorkerEnded
from gemmscope.records.model import REFERENCE
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.backends.variant import Variant
    from gemmscope.measure.process import WorkerSpec
    from gemmscope.measure.protocol import PreparedCell, Probed
    from gemmscope.measure.schedule import SetPlan
    from gemmscope.records.base import Mode
    from gemmscope.records.events import Observer
    from gemmscope.records.model import Settings

REFERENCE_SHAPE = Shape(192, 192, 192)

# A tiny GEMM that took long was held up, by a neighbour whose threads spin, and says nothing of one that has so many
# times the work.
_FARTHEST = 1000

# What smaller calls say of a large one.
_ROUGHLY = 2.0


class Role:
    """To be measured: what happens is recorded, what is lost is not tried again, and what was learnt is remembered.

    All workers that are measured share one role. Its size depends on the number of cells, not on how long a run lasts.
    ``lost`` are cells that have failed or were skipped, ``absent`` backends that cannot run or whose worker was lost:
    they are not measured any more.
    """

    # Whether the worker only watches the machine: no round is taken for its sake alone.
    watches = False

    def __init__(
        self, settings: Settings, observer: Observer, lost: Iterable[CellKey] = (), absent: Iterable[str] = ()
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._lost = set(lost)
        self.absent = set(absent)
        self._seconds: dict[CellKey, float] = {}
        self._tried: set[tuple[str, Shape]] = set()
        self._rates: dict[str, dict[int, float]] = {}  # by backend and FLOP of a call

    def takes_part(self, plan: SetPlan, backend: str, shape: Shape | None = None) -> bool:
        """Whether a set measures a backend at a shape, or at any."""
        if plan.only is None and shape is not None and not self._settings.asks_for(backend, str(shape)):
            return False
        return plan.measures(backend, shape)

    def variants(self, spec: WorkerSpec, plan: SetPlan) -> list[Variant]:
        """The variants that the worker should open in a set; without any it is not started."""
        return [v for v in spec.variants if v.name not in self.absent and self.takes_part(plan, v.name)]

    def probed(self, set_: int, probed: Probed) -> None:
        """A variant can run, or cannot; then it is not opened again."""
        if probed.status != "ok":
            self.absent.add(probed.backend)
        self._observer(BackendProbed(set=set_, **msgspec.structs.asdict(probed)))

    def shape(self, shape: Shape) -> Shape:
        """The shape that is multiplied while it is ``shape``'s turn."""
        return shape

    def worth_preparing(self, plan: SetPlan, shape: Shape, backends: Sequence[str]) -> list[str]:
        """The backends without those that are lost at a shape, or would take more time than the run can give."""
        worth: list[str] = []
        for backend in backends:
            key = CellKey(backend, shape)
            if key in self._lost or not self.takes_part(plan, backend, shape):
                continue
            if not self._skipped(plan.number, key, self.expected_seconds(backend, shape)):
                worth.append(backend)
        return worth

    def expected_seconds(self, backend: str, shape: Shape) -> float:
        """Seconds that a call should take, by the rate at the next smaller shape; 0 where nothing is known."""
        rates = self._rates.get(backend, {})
        smaller = [flops for flops in rates if shape.flops / _FARTHEST <= flops <= shape.flops]
        return shape.flops / rates[max(smaller)] if smaller else 0.0

    def known_seconds(self, shape: Shape, backends: Sequence[str]) -> dict[str, dict[Mode, float]]:
        """The seconds of a call that earlier sets have measured at a shape, by backend and mode."""
        known: dict[str, dict[Mode, float]] = {}
        for key, seconds in self._seconds.items():
            if key.shape == shape and key.backend in backends:
                known.setdefault(key.backend, {})[key.mode] = seconds
        return known

    def admit(self, set_: int, shape: Shape, cell: PreparedCell) -> CellKey | None:
        """The key under which a prepared cell's samples are recorded; None if it is not to be measured."""
        key = CellKey(cell.backend, shape, cell.mode)
        seconds = cell.seconds or 0.0
        if key in self._lost or (cell.status == "ok" and self._skipped(set_, key, seconds)):
            return None
        if cell.status == "skipped" and not cell.reason:
            self._skip(set_, key, seconds)
            return None
        self._observer(CellPrepared(**msgspec.structs.asdict(cell), set=set_, m=shape.m, n=shape.n, k=shape.k))
        if cell.status in ("failed", "unavailable"):
            self._lost.add(key)
        if cell.status != "ok":
            return None
        self._tried.add((key.backend, shape))
        self._learn(key, seconds)
        return key

    def is_unknown(self, backend: str, shape: Shape) -> bool:
        """Whether a backend has been called at no shape that tells how long it takes at this one."""
        return not any(
            name == backend and shape.flops / _FARTHEST <= tried.flops <= shape.flops for name, tried in self._tried
        )

    @property
    def longest_call(self) -> float:
        """The seconds of a call that is not tried: far more than would be skipped, since what is expected is rough."""
        settings = self._settings
        return _ROUGHLY * longest_call(settings.sets, settings.largest_share * settings.seconds)

    def measured(self, key: CellKey, seconds: float) -> None:
        """A set has measured a cell: a call takes so many seconds, whatever held up the calls of its calibration."""
        self._seconds[key] = seconds
        self._learn(key, seconds)

    def _learn(self, key: CellKey, seconds: float) -> None:
        """Keeps the rate of a call that is long enough to have one."""
        if key.mode != "latency":
            return
        rates = self._rates.setdefault(key.backend, {})
        if seconds >= RATE_SECONDS:
            rates[key.shape.flops] = max(rates.get(key.shape.flops, 0.0), key.shape.flops / seconds)
        else:
            rates.pop(key.shape.flops, None)

    def cell_lost(self, set_: int, key: CellKey, reason: str) -> None:
        """A cell has failed in the middle of a turn, and is not measured further."""
        self._lost.add(key)
        self._observer(CellFailed(**key.fields, set=set_, reason=reason))

    def worker_lost(self, set_: int, spec: WorkerSpec, reason: str) -> None:
        """The worker has ended, or was ended: none of its variants is measured again."""
        self.absent |= {variant.name for variant in spec.variants}
        self._observer(WorkerEnded(set=set_, worker=spec.name, reason=reason))

    def _skipped(self, set_: int, key: CellKey, seconds: float) -> bool:
        """Skips a cell whose call takes too long for the run; returns whether it does."""
        # Judged once: a cell at the limit must not be measured in one set and skipped in the next.
        settings = self._settings
        if (key.backend, key.shape) in self._tried or not too_slow(
            seconds, settings.sets, settings.largest_share * settings.seconds
        ):
            return False
        self._skip(set_, key, seconds)
        return True

    def _skip(self, set_: int, key: CellKey, seconds: float) -> None:
        settings = self._settings
        needed = budget_for(seconds, settings.sets, settings.largest_share)
        reason = (
            f"one call is expected to take {words.duration(seconds)}; --seconds {needed:.0f} would make room for it"
        )
        self._lost.add(key)
        self._observer(CellPrepared(**key.fields, set=set_, status="skipped", reason=reason, estimate=seconds))


class Reference(Role):
    """To watch the machine: one fixed GEMM, timed in every round to see the machine change.

    It learns nothing of the run's other cells, since its backend may be one of those that are measured, and remembers
    nothing. A cell that fails is tried again at the next shape; if the worker is lost, only drift is not watched.
    """

    watches = True

    def takes_part(self, plan: SetPlan, backend: str, shape: Shape | None = None) -> bool:
        """In every set."""
        return True

    def probed(self, set_: int, probed: Probed) -> None:
        """Where the library is not there, drift is not watched."""
        if probed.status != "ok":
            self.absent.add(probed.backend)

    def shape(self, shape: Shape) -> Shape:
        """Always the same."""
        return REFERENCE_SHAPE

    def admit(self, set_: int, shape: Shape, cell: PreparedCell) -> CellKey | None:
        """Under the name and the shape of the reference workload."""
        return CellKey(REFERENCE, REFERENCE_SHAPE, cell.mode) if cell.status == "ok" else None

    def measured(self, key: CellKey, seconds: float) -> None:
        """It is calibrated again at every shape, which takes hardly any time."""

    def cell_lost(self, set_: int, key: CellKey, reason: str) -> None:
        """Not recorded."""

    def worker_lost(self, set_: int, spec: WorkerSpec, reason: str) -> None:
        """Its end is a warning."""
        self.absent |= {variant.name for variant in spec.variants}
        self._observer(Warned(text=f"the reference workload was lost, so drift is not watched: {reason}"))
