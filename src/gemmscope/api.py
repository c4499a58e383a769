"""gemmscope from Python: measure, load and compare runs and fleets, and look at them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from gemmscope.analysis.runs import model
from gemmscope.measure.settings import DEFAULT_EXPERIMENTS, make_settings
from gemmscope.records import words
from gemmscope.records.model import Result
from gemmscope.storage import fleet_store, store
from gemmscope.workload.spans import comma_separated

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from typing import Self

    import altair as alt
    import pandas as pd

    from gemmscope.records.events import Observer
    from gemmscope.records.model import Machine
    from gemmscope.workload.shapes import Shape


class Run(Result, frozen=True, kw_only=True):
    """A run's results, with the short ways to see them: all fields of :class:`~gemmscope.records.model.Result`."""

    @classmethod
    def of(cls, result: Result) -> Self:
        """The same records, as a run."""
        return cls(**{name: getattr(result, name) for name in result.__struct_fields__})

    def __repr__(self) -> str:
        """The run in a line: its samples would fill pages."""
        from gemmscope.analysis.headline import headline

        cells = words.count(len(self.cells), "cell")
        return f"<Run of {self.started[:10]} on {self.machine.name}: {cells}. {headline(self.findings)}>"

    def table(self) -> str:
        """The tables that ``gemmscope run`` prints, as plain text."""
        from gemmscope.report.notebook import table

        return table(self)

    def figure(self, name: str = "speed") -> alt.TopLevelMixin:
        """A chart of the run, which a notebook shows and ``.save(file)`` writes: an Altair chart.

        Args:
            name: ``"speed"``, ``"speedup"``, ``"parts"``, ``"roofline"`` or ``"grid"``.

        Raises:
            UsageError: If there is no chart of that name, or the run has no data for it; the message says which.
        """
        from gemmscope.report.charts import picture

        return picture(self, name).chart

    def to_pandas(self) -> pd.DataFrame:
        """One row for every cell, with the columns of ``gemmscope report --csv``.

        Raises:
            UsageError: If pandas is not installed.
        """
        from gemmscope.report.exports import to_pandas

        return to_pandas(self)

    def _repr_html_(self) -> str:
        """What a notebook shows where a run is the value of a cell."""
        from gemmscope.report.notebook import html

        return html(self)


class Fleet(model.Fleet, frozen=True, kw_only=True):
    """Members against their peers, with the short ways to see them: all fields of the record of that name."""

    @classmethod
    def of(cls, fleet: model.Fleet) -> Self:
        """The same records, with the ways to see them."""
        return cls(**{name: getattr(fleet, name) for name in fleet.__struct_fields__})

    def __repr__(self) -> str:
        """The fleet in a line: its members and cells would fill pages."""
        from gemmscope.report.fleet import summary

        members = words.count(len(self.members) or len(self.runs), "member")
        return f"<Fleet of {members}, {self.runs[-1].started[:10]}. {summary(self)}>"

    def table(self) -> str:
        """What ``gemmscope fleet`` and ``gemmscope compare --fleet`` print, as plain text."""
        from gemmscope.report.fleet import fleet_page
        from gemmscope.report.notebook import text

        return text(fleet_page(self))

    def figure(self) -> alt.TopLevelMixin:
        """All members against their peers, or machines by backend where nothing was judged: an Altair chart.

        Raises:
            UsageError: If there is nothing to draw.
        """
        from gemmscope.report.charts.fleet import picture

        return picture(self).chart

    def _repr_html_(self) -> str:
        """What a notebook shows where a fleet is the value of a cell."""
        from gemmscope.report.notebook import fleet_html

        return fleet_html(self)


