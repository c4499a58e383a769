"""A run that was cut off: whether it can go on here, from where, and what has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.errors import ResultsError, UsageError
from gemmscope.measure.session import Progress
from gemmscope.records.events import (
    CellFailed,
    CellPrepared,
    RunStarted,
    SamplesTaken,
    SetFinished,
    SetStarted,
    WorkerEnded,
)
from gemmscope.records.model import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmscope.measure.process import WorkerSpec
    from gemmscope.records.events import Event
    from gemmscope.records.model import Machine


def check_resumable(start: Event | None, journal: Path, here: Machine) -> RunStarted:
    """The start of a run that can go on here.

    Raises:
        ResultsError: If there is none, or it was written by a newer gemmscope.
        UsageError: If it was begun on another machine.
    """
    if not isinstance(start, RunStarted):
        raise ResultsError(f"{journal}: it does not begin with the start of a run, so it cannot be resumed")
    if start.schema > SCHEMA:
        raise ResultsError(
            f"{journal}: it is of schema {start.schema}, and this gemmscope knows up to {SCHEMA}; "
            "pip install --upgrade gemmscope"
        )
    if start.machine.hardware != here.hardware:
        raise UsageError(
            f"{journal.parent} holds a run of another machine ({_named(start.machine, here)}; this is "
            f"{_named(here, start.machine)}), and samples of two machines make no figure: "
            "start a new run, with another --out"
        )
    return start


def _named(machine: Machine, other: Machine) -> str:
    if machine.usable_cpus in (None, other.usable_cpus):
        return machine.name
    return f"{machine.name}, {machine.usable_cpus:g} processors usable"


def changes_since(start: RunStarted, version: str, machine: Machine) -> list[str]:
    """What is different where a run goes on, and may show in its figures."""
    pairs = {
        "gemmscope": (start.gemmscope, version),
        "Python": (start.machine.python, machine.python),
        "the system": (start.machine.system, machine.system),
    }
    return [f"{what} was {then} when it began, and is {now} now" for what, (then, now) in pairs.items() if then != now]


def progress_of(earlier: Sequence[Event], specs: Sequence[WorkerSpec]) -> Progress:
    """Where to go on: a set that was cut off is measured again under a new number, and its samples stay."""
    progress = Progress()
    workers = {worker.name: worker for worker in specs}
    for event in earlier:
        match event:
            case SetStarted():
                progress.next_set = max(progress.next_set, event.set + 1)
            case SetFinished():
                progress.finished_sets += 1
            case CellPrepared() if event.status in ("failed", "skipped"):
                progress.lost.add((event.backend, f"{event.m}x{event.n}x{event.k}", event.mode))
            case CellFailed():
                progress.lost.add((event.backend, f"{event.m}x{event.n}x{event.k}", event.mode))
            case WorkerEnded() if event.worker in workers:
                progress.absent |= {variant.name for variant in workers[event.worker].variants}
            case SamplesTaken():
                last = event.samples[-1]
                progress.elapsed = max(progress.elapsed, last.start + last.seconds)
            case _:
                pass
    return progress
