"""A set at work: for each shape, workers prepare their cells, take turns round by round, and release the operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gemmscope.measure.pacing import CellPace
from gemmscope.measure.protocol import Done, Prepare, Prepared, Release, TakeTurn, TurnCell, Turned
from gemmscope.measure.team import ActiveCell
from gemmscope.records.events import SamplesTaken, ShapeStarted, TurnStarted
from gemmscope.records.model import Sample, TimeSpent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.measure.protocol import TurnedCell
    from gemmscope.measure.schedule import Schedule, SetPlan, ShapePlan
    from gemmscope.measure.team import Member, Team
    from gemmscope.records.events import Observer
    from gemmscope.records.model import Settings
    from gemmscope.workload.shapes import Block, Shape

# Preparing ends with a first call, however slow: a kernel has as long as the whole run.
_PREPARE_TIMEOUT = 60.0
# A worker is considered to hang after this many times what its turn should take, and some seconds more.
_PATIENCE = 20.0
_GRACE = 15.0


class Stopwatch:
    """Adds up where the time of a run goes, in seconds."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(TimeSpent.__struct_fields__, 0.0)

    def add(self, **seconds: float) -> None:
        """Adds to the fields of :class:`~gemmscope.records.model.TimeSpent` that are named."""
        for name, more in seconds.items():
            self._seconds[name] += more

    def read(self) -> TimeSpent:
        """What was added so far."""
        return TimeSpent(**self._seconds)


class Turns:
    """Takes the turns of one set after another.

    Args:
        settings: What was asked for.
        team: The workers.
        schedule: Says who has a turn, and for how long.
        blocks: Where each shape's operands lie.
        observer: Told of every event.
        spent: Adds up the workers' time.
    """

    def __init__(
        self,
        settings: Settings,
        team: Team,
        schedule: Schedule,
        blocks: Mapping[Shape, Block],
        observer: Observer,
        spent: Stopwatch,
    ) -> None:
        self._settings = settings
        self._team = team
        self._schedule = schedule
        self._blocks = blocks
        self._observer = observer
        self._spent = spent

    def measure(self, set_: SetPlan, plan: ShapePlan) -> bool:
        """Measures a shape until its time is up; returns whether any backend that the run is about was sampled."""
        self._observer(ShapeStarted(set=set_.number, shape=str(plan.shape)))
        members = [
            member for member in self._schedule.shuffled(self._team.members) if self._prepare(set_, plan.shape, member)
        ]
        cells = [cell for member in members for cell in member.cells]
        self._schedule.give_slots(plan, [cell.pace for cell in cells])
        measured = False
        for round_ in self._schedule.rounds(plan) if cells else ():
            measured |= self._take_round(set_.number, round_, plan.shape, members)
            if all(member.role.watches or not member.cells for member in members):
                break
        for member in members:
            for cell in member.cells:
                member.role.measured(cell.key, cell.pace.seconds)
            self._team.ask(member, Release(), Done, _GRACE)
        return measured

    def _prepare(self, set_: SetPlan, shape: Shape, member: Member) -> bool:
        """Lets a worker prepare its cells; false if it has none at this shape, or was lost."""
        role = member.role
        member.cells = []
        backends = role.worth_preparing(set_, shape, member.backends)
        if not backends:
            return False
        # Another pair is compared first in every set, so that even a slow backend is compared on several pairs.
        request = Prepare(
            block=self._blocks[role.shape(shape)], backends=backends, first_pair=set_.number,
            known=role.known_seconds(shape, backends),
        )  # fmt: skip
        prepared = self._team.ask(member, request, Prepared, max(_PREPARE_TIMEOUT, self._settings.seconds))
        if prepared is None:
            return False
        self._spent.add(preparing=prepared.preparing, calibrating=prepared.calibrating, settling=prepared.settling)
        for cell in prepared.cells:
            key = role.admit(set_.number, shape, cell)
            if key is not None:
                pace = CellPace(cell.seconds or 0.0, cell.mode == "throughput", shape.product_bytes, slot=0.0)
                next_pair = self._schedule.random_pair(self._settings.pairs)
                member.cells.append(ActiveCell(cell.backend, key, pace, next_pair))
        return True

    def _take_round(self, set_: int, round_: int, shape: Shape, members: Sequence[Member]) -> bool:
        """A turn for every worker with a cell that is due; returns what :meth:`measure` returns."""
        measured = False
        for turn, member in enumerate(self._schedule.shuffled(member for member in members if member.cells)):
            due = [cell for cell in member.cells if cell.pace.is_due(round_)]
            if due:
                self._observer(TurnStarted(set=set_, round=round_, shape=str(shape), worker=member.spec.name))
                taken = self._take_turn(set_, round_, turn, member, due)
                measured |= taken and not member.role.watches
        return measured

    def _take_turn(self, set_: int, round_: int, turn: int, member: Member, due: Sequence[ActiveCell]) -> bool:
        """One worker's turn; returns whether it has taken any sample."""
        request = TakeTurn(
            cells=[
                TurnCell(backend=cell.backend, mode=cell.key.mode, loops=cell.pace.loops, samples=cell.pace.samples,
                         first_pair=cell.next_pair)
                for cell in due
            ],
            order=self._schedule.sample_order([cell.pace.samples for cell in due]),
        )  # fmt: skip
        expected = sum(cell.pace.cost for cell in due)
        turned = self._team.ask(member, request, Turned, _PATIENCE * expected + _GRACE)
        if turned is None:
            return False
        self._spent.add(warming=turned.warming, sampling=turned.sampling, settling=turned.settling)
        for cell, taken in zip(due, turned.cells, strict=True):
            self._book(cell, taken, set=set_, round=round_, turn=turn)
            if taken.reason:
                member.cells.remove(cell)
                member.role.cell_lost(set_, cell.key, taken.reason)
        return any(taken.samples for taken in turned.cells)

    def _book(self, cell: ActiveCell, taken: TurnedCell, **place: int) -> None:
        """Records a cell's samples, and corrects its pace by them."""
        epoch = self._schedule.budget.epoch
        samples = [
            Sample(**msgspec.structs.asdict(measurement) | {"start": measurement.start - epoch}, **place)
            for measurement in taken.samples
        ]
        if samples:
            self._observer(SamplesTaken(**cell.key.fields, samples=samples))
        calls = sum(sample.loops for sample in samples)
        cell.pace.took_turn(cell.pace.cost, sum(sample.seconds for sample in samples), calls)
        cell.next_pair = (cell.next_pair + calls) % self._settings.pairs
