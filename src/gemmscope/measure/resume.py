"""A run that was cut off: whether it can go on here, from where, and what has changed since."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemmscope.errors import ResultsError, UsageError
from gemmscope.records import events
from gemmscope.records.model import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmscope.measure.process import WorkerSpec
    from gemmscope.records.base import CellKey
    from gemmscope.records.model import Machine


@dataclass
class ResumePoint:
    """Where a run goes on that was cut off; the default is the beginning."""

    next_set: int = 0
    finished_sets: int = 0  # without one that was cut off: it is measured again
    planned_sets: int = 0  # if more than were asked for
    lost: set[CellKey] = field(default_factory=set)  # failed or skipped
    absent: set[str] = field(default_factory=set)  # backends that cannot run, or whose worker was lost
    elapsed: float = 0.0  # seconds that the earlier part of the run has taken


def check_resumable(start: events.Event | None, journal: Path, here: Machine) -> events.RunStarted:
    """The start of a run that can go on here.

    Raises:
        ResultsError: If there is none, or it was written by a newer gemmscope.
        UsageError: If it was begun on another machine.
    """
    if not isinstance(start, events.RunStarted):
        raise ResultsError(f"{journal}: it does not begin with the start of a run, so it cannot be resumed")
    if start.schema > SCHEMA:
        raise ResultsError(
            f"{journal}: it is of schema {start.schema}, and this gemmscope knows up to {SCHEMA}; "
            "pip install --upgrade gemmscope"
        )
    if start.machine.hardware != here.hardware:
        raise UsageError(
            f"{journal.parent} holds a run of another machine ({_named(start.machine, here)}; this is "
            f"{_named(here, start.machine)}), and samples of two machines cannot be put together: "
            "start a new run, with another --out"
        )
    return start


def _named(machine: Machine, other: Machine) -> str:
    if machine.usable_cpus in (None, other.usable_cpus):
        return machine.name
    return f"{machine.name}, {machine.usable_cpus:g} processors usable"


def changes_since(start: events.RunStarted, version: str, machine: Machine) -> list[str]:
    """What is different where a run goes on, and may show in its results."""
    pairs = {
        "gemmscope": (start.gemmscope, version),
        "Python": (start.machine.python, machine.python),
        "the system": (start.machine.system, machine.system),
    }
    return [f"{what} was {then} when it began, and is {now} now" for what, (then, now) in pairs.items() if then != now]


def resume_point(earlier: Sequence[events.Event], specs: Sequence[WorkerSpec]) -> ResumePoint:
    """Where to go on. A set that was cut off is measured again under a new number, and its samples stay."""
    point = ResumePoint()
    workers = {worker.name: worker for worker in specs}
    for event in earlier:
        match event:
            case events.SetStarted():
                point.next_set = max(point.next_set, event.set + 1)
            case events.SetFinished():
                point.finished_sets += 1
            case events.SetsPlanned():
                point.planned_sets = event.sets
            case events.CellPrepared() if event.status in ("failed", "skipped"):
                point.lost.add(event.key)
            case events.CellFailed():
                point.lost.add(event.key)
            case events.WorkerEnded() if event.worker in workers:
                point.absent |= {variant.name for variant in workers[event.worker].variants}
            case events.SamplesTaken():
                last = event.samples[-1]
                point.elapsed = max(point.elapsed, last.start + last.seconds)
            case _:
                pass
    return point
