"""One run: sets of fresh workers, shapes within a set, rounds within a shape, and turns within a round."""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemmscope.errors import RunInterrupted, WorkerLost, WorkerUnavailable
from gemmscope.measure.pacing import RATE_SECONDS, CellPace, budget_for, divide, too_slow
from gemmscope.measure.process import WorkerProcess, WorkerSpec
from gemmscope.measure.protocol import (
    CeilingsMeasured,
    Done,
    MakeOperands,
    MeasureCeilings,
    Open,
    Opened,
    Prepare,
    Prepared,
    PreparedCell,
    Release,
    TakeTurn,
    TurnCell,
    Turned,
)
from gemmscope.measure.stopping import FEWEST_SETS, PLANNED_SHARE, SETTLED_WEIGHT, SHORTEST_SET
from gemmscope.records.events import (
    BackendProbed,
    CeilingsSeen,
    CellFailed,
    CellPrepared,
    RunFinished,
    SamplesTaken,
    SetFinished,
    SetStarted,
    ShapeStarted,
    TurnStarted,
    Warned,
    WorkerEnded,
    WorkerReady,
)
from gemmscope.records.model import REFERENCE, Sample, TimeSpent, WorkerRecord
from gemmscope.workload.operands import SharedMemory
from gemmscope.workload.shapes import Block, Shape, layout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmscope.measure.process import ReplyType, WorkerHandle
    from gemmscope.measure.protocol import Request
    from gemmscope.measure.stopping import Open as OpenCells
    from gemmscope.records.base import Mode
    from gemmscope.records.events import Observer
    from gemmscope.records.model import Settings

# The canary's product.
REFERENCE_SHAPE = Shape(192, 192, 192)

# The processor's ceilings take a second or two: they are measured in the first sets of runs that can afford it.
_CEILINGS_FROM = 20.0
_CEILINGS_SETS = 2

_START_TIMEOUT = 120.0
# Preparing ends with a first product, however slow: a kernel has as long as the whole run.
_PREPARE_TIMEOUT = 60.0
# A turn that takes this many times what it should, and some seconds more, is taken for hung.
_PATIENCE = 20.0
_GRACE = 15.0
_FEWEST_ROUNDS = 2
# Without an interval a figure says little: so many sets are run even when the budget is spent.
_FEWEST_SETS = 2

Key = tuple[str, str, "Mode"]  # variant, shape, mode


@dataclass
class _Cell:
    """A cell that is being measured in this set: whose it is, and what it may take."""

    backend: str
    mode: Mode
    pace: CellPace
    next_pair: int = 0


@dataclass
class _Team:
    """A set's workers that are alive, and the cells that each has prepared for the shape in hand."""

    workers: dict[str, WorkerHandle] = field(default_factory=dict)
    ready: dict[str, list[str]] = field(default_factory=dict)
    cells: dict[str, list[_Cell]] = field(default_factory=dict)


@dataclass
class Progress:
    """Where a run goes on that was cut off; as it stands, a run from its beginning.

    Args:
        next_set: The number of the next set.
        finished_sets: How many are finished; a set that was cut off is not, and counts again.
        lost: Cells that failed or were skipped.
        absent: Variants whose worker was lost.
        elapsed: Seconds that the earlier part of the run has taken.
    """

    next_set: int = 0
    finished_sets: int = 0
    lost: set[Key] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    elapsed: float = 0.0


