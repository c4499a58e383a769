"""The commands that measure: run, fleet and diagnose."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gemmscope.cli.group import RunCommand
from gemmscope.cli.parameters import (
    BACKEND_FILE,
    FOLDER,
    complete_backends,
    duration,
    percent,
    refuse_others,
)
from gemmscope.cli.printing import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    console,
    print_document,
    print_json,
    print_result,
    tell,
)
from gemmscope.errors import GemmscopeError, UsageError
from gemmscope.workload.spans import comma_separated

if TYPE_CHECKING:
    from gemmscope.job import Job
    from gemmscope.records.model import Machine, Result


@click.command(cls=RunCommand, short_help="Measure, and write results, a page and figures.")
@click.option("--sizes", type=comma_separated, metavar="N,...", help="Squares, M = N = K; 64:4096:2x doubles from 64 to 4096, as the default does; with a GPU that goes to 8192.")  # fmt: skip
@click.option("--shape", "shapes", multiple=True, metavar="MxNxK", help="A shape, or a preset: see 'gemmscope shapes'. Repeatable; without --sizes only these are measured.")  # fmt: skip
@click.option("--backends", type=comma_separated, shell_complete=complete_backends, metavar="NAME,...", help="Backends, which 'gemmscope backends' lists, or libraries, such as numpy,torch,mlx,jax.  [default: those of NumPy, PyTorch, MLX, cuBLAS and C++]")  # fmt: skip
@click.option("--grid", is_flag=True, help="Every framework on every BLAS that 'gemmscope blas' finds (Linux).  [default --backends: numpy,torch,mlx,cblas]")  # fmt: skip
@click.option("--backend-file", "backend_files", multiple=True, type=BACKEND_FILE, metavar="FILE", help="A Python file with backends of your own; its code is executed. Repeatable.")  # fmt: skip
@click.option("--threads", type=int, metavar="N", help="Ask every library for this many threads.")
@click.option("--amx", is_flag=True, help="On an Apple M1, M2 or M3: measure the ceiling with AMX, whose instructions Apple does not document.")  # fmt: skip
@click.option("--pairs", type=int, metavar="N", default=10, show_default=True, help="Distinct pairs of operands per shape; fewer of large ones.")  # fmt: skip
@click.option("--sets", type=int, metavar="N", default=5, show_default=True, help="Batches of fresh processes; from 5 on, more where they are cheap.")  # fmt: skip
@click.option("--seconds", type=duration, metavar="BUDGET", help="Time budget of the whole run: 90, 90s or 2m.  [default: 75s, with a GPU 2m; with --deep 4m, with --grid 5m]")  # fmt: skip
@click.option("--margin", type=percent, default="1%", help="Smallest difference worth naming.  [default: 1%]")
@click.option("--width", type=percent, help="Half-width of a ratio's interval that is narrow enough.  [default: half the margin]")  # fmt: skip
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="Of the operands and of the random order.")  # fmt: skip
@click.option("--experiments", type=percent, default="25%", help="Share of the budget, at most, for experiments on why a backend is slow; 0 makes none.  [default: 25%]")  # fmt: skip
@click.option("--resume", type=click.Path(exists=True, file_okay=False), metavar="DIR", help="Go on with a run that was cut off, with its own settings; the code of its backend files is executed.")  # fmt: skip
@click.option("--anyway", is_flag=True, help="With --resume: go on although something has changed since, such as a library's version; the report says what.")  # fmt: skip
@click.option("--out", type=FOLDER, metavar="DIR", help="Folder for the results.  [default: gemmscope-results/DATE_MACHINE]")  # fmt: skip
@click.option("--quick", is_flag=True, help="A first look in 15 s: plain backends, three sizes and sets, no experiments.")  # fmt: skip
@click.option("--deep", is_flag=True, help="All instruments at all sizes; otherwise they are at three, where overhead counts.")  # fmt: skip
@click.option("--preset", type=click.Choice(["original"]), help="The comparison that gemmscope began with: its five backends and sizes, and its own means beside.")  # fmt: skip
@click.option("--details", is_flag=True, help="Print all tables and findings at the end, as 'gemmscope report' does.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of a table.")
def run(
    resume: str | None, anyway: bool, out: str | None, preset: str | None, details: bool, as_json: bool, **asked: Any
) -> None:
    """Measure, and write DIR/results.json, DIR/report.html and DIR/figures/.

    Every result is compared with float64 before anything is timed. Backends take turns in random rounds, in several
    batches of fresh processes; the intervals are over the batches.

    \b
    Examples:
      gemmscope run
      gemmscope run --quick
      gemmscope run --sizes 64,256 --backends numpy-cpu,torch-cpu:threads=1
      gemmscope run --backends numpy,torch,jax --shape 1x4096x4096 --out decode
      gemmscope run --grid --sizes 256,1024
      gemmscope run --preset original

    Exit status: 0 if everything asked for was measured, or explained as unavailable; 1 if a backend failed; 2 for bad
    usage; 130 if the run was interrupted (what was measured is written).
    """
    from gemmscope import job as jobs
    from gemmscope.measure.settings import make_settings
    from gemmscope.report.progress import Progress

    if resume is not None:
        refuse_others("--resume goes on with the run's own settings", but=("resume", "anyway", "details", "as_json"))
        job = jobs.Job.resumed(Path(resume), anyway=anyway)
    else:
        if anyway:
            raise UsageError("--anyway is about a run that goes on: give its folder with --resume")
        original = preset == "original"
        settings = make_settings(command=shlex.join(["gemmscope", *sys.argv[1:]]), original=original, **asked)
        job = jobs.Job.new(settings, None if out is None else Path(out))
    if _is_quiet(job.machine):
        result = job.execute()
        _tell_rank(job.machine, job.folder)
        _exit(result, job)
    with Progress(earlier=job.earlier) as progress:
        result = job.execute(progress)
    if details or as_json:
        # Before the table: whoever reads only its beginning should still learn where the rest is.
        tell(f"Results: {job.folder / 'results.json'}")
        tell(f"Page: {job.folder / jobs.PAGE}")
        print_result(result, as_json=as_json)
    else:
        from gemmscope.report.terminal import print_end

        tell("")
        with console() as on:
            print_end(result, job.folder, on)
        if preset == "original" and result.status == "complete":
            try:
                _print_original(result)
            except GemmscopeError as error:  # the run itself is whole
                tell(f"gemmscope: {error}")
    _tell_rank(job.machine, job.folder)
    _exit(result, job)


@click.command(short_help="Which GPU of this host is slow, and why.")
@click.option("--devices", type=comma_separated, metavar="NAME,...", help="gpu:0,gpu:1, or cpu:0,cpu:1 for processors; gpu and cpu stand for all.  [default: gpu]")  # fmt: skip
@click.option("--backends", type=comma_separated, shell_complete=complete_backends, metavar="NAME,...", help="What to measure with.  [default: torch-gpu; numpy-cpu for processors]")  # fmt: skip
@click.option("--backend-file", "backend_files", multiple=True, type=BACKEND_FILE, metavar="FILE", help="A Python file with backends of your own; its code is executed. May be given again.")  # fmt: skip
@click.option("--size", type=click.IntRange(min=1), metavar="N", help="M = N = K of the product that is bound by arithmetic.  [default: 4096; 512 for processors]")  # fmt: skip
@click.option("--memory/--no-memory", default=True, show_default=True, help="Measure matrix times vector as well, which memory bounds.")  # fmt: skip
@click.option(
    "--sets", type=click.IntRange(min=1), default=5, show_default=True, help="Fresh processes for each device."
)
@click.option("--seconds", type=duration, default=60.0, show_default=True, metavar="BUDGET", help="Time budget: 60, 60s or 1m.")  # fmt: skip
@click.option("--margin", type=percent, default="1%", help="Smallest difference worth naming.  [default: 1%]")
@click.option("--seed", type=click.IntRange(min=0, max=2**63 - 1), default=0, show_default=True, help="Of operands and of the order.")  # fmt: skip
@click.option("--fail-slower-than", "limit", type=percent, metavar="PERCENT", help="Exit with 1 where a device is shown to be slower than its peers by more than this.")  # fmt: skip
@click.option("--out", type=FOLDER, metavar="DIR", help="Folder for the results.  [default: gemmscope-results/DATE_MACHINE]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print members, deviations and stragglers as JSON.")
def fleet(
    devices: list[str] | None, margin: float, limit: float | None, out: str | None, as_json: bool, **asked: Any
) -> None:
    """Say which device of this host is slower than its peers, by how much, and what sets it apart.

    All devices multiply at the same time, in windows, and each alone in some. What slows all of them in a window is
    taken out. Results go to DIR/fleet.json and DIR/fleet.html. Under srun or mpirun each rank takes its share of the
    node's devices, and has a folder of its own in DIR: gemmscope compare --fleet DIR puts them together.

    \b
    Examples:
      gemmscope fleet
      gemmscope fleet --seconds 25 --fail-slower-than 2%
      gemmscope fleet --devices cpu:0,cpu:1
      srun --ntasks-per-node=1 gemmscope fleet --out fleet

    Exit status: 0; 1 if a device is slower than --fail-slower-than allows, or could not be measured; 2 for bad usage;
    130 if it was interrupted (what was measured is written).
    """
    from gemmscope.fleet_job import PAGE, FleetJob
    from gemmscope.report import fleet as pages

    job = FleetJob.new(names=devices, out=None if out is None else Path(out),
                       command=shlex.join(["gemmscope", *sys.argv[1:]]), **asked)  # fmt: skip
    quiet = _is_quiet(job.machine)
    measured, found = job.execute((lambda _: None) if quiet else tell, margin=margin, limit=limit)
    if not quiet:
        tell(f"Results: {job.folder / 'fleet.json'}")
        tell(f"Page: {job.folder / PAGE}")
        if as_json:
            print_json(found)
        else:
            print_document(pages.fleet_page(found))
    _tell_rank(job.machine, job.folder)
    for device in measured.devices:
        if device.status != "ok":
            tell(f"gemmscope: {device.name} was not measured: {device.reason}")
    if limit is not None:
        tell(f"gemmscope: {pages.gate_sentence(found)}")
    for reason in job.unwritten:
        tell(f"gemmscope: {reason}")
    if measured.status == "partial":
        sys.exit(EXIT_INTERRUPTED)
    if found.over_limit or any(one.status != "ok" for one in measured.devices):
        sys.exit(EXIT_FAILED)
    sys.exit(EXIT_USAGE if job.unwritten else EXIT_OK)


@click.command(short_help="Say why a backend is slow, and what to change.")
@click.argument("backend", required=False, shell_complete=complete_backends)
@click.option("--shape", "shapes", multiple=True, metavar="MxNxK", help="A shape to look at. Repeatable.  [default: 64 and 1024]")  # fmt: skip
@click.option("--threads", type=int, metavar="N", help="Ask every library for this many threads.")
@click.option("--seconds", type=duration, default=60.0, metavar="BUDGET", help="Time budget: 60, 60s or 1m.  [default: 60]")  # fmt: skip
@click.option("--out", type=FOLDER, metavar="DIR", help="Folder for the results.  [default: gemmscope-results/DATE_MACHINE]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the diagnoses as JSON.")
def diagnose(backend: str | None, out: str | None, as_json: bool, **asked: Any) -> None:
    """Say why a backend is slow here, and what to change: by experiments in fresh processes.

    Each suspected cause is taken away in a variant that is measured beside BACKEND: a variable unset, another number of
    threads, another BLAS, another memory layout. All suspicions are shown, with what was seen, what was tried and the
    verdict. BACKEND is one that 'gemmscope backends' lists, or a variant of it; by default all libraries on the CPU.

    \b
    Examples:
      gemmscope diagnose
      gemmscope diagnose numpy-cpu --shape 1024
      gemmscope diagnose torch-cpu --shape 48 --seconds 30
      gemmscope diagnose numpy-cpu:strided --shape 512

    Exit status: as for run.
    """
    from gemmscope import job as jobs
    from gemmscope.backends.registry import built_in
    from gemmscope.measure.settings import diagnosis_settings
    from gemmscope.report import causes
    from gemmscope.report.progress import Progress

    name = (backend or "").partition(":")[0]
    known = built_in().backends.get(name)
    if known is not None and (known.entry != "python" or not known.multiplies):
        raise UsageError(
            f"{name} is an instrument, which takes other calls apart: ask about numpy-cpu, torch-cpu or mlx-cpu"
        )
    settings = diagnosis_settings(backend, command=shlex.join(["gemmscope", *sys.argv[1:]]), **asked)
    job = jobs.Job.new(settings, None if out is None else Path(out))
    with Progress() as progress:
        result = job.execute(progress)
    tell(f"Results: {job.folder / 'results.json'}")
    tell(f"Page: {job.folder / jobs.PAGE}")
    if as_json:
        print_json(result.diagnoses)
    else:
        print_document(causes.in_full(result))
    _exit(result, job)


def _is_quiet(machine: Machine) -> bool:
    """Whether this is a further rank of a job: the first one alone prints tables, which would else be mixed."""
    return machine.launched is not None and machine.launched.rank > 0


def _tell_rank(machine: Machine, folder: Path) -> None:
    """Where a rank's results are, and from the first rank how all of them are put together."""
    rank = machine.launched
    if rank is None:
        return
    tell(f"{rank.node} rank {rank.rank}: results in {folder}")
    if rank.rank == 0:
        tell(f"Once all ranks have ended: gemmscope compare --fleet {shlex.quote(str(folder.parent))}")


