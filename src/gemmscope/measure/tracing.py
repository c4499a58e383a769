"""A turn that the host does not time: CUPTI records what each library's own call does on the GPU, by one clock for all.

Where CUPTI refuses, the device's time is read from what the backend has instead, and the reason is said.
"""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from gemmscope.machine import kernel_trace, nvml
from gemmscope.measure import stages
from gemmscope.measure.loops import Loop
from gemmscope.measure.protocol import TracedCell, TurnCell
from gemmscope.measure.washing import wash_out_window
from gemmscope.records.gpu import KernelTrace
from gemmscope.records.model import Measurement

if TYPE_CHECKING:
    from gemmscope.backends.base import Backend
    from gemmscope.machine.kernel_trace import Activity
    from gemmscope.measure.loops import Run
    from gemmscope.measure.team import ActiveCell
    from gemmscope.workload.shapes import Shape

# Of a call's device time five samples agree within some per mille; each holds a few milliseconds of calls.
_SAMPLES = 5
_SAMPLE_SECONDS = 2e-3
_MOST_CALLS = 100
# An H100 has 50 MB of them, its successors 126 MB. At 1024 a kernel is 5 % faster on operands that they hold.
_MORE_THAN_CACHES = 256 * 2**20
# Longer calls scatter less, and cost more.
_LONG_CALL = 50e-3
_SAMPLES_OF_LONG = 3
# A slope is taken over 14 calls at least.
_LONGEST_CHECKED = 10e-3


def request(cell: ActiveCell) -> TurnCell:
    """What to ask of a cell of which the seconds of a call are known."""
    seconds = cell.pace.seconds
    samples, loops = _plan(seconds)
    return TurnCell(
        backend=cell.backend, mode=cell.key.mode, seconds=seconds, loops=loops, samples=samples,
        first_pair=cell.next_pair,
    )  # fmt: skip


def pairs(shape: Shape, there: int) -> int:
    """How many operand pairs to go round: more than any cache holds, of those that are there."""
    bytes_ = 4 * (shape.m * shape.k + shape.k * shape.n)
    return max(1, min(there, math.ceil(_MORE_THAN_CACHES / max(bytes_, 1))))


def _plan(seconds: float) -> tuple[int, int]:
    """Samples, and calls in each, where one call takes so many seconds."""
    loops = max(1, math.ceil(_SAMPLE_SECONDS / max(seconds, 1e-9)))
    return (_SAMPLES_OF_LONG if seconds > _LONG_CALL else _SAMPLES), min(loops, _MOST_CALLS)


def cost(seconds: float) -> float:
    """Seconds that it should take to look at a call of so many seconds."""
    samples, loops = _plan(seconds)
    return wash_out_window(seconds) + 2 * samples * loops * seconds


def trace(backend: Backend, cell: TurnCell, count: int) -> TracedCell:
    """A call's time on the device, in samples as of any turn, and what it does there; it has ``count`` pairs."""
    run = Loop(backend, "latency", checked=False)  # a call too many would be recorded
    stages.settle_gpu(run, cell, count)
    samples, seen, reason = _recorded(run, cell, count)
    other_clock, other = _by_other_clock(backend, cell, instead=bool(reason))
    if reason:
        return TracedCell(samples=other, trace=KernelTrace(clock=other_clock, reason=reason))
    calls = cell.loops * len(samples)
    found = KernelTrace(
        calls=calls, kernels=kernel_trace.kernels(seen, calls), copies=kernel_trace.copies(seen, calls),
        other_clock=other_clock, other_seconds=other[0].seconds / other[0].loops if other else None,
    )  # fmt: skip
    return TracedCell(samples=samples, trace=found)


def _recorded(run: Run, cell: TurnCell, count: int) -> tuple[list[Measurement], list[Activity], str]:
    """Samples by CUPTI's clock, and all that was seen; or why there is nothing."""
    samples: list[Measurement] = []
    everything: list[Activity] = []
    first = cell.first_pair
    try:
        with kernel_trace.recorder().recording() as flush:
            for _ in range(cell.samples):
                start = perf_counter()
                run(cell.loops, first)
                seen = flush()
                if not any(one.end > one.start for one in seen if not one.kind):
                    return [], [], "CUPTI saw no kernel of it"
                seconds = kernel_trace.busy_seconds(seen)
                samples.append(Measurement(start=start, first_pair=first, loops=cell.loops, seconds=seconds))
                everything += seen
                first = (first + cell.loops) % count
    except kernel_trace.CuptiRefusedError as refused:
        return [], [], str(refused)
    if (card := nvml.card()) is not None:
        samples[-1] = msgspec.structs.replace(samples[-1], gpu=card.state())
    return samples, everything, ""


def _by_other_clock(backend: Backend, cell: TurnCell, *, instead: bool) -> tuple[str, list[Measurement]]:
    """The same time by events, or by a slope; nothing where the backend has neither at this shape.

    One sample as a cross-check, where that takes no long chain; as many as were asked for ``instead`` of CUPTI's.
    """
    if backend.why_not("device") or (cell.seconds > _LONGEST_CHECKED and not instead):
        return "", []
    run = Loop(backend, "device")
    samples: list[Measurement] = []
    for _ in range(cell.samples if instead else 1):
        start = perf_counter()
        seconds = run(cell.loops, cell.first_pair)
        samples.append(Measurement(start=start, first_pair=cell.first_pair, loops=cell.loops, seconds=seconds))
    return str(backend.provenance().get("device clock", "its own clock")), samples
