"""The roofline: what each product reached, under what processor and memory allow at that arithmetic intensity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gemmscope.analysis.roofline import ceilings_of
from gemmscope.records import words
from gemmscope.report.figures.series import rate_of, speed

if TYPE_CHECKING:
    from gemmscope.analysis.roofline import Ceiling
    from gemmscope.records.model import Result
    from gemmscope.report.figures.series import Series

TITLE = "Roofline: the speed of each product under the processor's ceilings"
AXIS = "arithmetic intensity, FLOP/byte (logarithmic)"

# How far the axes go beyond marks and ridges.
_ROOM = 1.6


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


def name_of(ceiling: Ceiling) -> str:
    """Its threads, peak and bandwidth."""
    return f"{words.count(ceiling.threads, 'thread')}: {words.rate(ceiling.peak)}, {words.bandwidth(ceiling.bandwidth)}"


def roofline_of(result: Result) -> Roofline | None:
    """The roofline of a run, or None where its ceilings were not measured or no product under them was.

    Work on a GPU is left out: the processor's ceilings are none for it.
    """
    found, ceilings = result.ceilings, ceilings_of(result.ceilings)
    if found is None or not ceilings:
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
    notes = [f"ceilings: {words.line(found.instructions)} FMA peak and STREAM triad bandwidth, as measured here"]
    if found.note:
        notes.append(words.line(found.note))
    return Roofline(ceilings, series, "; ".join(notes))
