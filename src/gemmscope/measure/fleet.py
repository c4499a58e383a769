"""Devices of one host, held against each other: in windows in which all work at once, and in some for each alone.

Every set has a fresh process for each device. The processes of all sets wait beside each other, and windows go round
the sets: starting them costs once, and a set is no stretch of time that could have been a slow one. Where that cannot
be (a GPU that takes one process at a time), the sets follow each other.
"""

from __future__ import annotations

import contextlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from gemmscope.errors import RunInterrupted, WorkerLost
from gemmscope.measure import protocol
from gemmscope.measure.pacing import most_throughput_calls
from gemmscope.measure.process import WorkerSpec
from gemmscope.measure.survey import plan_workers
from gemmscope.records.base import CellKey
from gemmscope.records.fleet import FleetTurn
from gemmscope.workload.operands import SharedMemory
from gemmscope.workload.placement import Placement
from gemmscope.workload.shapes import Shape, layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gemmscope.backends.registry import Registry
    from gemmscope.backends.variant import Variant
    from gemmscope.machine.devices import Device
    from gemmscope.measure.process import ReplyType, WorkerProcess
    from gemmscope.records.base import Mode
    from gemmscope.records.fleet import FleetSettings

_START_TIMEOUT = 180.0
_PREPARE_TIMEOUT = 120.0
_GRACE_SECONDS = 20.0

# A window is long enough that a disturbance which comes and goes within it counts by its share of the time, and holds
# so many calls at least.
_WINDOW_SECONDS = 0.3
_CALLS = 10
_SAMPLE_SECONDS = 10e-3
# Before a window opens all devices are at work already: a GPU's clocks need that long (see washing.py).
_LEAD_SECONDS = {"gpu": 0.2, "cpu": 0.05}
_FIRST_LEAD_SECONDS = {"gpu": 1.0, "cpu": 0.2}
# What a request takes to reach all workers.
_SEND_SECONDS = 0.01

# Of the time of a shape, at most so much is for devices alone; of the whole, arithmetic gets this share.
_ALONE_SHARE = 0.35
_COMPUTE_SHARE = 0.6


@dataclass(eq=False)
class _Hand:
    """One worker on one device, and what it has prepared of the shape in hand."""

    device: int
    set: int
    process: WorkerProcess
    backends: list[str] = field(default_factory=list)
    cells: dict[str, tuple[Mode, float]] = field(default_factory=dict)  # mode and seconds of a call, by backend
    pair: int = 0


