"""Overhead: the share of a call outside its kernel, 1 − kernel / call. There is this one definition.

The parts of a call are differences of neighbouring layers, each paired by itself, so their sum may miss the overhead by
what the noise left in each. The share is never taken from that sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.analysis import statistics
from gemmscope.analysis.breakdown import cpu, gpu
from gemmscope.records.base import Interval

if TYPE_CHECKING:
    from gemmscope.analysis.lookup import Lookup
    from gemmscope.records.model import Cell, Part
    from gemmscope.workload.shapes import Shape

# From the inside out, as parts are listed and stacked.
ORDER = tuple(dict.fromkeys((cpu.KERNEL, gpu.DEVICE, *cpu.ORDER, *gpu.ORDER)))


@dataclass(frozen=True)
class Overhead:
    """A call whose kernel is known.

    Args:
        backend: Whose call it is.
        shape: At which shape.
        call: Seconds of the call.
        kernel: Seconds of its kernel: on the processor that of the isolated kernel, on a GPU the device's own time.
        share: 1 − kernel / call, with its interval over sets. Noise can make it negative.
        parts: The parts outside the kernel, from the inside out.
    """

    backend: str
    shape: Shape
    call: Interval
    kernel: Interval
    share: Interval
    parts: list[Part]

    @property
    def fraction(self) -> float:
        """The share as it is shown: what noise made negative counts as nothing."""
        return max(0.0, self.share.estimate)

    @property
    def difference(self) -> float:
        """Seconds of the overhead that the parts do not add up to, signed: what noise left between them."""
        # On a GPU the Python call overhead is a share of the launch, not a part beside it.
        inside = {"binding"} if any(part.part == gpu.LAUNCH for part in self.parts) else set()
        parts = (part.seconds.estimate for part in self.parts if part.seconds is not None and part.part not in inside)
        return self.call.estimate - self.kernel.estimate - sum(parts)

    def is_below(self, limit: float) -> bool | None:
        """Whether the share lies below a limit; None where the interval does not tell."""
        if self.share.low is None or self.share.high is None:
            return None
        return True if self.share.high < limit else False if self.share.low >= limit else None


def of(run: Lookup, backend: str, shape: Shape) -> Overhead | None:
    """The overhead of a backend's call; None where the call, or its kernel, was not measured."""
    parts, call = run.parts(backend, shape), run.cell(backend, shape)
    innermost = parts.get(cpu.KERNEL) or parts.get(gpu.DEVICE)
    if call is None or call.seconds is None or innermost is None or innermost.seconds is None:
        return None
    kernel = run.cell(innermost.minuend, shape, "device" if innermost.part == gpu.DEVICE else "latency")
    return Overhead(
        backend=backend, shape=shape, call=call.seconds, kernel=innermost.seconds,
        share=_share(call, kernel, innermost.seconds),
        parts=[parts[name] for name in ORDER if name in parts and parts[name] is not innermost],
    )  # fmt: skip


def _share(call: Cell, kernel: Cell | None, seconds: Interval) -> Interval:
    """By the medians of the sets that have both, so that the share is that of the two times beside it."""
    outer = statistics.set_medians(call.samples)
    inner = statistics.set_medians(kernel.samples) if kernel is not None else {}
    ratios = [inner[set_] / outer[set_] for set_ in outer if set_ in inner]
    if len(ratios) < 2:
        whole = call.seconds.estimate if call.seconds is not None else 0.0
        return Interval(estimate=1 - seconds.estimate / whole if whole else 0.0)
    ratio = statistics.ratio_interval(ratios)
    assert ratio.low is not None and ratio.high is not None  # noqa: PT018  (two sets or more)
    return Interval(estimate=1 - ratio.estimate, low=1 - ratio.high, high=1 - ratio.low)
