"""The processor's ceilings, and how near to them a run's products came: the roofline model.

S. Williams, A. Waterman and D. Patterson: "Roofline: an insightful visual performance model for multicore
architectures", Communications of the ACM 52 (2009), 65.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gemmscope.records.model import Ceilings, Result
    from gemmscope.workload.shapes import Shape


@dataclass(frozen=True)
class Ceiling:
    """A roof over products by so many threads: ``bandwidth`` up to the ridge, ``peak`` from there on.

    Args:
        threads: How many threads it was measured with.
        peak: Fused multiply-adds from registers, in GFLOP/s.
        bandwidth: The STREAM triad's, in bytes per second.
    """

    threads: int
    peak: float
    bandwidth: float

    @property
    def ridge(self) -> float:
        """The intensity in FLOP/byte from which on the memory is no limit."""
        return self.peak * 1e9 / self.bandwidth

    def at(self, intensity: float) -> float:
        """The most GFLOP/s at an intensity, if every operand comes from memory; caches allow more."""
        return min(self.peak, self.bandwidth * intensity / 1e9)


def ceilings_of(found: Ceilings | None) -> list[Ceiling]:
    """The ceilings of all threads and of one, the highest first; none where they were not measured."""
    if found is None or not (found.peak_gflops > 0 and found.bandwidth > 0):
        return []
    ceilings = [Ceiling(found.threads, found.peak_gflops, found.bandwidth)]
    if found.threads > 1 and found.peak_gflops_one_thread > 0 and found.bandwidth_one_thread > 0:
        ceilings.append(Ceiling(1, found.peak_gflops_one_thread, found.bandwidth_one_thread))
    return ceilings


# By so much a rate may exceed the peak through the noise of both. By more, something else ran while the peak was
# measured; unless the peak is known to be no ceiling, which its note says.
_NOISE = 1.05


class Reached(NamedTuple):
    """The best rate of a backend, in GFLOP/s, and its shares of the peak and of the best rate seen.

    ``peak_share`` is None where the peak was not measured, or was measured too low: below the best rate seen.
    """

    backend: str
    shape: Shape
    gflops: float
    peak_share: float | None
    best_share: float


def best_rates(result: Result) -> list[Reached]:
    """What every backend on the processor reached at its best shape, in full precision, the fastest first.

    Work on a GPU is left out: the processor's ceilings are none for it.
    """
    under = {record.name for record in result.backends if record.device == "cpu" and record.multiplies}
    best: dict[str, tuple[float, Shape]] = {}
    for cell in result.cells:
        if (
            cell.status != "ok"
            or cell.backend not in under
            or cell.mode != "latency"
            or cell.precision not in (None, "float32")
        ):
            continue
        if cell.gflops and cell.gflops > best.get(cell.backend, (0.0, None))[0]:
            best[cell.backend] = (cell.gflops, cell.shape)
    most = max((rate for rate, _ in best.values()), default=0.0)
    peak = ceilings[0].peak if (ceilings := ceilings_of(result.ceilings)) else None
    if result.ceilings is not None and peak is not None and not result.ceilings.note and most > _NOISE * peak:
        peak = None
    reached = [
        Reached(name, shape, rate, rate / peak if peak else None, rate / most) for name, (rate, shape) in best.items()
    ]
    return sorted(reached, key=lambda one: -one.gflops)
