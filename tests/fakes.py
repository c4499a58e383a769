"""A clock that only moves when it is told to, and workers that pretend to multiply by it."""

from __future__ import annotations

from gemmscope.backends import registry
from gemmscope.errors import WorkerLost
from gemmscope.measure.protocol import (
    CeilingsMeasured,
    Done,
    InstructionsSeen,
    KernelsSeen,
    MakeOperands,
    MeasureCeilings,
    Open,
    Opened,
    OperandsMade,
    Prepare,
    Prepared,
    PreparedCell,
    Probed,
    Release,
    SampleInstructions,
    TakeTurn,
    TracedCell,
    TraceKernels,
    Turned,
    TurnedCell,
)
from gemmscope.measure.schedule import OpenCells
from gemmscope.measure.session import Session
from gemmscope.measure.survey import plan_workers
from gemmscope.records.events import Event
from gemmscope.records.evidence import Sampling
from gemmscope.records.gpu import Kernel, KernelTrace
from gemmscope.records.model import REFERENCE, Measurement, Settings
from gemmscope.workload.shapes import parse_shapes
from tests.builders import make_ceilings

KNOWN = registry.built_in()


class Clock:
    """Seconds that pass when somebody lets them."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class FakeWorker:
    """Answers like a worker, and lets the clock run for as long as its products would take.

    Args:
        spec: As for a real one.
        world: What there is to pretend.
    """

    def __init__(self, spec, world):
        self.spec = spec
        self.pid = 1
        self.world = world
        self.request = None
        self.closed = False
        self.block = None
        self.prepared = []

    def send(self, request):
        assert not self.closed
        self.request = request
        self.world.log.append((self.spec.name, request))

    def receive(self, expected, timeout):
        reply = self.answer(self.request)
        assert isinstance(reply, expected)
        return reply

    def complaints(self):
        return self.world.complaints

    def close(self):
        self.closed = True

    def seconds(self, backend, mode="latency"):
        flops = max(self.block.shape.flops, 1)
        return self.world.rates.get(backend, 1e-9) * flops

    def answer(self, request):  # noqa: C901, PLR0911  (one case for each kind of request)
        world = self.world
        if (self.spec.name, type(request).__name__) in world.lose:
            raise WorkerLost("it was lost on purpose")
        match request:
            case MakeOperands():
                return OperandsMade(needed=[world.too_costly.get(str(block.shape), 0.0) for block in request.blocks])
            case Release():
                return Done()
            case SampleInstructions():
                world.clock.now += request.seconds
                name = next((one for one in self.prepared if KNOWN.backend(one.split(":")[0]).device == "cpu"), "")
                sampling = Sampling(architecture="x86_64", reason="this one has no instructions") if name else None
                return InstructionsSeen(backend=name, sampling=sampling)
            case Open():
                world.clock.now += world.start_seconds
                probed = [
                    Probed(backend=v.name, status="unavailable", reason="not here", remedy="buy one")
                    if v.name in world.unavailable
                    else Probed(backend=v.name, status="ok")
                    for v in request.variants
                ]
                return Opened(backends=probed, provenance={})
            case Prepare():
                self.block, self.prepared = request.block, request.backends
                cells = []
                for name in request.backends:
                    backend = KNOWN.backend(name.split(":")[0])
                    if name in request.unknown and self.seconds(name) > request.longest:
                        cells.append(PreparedCell(backend=name, mode="latency", status="skipped",
                                                  seconds=self.seconds(name)))  # fmt: skip
                        continue
                    for mode in backend.modes:
                        world.clock.now += 3 * self.seconds(name)
                        status = "failed" if name in world.wrong else "ok"
                        cells.append(PreparedCell(backend=name, mode=mode, status=status, seconds=self.seconds(name),
                                                  precision="tf32" if name in world.reduced else "float32",
                                                  reason="wrong" if status == "failed" else ""))  # fmt: skip
                on_gpu = [one for one in request.backends if KNOWN.backend(one.split(":")[0]).device == "gpu"]
                return Prepared(cells=cells, on_gpu=on_gpu, traced=on_gpu if world.cupti else [], preparing=0.0,
                                calibrating=0.0, settling=0.0)  # fmt: skip
            case TakeTurn():
                return self.turn(request)
            case TraceKernels():
                return KernelsSeen(cells=[self.traced(cell) for cell in request.cells])
            case MeasureCeilings():
                world.clock.now += world.start_seconds
                return CeilingsMeasured(ceilings=make_ceilings())
        raise AssertionError(request)

    def traced(self, cell):
        if cell.backend in self.world.untraceable:
            return TracedCell(trace=KernelTrace(clock="", reason="ValueError: on purpose"))
        samples = [
            Measurement(start=self.world.clock.now, first_pair=0, loops=cell.loops, seconds=cell.loops * 1e-6)
            for _ in range(cell.samples)
        ]
        kernel = Kernel(name="gemm", grid=(1, 1, 1), block=(32, 1, 1), launches=1.0, seconds=1e-6)
        return TracedCell(samples=samples, trace=KernelTrace(calls=cell.loops * cell.samples, kernels=[kernel]))

    def turn(self, request):
        world = self.world
        start = world.clock.now
        cells = []
        for cell in request.cells:
            if cell.backend in world.raising:
                cells.append(TurnedCell(samples=[], reason="ValueError: on purpose"))
                continue
            samples = []
            for _ in range(cell.samples):
                seconds = cell.loops * self.seconds(cell.backend)
                samples.append(Measurement(start=world.clock.now, first_pair=cell.first_pair, loops=cell.loops,
                                           seconds=seconds, cpu_seconds=seconds))  # fmt: skip
                world.clock.now += seconds
            cells.append(TurnedCell(samples=samples))
        world.clock.now += world.turn_seconds
        return Turned(cells=cells, warming=0.0, sampling=world.clock.now - start, settling=0.0)


def content(*, provisional: bool = False) -> OpenCells:
    """A judge to whom nothing is open."""
    return {}


class World:
    """What fake workers pretend: seconds per flop by backend, and what goes wrong."""

    def __init__(self, **kwargs):
        self.clock = Clock()
        self.rates = {}
        self.unavailable = set()
        self.wrong = set()
        self.raising = set()
        self.reduced = set()
        self.untraceable = set()
        self.cupti = False
        self.lose = set()
        self.complaints = []
        self.too_costly = {}
        self.start_seconds = 0.1
        self.turn_seconds = 1e-3
        self.log = []
        self.workers = []
        vars(self).update(kwargs)

    def launch(self, spec, memory):
        worker = FakeWorker(spec, self)
        self.workers.append(worker)
        return worker

    def session(self, observer, backends, *, reference=False, resume=None, judge=None, investigate=None, **settings):
        given = {"shapes": ["64x64x64"], "backends": list(backends), "seconds": 10.0, "sets": 2} | settings
        asked = Settings(**given)
        specs = plan_workers(KNOWN.variants(asked.backends), KNOWN, {})
        (reference_spec,) = plan_workers([KNOWN.variant("cblas")], KNOWN, {}, name=REFERENCE)
        return Session(asked, parse_shapes([], asked.shapes), specs, observer, resume=resume, judge=judge,
                       investigate=investigate,
                       reference=reference_spec if reference else None, clock=self.clock,
                       launch=self.launch)  # fmt: skip

    def run(self, backends, **settings):
        """Runs a session to its end; returns its events."""
        events: list[Event] = []
        self.session(events.append, backends, **settings).run()
        return events
