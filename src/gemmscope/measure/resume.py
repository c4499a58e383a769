"""A run that was cut off: whether it can go on here, from where, and what has changed since."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gemmscope.backends.loading import installed_versions
from gemmscope.errors import ResultsError, UsageError
from gemmscope.machine import environment, identity
from gemmscope.machine.images import versions
from gemmscope.records import events
from gemmscope.records.model import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.measure.process import WorkerSpec
    from gemmscope.records.base import CellKey
    from gemmscope.records.model import Machine, Settings, WorkerRecord


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


def origin(settings: Settings) -> events.Origin:
    """What a run with these settings would be begun with here and now."""
    return events.Origin(
        host=identity.host(),
        gpus=identity.gpus(),
        backend_files={file: _contents(file) for file in settings.backend_files},
        installed=versions() | installed_versions(),
        variables=environment.relevant(),
    )


def changes_since(start: events.RunStarted, version: str, machine: Machine, now: events.Origin) -> list[str]:
    """What is different where a run goes on, in words: its samples would be of two kinds."""
    pairs = {
        "gemmscope": (start.gemmscope, version),
        "Python": (start.machine.python, machine.python),
        "the system": (start.machine.system, machine.system),
    }
    then = start.origin
    changes: list[str] = []
    if then is not None:
        if then.host != now.host:
            changes.append("it was begun on another host, with the same processor")
        if then.gpus != now.gpus:
            changes.append("the GPUs are other cards")
        for file, contents in then.backend_files.items():
            if now.backend_files.get(file) != contents:
                changes.append(f"{file} was edited")
        for name in sorted({*then.installed, *now.installed}):
            pairs[name] = (then.installed.get(name, "not installed"), now.installed.get(name, "not installed"))
        for name in sorted({*then.variables, *now.variables}):
            pairs[name] = (then.variables.get(name, "not set"), now.variables.get(name, "not set"))
    changes += [f"{what} was {old}, and is {new} now" for what, (old, new) in pairs.items() if old != new]
    return changes


class Libraries:
    """The libraries of workers in earlier sets: another interpreter's are not known before it has started.

    Args:
        earlier: The run's events so far.
    """

    def __init__(self, earlier: Sequence[events.Event]) -> None:
        self._known = {event.worker.worker: event.worker for event in earlier if isinstance(event, events.WorkerReady)}

    def changed(self, worker: WorkerRecord) -> list[str]:
        """What is different in a worker with an interpreter of its own, in words; each change once."""
        before = self._known.pop(worker.worker, None)
        if before is None or not worker.interpreter:
            return []
        return [
            f"{name} of {worker.interpreter} was {old}, and is {new} now"
            for name, new in worker.provenance.items()
            if isinstance(new, str) and (old := before.provenance.get(name, "not installed")) != new
        ]


def refuse_changes(changes: Sequence[str], folder: Path) -> None:
    """Refuses to put samples of two kinds together.

    Raises:
        UsageError: If anything has changed.
    """
    if changes:
        raise UsageError(
            f"{folder}: since this run began, something has changed, and its samples would be of two kinds: "
            f"{'; '.join(changes)}. Start a new run, with another --out, or go on all the same with --anyway, and the "
            "report will say so"
        )


def _contents(file: str) -> str:
    try:
        return identity.digest(Path(file).read_bytes())
    except OSError as error:
        return f"cannot be read: {error.strerror}"


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
