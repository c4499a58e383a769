"""One run: in every set workers start, and for each shape prepare their cells, take turns, and release the operands."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import msgspec

from gemmscope.errors import RunInterrupted
from gemmscope.machine.surroundings import Watch
from gemmscope.measure import protocol, tracing
from gemmscope.measure.affording import OPERANDS_LEAST, OPERANDS_SHARE, preparing
from gemmscope.measure.evidence import GRACE, PATIENCE, Evidence, observe_samples
from gemmscope.measure.pacing import CellPace
from gemmscope.measure.process import WorkerProcess
from gemmscope.measure.resume import ResumePoint
from gemmscope.measure.roles import REFERENCE_SHAPE, Reference, Role
from gemmscope.measure.schedule import FEWEST_SETS, Schedule
from gemmscope.measure.team import START_TIMEOUT, ActiveCell, Team
from gemmscope.records import events, words
from gemmscope.records.model import PlacedOperands, TimeSpent
from gemmscope.workload.shapes import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmscope.measure.experiments import Investigate
    from gemmscope.measure.process import WorkerSpec
    from gemmscope.measure.schedule import Judge, OpenCells, SetPlan, ShapePlan
    from gemmscope.measure.team import Member
    from gemmscope.records.model import Settings
    from gemmscope.workload.operands import SharedMemory
    from gemmscope.workload.placement import Placement
    from gemmscope.workload.shapes import Block, Shape

# The processor's ceilings take a second or two: they are measured in the first set of runs of so many seconds, and in
# the second set of longer ones. Whoever asks for AMX's has them in any case.
_CEILINGS_FROM = (20.0, 60.0)

# Preparing ends with a first call, however slow: a kernel has as long as the whole run.
_PREPARE_TIMEOUT = 60.0


class Session:
    """Runs sets until the time is up. The observer is told of everything that happens.

    Args:
        settings: What was asked for.
        shapes: The shapes of ``settings``.
        workers: The workers that every set starts.
        observer: Told of every event, between turns.
        reference: The worker of the reference workload, or None to do without.
        resume: Where to go on in a run that was cut off.
        judge: Says after a set which cells are still open, from what the observer was told. Where it is given, the
            sets that were asked for take a part of the budget, and more follow for the open cells alone.
        investigate: Says before a set which experiments on what makes a backend slow should be made. They take at
            most their share of the budget (``settings.experiments``).
        clock: A steady clock, in seconds.
        launch: Starts a worker.
    """

    def __init__(
        self,
        settings: Settings,
        shapes: Sequence[Shape],
        workers: Sequence[WorkerSpec],
        observer: events.Observer,
        *,
        reference: WorkerSpec | None = None,
        resume: ResumePoint | None = None,
        judge: Judge | None = None,
        investigate: Investigate | None = None,
        clock: Callable[[], float] = time.perf_counter,
        launch: Callable[[WorkerSpec, SharedMemory], WorkerProcess] = WorkerProcess,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._workers = workers
        self._judge = judge
        self._investigate = investigate
        point = resume or ResumePoint()
        self._schedule = Schedule(
            settings, shapes, point, judge and self._open_cells, clock, investigate and self._experiments
        )
        blocks = layout(list(dict.fromkeys([REFERENCE_SHAPE, *shapes])), settings.pairs)
        self._blocks = {block.shape: block for block in blocks}
        self._measured = Role(settings, observer, point.lost, point.absent)
        roles = [(spec, self._measured) for spec in workers]
        if reference is not None:
            roles.append((reference, Reference(settings, observer)))
        self._team = Team(roles, launch, observer)
        self._spent = dict.fromkeys(TimeSpent.__struct_fields__, 0.0)
        self._ceilings_sets = max(settings.amx, sum(settings.seconds >= least for least in _CEILINGS_FROM))
        self._evidence = Evidence(
            team=self._team, observer=observer, now=self._schedule.budget.now, epoch=self._schedule.budget.epoch,
            spend=self._spend, settings=settings, shapes=shapes, workers=len(workers),
        )  # fmt: skip

    def run(self) -> None:
        """Runs all sets. Ends its workers in any case; a run that is interrupted ends as a partial one."""
        status = "complete"
        try:
            try:
                self._run_sets()
            finally:
                self._team.end_workers()
        except (KeyboardInterrupt, RunInterrupted):
            status = "partial"
            self._team.end_workers()  # again: it may have come while workers were being ended
        finally:
            self._team.free_operands()
        self._spend(total=self._schedule.budget.used)
        self._observer(events.RunFinished(status=status, time_spent=TimeSpent(**self._spent)))  # type: ignore[arg-type]

    def _run_sets(self) -> None:
        seconds = max(OPERANDS_LEAST, OPERANDS_SHARE * self._settings.seconds)
        blocks = list(self._blocks.values())
        costs = [FEWEST_SETS * self._preparing(block) for block in blocks]
        self._team.start_making_operands(blocks, self._settings.seed, costs, seconds)
        planned = self._schedule.planned
        for plan in self._schedule.sets():
            if self._schedule.planned > planned:
                planned = self._schedule.planned
                self._observer(events.SetsPlanned(sets=planned))
            watch = Watch()
            measured = self._run_set(plan)
            self._observer(events.SetFinished(set=plan.number, surroundings=watch.end(plan.number)))
            if not plan.experiment and not measured:
                break  # nothing that is open can be measured any more
        if self._schedule.cut_short:
            text = (
                f"{self._schedule.cut_short} fitted into {words.span(self._settings.seconds)}; give it more --seconds"
            )
            self._observer(events.Warned(text=text))

    def _run_set(self, plan: SetPlan) -> bool:
        """One set of fresh workers; returns whether any backend that the run is about was sampled."""
        now = self._schedule.budget.now
        begin = now()
        self._team.start(plan)
        self._leave_out(self._team.finish_making_operands(START_TIMEOUT + self._settings.seconds))
        start_seconds = now() - begin
        if plan.number < self._ceilings_sets:
            self._measure_ceilings(plan.number)
        self._spend(starting=now() - begin)
        measured = False
        for shape in self._schedule.shapes(plan, start_seconds):
            measured |= self._measure_shape(plan, shape)
        self._evidence.trace_kernels(plan.number)
        self._team.end_workers()
        return measured

    def _preparing(self, block: Block) -> float:
        """What a set takes to prepare a shape, as predicted."""
        shape = str(block.shape)
        asked = [
            sum(self._settings.asks_for(variant.name, shape) for variant in spec.variants) for spec in self._workers
        ]
        return preparing(block, len([count for count in asked if count]), sum(asked))

    def _leave_out(self, needed: Sequence[float]) -> None:
        """Goes on without the shapes whose operands cannot be afforded: ``needed`` is what they would have needed."""
        left_out = {shape: seconds for shape, seconds in zip(self._blocks, needed, strict=False) if seconds}
        if left_out:
            self._schedule.leave_out(left_out)
            room = math.ceil(max(left_out.values()) / OPERANDS_SHARE)
            shapes = words.listed([shape.title for shape in left_out])
            text = f"left out, because making and checking the operands would take too long: {shapes}"
            self._observer(events.Warned(text=f"{text}; --seconds {room} would make room"))

    def _measure_ceilings(self, set_: int) -> None:
        """By the worker that watches the machine, while the others wait."""
        for member in [member for member in self._team.members if member.role.watches]:
            request = protocol.MeasureCeilings(threads=self._settings.threads, amx=self._settings.amx)
            measured = self._team.ask(member, request, protocol.CeilingsMeasured, START_TIMEOUT)
            if measured is not None:
                self._observer(events.CeilingsSeen(set=set_, ceilings=measured.ceilings))

    def _measure_shape(self, set_: SetPlan, plan: ShapePlan) -> bool:
        """Measures a shape until its time is up; returns what :meth:`_run_set` returns."""
        self._observer(events.ShapeStarted(set=set_.number, shape=str(plan.shape)))
        placement = self._schedule.placement(set_.number, plan.shape)
        placed = PlacedOperands(set=set_.number, shape=str(plan.shape), **msgspec.structs.asdict(placement))
        self._observer(events.OperandsPlaced(placed=placed))
        members = [
            member
            for member in self._schedule.shuffled(self._team.members)
            if self._prepare(set_, plan.shape, member, placement)
        ]
        order = self._schedule.turns(members)
        cells = [cell for member in members for cell in member.cells]
        # An experiment is about the time of a call, and what it does on the GPU is known by then.
        traced = [] if set_.experiment else [cell for member in members for cell in member.traced]
        tracing_seconds = sum(tracing.cost(cell.pace.seconds) for cell in traced)
        plan = self._schedule.give_slots(plan, [cell.pace for cell in cells], tracing_seconds)
        measured = False
        round_ = -1
        for round_ in self._schedule.rounds(plan) if cells else ():
            measured |= self._take_round(set_.number, round_, plan.shape, next(order))
            if all(member.role.watches or not member.cells for member in members):
                break
        for turn, member in enumerate(members):
            if not set_.experiment:
                self._evidence.trace_later(member, self._blocks[plan.shape], placement, round_ + 1, turn)
                self._evidence.sample_instructions(set_.number, plan.shape, member)
            for cell in member.cells + member.traced:
                member.role.measured(cell.key, cell.pace.seconds)
            self._team.ask(member, protocol.Release(), protocol.Done, GRACE)
        return measured

    def _prepare(self, set_: SetPlan, shape: Shape, member: Member, placement: Placement) -> bool:
        """Lets a worker prepare its cells; false if it has none at this shape, or was lost."""
        role = member.role
        member.cells, member.traced = [], []
        backends = role.worth_preparing(set_, shape, member.backends)
        if not backends:
            return False
        # Another pair is compared first in every set, so that even a slow backend is compared on several pairs.
        known = role.known_seconds(shape, backends)
        block = self._blocks[role.shape(shape)]
        if role.watches:  # it has one layout in the whole run, so that what changes is the machine
            placement = self._schedule.placement(0, block.shape)
        request = protocol.Prepare(
            block=block,
            backends=backends,
            placement=placement,
            first_pair=set_.number,
            known=known,
            unknown=[name for name in backends if role.is_unknown(name, block.shape)],
            longest=role.longest_call,
        )
        prepared = self._team.ask(member, request, protocol.Prepared, max(_PREPARE_TIMEOUT, self._settings.seconds))
        if prepared is None:
            return False
        self._spend(preparing=prepared.preparing, calibrating=prepared.calibrating, settling=prepared.settling)
        for cell in prepared.cells:
            key = role.admit(set_.number, shape, cell)
            if key is not None:
                pace = CellPace(
                    cell.seconds or 0.0, cell.mode == "throughput", shape.product_bytes, slot=0.0,
                    on_gpu=cell.backend in prepared.on_gpu,
                    weight=1.0 if role.watches else self._schedule.weight(shape, cell.backend),
                )  # fmt: skip
                next_pair = self._schedule.random_pair(block.pairs)
                is_traced = cell.mode == "device" and cell.backend in prepared.traced
                cells = member.traced if is_traced else member.cells
                reduced = cell.precision not in (None, "float32")
                cells.append(ActiveCell(cell.backend, key, pace, next_pair, reduced))
        return True

    def _take_round(self, set_: int, round_: int, shape: Shape, members: Sequence[Member]) -> bool:
        """A turn for every worker with a cell that is due; returns what :meth:`_run_set` returns."""
        measured = False
        for turn, member in enumerate(member for member in members if member.cells):
            due = [cell for cell in member.cells if cell.pace.is_due(round_)]
            if due:
                self._observer(events.TurnStarted(set=set_, round=round_, shape=str(shape), worker=member.spec.name))
                taken = self._take_turn(set_, round_, turn, member, due)
                measured |= taken and not member.role.watches
        return measured

    def _take_turn(self, set_: int, round_: int, turn: int, member: Member, due: Sequence[ActiveCell]) -> bool:
        """One worker's turn; returns whether it has taken any sample."""
        cells = [
            protocol.TurnCell(
                backend=cell.backend, mode=cell.key.mode, seconds=cell.pace.seconds, loops=cell.pace.loops,
                samples=cell.pace.samples, first_pair=cell.next_pair,
            )
            for cell in due
        ]  # fmt: skip
        request = protocol.TakeTurn(cells=cells, order=self._schedule.sample_order([cell.samples for cell in cells]))
        expected = sum(cell.pace.cost for cell in due)
        turned = self._team.ask(member, request, protocol.Turned, PATIENCE * expected + GRACE)
        if turned is None:
            return False
        self._spend(warming=turned.warming, sampling=turned.sampling, settling=turned.settling)
        for cell, taken in zip(due, turned.cells, strict=True):
            self._book(cell, taken, set=set_, round=round_, turn=turn)
            if taken.reason:
                member.cells.remove(cell)
                member.role.cell_lost(set_, cell.key, taken.reason)
        return any(taken.samples for taken in turned.cells)

    def _book(self, cell: ActiveCell, taken: protocol.TurnedCell, **place: int) -> None:
        """Records a cell's samples, and corrects its pace by them."""
        samples = observe_samples(self._observer, self._schedule.budget.epoch, cell, taken.samples, **place)
        cell.pace.took_turn(cell.pace.cost, [sample.seconds / sample.loops for sample in samples])
        calls = sum(sample.loops for sample in samples)
        cell.next_pair = (cell.next_pair + calls) % self._blocks[cell.key.shape].pairs

    def _spend(self, **seconds: float) -> None:
        """Adds to where the time of the run goes: fields of :class:`~gemmscope.records.model.TimeSpent`."""
        for name, more in seconds.items():
            self._spent[name] += more

    def _experiments(self) -> OpenCells:
        """The experiments that should be made now, without what cannot be measured any more; they join the run."""
        assert self._investigate is not None
        wanted = self._investigate()
        if wanted.backends:
            self._observer(events.BackendsAdded(backends=wanted.backends))
        self._team.add([(spec, self._measured) for spec in wanted.workers])
        absent = self._measured.absent
        # One that lacks its other half shows nothing; a backend that is compared with itself in another mode is whole.
        return {
            shape: left for shape, names in wanted.cells.items()
            if (left := names - absent) and (len(left) > 1 or left == names)
        }  # fmt: skip

    def _open_cells(self, *, provisional: bool = False) -> OpenCells:
        """What is open according to the judge, without what cannot be measured any more."""
        assert self._judge is not None
        opened = self._judge(provisional=provisional)
        return {shape: names - self._measured.absent for shape, names in opened.items()}
