"""The workers of a run, and what becomes of them: started for a set, opened, asked, lost, closed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemmscope.errors import WorkerLost, WorkerUnavailable
from gemmscope.measure.process import WorkerSpec, worker_variables
from gemmscope.measure.protocol import MakeOperands, Open, Opened, OperandsMade, Probed
from gemmscope.records import words
from gemmscope.records.events import SetStarted, Warned, WorkerReady
from gemmscope.records.model import WorkerRecord
from gemmscope.workload.operands import SharedMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmscope.measure.pacing import CellPace
    from gemmscope.measure.process import ReplyType, WorkerProcess
    from gemmscope.measure.protocol import Request
    from gemmscope.measure.roles import Role
    from gemmscope.measure.schedule import SetPlan
    from gemmscope.records.base import CellKey
    from gemmscope.records.events import Observer
    from gemmscope.workload.shapes import Block

START_TIMEOUT = 120.0


@dataclass(eq=False)
class ActiveCell:
    """A cell that a worker has prepared."""

    backend: str  # as its worker calls it
    key: CellKey  # what its samples are recorded under
    pace: CellPace
    next_pair: int  # the pair of operands with which its next sample begins
    reduced: bool = False  # whether its results are of a lower precision than float32


@dataclass(eq=False)
class Member:
    """A worker that has opened its library, the backends of it that can run, and the cells of the shape in hand.

    ``traced`` are those of its cells whose time CUPTI tells, in a turn of their own.
    """

    spec: WorkerSpec
    role: Role
    handle: WorkerProcess
    backends: list[str] = field(default_factory=list)
    cells: list[ActiveCell] = field(default_factory=list)
    traced: list[ActiveCell] = field(default_factory=list)


class Team:
    """Starts and ends workers, and speaks to them; holds the memory with the operands that all of them share."""

    def __init__(
        self,
        workers: Sequence[tuple[WorkerSpec, Role]],
        launch: Callable[[WorkerSpec, SharedMemory], WorkerProcess],
        observer: Observer,
    ) -> None:
        self._workers = list(workers)
        self._launch = launch
        self._observer = observer
        self._set = 0
        # Every worker that was started and has not been ended yet, whatever has become of it.
        self._started: list[WorkerProcess] = []
        self._memory: SharedMemory | None = None
        self._operands_maker: WorkerProcess | None = None
        self._warned: set[str] = set()
        self.members: list[Member] = []

    def add(self, workers: Sequence[tuple[WorkerSpec, Role]]) -> None:
        """Workers for the sets to come: further ones, and those of a known name with more variants than before."""
        known = {spec.name: (spec, role) for spec, role in self._workers}
        self._workers = list((known | {spec.name: (spec, role) for spec, role in workers}).values())

    def start_making_operands(self, blocks: list[Block], seed: int, costs: list[float], seconds: float) -> None:
        """Operands are made by a worker that multiplies nothing else, while the first set's workers start.

        Those are made that can be afforded: where making, and the ``costs`` of preparing each, fit in ``seconds``.
        """
        self._memory = SharedMemory.create(blocks[-1].end)
        self._operands_maker = self._start(WorkerSpec("operands", "operands", {}, []))
        self._operands_maker.send(MakeOperands(blocks=blocks, seed=seed, preparing=costs, seconds=seconds))

    def finish_making_operands(self, timeout: float) -> list[float]:
        """Waits for the operands, if they were not waited for before.

        Returns:
            For each block 0, or else the seconds that it would have needed; nothing when asked again.

        Raises:
            WorkerLost: If they could not be made. Without operands there is no run.
        """
        if self._operands_maker is None:
            return []
        try:
            made = self._operands_maker.receive(OperandsMade, timeout)
        except WorkerLost as lost:
            raise WorkerLost(f"the worker that makes the operands was lost: {lost}; smaller shapes may help") from lost
        self._end(self._operands_maker)
        self._operands_maker = None
        return made.needed

    def start(self, plan: SetPlan) -> None:
        """Starts a set's workers, all at once, and waits until each has loaded its library or was lost over it."""
        self._set = plan.number
        wanted = [(spec, role, variants) for spec, role in self._workers if (variants := role.variants(spec, plan))]
        self._observer(SetStarted(set=self._set, workers=[spec.name for spec, _, _ in wanted]))
        opening: list[Member] = []
        for spec, role, variants in wanted:
            try:
                handle = self._start(spec)
            except WorkerLost as lost:
                self._not_opened(spec, role, lost)
                continue
            opening.append(Member(spec, role, handle))
            with contextlib.suppress(WorkerLost):  # receive says why
                handle.send(Open(variants=variants, origin=spec.origin))
        for member in opening:
            self._join(member)

    def ask(self, member: Member, request: Request, expected: type[ReplyType], timeout: float) -> ReplyType | None:
        """A request's reply, or None if the worker is lost, over this request or before."""
        if member not in self.members:
            return None
        try:
            member.handle.send(request)
            return member.handle.receive(expected, timeout)
        except WorkerLost as lost:
            self.members.remove(member)
            member.cells.clear()
            member.traced.clear()
            self._end(member.handle)
            member.role.worker_lost(self._set, member.spec, str(lost))
            return None

    def end_workers(self) -> None:
        """It can be called again where it was interrupted."""
        while self._started:
            self._end(self._started[0])
        self.members.clear()

    def free_operands(self) -> None:
        """Lets go of the shared memory, at the end of the run."""
        if self._memory is not None:
            self._memory.close()

    def _start(self, spec: WorkerSpec) -> WorkerProcess:
        assert self._memory is not None
        handle = self._launch(spec, self._memory)
        self._started.append(handle)
        return handle

    def _end(self, handle: WorkerProcess) -> None:
        handle.close()
        self._started.remove(handle)

    def _join(self, member: Member) -> None:
        """Makes a worker a member once it has opened, if any of its backends can run."""
        spec, role = member.spec, member.role
        try:
            opened = member.handle.receive(Opened, START_TIMEOUT)
        except WorkerLost as lost:
            self._end(member.handle)
            self._not_opened(spec, role, lost)
            return
        for probed in opened.backends:
            role.probed(self._set, probed)
        self._warn_of_variables(member, opened)
        member.backends = [probed.backend for probed in opened.backends if probed.status == "ok"]
        if not member.backends:
            self._end(member.handle)
            return
        self.members.append(member)
        self._observer(WorkerReady(worker=WorkerRecord(
            set=self._set, worker=spec.name, library=spec.library, pid=member.handle.pid, environment=spec.environment,
            variables=worker_variables(spec), libraries=opened.libraries, interpreter=spec.python,
            provenance=opened.provenance,
        )))  # fmt: skip

    def _warn_of_variables(self, member: Member, opened: Opened) -> None:
        """What is wrong with the user's variables, and what a worker's loader and libraries say of those that it has.

        Once: the workers of all sets have the same to say, and a backend that failed for it has said it.
        """
        said = [probed.reason for probed in opened.backends] + opened.without_effect
        whose = f"{member.spec.name}: " if any(variant.environment for variant in member.spec.variants) else ""
        complaints = [line for line in member.handle.complaints() if not any(line in text for text in said)]
        for text in [*opened.without_effect, *(whose + line for line in complaints)]:
            if text not in self._warned:
                self._warned.add(text)
                self._observer(Warned(text=words.line(text)))

    def _not_opened(self, spec: WorkerSpec, role: Role, lost: WorkerLost) -> None:
        """A worker whose interpreter cannot be used is a result, like a library that is not there."""
        if not isinstance(lost, WorkerUnavailable):
            role.worker_lost(self._set, spec, f"its worker could not start: {lost}")
            return
        for variant in spec.variants:
            probed = Probed(backend=variant.name, status="unavailable", reason=lost.reason, remedy=lost.remedy)
            role.probed(self._set, probed)
