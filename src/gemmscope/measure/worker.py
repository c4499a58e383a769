"""The worker process: loads one library, hosts its backends, and does what it is asked, one request at a time.

Started as ``python -m gemmscope.measure.worker`` with the number of the protocol that the orchestrator speaks, and the
numbers of the descriptors that the worker inherits.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import signal
import sys
import threading
from time import perf_counter
from typing import TYPE_CHECKING

from gemmscope import _build
from gemmscope.backends import loading
from gemmscope.backends.registry import describe
from gemmscope.errors import BackendUnavailable
from gemmscope.files import write_all
from gemmscope.machine import ceilings, cuda_devices, heap, heeded, kernel_trace, power, sampling, threads
from gemmscope.machine.images import math_images, versions, wheel_tags
from gemmscope.measure import loops, protocol, stages, tracing
from gemmscope.measure.affording import make_affordable
from gemmscope.measure.climbing import expected_seconds
from gemmscope.measure.multiplied import Multiplied
from gemmscope.measure.window import sample_between
from gemmscope.records.gpu import KernelTrace
from gemmscope.workload.operands import SharedMemory, operands_in, reference_in, scale_in
from gemmscope.workload.placement import PAGE, STEP

if TYPE_CHECKING:
    from gemmscope.backends.base import Backend
    from gemmscope.backends.variant import Variant
    from gemmscope.records.model import Status
    from gemmscope.workload.operands import Operands
    from gemmscope.workload.placement import Placement
    from gemmscope.workload.shapes import Block

# Calls in a row while instructions are sampled: the Python between two blocks must not show.
_SAMPLED_BLOCK = 5e-3


class Worker:
    """The backends of one library, and what they were given: operands in the run's shared memory."""

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self._classes: dict[str, type[Backend]] = {}
        self._variants: dict[str, Variant] = {}
        self._backends: dict[str, Backend] = {}
        self._seconds: dict[str, float] = {}
        self._pairs = 0
        self._chosen = False
        # The devices that have been called already: the first call of all is another than later ones.
        self._called: set[str] = set()

    def answer(self, request: protocol.Request) -> protocol.Reply:  # noqa: C901, PLR0911  (one for each kind of request)
        """Does what a request asks for."""
        match request:
            case protocol.Open():
                return self._open(request)
            case protocol.Describe():
                found = loading.load(request.origin).values()
                return protocol.Described(backends=[describe(backend, request.origin) for backend in found])
            case protocol.MakeOperands():
                return make_affordable(self._memory.map(writable=True), request)
            case protocol.Prepare():
                return self._prepare(request)
            case protocol.TakeTurn():
                turned, warming, sampling = stages.take_turn(request.cells, request.order, self._backends, self._pairs)
                settling = stages.wait_until_quiet()
                return protocol.Turned(cells=turned, warming=warming, sampling=sampling, settling=settling)
            case protocol.SampleBetween():
                return sample_between(request, self._backends[request.backend], self._pairs)
            case protocol.Release():
                self._release()
                return protocol.Done()
            case protocol.MeasureCeilings():
                return protocol.CeilingsMeasured(ceilings=ceilings.measure(request.threads, use_amx=request.amx))
            case protocol.SampleInstructions():
                return self._sample_instructions(request.seconds)
            case protocol.TraceKernels():
                return self._trace_kernels(request)

    def _open(self, request: protocol.Open) -> protocol.Opened:
        self._classes = loading.load(request.origin)
        self._variants = {variant.name: variant for variant in request.variants}
        probed: list[protocol.Probed] = []
        images: dict[str, str] = {}
        for variant in request.variants:
            status: Status = "ok"
            reason = remedy = ""
            try:
                if variant.settings.get("qos") == "background":
                    power.enter_background()  # before the library is loaded and starts threads
                if variant.settings.get("heap") == "warm":
                    heap.warm()
                self._choose_device(variant)
                backend = self._make(variant)
                backend.probe()
                if image := backend.blas_image():
                    images[variant.name] = os.path.realpath(image)
            except stages.ANY_ERROR as error:
                status, reason, remedy = stages.failure(error)
            probed.append(protocol.Probed(backend=variant.name, status=status, reason=reason, remedy=remedy))
        libraries = threads.loaded()
        # What would be measured is not what the variant asks for.
        probed = [
            protocol.Probed(backend=one.backend, status="failed", reason="; ".join(why))
            if one.status == "ok" and (why := heeded.without_effect(variant.environment, libraries))
            else one
            for variant, one in zip(request.variants, probed, strict=True)
        ]
        asked = {name for variant in request.variants for name in variant.environment}
        users = {name: value for name, value in os.environ.items() if name not in asked}
        # A framework has so many objects that a collection takes 20 ms and more. Frozen, they cost later ones nothing.
        gc.collect()
        gc.freeze()
        return protocol.Opened(
            backends=probed, provenance=_provenance(), libraries=libraries, blas_images=images,
            without_effect=heeded.without_effect(users, libraries),
        )  # fmt: skip

    def _choose_device(self, variant: Variant) -> None:
        """All variants of a worker name the same GPU, or none: it is chosen once, before the library is loaded."""
        device = variant.settings.get("device")
        if device is not None and not self._chosen:
            cuda_devices.choose(int(device))
            self._chosen = True

    def _make(self, variant: Variant) -> Backend:
        if variant.backend not in self._classes:  # another interpreter may have another gemmscope
            raise BackendUnavailable(
                f"gemmscope {_build.VERSION} of {sys.executable} has no backend {variant.backend}",
                "install there the gemmscope that is installed here",
            )
        return self._classes[variant.backend](variant.settings)

    def _prepare(self, request: protocol.Prepare) -> protocol.Prepared:
        self._release()
        start = perf_counter()
        block = request.block
        self._pairs = block.pairs
        multiplied = self._multiplied(block, request.placement, block.pairs)
        cells: list[protocol.PreparedCell] = []
        calibrating = 0.0
        for name in request.backends:
            backend = self._make(self._variants[name])
            try:
                backend.probe()
                given, comparisons = multiplied.by(backend.settings)
                if name in request.unknown and (expected := self._too_long(backend, given, request)):
                    cells.append(
                        protocol.PreparedCell(backend=name, mode="latency", status="skipped", seconds=expected)
                    )
                    continue
                backend.prepare(given)
                first_call = self._first_call(backend)
                ready, seconds = stages.prepare_cells(
                    name, backend, comparisons, block.shape.k,
                    request.first_pair % block.pairs, request.known.get(name, {}), first_call,
                    placed=_is_placed(backend, given.placement), traced=_is_traced(backend),
                )  # fmt: skip
            except stages.ANY_ERROR as error:  # a backend may be unavailable at this shape only
                status, reason, _ = stages.failure(error)
                cells += stages.lost_cells(name, backend, status, reason)
                continue
            calibrating += seconds
            cells += ready
            self._backends[name] = backend
            self._seconds[name] = next((cell.seconds for cell in ready if cell.seconds), 0.0)
        gc.collect()
        preparing = perf_counter() - start - calibrating
        settling = stages.wait_until_quiet()
        on_gpu = [name for name, backend in self._backends.items() if backend.device == "gpu"]
        traced = [name for name in on_gpu if _is_traced(self._backends[name])]
        return protocol.Prepared(
            cells=cells, on_gpu=on_gpu, traced=traced, preparing=preparing, calibrating=calibrating, settling=settling
        )

    def _too_long(self, backend: Backend, given: Operands, request: protocol.Prepare) -> float:
        """The seconds that a call on the processor should take, if these are too many; 0 if it can be tried."""
        if not backend.multiplies or backend.device != "cpu":
            return 0.0
        expected = expected_seconds(lambda: type(backend)(backend.settings), given, request.block.shape)
        if expected is None:
            return 0.0
        self._called.add(backend.device)
        return expected if expected > request.longest else 0.0

    def _multiplied(self, block: Block, placement: Placement, count: int) -> Multiplied:
        """The first operand pairs of a shape, as the run has them and as variants change them."""
        memory = self._memory.map()
        operands = operands_in(memory, block, placement)
        references = [reference_in(memory, block, i) for i in range(count)]
        scales = [scale_in(memory, block, i).item() for i in range(count)]
        return Multiplied(operands.first(count), block.rows, references, scales)

    def _trace_kernels(self, request: protocol.TraceKernels) -> protocol.KernelsSeen:
        """What calls do on the GPU: their results were compared when they were timed."""
        self._release()
        block = request.block
        multiplied = self._multiplied(block, request.placement, tracing.pairs(block.shape, block.pairs))
        cells: list[protocol.TracedCell] = []
        for cell in request.cells:
            try:
                backend = self._make(self._variants[cell.backend])
                backend.probe()
                given, _ = multiplied.by(backend.settings)
                backend.prepare(given)
                cells.append(tracing.trace(backend, cell, len(given)))
            except stages.ANY_ERROR as error:  # there may be no room for it, or anything else: it has its times
                lost = KernelTrace(clock="", reason=stages.describe(error))
                cells.append(protocol.TracedCell(trace=lost))
        self._release()
        return protocol.KernelsSeen(cells=cells, settling=stages.wait_until_quiet())

    def _first_call(self, backend: Backend) -> float | None:
        """Seconds of the first call of all on a device; None if it has been called before.

        What a program that calls once would see. It is no sample: its result has not been compared yet.
        """
        if not backend.multiplies or backend.device in self._called:
            return None
        self._called.add(backend.device)
        return loops.checked_seconds(backend.run(1, 0))

    def _sample_instructions(self, seconds: float) -> protocol.InstructionsSeen:
        """What the first backend on the processor executes, in calls that are not timed."""
        found = [
            (name, backend)
            for name, backend in self._backends.items()
            if backend.multiplies and backend.device == "cpu"
        ]
        if not found:
            return protocol.InstructionsSeen()
        name, backend = found[0]
        count = max(1, math.ceil(_SAMPLED_BLOCK / max(self._seconds.get(name, 0.0), 1e-9)))
        run = loops.Loop(backend, "latency")
        seen = sampling.sample(lambda: run(count, 0), seconds)
        return protocol.InstructionsSeen(backend=name, sampling=seen, settling=stages.wait_until_quiet())

    def _release(self) -> None:
        self._backends.clear()
        self._seconds.clear()
        gc.collect()


