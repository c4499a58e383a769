"""The main job: from what is asked for to a folder with results."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gemmscope import _build
from gemmscope.backends import registry as backend_registry
from gemmscope.backends.base import thread_environment
from gemmscope.backends.variant import split
from gemmscope.errors import ResultsError, RunInterrupted, UsageError
from gemmscope.interruption import Interruption
from gemmscope.machine import describe
from gemmscope.machine.limits import available_bytes
from gemmscope.measure.guard import Guard
from gemmscope.measure.plan import plan_workers
from gemmscope.measure.process import open_standard_descriptors
from gemmscope.measure.scout import Broken, discover
from gemmscope.measure.session import Progress, Session
from gemmscope.measure.stopping import open_cells
from gemmscope.presets import PRESETS
from gemmscope.report.figures import draw
from gemmscope.report.html import write_page
from gemmscope.results.assemble import assemble
from gemmscope.results.events import (
    CellFailed,
    CellPrepared,
    RunStarted,
    SamplesTaken,
    SetFinished,
    SetStarted,
    Warned,
    WorkerEnded,
)
from gemmscope.results.journal import JOURNAL, Journal, holds_run, read_journal
from gemmscope.results.model import CANARY, SCHEMA, BackendRecord, Settings
from gemmscope.results.store import DEFAULT_FOLDER, RESULTS, save, writing
from gemmscope.workload import layout, parse_shapes

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from gemmscope.backends.registry import Registry
    from gemmscope.backends.variant import Variant
    from gemmscope.measure.process import WorkerSpec
    from gemmscope.results.events import Event, Observer
    from gemmscope.results.model import Machine, Result
    from gemmscope.workload import Shape

DEFAULT_SIZES = (64, 256, 1024)
DEFAULT_SECONDS = 90.0
FIGURES = "figures"
PAGE = "report.html"


def run(
    *,
    sizes: Sequence[int | str] | None = None,
    shapes: Sequence[str | Shape] = (),
    backends: Sequence[str] | None = None,
    backend_files: Sequence[str | os.PathLike[str]] = (),
    threads: int | None = None,
    pairs: int = 10,
    sets: int = 5,
    seconds: float = DEFAULT_SECONDS,
    margin: float = 0.01,
    width: float | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    observer: Observer | None = None,
) -> Result:
    """Measures, and writes ``results.json``, the journal it is made from, and ``figures/``.

    Args:
        sizes: Squares, as M = N = K; 64, 256 and 1024 unless told, or none if ``shapes`` are given.
        shapes: Further shapes, as ``"MxNxK"`` or as a preset's name, such as ``"gemv"``.
        backends: Backends and variants, such as ``"numpy-cpu:out"``; all that gemmscope knows unless told.
        backend_files: Python files with backends of your own. Their code is executed, in workers.
        threads: How many threads to ask every library for; None leaves it to them.
        pairs: Distinct pairs of operands a shape.
        sets: The fewest sets of fresh processes, the statistical unit. Fewer than two give no interval; five are
            advised. More follow while verdicts are open and time is left.
        seconds: Time budget of the whole run, in seconds. The run ends at about that time, or when all is settled.
        margin: The smallest relative difference worth naming; 0.01 is 1 %.
        width: The relative half-width of a ratio's interval that is narrow enough, whatever the verdict; half the
            margin unless told.
        seed: What the operands and the random order are made from.
        out: The folder; one named by date and machine under ``gemmscope-results`` unless told.
        resume: The folder of a run that was cut off. It goes on with its own settings; those given here are ignored.
        observer: Told of every event, between turns.

    Returns:
        All records of the run. One that was interrupted by Ctrl-C or a signal has status ``"partial"``.

    Raises:
        UsageError: If something asked for makes no sense, or the folder cannot be written.
        ResultsError: If the run to resume cannot be read, or the journal can no longer be written.
    """
    if resume is not None:
        job = Job.resumed(Path(resume))
    else:
        settings = make_settings(
            sizes=sizes, shapes=shapes, backends=backends, backend_files=backend_files, threads=threads, pairs=pairs,
            sets=sets, seconds=seconds, margin=margin, width=width, seed=seed,
        )  # fmt: skip
        job = Job.new(settings, None if out is None else Path(out))
    return job.execute(observer)


@dataclass(frozen=True)
class Job:
    """One run, checked and ready to start: its settings, its folder, and what an earlier part of it has measured."""

    settings: Settings
    folder: Path
    registry: Registry
    broken: list[Broken]
    variants: list[Variant]
    workers: list[WorkerSpec]
    canary: WorkerSpec
    machine: Machine
    earlier: list[Event]
    journal: Journal | None = None

    @classmethod
    def new(cls, settings: Settings, folder: Path | None) -> Job:
        """A run from its beginning.

        Raises:
            UsageError: If a backend is unknown, or the folder holds a run already.
        """
        machine = describe()
        if folder is not None and holds_run(folder / JOURNAL):
            raise UsageError(f"{folder} holds a run already: name another folder with --out, or go on with --resume")
        job = cls._planned(settings, folder or Path(), machine, [])
        # Not before it is known that there is something to put there.
        return replace(job, folder=folder or _claimed_folder(machine))

    @classmethod
    def resumed(cls, folder: Path) -> Job:
        """What is left of a run that was cut off.

        The journal is held from here on, before it is read: nobody else adds to what was read.

        Raises:
            ResultsError: If there is no journal, it cannot be read, or it is of a newer gemmscope.
            UsageError: If another run writes it, or it was begun on another machine.
        """
        path = folder / JOURNAL
        if not path.is_file():
            raise ResultsError(f"{path}: cannot be read: there is no such file; a run's folder has one")
        journal = Journal(path)
        try:
            earlier = read_journal(path)
            machine = describe()
            start = _check_resumable(earlier[0] if earlier else None, folder, machine)
            job = cls._planned(start.settings, folder, machine, earlier)
        except BaseException:
            journal.close()
            raise
        return replace(job, journal=journal)

    @classmethod
    def _planned(cls, settings: Settings, folder: Path, machine: Machine, earlier: list[Event]) -> Job:
        registry, broken = discover([Path(file) for file in settings.backend_files])
        if not settings.backends and not earlier:
            others = [name for name, backend in registry.backends.items() if backend.origin]
            settings = msgspec.structs.replace(settings, backends=[*backend_registry.DEFAULT, *others])
        # What a broken file might have defined is not a user's mistake: it is reported with the file's own reason.
        unknown = [text for text in settings.backends if split(text)[0] not in registry.backends] if broken else []
        variants = registry.variants(text for text in settings.backends if text not in unknown)
        blame = "; ".join(f"{file.name}: {file.reason}" for file in broken)
        broken += [Broken(text, f"no backend of that name could be loaded ({blame})") for text in unknown]
        environment = thread_environment(str(settings.threads)) if settings.threads else {}
        (canary,) = plan_workers([registry.variant("cblas")], registry, environment, name=CANARY)
        workers = plan_workers(variants, registry, environment)
        check_memory(settings, len(workers), len(variants), available_bytes())
        return cls(settings, folder, registry, broken, variants, workers, canary, machine, earlier)

    def execute(self, observer: Observer | None = None) -> Result:
        """Measures what is not measured yet, and writes the results. See :func:`run`."""
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
            with writing(self.folder / FIGURES):
                draw(result, self.folder / FIGURES)
            write_page(result, self.folder / PAGE)
        return result

    def _measure(self, events: list[Event], observe: Observer, observer: Observer | None) -> None:
        if not self.earlier:
            observe(self._start())
        else:
            start = self.earlier[0]
            assert isinstance(start, RunStarted)  # noqa: S101  (a resumed job was checked for it)
            if observer is not None:
                observer(start)
            for change in _changes(start, _build.VERSION, self.machine):
                observe(Warned(text=f"the run was cut off and went on: {change}"))
        shapes = parse_shapes([], self.settings.shapes)
        with Guard() as guard:
            Session(
                self.settings, shapes, self.workers, observe, canary=self.canary, progress=self._progress(),
                judge=lambda: open_cells(assemble(events).comparisons), launch=guard.launch,
            ).run()  # fmt: skip

    def _start(self) -> RunStarted:
        worker_of = {variant.name: worker.name for worker in self.workers for variant in worker.variants}
        records: list[BackendRecord] = []
        for variant in self.variants:
            backend = self.registry.backend(variant.backend)
            layer = self.registry.layer(variant)
            records.append(
                BackendRecord(name=variant.name, library=backend.library, device=backend.device, entry=backend.entry,
                              summary=backend.summary, worker=worker_of[variant.name], multiplies=backend.multiplies,
                              part=layer.part if layer else "", inside=layer.inside if layer else "")
            )  # fmt: skip
        records += [
            BackendRecord(
                name=file.name, library=file.name, device="cpu", entry="python", status="failed", reason=file.reason
            )
            for file in self.broken
        ]
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        return RunStarted(schema=SCHEMA, gemmscope=_build.VERSION, started=now, machine=self.machine,
                          settings=self.settings, backends=records)  # fmt: skip

    def _progress(self) -> Progress:
        """Where to go on: a set that was cut off is measured again under a new number, and its samples stay."""
        progress = Progress()
        workers = {worker.name: worker for worker in self.workers}
        for event in self.earlier:
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


def check_memory(settings: Settings, workers: int, backends: int, available: int) -> None:
    """Refuses operands that would not fit, before any of them is taken.

    All shapes' operands and references lie in shared memory; for the shape in hand every worker has a copy of its own,
    and every backend a product or two.

    Raises:
        UsageError: If that is more than the bytes that are available.
    """
    shapes = parse_shapes([], settings.shapes)
    shared = layout(shapes, settings.pairs)[-1].end
    copies = max(workers * settings.pairs * s.operand_bytes + 2 * backends * s.product_bytes for s in shapes)
    if shared + copies > available:
        largest = max(shapes, key=lambda shape: shape.operand_bytes)
        raise UsageError(
            f"{settings.pairs} pairs of operands in {workers} workers would take {(shared + copies) / 2**30:.1f} GiB "
            f"(the largest shape is {largest}), but {available / 2**30:.1f} GiB are free; ask for smaller shapes, "
            "fewer --pairs or fewer --backends"
        )


def make_settings(
    *,
    sizes: Sequence[int | str] | None,
    shapes: Sequence[str | Shape],
    backends: Sequence[str] | None,
    threads: int | None,
    pairs: int,
    sets: int,
    seconds: float,
    margin: float,
    seed: int,
    backend_files: Sequence[str | os.PathLike[str]] = (),
    width: float | None = None,
    command: str = "",
) -> Settings:
    """What was asked for, checked. Arguments as for :func:`run`.

    Raises:
        UsageError: If a shape is none, or a number is out of its range.
    """
    if sizes is None:
        sizes = () if shapes else DEFAULT_SIZES
    for name, value, least in (("pairs", pairs, 1), ("sets", sets, 1), ("threads", threads or 1, 1)):
        if value < least:
            raise UsageError(f"{name} is {value}; expected at least {least}")
    if not 0 < seconds < float("inf"):
        raise UsageError(f"seconds is {seconds}; expected a number above 0")
    if not 0 <= margin < 1:
        raise UsageError(f"margin is {margin}; expected a share from 0 to below 1, such as 0.01 for 1 %")
    if width is not None and not 0 < width < 1:
        raise UsageError(f"width is {width}; expected a share above 0 and below 1, such as 0.005 for 0.5 %")
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed is {seed}; expected 0 to 2**63 - 1")
    return Settings(
        shapes=[str(shape) for shape in parse_shapes(sizes, _without_presets(shapes))],
        backends=[] if backends is None else _named(backends),
        backend_files=[str(Path(file).resolve()) for file in backend_files],
        threads=threads,
        pairs=pairs,
        sets=sets,
        seconds=float(seconds),
        margin=margin,
        width=max(margin / 2, 1e-4) if width is None else width,
        seed=seed,
        command=command,
    )


def _without_presets(shapes: Sequence[str | Shape]) -> list[str | Shape]:
    """The shapes, with the names of presets replaced by what they stand for."""
    plain: list[str | Shape] = []
    for shape in shapes:
        preset = PRESETS.get(shape.strip()) if isinstance(shape, str) else None
        plain += preset.shapes if preset else [shape]
    return plain


def _named(backends: Sequence[str]) -> list[str]:
    """The backends that were named, which must be some: none at all stands for the default."""
    if not backends:
        raise UsageError("no backends: name some with --backends, for example --backends numpy-cpu,torch-cpu")
    return list(backends)


def _claimed_folder(machine: Machine) -> Path:
    """A folder of its own that sorts by date and names the machine; a number tells runs of one second apart."""
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


def _check_resumable(start: Event | None, folder: Path, here: Machine) -> RunStarted:
    """The start of a run that can go on here.

    Raises:
        ResultsError: If there is none, or it was written by a newer gemmscope.
        UsageError: If it was begun on another machine.
    """
    if not isinstance(start, RunStarted):
        raise ResultsError(f"{folder / JOURNAL}: it does not begin with the start of a run, so it cannot be resumed")
    if start.schema > SCHEMA:
        raise ResultsError(
            f"{folder / JOURNAL}: it is of schema {start.schema}, and this gemmscope knows up to {SCHEMA}; "
            "pip install --upgrade gemmscope"
        )
    if _hardware(start.machine) != _hardware(here):
        raise UsageError(
            f"{folder} holds a run of another machine ({start.machine.name}; this is {here.name}), and samples of two "
            "machines make no figure: start a run of its own, with another --out"
        )
    return start


def _hardware(machine: Machine) -> tuple[str, str, int]:
    return machine.architecture, machine.cpu, machine.logical_cpus


def _changes(start: RunStarted, version: str, machine: Machine) -> list[str]:
    """What is different where a run goes on, and may show in its figures."""
    pairs = {
        "gemmscope": (start.gemmscope, version),
        "Python": (start.machine.python, machine.python),
        "the system": (start.machine.system, machine.system),
        "the number of usable processors": (start.machine.usable_cpus, machine.usable_cpus),
    }
    return [f"{what} was {then} when it began, and is {now} now" for what, (then, now) in pairs.items() if then != now]