def run(
    *,
    sizes: int | str | Sequence[int | str] | None = None,
    shapes: str | Sequence[str | Shape] = (),
    backends: str | Sequence[str] | None = None,
    backend_files: Sequence[str | os.PathLike[str]] = (),
    threads: int | None = None,
    pairs: int = 10,
    sets: int = 5,
    seconds: str | float | None = None,
    margin: float = 0.01,
    width: float | None = None,
    seed: int = 0,
    experiments: float = DEFAULT_EXPERIMENTS,
    grid: bool = False,
    quick: bool = False,
    deep: bool = False,
    amx: bool = False,
    out: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    anyway: bool = False,
    observer: Observer | None = None,
) -> Run:
    """Measures, and writes ``results.json``, the journal it is made from, ``report.html`` and ``figures/``.

    A page or a figure that cannot be written costs no more than itself, and is warned of.

    Args:
        sizes: Squares, as M = N = K, or spans such as ``"64:4096:2x"``; from 64 to 4096, doubling, and 8192 where
            there is a GPU, unless told; none if ``shapes`` are given. Those that a slow backend cannot afford are left
            out for it.
        shapes: Shapes, as ``"MxNxK"`` or as a preset's name, such as ``"gemv"``; without sizes these alone.
        backends: Backends and variants, such as ``"numpy-cpu:out"``, or libraries, such as ``"jax"``, for their plain
            backends; those of NumPy, PyTorch, MLX, cuBLAS and the C++ loop unless told, with instruments at up to three
            shapes.
        backend_files: Python files with backends of your own. Their code is executed, in workers.
        threads: How many threads to ask every library for; None leaves it to them.
        pairs: Distinct pairs of operands a shape; fewer of large ones, which take 256 MiB.
        sets: The fewest sets of fresh processes, the statistical unit. Fewer than two give no interval; five are
            advised, and from five on up to ten are made where starting them is cheap. More follow while verdicts are
            open and time is left.
        seconds: Time budget of the whole run, in seconds or as a text such as ``"2m"``; 75 s unless told, or two
            minutes where there is a GPU. The run ends at about that time, or when all is settled.
        margin: The smallest relative difference worth naming; 0.01 is 1 %.
        width: The relative half-width of a ratio's interval that is narrow enough, whatever the verdict; half the
            margin unless told.
        seed: What the operands and the random order are made from.
        experiments: The share of the budget, at most, for experiments on why a backend is slow; 0 makes none.
        grid: Frameworks by BLAS libraries: every backend, or NumPy, PyTorch, MLX and the C++ loop unless told, on every
            BLAS that is found. Linux.
        quick: A first look in 15 s unless told: the plain backends at three sizes, three sets at most, no experiments.
        deep: All instruments at all shapes, in four minutes unless told.
        amx: On an Apple M1, M2 or M3, measure the ceiling with AMX, whose instructions Apple does not document.
        out: The folder; one named by date and machine under ``gemmscope-results`` unless told.
        resume: The folder of a run that was cut off. It goes on with its own settings; those given here are ignored.
        anyway: With ``resume``: go on although something has changed since the run began, such as a library's version.
            The report says what.
        observer: Told of every event, between turns.

    Returns:
        All records of the run. One that was interrupted by Ctrl-C or a signal has status ``"partial"``.

    Raises:
        UsageError: If something asked for makes no sense, or the folder cannot be written.
        ResultsError: If the run to resume cannot be read.
        OutputError: If the journal can no longer be written.
    """
    from gemmscope.job import Job  # with all that a run needs, so that gemmscope.load starts at once

    if resume is not None:
        job = Job.resumed(Path(resume), anyway=anyway)
    else:
        settings = make_settings(
            sizes=sizes, shapes=shapes, backends=backends, backend_files=backend_files, threads=threads, pairs=pairs,
            sets=sets, seconds=seconds, margin=margin, width=width, seed=seed,
            experiments=experiments, grid=grid, quick=quick, deep=deep, amx=amx,
        )  # fmt: skip
        job = Job.new(settings, None if out is None else Path(out))
    result = Run.of(job.execute(observer))
    for reason in job.unwritten:
        warnings.warn(reason, RuntimeWarning, stacklevel=2)
    return result


