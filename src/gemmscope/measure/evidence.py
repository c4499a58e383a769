"""What is looked at in turns that are not timed: instructions on a processor, and the kernels of calls on a GPU.

Both change how fast a process is while they look, and CUPTI even afterwards: on an H100 a call of cuBLAS at 64 takes a
tenth longer for good. So kernels are looked at when a set has timed all its shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from gemmscope.machine import instructions
from gemmscope.measure import protocol, tracing
from gemmscope.records import events
from gemmscope.records.model import Sample
from gemmscope.workload.shapes import by_work, kernel_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmscope.measure.team import ActiveCell, Member, Team
    from gemmscope.records.model import Measurement, Settings
    from gemmscope.workload.placement import Placement
    from gemmscope.workload.shapes import Block, Shape

# A worker is considered to hang after this many times what its turn should take, and some seconds more.
PATIENCE = 20.0
GRACE = 15.0
# Operands are copied to the GPU again, and some libraries compile again.
_PREPARING = 30.0

# What a worker executes is sampled for so long at each of two shapes, once in a run: some 50 samples a processor, of
# which a few per cent are chance. All workers together take no more than this share of the budget.
_SAMPLE_SECONDS = 0.25
_SAMPLE_SHARE = 0.02


@dataclass
class ToTrace:
    """Cells of one worker at one shape, to be looked at when the set has been timed."""

    member: Member
    block: Block
    placement: Placement
    cells: list[ActiveCell]
    round: int
    turn: int


@dataclass
class Evidence:
    """Asks workers in turns that are not timed, and tells the observer what they say.

    Args:
        team: The run's workers.
        observer: Told of every event.
        now: The run's clock, in seconds.
        epoch: When the run began, by the clock of samples.
        spend: Told where time goes, by the names of :class:`~gemmscope.records.model.TimeSpent`.
        settings: What was asked for.
        shapes: The shapes of ``settings``.
        workers: How many there are.
    """

    team: Team
    observer: events.Observer
    now: Callable[[], float]
    epoch: float
    spend: Callable[..., None]
    settings: Settings
    shapes: Sequence[Shape]
    workers: int
    _to_trace: list[ToTrace] = field(default_factory=list)
    _sampled: set[tuple[str, Shape]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._telling = _telling_shapes(self.shapes)
        affordable = _SAMPLE_SHARE * self.settings.seconds / max(1, self.workers * len(self._telling))
        self._sample_seconds = min(_SAMPLE_SECONDS, affordable)

    def sample_instructions(self, set_: int, shape: Shape, member: Member) -> None:
        """Once in a run: what a worker executes at a small and at a large shape."""
        key = (member.spec.name, shape)
        if shape not in self._telling or member.role.watches or not member.cells or key in self._sampled:
            return
        self._sampled.add(key)
        begin = self.now()
        slowest = max(cell.pace.seconds for cell in member.cells)
        seen = self.team.ask(
            member, protocol.SampleInstructions(seconds=self._sample_seconds), protocol.InstructionsSeen,
            PATIENCE * (self._sample_seconds + slowest) + GRACE,
        )  # fmt: skip
        if seen is not None and seen.sampling is not None:
            self.observer(events.InstructionsSampled(
                backend=seen.backend, m=shape.m, n=shape.n, k=shape.k, set=set_,
                profile=instructions.profile(seen.sampling),
            ))  # fmt: skip
            self.spend(settling=seen.settling, evidence=self.now() - begin - seen.settling)

    def trace_later(self, member: Member, block: Block, placement: Placement, round_: int, turn: int) -> None:
        """Keeps in mind the cells whose time on the device CUPTI should tell, if their calls could be timed."""
        timed = {cell.backend for cell in member.cells}
        cells = [cell for cell in member.traced if cell.backend in timed]
        if cells:
            self._to_trace.append(ToTrace(member, block, placement, cells, round_, turn))

    def trace_kernels(self, set_: int) -> None:
        """What was kept in mind: every set says what its calls do on the GPU, and for how long."""
        # TF32 draws all the power that a card has, and what comes next is slower for a while: it comes last.
        for reduced in (False, True):
            for one in self._to_trace:
                if cells := [cell for cell in one.cells if cell.reduced == reduced]:
                    self._trace(set_, replace(one, cells=cells))
        self._to_trace.clear()

    def _trace(self, set_: int, one: ToTrace) -> None:
        begin = self.now()
        request = protocol.TraceKernels(
            block=one.block, placement=one.placement, cells=[tracing.request(cell) for cell in one.cells]
        )
        expected = sum(tracing.cost(cell.pace.seconds) for cell in one.cells)
        seen = self.team.ask(one.member, request, protocol.KernelsSeen, PATIENCE * expected + GRACE + _PREPARING)
        if seen is None:
            return
        for cell, traced in zip(one.cells, seen.cells, strict=True):
            observe_samples(self.observer, self.epoch, cell, traced.samples, set=set_, round=one.round, turn=one.turn)
            self.observer(events.KernelsTraced(**cell.key.fields, set=set_, trace=traced.trace))
        self.spend(settling=seen.settling, evidence=self.now() - begin - seen.settling)


def observe_samples(
    observer: events.Observer, epoch: float, cell: ActiveCell, taken: Sequence[Measurement], **place: int
) -> list[Sample]:
    """Tells what was measured, dated from the run's start."""
    samples = [Sample(**msgspec.structs.asdict(one) | {"start": one.start - epoch} | place) for one in taken]
    if samples:
        observer(events.SamplesTaken(**cell.key.fields, samples=samples))
    return samples


def _telling_shapes(shapes: Sequence[Shape]) -> set[Shape]:
    """The smallest shape, where a call is mostly overhead, and the one at which kernels show what they can."""
    told = by_work(shape for shape in shapes if shape.flops)
    kernels = kernel_shape(told)
    return set() if kernels is None else {told[0], kernels}
