"""The main job: from what is asked for to a folder with results."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import os
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gemmscope import _build
from gemmscope.analysis.assemble import assemble
from gemmscope.analysis.investigator import Investigator
from gemmscope.analysis.open_verdicts import OpenVerdicts
from gemmscope.backends import preload
from gemmscope.backends import registry as backend_registry
from gemmscope.backends.base import thread_environment
from gemmscope.errors import ResultsError, RunInterrupted, UsageError
from gemmscope.files import attempt, writing
from gemmscope.machine import blas_libraries, describe, devices, launcher
from gemmscope.machine.cuda_devices import VISIBLE
from gemmscope.machine.limits import available_bytes
from gemmscope.measure.guard import Guard
from gemmscope.measure.process import open_standard_descriptors
from gemmscope.measure.resume import Libraries, changes_since, check_resumable, origin, refuse_changes, resume_point
from gemmscope.measure.session import Session
from gemmscope.measure.settings import check_memory
from gemmscope.measure.survey import backend_record, discover, failed_record, plan_workers
from gemmscope.records.events import RunStarted, Warned, WorkerReady
from gemmscope.records.model import REFERENCE, SCHEMA
from gemmscope.report.charts import write_figures
from gemmscope.report.charts.script import ChartScript
from gemmscope.report.html import write_page
from gemmscope.signals import Interruption
from gemmscope.storage.journal import JOURNAL, Journal, has_journal, holds_run, read_journal
from gemmscope.storage.store import DEFAULT_FOLDER, RESULTS, save
from gemmscope.workload.shapes import parse_shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.backends.registry import Registry
    from gemmscope.measure.process import WorkerSpec
    from gemmscope.records.events import Event, Observer
    from gemmscope.records.model import BackendRecord, Launched, Machine, Result, Settings

FIGURES = "figures"
PAGE = "report.html"


@dataclass(frozen=True)
class Job:
    """One run, checked and ready to start: its settings, its folder, and the events of an earlier part of it."""

    settings: Settings
    folder: Path
    backends: list[BackendRecord]
    workers: list[WorkerSpec]
    reference: WorkerSpec
    machine: Machine
    registry: Registry
    earlier: list[Event]
    journal: Journal | None = None
    changes: Sequence[str] = ()  # what is different since an earlier part of it
    unwritten: list[str] = field(default_factory=list)

    @classmethod
    def new(cls, settings: Settings, folder: Path | None) -> Job:
        """A run from its beginning.

        Raises:
            UsageError: If a backend is unknown, or the folder holds a run already.
        """
        machine = describe()
        if machine.launched is not None:
            folder = claimed_folder(machine, folder)
        if folder is not None and holds_run(folder / JOURNAL):
            raise UsageError(f"{folder} holds a run already: name another folder with --out, or go on with --resume")
        if folder is not None and os.path.lexists(folder / RESULTS):
            raise UsageError(f"{folder} holds results already, which would be lost: name another folder with --out")
        _take_share(machine)
        job = cls._planned(settings, folder or Path(), machine, [])
        # Not before it is known that there is something to put there.
        return replace(job, folder=folder or claimed_folder(machine))

    @classmethod
    def resumed(cls, folder: Path, *, anyway: bool = False) -> Job:
        """What is left of a run that was cut off.

        Of a job's ranks each goes on in its own folder in the one that was named. The journal is held from here on,
        before it is read: nobody else adds to what was read.

        Args:
            folder: The run's.
            anyway: Whether to go on although something has changed since. The report says what.

        Raises:
            ResultsError: If there is no journal, it cannot be read, or it is of a newer gemmscope.
            UsageError: If another run writes it, it was begun on another machine, or something has changed.
        """
        rank = launcher.launched()
        if rank is not None and not has_journal(folder / JOURNAL):
            folder = launcher.rank_folder(folder, rank)
        path = folder / JOURNAL
        if not has_journal(path):
            raise ResultsError(f"{path}: cannot be read: there is no such file; a run's folder has one")
        journal = Journal(path)
        try:
            earlier = read_journal(path)
            machine = describe()
            _take_share(machine)
            start = check_resumable(earlier[0] if earlier else None, path, machine)
            changes = changes_since(start, _build.VERSION, machine, origin(start.settings))
            if not anyway:
                refuse_changes(changes, folder)
            job = cls._planned(start.settings, folder, machine, earlier)
        except BaseException:
            journal.close()
            raise
        return replace(job, journal=journal, changes=changes)

    @classmethod
    def _planned(cls, settings: Settings, folder: Path, machine: Machine, earlier: list[Event]) -> Job:
        registry, broken = discover([Path(file) for file in settings.backend_files])
        if settings.grid and not earlier:
            settings = msgspec.structs.replace(settings, backends=_grid(settings, registry))
        elif not settings.backends and not earlier:
            others = [name for name, backend in registry.backends.items() if backend.origin]
            settings = msgspec.structs.replace(settings, backends=[*backend_registry.DEFAULT, *others])
        # What a broken file might have defined is not a user's mistake: it is reported with the file's own reason.
        unknown = [text for text in settings.backends if not registry.knows(text)] if broken else []
        variants = registry.variants(text for text in settings.backends if text not in unknown)
        blame = "; ".join(f"{file.name}: {file.reason}" for file in broken)
        broken += [failed_record(text, f"no backend of that name could be loaded ({blame})") for text in unknown]
        environment = _environment(settings)
        (reference,) = plan_workers([registry.variant("cblas")], registry, environment, name=REFERENCE)
        workers = plan_workers(variants, registry, environment)
        check_memory(settings, len(workers), len(variants), available_bytes())
        backends: list[BackendRecord] = []
        worker_of = {variant.name: worker.name for worker in workers for variant in worker.variants}
        for variant in variants:
            layer = registry.layer(variant)
            inside = {"part": layer.part, "inside": layer.inside} if layer else {}
            backend = registry.backend(variant.backend)
            backends.append(backend_record(backend, name=variant.name, worker=worker_of[variant.name], **inside))
        backends += broken
        return cls(settings, folder, backends, workers, reference, machine, registry, earlier)

    def execute(self, observer: Observer | None = None) -> Result:
        """Measures what is not measured yet, and writes the results, the page and the figures.

        See :func:`gemmscope.run`. A page or a figure that cannot be written is named in ``unwritten``.
        """
        events = list(self.earlier)
        open_standard_descriptors()
        journal = self.journal or Journal(self.folder / JOURNAL, new=True)
        with journal, Interruption() as interruption:

            def observe(event: Event) -> None:
                # In the journal and in the results, or in neither.
                with interruption.held():
                    journal(event)
                    events.append(event)
                if observer is not None:
                    observer(event)

            try:
                self._measure(events, observe, observer)
                interruption.ignore()
            except RunInterrupted:
                # It came before the first set, or after the last: what was measured is written all the same.
                if not events:
                    raise
            result = assemble(events)
            save(result, self.folder / RESULTS)
            self.unwritten.extend(write_reports(result, self.folder))
            if result.status == "complete":
                # Without the room for it, the journal stays as it is.
                with contextlib.suppress(UsageError):
                    journal.pack()
        return result

    def _measure(self, events: list[Event], observe: Observer, observer: Observer | None) -> None:
        if not self.earlier:
            now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
            observe(RunStarted(schema=SCHEMA, gemmscope=_build.VERSION, started=now, machine=self.machine,
                               settings=self.settings, backends=self.backends,
                               origin=origin(self.settings)))  # fmt: skip
            if preload.in_environment():
                target = os.environ.get(preload.TARGET) or "OpenBLAS"
                observe(
                    Warned(text=f"LD_PRELOAD puts {target} under every library here: none calls the BLAS it came with")
                )
        start = events[0]
        assert isinstance(start, RunStarted)
        if self.earlier:
            if observer is not None:
                observer(start)
            for change in self.changes:
                observe(_went_on(change))
        libraries = Libraries(self.earlier)
        verdicts = OpenVerdicts(start, events)
        variants = [variant for worker in self.workers for variant in worker.variants]
        investigator = Investigator(events, self.settings, self.registry, variants, _environment(self.settings))

        def follow(event: Event) -> None:
            verdicts(event)
            observe(event)
            if isinstance(event, WorkerReady):
                for change in libraries.changed(event.worker):
                    observe(_went_on(change))

        shapes = parse_shapes([], self.settings.shapes)
        with Guard() as guard:
            Session(
                self.settings, shapes, self.workers, follow, reference=self.reference,
                resume=resume_point(self.earlier, self.workers), judge=verdicts.open_cells,
                investigate=investigator, launch=guard.launch,
            ).run()  # fmt: skip


def _went_on(change: str) -> Warned:
    return Warned(text=f"the run was cut off and went on, so its samples are of two kinds: {change}")


def write_reports(result: Result, folder: Path) -> list[str]:
    """Writes a run's page and its figures, each on its own: what fails costs itself, and is returned in words."""
    with ChartScript() as script:
        failed = attempt(lambda path: write_page(result, path, script), folder / PAGE)
        return [*failed, *attempt(lambda path: write_figures(result, path), folder / FIGURES)]