def fleet(
    *,
    devices: str | Sequence[str] | None = None,
    backends: str | Sequence[str] | None = None,
    backend_files: Sequence[str | os.PathLike[str]] = (),
    size: int | None = None,
    memory: bool = True,
    sets: int = 5,
    seconds: str | float = 60.0,
    margin: float = 0.01,
    fail_slower_than: float | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Fleet:
    """Measures the devices of this host against each other, and writes ``fleet.json`` and ``fleet.html``.

    A page that cannot be written costs no more than itself, and is warned of; so is a device that could not be
    measured.

    Args:
        devices: Such as ``"gpu:0,gpu:1"`` or ``["cpu:0", "cpu:1"]``; ``"gpu"`` and ``"cpu"`` stand for all of a kind.
            All GPUs unless told.
        backends: What to measure with; PyTorch on GPUs, NumPy on processors unless told.
        backend_files: Python files with backends of your own. Their code is executed, in workers.
        size: M = N = K of the multiplication that is bound by arithmetic; 4096, on processors 512 unless told.
        memory: Whether to measure matrix times vector as well, which memory bounds.
        sets: Fresh processes for each device: three or more.
        seconds: Time budget, in seconds or as a text such as ``"1m"``.
        margin: The smallest relative difference worth naming; 0.01 is 1 %.
        fail_slower_than: The slow-down that puts a device into ``over_limit``; 0.02 is 2 %.
        seed: What the operands and the random order are made from.
        out: The folder; one named by date and machine under ``gemmscope-results`` unless told.
        tell: Told in a line what is being done.

    Returns:
        The devices against their peers, as :func:`compare` returns it for ``out``. Of one that was interrupted a
        warning says so.

    Raises:
        UsageError: If what is asked for cannot be done here, or the folder cannot be written.
        WorkerLost: If no device could be measured.
        RunInterrupted: If it was interrupted before anything was measured.
    """
    from gemmscope.analysis.runs.compare import check_shares  # with scipy
    from gemmscope.fleet_job import FleetJob

    check_shares(margin, fail_slower_than)
    job = FleetJob.new(
        names=_texts(devices), backends=_texts(backends), backend_files=backend_files, size=size, memory=memory,
        sets=sets, seconds=seconds, seed=seed, out=None if out is None else Path(out),
    )  # fmt: skip
    measured, found = job.execute(tell or (lambda _: None), margin=margin, limit=fail_slower_than)
    lost = [f"{one.name} was not measured: {one.reason}" for one in measured.devices if one.status != "ok"]
    for reason in [*lost, *job.unwritten]:
        warnings.warn(reason, RuntimeWarning, stacklevel=2)
    return Fleet.of(found)


def load(file: str | os.PathLike[str]) -> Run:
    """Reads and validates a run: its results file, its journal, or the folder that holds them.

    Of a run that was cut off before it had results the journal is read, even a damaged one: its status is
    ``"partial"``, and a warning says what could not be read. Figures, comparisons and findings are made again from the
    samples, so that a file of an older gemmscope is judged by the rules of this one.

    Raises:
        ResultsError: If it cannot be read, is no JSON, does not fit the schema, or is of a newer one.
    """
    from gemmscope.analysis.assemble import read
    from gemmscope.analysis.derive import derive  # with scipy

    return Run.of(derive(read(file)))


def compare(
    files: Sequence[str | os.PathLike[str]],
    *,
    margin: float = 0.02,
    fail_slower_than: float | None = None,
    fleet: bool | None = None,
) -> list[model.RunsComparison] | Fleet:
    """Compares runs by their results files: each with the first, or, of several machines, all beside each other.

    Args:
        files: Two or more results files, journals, or the folders that hold them; the first is what others are compared
            with. For a fleet also what ``gemmscope fleet`` has written, and folders in which every folder is a run.
        margin: The smallest relative difference worth naming; 0.02 is 2 %.
        fail_slower_than: The slow-down that the ``gate`` of each comparison looks for, or of a fleet the members in
            ``over_limit``; 0.05 is 5 %.
        fleet: True for machines beside each other in any case, False for comparisons in any case; unless told, that is
            settled by whether their hardware is the same.

    Raises:
        UsageError: If runs cannot be compared; the message says why.
        ResultsError: If a file cannot be read.
    """
    from gemmscope.analysis.assemble import read
    from gemmscope.analysis.runs.compare import check_shares, compare_with_first  # with scipy
    from gemmscope.analysis.runs.fleet.reading import labels, read_fleet

    check_shares(margin, fail_slower_than)
    paths = [Path(file) for file in files]
    if fleet or (fleet is None and (_has_fleet(paths) or (fail_slower_than is None and _are_several(paths)))):
        return Fleet.of(read_fleet(paths, margin=margin, limit=fail_slower_than))
    loaded = list(zip(labels(files), map(read, files), strict=True))
    return compare_with_first(loaded, margin=margin, fail_slower_than=fail_slower_than)


def _texts(names: str | Sequence[str] | None) -> list[str] | None:
    """Names in a list, however they are given."""
    if not isinstance(names, str):
        return None if names is None else list(names)
    return comma_separated(names)


def _has_fleet(paths: Sequence[Path]) -> bool:
    """Whether one of them is what ``gemmscope fleet`` has written."""
    return any((path / fleet_store.FLEET).is_file() or path.name == fleet_store.FLEET for path in paths)


def _are_several(paths: Sequence[Path]) -> bool:
    """Whether results that are named without saying how to compare them are of several machines."""
    return len(paths) > 1 and len({_machine(path).hardware for path in paths}) > 1


def _machine(path: Path) -> Machine:
    """What a run was made on, without its samples where it has results: they may be a hundred megabytes."""
    from gemmscope.analysis.assemble import read

    file = path / store.RESULTS if path.is_dir() else path
    return (store.summary(file) if file.is_file() and file.suffix == ".json" else read(path)).machine
