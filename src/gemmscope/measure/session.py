"""One run: brings together its schedule, its team of workers, and what is learnt of cells on the way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gemmscope.errors import RunInterrupted
from gemmscope.measure.knowledge import Knowledge
from gemmscope.measure.process import WorkerProcess
from gemmscope.measure.protocol import CeilingsMeasured, MeasureCeilings
from gemmscope.measure.resume import ResumePoint
from gemmscope.measure.roles import REFERENCE_SHAPE, Reference, Subject
from gemmscope.measure.schedule import Schedule
from gemmscope.measure.team import START_TIMEOUT, Team
from gemmscope.measure.turns import Stopwatch, Turns
from gemmscope.records.events import CeilingsSeen, RunFinished, SetFinished, Warned
from gemmscope.workload.operands import SharedMemory
from gemmscope.workload.shapes import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmscope.measure.process import WorkerHandle, WorkerSpec
    from gemmscope.measure.roles import Role
    from gemmscope.measure.schedule import SetPlan
    from gemmscope.measure.stopping import OpenCells
    from gemmscope.records.events import Observer
    from gemmscope.records.model import Settings
    from gemmscope.workload.shapes import Shape

# The processor's ceilings take a second or two: they are measured in the first sets of runs that can afford it.
_CEILINGS_FROM = 20.0
_CEILINGS_SETS = 2


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
        resume: ResumePoint | None = None,
        judge: Callable[[], OpenCells] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        launch: Callable[[WorkerSpec, SharedMemory], WorkerHandle] = WorkerProcess,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._launch = launch
        self._blocks = layout([*shapes, REFERENCE_SHAPE], settings.pairs)
        point = resume or ResumePoint()
        self._knowledge = Knowledge(point.lost, point.absent)
        self._judge = judge
        self._schedule = Schedule(settings, shapes, point, judge and self._open_cells, clock)
        subject = Subject(settings, self._knowledge, observer)
        self._workers: list[tuple[WorkerSpec, Role]] = [(spec, subject) for spec in workers]
        if reference is not None:
            self._workers.append((reference, Reference(observer)))
        self._spent = Stopwatch()

    def run(self) -> None:
        """Runs all sets. Ends its workers in any case; a run that is interrupted ends as a partial one."""
        memory = SharedMemory.create(self._blocks[-1].end)
        team = Team(self._workers, lambda spec: self._launch(spec, memory), self._observer)
        status = "complete"
        try:
            try:
                self._run_sets(team)
            finally:
                team.close()
        except (KeyboardInterrupt, RunInterrupted):
            status = "partial"
            team.close()  # again: it may have come while workers were being ended
        finally:
            memory.close()
        self._spent.add(total=self._schedule.budget.used)
        self._observer(RunFinished(status=status, time_spent=self._spent.read()))  # type: ignore[arg-type]

    def _run_sets(self, team: Team) -> None:
        blocks = {block.shape: block for block in self._blocks}
        turns = Turns(self._settings, team, self._schedule, blocks, self._observer, self._spent)
        team.start_making_operands(self._blocks, self._settings.seed)
        for plan in self._schedule.sets():
            measured = self._run_set(plan, team, turns)
            self._observer(SetFinished(set=plan.number))
            if not plan.planned_left and not measured:
                break  # nothing that is open can be measured any more
        if self._schedule.cut_short:
            text = f"{self._schedule.cut_short} fitted into {self._settings.seconds:g} s; give more --seconds"
            self._observer(Warned(text=text))

    def _run_set(self, plan: SetPlan, team: Team, turns: Turns) -> bool:
        """One set of fresh workers; returns whether any backend that the run is about was sampled."""
        now = self._schedule.budget.now
        begin = now()
        team.start(plan)
        team.finish_making_operands(START_TIMEOUT + self._settings.seconds)
        self._measure_ceilings(plan.number, team)
        start_seconds = now() - begin
        self._spent.add(starting=start_seconds)
        measured = False
        for shape in self._schedule.shapes(plan, start_seconds):
            measured |= turns.measure(plan, shape)
        team.close()
        return measured

    def _measure_ceilings(self, set_: int, team: Team) -> None:
        """By the worker that watches the machine, while the others wait."""
        if set_ >= _CEILINGS_SETS or self._settings.seconds < _CEILINGS_FROM:
            return
        for member in [member for member in team.members if member.role.watches]:
            request = MeasureCeilings(threads=self._settings.threads)
            measured = team.ask(member, request, CeilingsMeasured, START_TIMEOUT)
            if measured is not None:
                self._observer(CeilingsSeen(set=set_, ceilings=measured.ceilings))

    def _open_cells(self) -> OpenCells:
        """What is open according to the judge, without what cannot be measured any more."""
        assert self._judge is not None
        return {shape: names - self._knowledge.absent for shape, names in self._judge().items()}