class FleetSession:
    """Measures until the time is up; ``turns`` and ``warnings`` hold what came of it, also where it was interrupted.

    Args:
        settings: What was asked for.
        devices: The devices of ``settings``, in that order.
        variants: The backends of ``settings``.
        registry: Where their classes are.
        launch: Starts a worker.
        epoch: The second of the steady clock that samples are dated from.
        threads: Variables that ask every library for a number of threads.
        together: Whether the processes of all sets may wait beside each other on a device.
        tell: Told in a line what is being done.
    """

    def __init__(
        self,
        settings: FleetSettings,
        devices: Sequence[Device],
        variants: Sequence[Variant],
        registry: Registry,
        launch: Callable[[WorkerSpec, SharedMemory], WorkerProcess],
        *,
        epoch: float,
        threads: Mapping[str, str] | None = None,
        together: bool = True,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._devices = list(devices)
        self._variants = list(variants)
        self._registry = registry
        self._launch = launch
        self._epoch = epoch
        self._threads = dict(threads or {})
        self._together = together
        self._tell = tell
        self._kind = devices[0].kind
        self._random = random.Random(f"{settings.seed}/fleet")  # noqa: S311  (an order, no secret)
        self._shapes = [Shape.parse(text) for text in (settings.compute, settings.memory) if text]
        self._blocks = {block.shape: block for block in layout(self._shapes, settings.pairs)}
        self._memory = SharedMemory.create(max(block.end for block in self._blocks.values()))
        self._hands: list[_Hand] = []
        self._processes: list[WorkerProcess] = []
        self._maker: WorkerProcess | None = None
        self._round = 0
        self.turns: list[FleetTurn] = []
        self.warnings: list[str] = []
        # Why a device has no worker at all, by its index.
        self.lost: dict[int, str] = {}

    def run(self) -> bool:
        """Measures; returns whether it came to its end. Its workers are ended in any case."""
        end = self._epoch + self._settings.seconds
        sets = list(range(self._settings.sets))
        waves = [sets] if self._together else [[number] for number in sets]
        try:
            self._begin_operands()
            for number, wave in enumerate(waves):
                now = time.perf_counter()
                self._run_wave(wave, now + max(0.0, end - now) / (len(waves) - number))
        except (KeyboardInterrupt, RunInterrupted):
            return False
        finally:
            self._end_workers()
            self._memory.close()
        return True

    def _run_wave(self, sets: Sequence[int], end: float) -> None:
        self._start(sets)
        self._finish_operands()
        for number, shape in enumerate(self._shapes):
            now = time.perf_counter()
            share = _COMPUTE_SHARE if number == 0 and len(self._shapes) > 1 else 1.0
            self._measure(shape, sets, now + share * max(0.0, end - now))
        self._end_workers()

    # --- Workers --------------------------------------------------------------------------------------------------

    def _begin_operands(self) -> None:
        """Operands are made by a worker that does nothing else, while the others start."""
        self._maker = self._started(WorkerSpec("operands", "operands", {}, []))
        self._maker.send(protocol.MakeOperands(blocks=list(self._blocks.values()), seed=self._settings.seed))

    def _finish_operands(self) -> None:
        if self._maker is None:
            return
        try:
            self._maker.receive(protocol.OperandsMade, _START_TIMEOUT)
        except WorkerLost as lost:
            raise WorkerLost(f"the worker that makes the operands was lost: {lost}") from lost
        self._end(self._maker)
        self._maker = None

    def _start(self, sets: Sequence[int]) -> None:
        """Starts the workers of some sets on all devices, all at once; what is lost over it is told."""
        names = ", ".join(device.name for device in self._devices)
        self._tell(f"starting {len(sets)} fresh process{'es' if len(sets) > 1 else ''} for each of {names}")
        opening: list[_Hand] = []
        for set_ in sets:
            for number, device in enumerate(self._devices):
                for spec in plan_workers(self._variants, self._registry, self._threads | device.environment):
                    with device.binding():
                        process = self._started(spec)
                    opening.append(_Hand(number, set_, process))
                    with contextlib.suppress(WorkerLost):  # receive says why
                        process.send(protocol.Open(variants=spec.variants, origin=spec.origin))
        for hand in opening:
            try:
                opened = hand.process.receive(protocol.Opened, _START_TIMEOUT)
            except WorkerLost as lost:
                self._lose(hand, str(lost))
                continue
            hand.backends = [one.backend for one in opened.backends if one.status == "ok"]
            self._hands.append(hand)
            for one in opened.backends:
                if one.status != "ok":
                    why = f"{one.reason}; {one.remedy}" if one.remedy else one.reason
                    self.lost.setdefault(hand.device, f"{one.backend}: {why}")

    def _started(self, spec: WorkerSpec) -> WorkerProcess:
        process = self._launch(spec, self._memory)
        self._processes.append(process)
        return process

    def _end(self, process: WorkerProcess) -> None:
        process.close()
        self._processes.remove(process)

    def _end_workers(self) -> None:
        # All at once: a process that holds a GPU takes a second to let go of it.
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda process: process.close(), self._processes))
        self._processes.clear()
        self._hands.clear()

    def _lose(self, hand: _Hand, reason: str) -> None:
        self._end(hand.process)
        if hand in self._hands:
            self._hands.remove(hand)
        name = self._devices[hand.device].name
        self.lost.setdefault(hand.device, reason)
        self.warnings.append(f"{name}: its worker of batch {hand.set + 1} was lost: {reason}")

    # --- Measuring ------------------------------------------------------------------------------------------------

    def _measure(self, shape: Shape, sets: Sequence[int], end: float) -> None:
        """Windows at one shape until its time is up: at least one of all devices together in every set."""
        if not self._hands:
            return
        self._tell(f"measuring {shape.full_title}")
        self._prepare(shape)
        begin = time.perf_counter()
        alone_share, alone, last = _ALONE_SHARE * (end - begin), 0.0, 0.0
        due = set(sets)
        for set_ in self._in_turn(sets):
            now = time.perf_counter()
            if (not due and now + last > end) or not any(hand.cells for hand in self._hands):
                break
            for backend in self._settings.backends:
                cells = [hand for hand in self._hands if hand.set == set_ and backend in hand.cells]
                self._window(shape, backend, cells, together=True, first=not last)
            due.discard(set_)
            last = time.perf_counter() - now
            # One after the other each device has the host to itself, as often as its share of the time allows.
            if alone + len(self._devices) * last <= alone_share and len(self._devices) > 1:
                now = time.perf_counter()
                self._alone(shape, set_)
                alone += time.perf_counter() - now
        for hand in list(self._hands):
            self._release(hand)

    def _in_turn(self, sets: Sequence[int]) -> Iterator[int]:
        """The sets in random order, again and again."""
        while True:
            order = list(sets)
            self._random.shuffle(order)
            yield from order

    def _alone(self, shape: Shape, set_: int) -> None:
        hands = [hand for hand in self._hands if hand.set == set_]
        self._random.shuffle(hands)
        for hand in hands:
            for backend in list(hand.cells):
                self._window(shape, backend, [hand], together=False, first=False)

    def _prepare(self, shape: Shape) -> None:
        """All workers copy their operands and compare a product with float64: those of a set at the same time."""
        block = self._blocks[shape]
        for set_ in sorted({hand.set for hand in self._hands}):
            hands = [hand for hand in self._hands if hand.set == set_]
            # The same places for all devices of a set: what they differ by is then no matter of addresses.
            place = Placement.of(self._settings.seed, set_, shape, block.pairs)
            for hand in hands:
                hand.cells = {}
                request = protocol.Prepare(block=block, backends=hand.backends, placement=place, first_pair=set_)
                with contextlib.suppress(WorkerLost):
                    hand.process.send(request)
            for hand in hands:
                prepared = self._receive(hand, protocol.Prepared, _PREPARE_TIMEOUT)
                if prepared is not None:
                    self._admit(hand, prepared)

    def _admit(self, hand: _Hand, prepared: protocol.Prepared) -> None:
        modes: dict[str, dict[Mode, float]] = {}
        for cell in prepared.cells:
            if cell.status == "ok" and cell.seconds:
                modes.setdefault(cell.backend, {})[cell.mode] = cell.seconds
            elif cell.status in ("failed", "unavailable"):
                self.lost.setdefault(hand.device, f"{cell.backend}: {cell.reason}")
        for backend, seconds in modes.items():
            # On a GPU a wait after every call would time the processor beside it as well.
            mode: Mode = "throughput" if self._kind == "gpu" and "throughput" in seconds else "latency"
            if mode in seconds:
                hand.cells[backend] = (mode, seconds[mode])

    def _window(self, shape: Shape, backend: str, hands: Sequence[_Hand], *, together: bool, first: bool) -> None:
        """One window: all these workers call at the same time, from before it opens until it closes."""
        if not hands:
            return
        slowest = max(hand.cells[backend][1] for hand in hands)
        lead = max((_FIRST_LEAD_SECONDS if first else _LEAD_SECONDS)[self._kind], slowest)
        begin = time.perf_counter() + _SEND_SECONDS + lead
        end = begin + max(_WINDOW_SECONDS, _CALLS * slowest)
        for hand in hands:
            mode, seconds = hand.cells[backend]
            loops = _loops(seconds, mode, shape)
            request = protocol.SampleBetween(backend=backend, mode=mode, loops=loops, first_pair=hand.pair,
                                             begin=begin, end=end)  # fmt: skip
            with contextlib.suppress(WorkerLost):  # receive says why
                hand.process.send(request)
        for hand in list(hands):
            turned = self._receive(hand, protocol.Turned, end - begin + lead + _GRACE_SECONDS)
            if turned is not None:
                self._book(hand, CellKey(backend, shape, hand.cells[backend][0]), turned.cells[0], together=together)
        self._round += 1

    def _book(self, hand: _Hand, key: CellKey, taken: protocol.TurnedCell, *, together: bool) -> None:
        if taken.reason:
            del hand.cells[key.backend]
            self.warnings.append(f"{self._devices[hand.device].name}: {key.backend} failed: {taken.reason}")
            return
        samples = [msgspec.structs.replace(one, start=one.start - self._epoch) for one in taken.samples]
        self.turns.append(FleetTurn(**key.fields, device=hand.device, set=hand.set, round=self._round,
                                    together=together, samples=samples))  # fmt: skip
        calls = sum(one.loops for one in samples)
        hand.pair = (hand.pair + calls) % self._blocks[key.shape].pairs
        hand.cells[key.backend] = (key.mode, sum(one.seconds for one in samples) / calls)

    def _release(self, hand: _Hand) -> None:
        with contextlib.suppress(WorkerLost):  # receive says why
            hand.process.send(protocol.Release())
        self._receive(hand, protocol.Done, _GRACE_SECONDS)

    def _receive(self, hand: _Hand, expected: type[ReplyType], timeout: float) -> ReplyType | None:
        try:
            return hand.process.receive(expected, timeout)
        except WorkerLost as lost:
            self._lose(hand, str(lost))
            return None


def _loops(seconds: float, mode: Mode, shape: Shape) -> int:
    loops = max(1, round(_SAMPLE_SECONDS / seconds))
    return min(loops, most_throughput_calls(shape.product_bytes)) if mode == "throughput" else loops
