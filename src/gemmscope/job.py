"""The main job: from what is asked for to a folder with results."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gemmscope import _build
from gemmscope.backends import registry as backend_registry
from gemmscope.backends.base import thread_environment
from gemmscope.errors import ResultsError, RunInterrupted, UsageError
from gemmscope.measure.plan import plan_workers
from gemmscope.measure.session import CANARY, Progress, Session
from gemmscope.results.assemble import assemble
from gemmscope.results.events import (
    CellFailed,
    CellPrepared,
    RunStarted,
    SamplesTaken,
    SetFinished,
    SetStarted,
    WorkerEnded,
)
from gemmscope.results.journal import JOURNAL, Journal, read_journal
from gemmscope.results.model import SCHEMA, BackendRecord, Settings
from gemmscope.results.store import RESULTS, save
from gemmscope.workload import parse_shapes

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from gemmscope.backends.registry import Registry
    from gemmscope.backends.variant import Variant
    from gemmscope.measure.process import WorkerSpec
    from gemmscope.results.events import Event, Observer
    from gemmscope.results.model import Machine, Result
    from gemmscope.workload import Shape

DEFAULT_SIZES = (64, 256, 1024)
DEFAULT_SECONDS = 90.0
DEFAULT_FOLDER = "gemmscope-results"


def run(
    *,
    sizes: Sequence[int | str] | None = None,
    shapes: Sequence[str | Shape] = (),
    backends: Sequence[str] | None = None,
    threads: int | None = None,
    pairs: int = 10,
    sets: int = 5,
    seconds: float = DEFAULT_SECONDS,
    margin: float = 0.01,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    observer: Observer | None = None,
) -> Result:
    """Measures, and writes ``results.json`` and the journal it is made from.

    Args:
        sizes: Squares, as M = N = K; 64, 256 and 1024 unless told, or none if ``shapes`` are given.
        shapes: Further shapes, as ``"MxNxK"``.
        backends: Backends and variants, such as ``"numpy-cpu:out"``; all that gemmscope knows unless told.
        threads: How many threads to ask every library for; None leaves it to them.
        pairs: Distinct pairs of operands a shape.
        sets: Sets of fresh processes, the statistical unit. Fewer than two give no interval; five are advised.
        seconds: Time budget of the whole run, in seconds. The run ends at about that time.
        margin: The smallest relative difference worth naming; 0.01 is 1 %.
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
            sizes=sizes, shapes=shapes, backends=backends, threads=threads, pairs=pairs, sets=sets, seconds=seconds,
            margin=margin, seed=seed,
        )  # fmt: skip
        job = Job.new(settings, None if out is None else Path(out))
    return job.execute(observer)


@dataclass(frozen=True)
class Job:
    """One run, checked and ready to start: its settings, its folder, and what an earlier part of it has measured."""

    settings: Settings
    folder: Path
    registry: Registry
    variants: list[Variant]
    workers: list[WorkerSpec]
    canary: WorkerSpec
    machine: Machine | None
    earlier: list[Event]

    @classmethod
    def new(cls, settings: Settings, folder: Path | None) -> Job:
        """A run from its beginning.

        Raises:
            UsageError: If a backend is unknown, or the folder holds a run already.
        """
        from gemmscope.machine import describe  # noqa: PLC0415  (reads many files: not for those who resume)

        machine = describe()
        folder = folder or _default_folder(machine)
        if (folder / JOURNAL).exists():
            raise UsageError(f"{folder} holds a run already: name another folder with --out, or go on with --resume")
        return cls._planned(settings, folder, machine, [])

    @classmethod
    def resumed(cls, folder: Path) -> Job:
        """What is left of a run that was cut off.

        Raises:
            ResultsError: If there is no journal, or it cannot be read.
        """
        earlier = read_journal(folder / JOURNAL)
        if not earlier or not isinstance(earlier[0], RunStarted):
            raise ResultsError(
                f"{folder / JOURNAL}: it does not begin with the start of a run, so it cannot be resumed"
            )
        return cls._planned(earlier[0].settings, folder, None, earlier)

    @classmethod
    def _planned(cls, settings: Settings, folder: Path, machine: Machine | None, earlier: list[Event]) -> Job:
        registry = backend_registry.built_in()
        variants = registry.variants(settings.backends)
        environment = thread_environment(str(settings.threads)) if settings.threads else {}
        (canary,) = plan_workers([registry.variant("cblas")], registry, environment, name=CANARY)
        workers = plan_workers(variants, registry, environment)
        return cls(settings, folder, registry, variants, workers, canary, machine, earlier)

    def execute(self, observer: Observer | None = None) -> Result:
        """Measures what is not measured yet, and writes the results. See :func:`run`."""
        events = list(self.earlier)
        with Journal(self.folder / JOURNAL) as journal, _signals_interrupt():

            def observe(event: Event) -> None:
                journal(event)
                events.append(event)
                if observer is not None:
                    observer(event)

            if not self.earlier:
                observe(self._start())
            elif observer is not None:
                observer(self.earlier[0])
            shapes = parse_shapes([], self.settings.shapes)
            Session(self.settings, shapes, self.workers, observe, canary=self.canary, progress=self._progress()).run()
            result = assemble(events)
            save(result, self.folder / RESULTS)
        return result

    def _start(self) -> RunStarted:
        assert self.machine is not None  # noqa: S101  (a new run has one)
        worker_of = {variant.name: worker.name for worker in self.workers for variant in worker.variants}
        records: list[BackendRecord] = []
        for variant in self.variants:
            backend = self.registry.backend(variant.backend)
            records.append(
                BackendRecord(name=variant.name, library=backend.library, device=backend.device, entry=backend.entry,
                              summary=backend.summary, worker=worker_of[variant.name], multiplies=backend.multiplies)
            )  # fmt: skip
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
    if seed < 0:
        raise UsageError(f"seed is {seed}; expected 0 or more")
    return Settings(
        shapes=[str(shape) for shape in parse_shapes(sizes, shapes)],
        backends=list(backend_registry.DEFAULT if backends is None else backends),
        threads=threads,
        pairs=pairs,
        sets=sets,
        seconds=float(seconds),
        margin=margin,
        seed=seed,
        command=command,
    )


def _default_folder(machine: Machine) -> Path:
    """A folder that sorts by date and names the machine; a number is added where two runs start within a second."""
    date = dt.datetime.now().astimezone().strftime("%Y-%m-%d_%H%M%S")
    name = re.sub(r"[^a-z0-9]+", "-", machine.cpu.lower()).strip("-") or "machine"
    folder = Path(DEFAULT_FOLDER) / f"{date}_{name}"
    number = 2
    while folder.exists():
        folder = Path(DEFAULT_FOLDER) / f"{date}_{name}_{number}"
        number += 1
    return folder


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Signals that ask the process to end become an exception, so that partial results are still written."""

    def interrupt(number: int, _frame: object) -> None:
        raise RunInterrupted(f"ended by {signal.Signals(number).name}")

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