def _grid(settings: Settings, registry: Registry) -> list[str]:
    """Every backend that was asked for on every BLAS that is here.

    Raises:
        UsageError: If that is no grid.
    """
    if sys.platform != "linux":
        raise UsageError(
            "another BLAS is put under a framework by LD_PRELOAD, which is for Linux: there is no --grid here"
        )
    if preload.in_environment():
        raise UsageError("LD_PRELOAD puts another BLAS under every library already: unset it, so that --grid can")
    libraries = blas_libraries.installed()
    if len(libraries) < 2:
        raise UsageError("a grid needs two BLAS libraries or more: 'gemmscope blas' says how to install them")
    return registry.grid(settings.backends or backend_registry.GRID, libraries)


def _environment(settings: Settings) -> dict[str, str]:
    """What the run asks of every worker."""
    return thread_environment(str(settings.threads)) if settings.threads else {}


def _take_share(machine: Machine) -> None:
    """Of several ranks on one node each takes its share of the node's GPUs, if the launcher has not shared them out."""
    if machine.launched is not None and machine.launched.local_size > 1:
        mine = launcher.share(devices.gpus(models=machine.gpus), machine.launched)
        if mine:
            os.environ |= mine[0].environment | {VISIBLE: ",".join(device.visible for device in mine)}


