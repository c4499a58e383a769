"""What this process has used so far: processor time, its part on efficiency cores, energy, cycles, page faults.

One meter for each process, and :meth:`Meter.read` before and after what is to be known. Whatever a system does not say
is None. A reading costs microseconds, so it stands outside a timed region.

macOS counts all of them for each process (``proc_pid_rusage``; never run on macOS). Linux counts no process's time by
kind of core: there it is known only where the process is bound to cores of one kind. Its energy counters (RAPL, on x86)
are of whole processor packages, idle cores and other processes among them, and most systems show them to root alone;
its counters of cycles are not read.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import resource
import time
from typing import TYPE_CHECKING, NamedTuple

from gemmscope import _kernels
from gemmscope.machine import cpu, sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# Two clocks of one process that differ by more than this do not count the same thing, or not in the unit thought of:
# ticks taken for nanoseconds would be off by a factor of 42.
_CLOCKS_DIFFER = 0.05
_CLOCKS_DIFFER_SECONDS = 5e-3

# Readings of _kernels.process_use: ticks, of these on performance cores, nanojoules, cycles.
Ticks = tuple[int, int, int, int]


class Use(NamedTuple):
    """What a process has used since some moment. A sample takes all of these fields over by their names.

    Args:
        cpu_seconds: Processor time of all threads.
        efficiency_seconds: Of these, on efficiency cores; None where it is not known.
        joules: Energy, of this process on macOS and of whole processors on Linux; None where it is not known.
        cycles: Of the cores' own clocks, all threads; None where they are not counted.
        page_faults: Minor page faults, all threads: pages that malloc or the kernel had to map.
    """

    cpu_seconds: float
    efficiency_seconds: float | None = None
    joules: float | None = None
    cycles: float | None = None
    page_faults: float | None = None

    def plus(self, other: Use) -> Use:
        """What was used in two stretches of time."""
        return Use._make(
            None if one is None or more is None else one + more for one, more in zip(self, other, strict=True)
        )

    def since(self, earlier: Use) -> Use:
        """What was used between two readings of one meter."""
        return Use._make(
            None if now is None or before is None else now - before for now, before in zip(self, earlier, strict=True)
        )


class Meter:
    """Reads what this process has used, where the system has one count for all of its cores: Linux.

    Args:
        cores: The processors on performance cores and on efficiency cores; both empty where all are of one kind.
        counters: The energy counters of the machine's processors.
        affinity: The processors that this process may use now.
    """

    def __init__(
        self,
        cores: tuple[frozenset[int], frozenset[int]],
        counters: Sequence[EnergyCounter] = (),
        affinity: Callable[[], set[int]] = set,
    ) -> None:
        fast, slow = cores
        allowed = affinity() if fast and slow else set()
        # The main thread's binding, which the threads that it starts inherit.
        self._share = 1.0 if allowed and allowed <= slow else 0.0 if allowed and allowed <= fast else None
        self._counters = counters

    def read(self) -> Use:
        """What this process has used since it began, and its machine's processors since this meter was made."""
        seconds = time.process_time()
        return Use(
            seconds,
            None if self._share is None else self._share * seconds,
            sum(counter.joules() for counter in self._counters) if self._counters else None,
            page_faults=_page_faults(),
        )


class MacMeter(Meter):
    """Reads what macOS counts for this process.

    Args:
        ticks: Reads the counts.
        tick_seconds: Seconds of one tick.
        hybrid: Whether the machine has efficiency cores at all.
        processor: The same process's processor time by another clock, in seconds.
    """

    def __init__(
        self,
        ticks: Callable[[], Ticks | None],
        tick_seconds: float,
        *,
        hybrid: bool,
        processor: Callable[[], float] = time.process_time,
    ) -> None:
        super().__init__((frozenset(), frozenset()))
        self._ticks = ticks
        self._tick_seconds = tick_seconds
        self._hybrid = hybrid
        self._processor = processor
        # Decided once, so that two readings never differ in their clock.
        counted, seconds = ticks(), processor()
        off = abs(counted[0] * tick_seconds - seconds) if counted else math.inf
        self._believed = off <= max(_CLOCKS_DIFFER_SECONDS, _CLOCKS_DIFFER * seconds)

    def read(self) -> Use:
        """What this process has used since it began. Counts that contradict each other are not believed."""
        counted = self._ticks() if self._believed else None
        if counted is None:
            return Use(self._processor(), page_faults=_page_faults())
        total, performance, nanojoules, cycles = counted
        # A virtual machine's cores are of one kind, and none of them counts as a performance core.
        known = self._hybrid and performance <= total
        return Use(
            total * self._tick_seconds,
            (total - performance) * self._tick_seconds if known else None,
            1e-9 * nanojoules if nanojoules else None,
            float(cycles) if cycles else None,
            _page_faults(),
        )


class EnergyCounter:
    """One RAPL counter of Linux: microjoules that a processor package has used, which start again at a maximum.

    Args:
        zone: The counter's folder below ``/sys/class/powercap``.

    Raises:
        OSError: If this process may not read it.
    """

    def __init__(self, zone: Path) -> None:
        # Kept open: opening a file costs more than reading it.
        self._file = os.open(zone / "energy_uj", os.O_RDONLY | os.O_CLOEXEC)
        self._range = (sources.number(zone / "max_energy_range_uj") or 0) + 1
        self._last = self._microjoules()
        self._sum = 0

    def joules(self) -> float:
        """The energy used since this object was made. It must be asked more often than the counter goes round."""
        now = self._microjoules()
        self._sum += now - self._last if now >= self._last else now - self._last + self._range
        self._last = now
        return 1e-6 * self._sum

    def _microjoules(self) -> int:
        return int(os.pread(self._file, 32, 0))

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)


def _page_faults() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)


def energy_counters(root: Path = sources.ROOT) -> list[EnergyCounter]:
    """A counter for every processor package; none if one of them cannot be read, since a part is no whole."""
    zones = [
        zone.parent
        for zone in sorted((root / "sys/class/powercap").glob("*/name"))
        if (sources.text(zone) or "").startswith("package")
    ]
    with contextlib.suppress(OSError, ValueError):
        return [EnergyCounter(zone) for zone in zones]
    return []


@functools.cache
def meter() -> Meter:
    """This process's meter."""
    tick_seconds = _kernels.tick_seconds()
    if tick_seconds is not None:
        return MacMeter(_kernels.process_use, tick_seconds, hybrid=bool(cpu.core_kinds().efficiency))
    affinity = getattr(os, "sched_getaffinity", None)
    return Meter(cpu.cpus_by_kind(), energy_counters(), lambda: affinity(0) if affinity else set())