def _is_placed(backend: Backend, placement: Placement) -> bool:
    """Whether a backend works on memory at the places that were drawn: seen by the addresses of its operands."""
    if backend.device != "cpu":
        return False
    try:
        pairs = backend.operand_arrays()
    except NotImplementedError:
        return False
    addresses = [(a.ctypes.data, b.ctypes.data) for a, b in pairs]
    same = all(a == b for a, b in addresses)  # A times its transpose
    drawn = list(zip(placement.a, placement.a if same else placement.b, strict=True))
    return [tuple(address % PAGE // STEP * STEP for address in pair) for pair in addresses] == drawn


def _is_traced(backend: Backend) -> bool:
    """Whether CUPTI should tell its time on the device."""
    return backend.multiplies and "device" in backend.modes and kernel_trace.is_installed()


def _provenance() -> dict[str, str | int | list[str]]:
    facts: dict[str, str | int | list[str]] = {
        "gemmscope": _build.VERSION,
        "python": sys.version.split()[0],
        "images": math_images(),
    }
    for name, installed in versions().items():
        facts[name] = installed
        facts[f"{name} wheel"] = wheel_tags(name)
    return facts


def _end_with(lifeline: int) -> None:
    """Ends this process when the orchestrator does, however it ends, and whatever this process is doing.

    A worker that waits for a request sees the end of its pipe. One that is at work does not look; so a thread reads
    from a pipe that nobody ever writes to, and whose other end only the orchestrator holds.
    """

    def wait() -> None:
        os.read(lifeline, 1)
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
    if sys.platform == "linux":
        # For a backend that hangs without giving the interpreter back, which would stop that thread too.
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Answers requests until the pipe ends."""
    spoken, *descriptors = arguments
    known = protocol.PROTOCOL
    if spoken != str(known):
        sys.stderr.write(f"gemmscope {_build.VERSION} speaks protocol {known} with its workers, not {spoken}\n")
        sys.exit(protocol.OTHER_PROTOCOL)
    requests, replies, lifeline, operands = map(int, descriptors)
    # Whatever a library prints goes where it can do no harm: the orchestrator keeps the end of standard error.
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with(lifeline)
    worker = Worker(SharedMemory(operands))
    decoder = protocol.Decoder("requests")
    while data := os.read(requests, 65536):
        decoder.feed(data)
        while (request := decoder.next()) is not None:
            try:
                answer = protocol.frame(worker.answer(request))  # type: ignore[arg-type]
            except stages.ANY_ERROR as error:  # the orchestrator decides what a failed request costs
                answer = protocol.frame(protocol.Refused(reason=stages.describe(error)))
            write_all(replies, answer)
    # Without tearing the library down: some hang or crash at that, and nothing is left to lose.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