def claimed_folder(machine: Machine, folder: Path | None = None, file: str = RESULTS) -> Path:
    """A folder for a run: the one that was named, or one of its own that sorts by date and names the machine.

    Of a job's ranks each has one of its own in a folder that all of them share.

    Raises:
        UsageError: If the folder holds such a file already, or cannot be written.
    """
    rank = machine.launched
    if rank is not None:
        shared = folder or Path(DEFAULT_FOLDER) / _rank_job(rank)
        folder = launcher.rank_folder(shared, rank)
    if folder is not None:
        if (folder / file).exists():
            raise UsageError(f"{folder} holds a {file} already: name another folder with --out")
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder
    return _dated_folder(machine)


def _rank_job(rank: Launched) -> str:
    """What all ranks of a job call the folder that they share.

    Raises:
        UsageError: If the launcher does not name the job, so that they could not agree.
    """
    if not rank.job.strip("."):
        raise UsageError(f"{rank.launcher} does not name the job: name a folder that all ranks share with --out")
    return re.sub(r"[^A-Za-z0-9.-]+", "-", f"{rank.launcher.lower()}-{rank.job}").strip("-.")


def _dated_folder(machine: Machine) -> Path:
    """Of its own: it sorts by date and names the machine; a number tells runs of one second apart."""
    date = dt.datetime.now().astimezone().strftime("%Y-%m-%d_%H%M%S")
    name = re.sub(r"[^a-z0-9]+", "-", machine.cpu.lower()).strip("-") or "machine"
    folder = Path(DEFAULT_FOLDER) / f"{date}_{name}"
    for number in itertools.count(2):
        with writing(folder):
            try:
                # Whoever makes it has it: of two runs that start at once, one goes on to the next number.
                folder.mkdir(parents=True)
            except FileExistsError:
                folder = Path(DEFAULT_FOLDER) / f"{date}_{name}_{number}"
            else:
                break
    return folder
