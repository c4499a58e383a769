"""The roofline: what each product reached, under what the processor and its memory allow at that arithmetic intensity.

S. Williams, A. Waterman and D. Patterson: "Roofline: an insightful visual performance model for multicore
architectures", Communications of the ACM 52 (2009), 65.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gemmscope.report import text as words
from gemmscope.report.figures.series import rate_of, speed

if TYPE_CHECKING:
    from gemmscope.report.figures.series import Series
    from gemmscope.results.model import Result

TITLE = "Roofline: the speed of each product under the processor's ceilings"
AXIS = "arithmetic intensity, FLOP/byte (logarithmic)"

# How far the axes go beyond marks and ridges.
_ROOM = 1.6


@dataclass(frozen=True)
class Ceiling:
    """A roof: ``bandwidth`` in bytes per second up to the ridge, ``peak`` in GFLOP/s from there on."""

    label: str
    peak: float
    bandwidth: float

    @property
    def ridge(self) -> float:
        """The intensity in FLOP/byte from which on the memory is no limit."""
        return self.peak * 1e9 / self.bandwidth

    def at(self, intensity: float) -> float:
        """The most GFLOP/s at an intensity."""
        return min(self.peak, self.bandwidth * intensity / 1e9)


@dataclass(frozen=True)
class Roofline:
    """Ceilings, the highest first, and a series of marks for every backend that runs on the processor."""

    ceilings: list[Ceiling]
    series: list[Series]
    note: str

    @property
    def intensities(self) -> tuple[float, float]:
        """The limits of the horizontal axis, in FLOP/byte: all marks and ridges, and some room."""
        places = [shape.intensity for line in self.series for shape in line.points]
        places += [ceiling.ridge for ceiling in self.ceilings]
        return min(places) / _ROOM, max(places) * _ROOM

    @property
    def rates(self) -> tuple[float, float]:
        """The limits of the vertical axis, in GFLOP/s."""
        rates = [point.value for line in self.series for point in line.points.values()]
        rates += [ceiling.at(self.intensities[0]) for ceiling in self.ceilings]
        rates += [ceiling.peak for ceiling in self.ceilings]
        return min(rates) / _ROOM, max(rates) * _ROOM


def roofline_of(result: Result) -> Roofline | None:
    """The roofline of a run, or None where its ceilings were not measured or no product under them was.

    Work on a GPU is left out: the processor's ceilings are none for it.
    """
    found = result.ceilings
    if found is None or not (found.peak_gflops > 0 and found.bandwidth > 0):
        return None
    on_gpu = {record.name for record in result.backends if record.device == "gpu"}
    times, _ = speed(result)
    series = [
        replace(line, points={shape: rate_of(shape, point) for shape, point in line.points.items() if shape.flops})
        for line in times.series
        if not line.faint and not line.thin and line.backend not in on_gpu
    ]
    series = [line for line in series if line.points]
    if not series:
        return None
    ceilings = [Ceiling(words.count(found.threads, "thread"), found.peak_gflops, found.bandwidth)]
    if found.threads > 1 and found.peak_gflops_one_thread > 0 and found.bandwidth_one_thread > 0:
        ceilings.append(Ceiling("1 thread", found.peak_gflops_one_thread, found.bandwidth_one_thread))
    notes = [f"ceilings: {words.line(found.instructions)} FMA peak and STREAM triad bandwidth, as measured here"]
    if found.note:
        notes.append(words.line(found.note))
    return Roofline(ceilings, series, "; ".join(notes))
