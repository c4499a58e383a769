"""What a GPU's clocks were while a cell was measured, and what held them down, from readings behind samples."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gemmscope.records.gpu import GpuState
    from gemmscope.records.model import Cell


class Clocks(NamedTuple):
    """Readings of a GPU, taken together.

    ``sm_mhz``, ``memory_mhz`` and ``watts`` are medians, None where they are not known. ``held`` counts the readings in
    which something held the clocks down, by its name; ``readings`` counts all.
    """

    readings: int
    sm_mhz: float | None
    memory_mhz: float | None
    watts: float | None
    held: Mapping[str, int]

    @property
    def summary(self) -> str:
        """Such as ``SM clock 1470 MHz, memory clock 2619 MHz, 700 W; power cap in 8 of 9 readings``."""
        known = {"SM clock {} MHz": self.sm_mhz, "memory clock {} MHz": self.memory_mhz, "{} W": self.watts}
        said = ", ".join(form.format(f"{value:.0f}") for form, value in known.items() if value is not None)
        readings = words.count(self.readings, "reading")
        held = [f"{name} in {count} of {readings}" for name, count in self.held.items()]
        return "; ".join(filter(None, [said, *held]))


def clocks(cells: Iterable[Cell | None]) -> Clocks | None:
    """What the readings of cells say; None where there are none."""
    states = [sample.gpu for cell in cells if cell is not None for sample in cell.samples if sample.gpu is not None]
    if not states:
        return None
    return Clocks(
        readings=len(states),
        sm_mhz=_median(states, "sm_mhz"),
        memory_mhz=_median(states, "memory_mhz"),
        watts=_median(states, "watts"),
        held=Counter(name for state in states for name in state.held_by),
    )


def _median(states: Iterable[GpuState], name: str) -> float | None:
    known = [value for state in states if (value := getattr(state, name)) is not None]
    return statistics.median(known) if known else None
