"""The roofline: what each call reached, under what processor and memory allow at that arithmetic intensity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.analysis.roofline import ceilings_of
from gemmscope.records import words

if TYPE_CHECKING:
    from gemmscope.analysis.roofline import Ceiling
    from gemmscope.report.charts.data import RunData, Series

# How far the axes go beyond marks and ridges.
_ROOM = 1.6


@dataclass(frozen=True)
class Roofline:
    """Ceilings, the highest first, and a series of marks, in GFLOP/s, for every backend that runs on the processor."""

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


def roofline_of(data: RunData) -> Roofline | None:
    """The roofline of a run, or None where its ceilings were not measured or nothing under them was.

    Work on a GPU is left out: the processor's ceilings are none for it.
    """
    found, ceilings = data.result.ceilings, ceilings_of(data.result.ceilings)
    on_gpu = {record.name for record in data.result.backends if record.device == "gpu"}
    series = [line for line in data.rates if not line.thin and line.backend not in on_gpu]
    if found is None or not ceilings or not series:
        return None
    notes = [f"ceilings: {words.line(found.instructions)} FMA peak and STREAM triad bandwidth, as measured here"]
    if found.note:
        notes.append(words.line(found.note))
    return Roofline(ceilings, series, "; ".join(notes))
