"""How often this process's cgroup has been stopped for having used up its quota of processor time.

A pool with one thread per visible processor, in a container that is allowed fewer, is stopped again and again: each
period begins with all threads at work and ends with all of them waiting. ``cpu.stat`` counts it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gemmscope.machine import limits, sources
from gemmscope.machine.sources import ROOT
from gemmscope.records.evidence import Throttling

if TYPE_CHECKING:
    from pathlib import Path


class _Counts(NamedTuple):
    periods: int
    throttled: int
    seconds: float


def read(root: Path = ROOT, allowed: int | None = None) -> Throttling:
    """What has been counted until now. The difference of two readings is :meth:`Throttling.since`.

    Args:
        root: Where the file system starts.
        allowed: Processors in the affinity mask; None asks.

    Of this process's cgroup and those around it, the one that was stopped the most counts: a quota of any of them stops
    the process.
    """
    counts = max(filter(None, map(_counts, limits.cgroups(root, "cpu"))), key=lambda each: each.seconds, default=None)
    return Throttling(
        affinity=limits.affinity() if allowed is None else allowed,
        quota=limits.cpu_quota(root),
        periods=counts.periods if counts else None,
        throttled=counts.throttled if counts else None,
        throttled_seconds=counts.seconds if counts else None,
    )


def _counts(folder: Path) -> _Counts | None:
    """One cgroup's; None where it counts none. Version 2 has microseconds where version 1 has nanoseconds."""
    lines = (line.split() for line in (sources.text(folder / "cpu.stat") or "").splitlines())
    stat = {fields[0]: int(fields[1]) for fields in lines if len(fields) == 2 and fields[1].isdecimal()}
    if "nr_periods" not in stat:
        return None
    seconds = 1e-6 * stat["throttled_usec"] if "throttled_usec" in stat else 1e-9 * stat.get("throttled_time", 0)
    return _Counts(stat["nr_periods"], stat.get("nr_throttled", 0), seconds)