class Session:
    """Takes turns until the time is up. Everything that happens is told to the observer, and to nobody else.

    Args:
        settings: What was asked for.
        shapes: The shapes of ``settings``.
        workers: The workers that every set starts.
        observer: Told of every event, between turns.
        canary: The worker of the canary, or None to do without.
        progress: Where to go on in a run that was cut off.
        judge: Says after a set which cells are still open, from what the observer was told. Where it is given, the
            sets that were asked for take a part of the budget, and more follow for the open cells alone.
        clock: A steady clock, in seconds.
        launch: Starts a worker.
    """

    def __init__(
        self,
        settings: Settings,
        shapes: Sequence[Shape],
        workers: Sequence[WorkerSpec],
        observer: Observer,
        *,
        reference: WorkerSpec | None = None,
        progress: Progress | None = None,
        judge: Callable[[], OpenCells] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        launch: Callable[[WorkerSpec, SharedMemory], WorkerHandle] = WorkerProcess,
    ) -> None:
        self._settings = settings
        self._shapes = list(shapes)
        self._specs = [*workers, *([reference] if reference else [])]
        self._observer = observer
        self._progress = progress or Progress()
        self._judge = judge
        # For extra sets: the cells that they measure. None stands for all.
        self._only: OpenCells | None = None
        self._settled: set[Shape] = set()
        self._clock = clock
        self._launch = launch
        self._lost = self._progress.lost
        self._absent = self._progress.absent
        self._random = random.Random(f"{settings.seed}/{self._progress.next_set}")  # noqa: S311  (an order, no secret)
        self._rates: dict[str, list[tuple[int, float]]] = {}
        self._tried: set[tuple[str, Shape]] = set()
        # What earlier sets have learnt of a cell's product, and of what a shape costs besides its rounds, in seconds.
        self._known: dict[Shape, dict[str, dict[Mode, float]]] = {}
        self._fixed: dict[Shape, float] = {}
        self._epoch = 0.0
        self._account: dict[str, float] = dict.fromkeys(TimeSpent.__struct_fields__, 0.0)
        self._team = _Team()
        self._team_measured = False
        self._start_seconds = 0.0
        self._reference_lost = False
        self._planned = 0
        self._operands_maker: WorkerHandle | None = None
        self._blocks: dict[Shape, Block] = {}
        self._opening: list[tuple[WorkerSpec, WorkerHandle]] = []

    def run(self) -> None:
        """Runs all sets. Ends its workers in any case; a run that is interrupted ends as a partial one."""
        start = self._clock()
        # Samples of a run that goes on are dated as if it had never stopped.
        self._epoch = start - self._progress.elapsed
        settings = self._settings
        sets_left = self._planned = max(0, settings.sets - self._progress.finished_sets)
        end = start + settings.seconds * sets_left / settings.sets
        blocks = layout([*self._shapes, REFERENCE_SHAPE], self._settings.pairs)
        self._blocks = {block.shape: block for block in blocks}
        memory = SharedMemory.create(blocks[-1].end)
        status = "complete"
        try:
            self._measure(memory, blocks, sets_left, start, end)
        except (KeyboardInterrupt, RunInterrupted):
            status = "partial"
            self._close_all()  # again: it may have come while workers were being ended
        finally:
            memory.close()
        self._account["total"] = self._clock() - start
        self._observer(RunFinished(status=status, time_spent=TimeSpent(**self._account)))  # type: ignore[arg-type]

    def _measure(self, memory: SharedMemory, blocks: list[Block], sets_left: int, start: float, end: float) -> None:
        """All sets, planned and further ones; the workers are ended whatever happens."""
        settings = self._settings
        try:
            self._start_making_operands(memory, blocks)
            for done in range(sets_left):
                set_ = self._progress.next_set + done
                self._run_set(set_, memory, end, planned=sets_left - done)
                self._observer(SetFinished(set=set_))
                self._settle(done + 1)
                if done + 1 >= _FEWEST_SETS and done + 1 < sets_left and self._clock() > end:
                    text = (
                        f"only {done + 1} of {sets_left} sets fitted into {settings.seconds:g} s; give more --seconds"
                    )
                    self._observer(Warned(text=text))
                    break
            self._pursue(memory, self._progress.next_set + sets_left, end, (self._clock() - start) / max(sets_left, 1))
        finally:
            self._close_all()

    def _planned_end(self, end: float, left: int) -> float:
        """When a set ends that has just been started, if ``left`` sets are planned, itself among them.

        What the starts of the others will take is set aside, then a part for verdicts that will still be open; the rest
        is shared by all. What an earlier set left or overran is so shared by those to come.
        """
        now = self._clock()
        free = end - now - (left - 1) * self._start_seconds
        if self._judge is not None:
            free *= PLANNED_SHARE * left / (left * PLANNED_SHARE + (1 - PLANNED_SHARE) * self._planned)
        return now + max(0.0, free) / left

    # --- When to stop ---------------------------------------------------------------------------------------------

    def _settle(self, sets: int) -> None:
        """After some sets, shapes whose verdicts are all settled leave time to the others."""
        if self._judge is not None and sets >= FEWEST_SETS:
            opened = self._judge()
            self._settled = {shape for shape in self._shapes if str(shape) not in opened}

    def _pursue(self, memory: SharedMemory, next_set: int, end: float, length: float) -> None:
        """Further sets for the cells that are still open, until none is, or the budget is spent."""
        while self._judge is not None and end - self._clock() > SHORTEST_SET * length:
            opened = {shape: names - self._absent for shape, names in self._judge().items()}
            # A baseline alone tells nothing.
            self._only = {shape: names for shape, names in opened.items() if len(names) > 1}
            if not self._only:
                return
            sets = max(1, round((end - self._clock()) / length))
            before = self._clock()
            self._run_set(next_set, memory, before + (end - before) / sets)
            self._observer(SetFinished(set=next_set))
            next_set += 1
            if not self._team_measured:
                return  # nothing open could be measured any more

    # --- A set ----------------------------------------------------------------------------------------------------

    def _run_set(self, set_: int, memory: SharedMemory, end: float, planned: int = 0) -> None:
        """Runs a set until ``end``; or, if so many sets are still planned, for its share of the time until then."""
        started = self._clock()
        self._start_workers(set_, memory)
        self._finish_making_operands()
        self._measure_ceilings(set_)
        self._start_seconds = self._clock() - started
        self._account["starting"] += self._start_seconds
        if planned:
            end = self._planned_end(end, planned)
        # The first set goes from small to large: what it learns says what is too slow further on.
        shapes = sorted(self._shapes, key=lambda shape: shape.flops)
        if self._only is not None:
            shapes = [shape for shape in shapes if str(shape) in self._only]
        self._team_measured = False
        if planned != self._planned:
            self._random.shuffle(shapes)
        for i, shape in enumerate(shapes):
            now = self._clock()
            # What a shape needs in any case is not taken from its neighbours: only what is beyond it is shared.
            fixed = [self._fixed.get(other, 0.0) for other in shapes[i:]]
            weights = [SETTLED_WEIGHT if other in self._settled else 1.0 for other in shapes[i:]]
            share = max(0.0, end - now - sum(fixed)) * weights[0] / sum(weights)
            self._measure_shape(set_, self._blocks[shape], min(end, now + fixed[0] + share))
        self._close_workers()

    def _start_making_operands(self, memory: SharedMemory, blocks: list[Block]) -> None:
        """Operands are made by a worker that multiplies nothing else, while the first set's workers start."""
        spec = WorkerSpec("operands", "operands", {}, [])
        self._operands_maker = self._launch(spec, memory)
        self._operands_maker.send(MakeOperands(blocks=blocks, seed=self._settings.seed))

    def _finish_making_operands(self) -> None:
        if self._operands_maker is not None:
            # Without operands there is no run: a lost reference worker is an error of the whole.
            try:
                self._operands_maker.receive(Done, _START_TIMEOUT + self._settings.seconds)
            except WorkerLost as lost:
                raise WorkerLost(
                    f"the worker that makes the operands was lost: {lost}; smaller shapes may help"
                ) from lost
            self._operands_maker.close()
            self._operands_maker = None

    def _measure_ceilings(self, set_: int) -> None:
        """By the canary's worker, while the others wait."""
        settings = self._settings
        if set_ >= _CEILINGS_SETS or settings.seconds < _CEILINGS_FROM or REFERENCE not in self._team.workers:
            return
        measured = self._ask(
            set_, REFERENCE, MeasureCeilings(threads=settings.threads), CeilingsMeasured, _START_TIMEOUT
        )
        if measured is not None:
            self._observer(CeilingsSeen(set=set_, ceilings=measured.ceilings))

    def _start_workers(self, set_: int, memory: SharedMemory) -> None:
        only = None if self._only is None else set().union(*self._only.values())
        wanted = [
            (spec, [variant for variant in spec.variants if self._is_wanted(spec, variant.name, only)])
            for spec in self._specs
        ]
        wanted = [(spec, variants) for spec, variants in wanted if variants]
        self._observer(SetStarted(set=set_, workers=[spec.name for spec, _ in wanted]))
        self._team = _Team()
        self._opening = []
        for spec, variants in wanted:
            try:
                handle = self._launch(spec, memory)
            except WorkerUnavailable as absent:
                self._miss_worker(set_, spec, absent)
                continue
            self._opening.append((spec, handle))
            with contextlib.suppress(WorkerLost):  # receive says why
                handle.send(Open(variants=variants, origin=spec.origin))
        for spec, handle in self._opening:
            self._greet(set_, spec, handle)
        self._opening = []

    def _is_wanted(self, spec: WorkerSpec, backend: str, only: set[str] | None) -> bool:
        if spec.name == REFERENCE:
            return not self._reference_lost
        return backend not in self._absent and (only is None or backend in only)

    def _greet(self, set_: int, spec: WorkerSpec, handle: WorkerHandle) -> None:
        try:
            opened = handle.receive(Opened, _START_TIMEOUT)
        except WorkerUnavailable as absent:
            handle.close()
            self._miss_worker(set_, spec, absent)
            return
        except WorkerLost as lost:
            handle.close()
            self._lose_worker(set_, spec, f"its worker could not start: {lost}")
            return
        ready: list[str] = []
        for probed in opened.backends:
            if spec.name != REFERENCE:
                self._observer(BackendProbed(set=set_, backend=probed.backend, status=probed.status,
                                             reason=probed.reason, remedy=probed.remedy))  # fmt: skip
            if probed.status == "ok":
                ready.append(probed.backend)
            elif spec.name != REFERENCE:
                self._absent.add(probed.backend)
            else:
                self._reference_lost = True
        if not ready:
            handle.close()
            return
        self._team.workers[spec.name] = handle
        self._team.ready[spec.name] = ready
        record = WorkerRecord(set=set_, worker=spec.name, library=spec.library, pid=handle.pid,
                              environment=spec.environment, interpreter=spec.python,
                              provenance=opened.provenance)  # fmt: skip
        self._observer(WorkerReady(worker=record))

    # --- A shape within a set -------------------------------------------------------------------------------------

    def _measure_shape(self, set_: int, block: Block, end: float) -> None:
        began = self._clock()
        self._observer(ShapeStarted(set=set_, shape=str(block.shape)))
        self._team.cells = {}
        names = list(self._team.workers)
        self._random.shuffle(names)
        for name in names:
            if name == REFERENCE:
                self._prepare(set_, name, self._blocks[REFERENCE_SHAPE], self._team.ready[name])
            else:
                self._prepare(set_, name, block, self._worth_preparing(set_, name, block.shape))
        cells = [cell for cells in self._team.cells.values() for cell in cells]
        slot = divide(end - self._clock(), [cell.pace.least for cell in cells])
        for cell in cells:
            cell.pace.slot = slot
        prepared = self._clock()
        slow = sum(cell.pace.least for cell in cells if cell.pace.least > slot)
        self._fixed[block.shape] = prepared - began + slow
        round_ = 0
        round_seconds = 0.0
        while cells and (round_ < _FEWEST_ROUNDS or self._clock() + 0.5 * round_seconds < end):
            before = self._clock()
            self._take_round(set_, round_, block.shape)
            round_seconds = self._clock() - before
            round_ += 1
            if before > end:
                break  # the least was more than the time that there was
            if not any(name != REFERENCE and cells for name, cells in self._team.cells.items()):
                break
        for cell in (cell for name, own in self._team.cells.items() if name != REFERENCE for cell in own):
            self._known.setdefault(block.shape, {}).setdefault(cell.backend, {})[cell.mode] = cell.pace.seconds
        for name in list(self._team.cells):
            self._ask(set_, name, Release(), Done, _GRACE)

    def _worth_preparing(self, set_: int, worker: str, shape: Shape) -> list[str]:
        """The worker's backends without those that are lost at this shape, or would take more than the run can give."""
        settings = self._settings
        worth: list[str] = []
        for backend in self._team.ready[worker]:
            if (backend, str(shape), "latency") in self._lost:
                continue
            if self._only is not None and backend not in self._only.get(str(shape), ()):
                continue
            estimate = 0.0 if (backend, shape) in self._tried else self._estimate(backend, shape)
            if not too_slow(estimate, settings.sets, settings.seconds):
                worth.append(backend)
                continue
            self._skip(set_, backend, shape, estimate)
        return worth

    def _estimate(self, backend: str, shape: Shape) -> float:
        """Seconds that a product should take, by the rate at the next smaller shape; 0 where nothing is known."""
        smaller = [known for known in self._rates.get(backend, []) if known[0] <= shape.flops]
        return shape.flops / max(smaller)[1] if smaller else 0.0

    def _skip(self, set_: int, backend: str, shape: Shape, estimate: float, mode: Mode = "latency") -> None:
        settings = self._settings
        needed = budget_for(estimate, settings.sets)
        reason = f"one product is expected to take {estimate:.3g} s; --seconds {needed:.0f} would make room for it"
        self._lost.add((backend, str(shape), mode))
        self._observer(CellPrepared(set=set_, backend=backend, m=shape.m, n=shape.n, k=shape.k, mode=mode,
                                    status="skipped", reason=reason, estimate=estimate))  # fmt: skip

    def _prepare(self, set_: int, worker: str, block: Block, backends: list[str]) -> None:
        if not backends:
            return
        # Another pair is compared first in every set, so that slow products are compared on several in the end.
        known = self._known.get(block.shape, {}) if worker != REFERENCE else {}
        request = Prepare(block=block, backends=backends, first_pair=set_, known=known)
        prepared = self._ask(set_, worker, request, Prepared, max(_PREPARE_TIMEOUT, self._settings.seconds))
        if prepared is None:
            return
        self._account["preparing"] += prepared.preparing
        self._account["calibrating"] += prepared.calibrating
        self._account["settling"] += prepared.settling
        cells = [self._admit(set_, worker, block.shape, cell) for cell in prepared.cells]
        self._team.cells[worker] = [cell for cell in cells if cell is not None]

    def _admit(self, set_: int, worker: str, shape: Shape, cell: PreparedCell) -> _Cell | None:
        """Tells of a prepared cell; returns what is needed to measure it, or None if it is not to be measured."""
        key: Key = (cell.backend, str(shape), cell.mode)
        seconds = cell.seconds or 0.0
        if worker != REFERENCE:
            if key in self._lost:
                return None
            # Judged once: a cell at the limit must not be measured in one set and skipped in the next.
            judged = (cell.backend, shape) in self._tried
            if cell.status == "ok" and not judged and too_slow(seconds, self._settings.sets, self._settings.seconds):
                self._skip(set_, cell.backend, shape, seconds, cell.mode)
                return None
            self._observer(CellPrepared(
                set=set_, backend=cell.backend, m=shape.m, n=shape.n, k=shape.k, mode=cell.mode, status=cell.status,
                reason=cell.reason, relative_error=cell.relative_error, precision=cell.precision,
                pairs_compared=cell.pairs_compared, seconds=cell.seconds, provenance=cell.provenance,
            ))  # fmt: skip
            if cell.status in ("failed", "unavailable"):
                self._lost.add(key)
        if cell.status != "ok":
            return None
        if worker != REFERENCE:
            # The canary is a cblas too, but of another shape: its figures must not stand for that backend's.
            self._tried.add((cell.backend, shape))
        if worker != REFERENCE and seconds >= RATE_SECONDS and cell.mode == "latency":
            self._rates.setdefault(cell.backend, []).append((shape.flops, shape.flops / seconds))
        pace = CellPace(seconds, cell.mode == "throughput", shape.product_bytes, slot=0.0)
        return _Cell(cell.backend, cell.mode, pace, next_pair=self._random.randrange(self._settings.pairs))

    # --- A round within a shape -----------------------------------------------------------------------------------

    def _take_round(self, set_: int, round_: int, shape: Shape) -> None:
        names = [name for name, cells in self._team.cells.items() if cells]
        self._random.shuffle(names)
        for turn, name in enumerate(names):
            due = [cell for cell in self._team.cells[name] if cell.pace.is_due(round_)]
            if due:
                self._observer(TurnStarted(set=set_, round=round_, shape=str(shape), worker=name))
                self._take_turn(set_, round_, turn, name, shape if name != REFERENCE else REFERENCE_SHAPE, due)

    def _take_turn(self, set_: int, round_: int, turn: int, worker: str, shape: Shape, due: list[_Cell]) -> None:
        request = TakeTurn(
            cells=[
                TurnCell(backend=cell.backend, mode=cell.mode, loops=cell.pace.loops, samples=cell.pace.samples,
                         first_pair=cell.next_pair)
                for cell in due
            ],
            order=self._sample_order(due),
        )  # fmt: skip
        expected = sum(cell.pace.cost for cell in due)
        turned = self._ask(set_, worker, request, Turned, _PATIENCE * expected + _GRACE)
        if turned is None:
            return
        for kind in ("warming", "sampling", "settling"):
            self._account[kind] += getattr(turned, kind)
        for cell, told in zip(due, turned.cells, strict=True):
            backend = cell.backend if worker != REFERENCE else REFERENCE
            samples = [
                Sample(set=set_, round=round_, turn=turn, start=m.start - self._epoch, first_pair=m.first_pair,
                       loops=m.loops, seconds=m.seconds, cpu_seconds=m.cpu_seconds,
                       efficiency_seconds=m.efficiency_seconds, joules=m.joules, cycles=m.cycles)
                for m in told.samples
            ]  # fmt: skip
            if samples:
                self._team_measured |= worker != REFERENCE
                self._observer(SamplesTaken(backend=backend, m=shape.m, n=shape.n, k=shape.k, mode=cell.mode,
                                            samples=samples))  # fmt: skip
            if told.reason:
                self._lose_cell(set_, worker, shape, cell, told.reason)
            sampled = sum(sample.seconds for sample in samples)
            calls = sum(sample.loops for sample in samples)
            cell.pace.took_turn(cell.pace.cost, sampled, calls)
            cell.next_pair = (cell.next_pair + calls) % self._settings.pairs

    def _sample_order(self, due: list[_Cell]) -> list[int]:
        """Blocks in which every cell has one sample, each in another order: neighbours in time can be paired."""
        order: list[int] = []
        for number in range(max(cell.pace.samples for cell in due)):
            block = [i for i, cell in enumerate(due) if number < cell.pace.samples]
            self._random.shuffle(block)
            order += block
        return order

    # --- Workers and what becomes of them -------------------------------------------------------------------------

    def _ask(
        self, set_: int, worker: str, request: Request, expected: type[ReplyType], timeout: float
    ) -> ReplyType | None:
        """A request's reply, or None if the worker was lost over it."""
        handle = self._team.workers.get(worker)
        if handle is None:
            return None
        try:
            handle.send(request)
            return handle.receive(expected, timeout)
        except WorkerLost as lost:
            handle.close()
            self._lose_worker(set_, handle.spec, str(lost))
            return None

    def _miss_worker(self, set_: int, spec: WorkerSpec, absent: WorkerUnavailable) -> None:
        """A worker whose interpreter does not serve is a result, like a library that is not there."""
        for variant in spec.variants:
            self._absent.add(variant.name)
            self._observer(BackendProbed(set=set_, backend=variant.name, status="unavailable",
                                         reason=absent.reason, remedy=absent.remedy))  # fmt: skip

    def _lose_worker(self, set_: int, spec: WorkerSpec, reason: str) -> None:
        self._team.workers.pop(spec.name, None)
        self._team.cells.pop(spec.name, None)
        if spec.name != REFERENCE:
            self._absent |= {variant.name for variant in spec.variants}
        if spec.name == REFERENCE:
            self._reference_lost = True
            self._observer(Warned(text=f"the canary was lost, so drift is not watched: {reason}"))
        else:
            self._observer(WorkerEnded(set=set_, worker=spec.name, reason=reason))

    def _lose_cell(self, set_: int, worker: str, shape: Shape, cell: _Cell, reason: str) -> None:
        if worker != REFERENCE:
            self._lost.add((cell.backend, str(shape), cell.mode))
        self._team.cells[worker] = [other for other in self._team.cells[worker] if other is not cell]
        if worker != REFERENCE:
            self._observer(CellFailed(set=set_, backend=cell.backend, m=shape.m, n=shape.n, k=shape.k, mode=cell.mode,
                                      reason=reason))  # fmt: skip

    def _close_workers(self) -> None:
        for handle in self._team.workers.values():
            handle.close()
        self._team = _Team()

    def _close_all(self) -> None:
        for _, handle in self._opening:
            handle.close()
        if self._operands_maker is not None:
            self._operands_maker.close()
        self._close_workers()
