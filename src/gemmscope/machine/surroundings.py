"""What else happens on the processors that this process may use: other programs, other virtual machines, a quota.

A neighbour that is always there moves every ratio little and every time much, and no variant takes it away. So it is
counted: the processors' busy time, less what this process and its children have used.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple

import psutil

from gemmscope.machine import limits, throttling
from gemmscope.records import words
from gemmscope.records.evidence import Surroundings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.evidence import Throttling

# Looking at a process costs some 50 µs. On machines with more of them than this, the neighbours stay without a name.
# A Mac in use has several hundred.
_MOST_PROCESSES = 1000
_NAMED = 3
_WORTH_NAMING_SECONDS = 0.05
# The module that a worker executes, by which another run's are known.
WORKER = "gemmscope.measure.worker"


class _Counters(NamedTuple):
    wall: float
    busy: float | None
    stolen: float | None
    own: float
    processes: dict[tuple[int, float], tuple[str, float]]
    throttling: Throttling
    other_runs: int


class Watch:
    """Counts from when it is made until :meth:`end`; children must have ended by then, or they count as others."""

    def __init__(self) -> None:
        self._processors = limits.processors()
        self._start = self._read()

    def end(self, set_: int) -> Surroundings:
        """What was counted since, as the record of a set."""
        start, now = self._start, self._read()
        others = None
        if start.busy is not None and now.busy is not None:
            others = max(0.0, now.busy - start.busy - (now.own - start.own))
        stolen = None
        if start.stolen is not None and now.stolen is not None:
            stolen = max(0.0, now.stolen - start.stolen)
        return Surroundings(
            set=set_,
            seconds=now.wall - start.wall,
            processors=len(self._processors) or 1,
            other_seconds=others,
            stolen_seconds=stolen,
            others=_busiest(start, now),
            throttling=now.throttling.since(start.throttling),
            other_runs=max(start.other_runs, now.other_runs),
        )

    def _read(self) -> _Counters:
        busy, stolen = _processor_times(self._processors)
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        return _Counters(time.perf_counter(), busy, stolen, own, _processes(), throttling.read(),
                         other_runs(self._processors))  # fmt: skip


def _processor_times(processors: list[int]) -> tuple[float | None, float | None]:
    """Seconds that the processors were busy, and that a hypervisor took from them, since they were started."""
    try:
        every = psutil.cpu_times(percpu=True)
    except (OSError, psutil.Error, RuntimeError, ValueError):
        return None, None
    times = [every[i] for i in processors if i < len(every)]
    if not times:
        return None, None
    idle = ("idle", "iowait", "steal", "guest", "guest_nice")  # a guest's time is in user already
    busy = sum(value for each in times for name, value in each._asdict().items() if name not in idle)
    stolen = [each.steal for each in times if hasattr(each, "steal")]
    return busy, sum(stolen) if stolen else None


def _processes() -> dict[tuple[int, float], tuple[str, float]]:
    """Name and processor seconds of each process that can be seen, but this one."""
    found: dict[tuple[int, float], tuple[str, float]] = {}
    try:
        if len(psutil.pids()) > _MOST_PROCESSES:
            return found
        for process in psutil.process_iter(["name", "cpu_times", "create_time"]):
            info = process.info
            if process.pid != os.getpid() and info["cpu_times"] is not None:
                used = info["cpu_times"].user + info["cpu_times"].system
                # The kernel cuts names at 15 bytes, in the middle of a character too.
                name = words.line(words.utf8(info["name"] or str(process.pid)))
                found[process.pid, info["create_time"]] = (name, used)
    except (OSError, psutil.Error, IndexError):  # psutil takes the first process of an empty /proc
        return {}
    return found


def other_runs(processors: Sequence[int]) -> int:
    """How many other runs of gemmscope have workers that may be placed on these processors, whoever started them.

    Their libraries' threads spin against ours: with two runs on two processors PyTorch took 3.7 ms for a product of 64
    that takes 5 µs.
    """
    found: set[int] = set()
    # Processes come and go, and psutil takes the first process of an empty /proc.
    with contextlib.suppress(OSError, psutil.Error, IndexError):
        for process in psutil.process_iter(["cmdline", "ppid"]):
            parent = process.info["ppid"]
            if WORKER in (process.info["cmdline"] or ()) and parent != os.getpid():
                with contextlib.suppress(OSError, psutil.Error):  # gone
                    bound = process.cpu_affinity() if hasattr(process, "cpu_affinity") else processors
                    if set(bound) & set(processors):
                        found.add(parent)
    return len(found)


def _busiest(start: _Counters, now: _Counters) -> dict[str, float]:
    if not start.processes:
        return {}
    used: dict[str, float] = {}
    for key, (name, seconds) in now.processes.items():
        more = seconds - start.processes.get(key, ("", 0.0))[1]
        used[name] = used.get(name, 0.0) + more
    busiest = sorted(used.items(), key=lambda one: -one[1])[:_NAMED]
    return {name: round(seconds, 3) for name, seconds in busiest if seconds >= _WORTH_NAMING_SECONDS}
