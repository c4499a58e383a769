"""Overhead: the share of a call outside its kernel, 1 − kernel / call. There is this one definition.

The ratio is paired: it is of the sets that have measured both. A call that was measured in further sets has another
mean than its kernel, so the kernel's seconds are scaled to the call's, and whoever divides the two gets the share. The
parts of a call are differences of neighbouring layers, each paired by itself, so their sum may miss the overhead by
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
        kernel: Seconds of its kernel, the share of the call that is no overhead: by the isolated kernel on the
            processor, by the device's own time on a GPU.
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
    ratio = _ratio(call, kernel, innermost.seconds.estimate / call.seconds.estimate)
    return Overhead(
        backend=backend, shape=shape, call=call.seconds, kernel=_scaled(ratio, call.seconds.estimate),
        share=_overhead(ratio), parts=[parts[name] for name in ORDER if name in parts and parts[name] is not innermost],
    )  # fmt: skip


def _ratio(call: Cell, kernel: Cell | None, otherwise: float) -> Interval:
    """Kernel / call, by the medians of the sets that have both; that of the two times where there are no such sets."""
    outer = statistics.set_medians(call.samples)
    inner = statistics.set_medians(kernel.samples) if kernel is not None else {}
    ratios = [inner[set_] / outer[set_] for set_ in outer if set_ in inner]
    return statistics.ratio_interval(ratios) if ratios else Interval(estimate=otherwise)


def _scaled(ratio: Interval, seconds: float) -> Interval:
    low, high = (None if bound is None else bound * seconds for bound in (ratio.low, ratio.high))
    return Interval(estimate=ratio.estimate * seconds, low=low, high=high)


def _overhead(ratio: Interval) -> Interval:
    low, high = (None if bound is None else 1 - bound for bound in (ratio.high, ratio.low))
    return Interval(estimate=1 - ratio.estimate, low=low, high=high)