def _print_original(result: Result) -> None:
    """Makes the comparison that gemmscope began with as it was made, and prints it beside a run of the same."""
    from gemmscope.measure.original import Protocol, means
    from gemmscope.records.model import ORIGINAL
    from gemmscope.report.original import document, rows
    from gemmscope.workload.shapes import parse_shapes

    here = [backend.name for backend in result.backends if backend.status == "ok" and backend.name in ORIGINAL]
    sizes = [shape.n for shape in parse_shapes([], result.settings.shapes) if shape.is_square]
    protocol = Protocol(backends=here, sizes=sizes, pairs=result.settings.pairs, seed=result.settings.seed)
    tell("\nNow as the original did it: one call to each pair, one after the other ...")
    print_document(document(rows(means(protocol), result), protocol))


def _exit(result: Result, job: Job) -> NoReturn:
    """Ends with the status of a run."""
    for reason in job.unwritten:
        tell(f"gemmscope: {reason}")
    if result.status == "partial":
        tell(f"Interrupted, so the results are partial. Go on with: gemmscope run --resume {job.folder}")
        sys.exit(EXIT_INTERRUPTED)
    if job.unwritten:
        sys.exit(EXIT_USAGE)
    # An experiment that cannot run says less of a cause, and costs nothing that was asked for.
    failed = any(backend.status == "failed" and not backend.experiment for backend in result.backends)
    sys.exit(EXIT_FAILED if failed else EXIT_OK)
