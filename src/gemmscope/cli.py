"""The command line. Each command loads what it needs when it is called, so that ``--help`` answers at once."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gemmscope.errors import GemmscopeError, ResultsError, RunInterrupted, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gemmscope.api import Run
    from gemmscope.job import Job
    from gemmscope.records.model import Machine, Result
    from gemmscope.report.document import Block
    from gemmscope.report.output import Console

# Exit statuses, as docs/commands.md promises them.
EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def percent(text: str) -> float:
    """A share, written as ``5%`` or ``5``. By the name of this function it is called in the help."""
    from gemmscope.workload.spans import share

    try:
        return share(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


def duration(value: str | float) -> float:
    """Seconds, or a text such as ``2m``. By the name of this function it is called in the help."""
    from gemmscope.workload.spans import seconds

    try:
        return seconds(value)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


def _comma_separated(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _complete_backends(_context: click.Context, _option: click.Parameter, incomplete: str) -> list[str]:
    """Names for the shell, behind those that are typed already: libraries, backends, and the options of a backend."""
    from gemmscope.backends.registry import built_in

    before, comma, begun = incomplete.rpartition(",")
    known = built_in().backends
    name, colon, _ = begun.partition(":")
    if colon and name in known:
        names = [f"{name}:{option.name}" for option in known[name].options]
    else:
        names = sorted({*known, *(backend.library for backend in known.values() if backend.is_plain)})
    return [f"{before}{comma}{name}" for name in names if name.startswith(begun)]


_FILE = click.Path(dir_okay=False)
_FILE_OR_OUTPUT = click.Path(dir_okay=False, allow_dash=True)
_BACKEND_FILE = click.Path(exists=True, dir_okay=False)
_FOLDER = click.Path(file_okay=False)


# The help's sections, in the order in which somebody new wants them.
_COMMANDS = {
    "Measure": ("run", "diagnose", "fleet"),
    "Look at runs": ("list", "report", "explain", "compare"),
    "Look at this machine": ("doctor", "backends", "shapes", "blas"),
    "Change a program": ("blas-shim",),
}
_RUN_OPTIONS = {
    "What to measure": ("sizes", "shapes", "backends", "grid", "preset", "backend_files", "threads", "amx"),
    "How long, and how sure": (
        "quick", "deep", "seconds", "sets", "pairs", "experiments", "margin", "width", "seed",
    ),
}  # fmt: skip


class _Run(click.Command):
    """A command with so many options that they need sections; what is in none stands last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options."""
        records = {option.name: option.get_help_record(ctx) for option in self.get_params(ctx)}
        sections = {title: [records.pop(name) for name in names] for title, names in _RUN_OPTIONS.items()}
        for title, options in {**sections, "Results": list(records.values())}.items():
            with formatter.section(title):
                formatter.write_dl([record for record in options if record is not None])


class _Group(click.Group):
    """Turns gemmscope's own errors into one line on standard error and an exit status, instead of a traceback."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands in their sections."""
        for title, names in _COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(formatter.width)) for name in names])

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except (UsageError, ResultsError) as error:
            _tell(f"gemmscope: {error}")
            ctx.exit(EXIT_USAGE)
        except GemmscopeError as error:
            _tell(f"gemmscope: {error}")
            ctx.exit(EXIT_INTERRUPTED if isinstance(error, RunInterrupted) else EXIT_FAILED)
        except KeyboardInterrupt:
            # Before a run has begun or after it has ended; it treats signals itself, see gemmscope.signals.
            _tell("gemmscope: interrupted")
            ctx.exit(EXIT_INTERRUPTED)
        except OSError as error:
            # What a system may refuse at any moment: too many open files, no memory, no permission.
            where = f"{error.filename}: " if error.filename else ""
            _tell(f"gemmscope: the system refuses: {where}{error.strerror or error}")
            ctx.exit(EXIT_FAILED)


@click.group(cls=_Group, context_settings=_CONTEXT)
@click.version_option(package_name="gemmscope")
def main() -> None:
    """Which library multiplies float32 matrices fastest on this machine?

    And where does the time go, why is it slow, and what would make it faster?

    \b
    Examples:
      gemmscope run --quick
      gemmscope doctor
      gemmscope diagnose torch-cpu
    """


@main.command(cls=_Run, short_help="Measure, and write results, a page and figures.")
@click.option("--sizes", type=_comma_separated, metavar="N,...", help="Squares, M = N = K; 64:4096:2x doubles from 64 to 4096, as the default does; with a GPU that goes to 8192.")  # fmt: skip
@click.option("--shape", "shapes", multiple=True, metavar="MxNxK", help="A shape, or a preset: see 'gemmscope shapes'. Repeatable; without --sizes only these are measured.")  # fmt: skip
@click.option("--backends", type=_comma_separated, shell_complete=_complete_backends, metavar="NAME,...", help="Backends, which 'gemmscope backends' lists, or libraries, such as numpy,torch,mlx,jax.  [default: those of NumPy, PyTorch, MLX, cuBLAS and C++]")  # fmt: skip
@click.option("--grid", is_flag=True, help="Every framework on every BLAS that 'gemmscope blas' finds (Linux).  [default --backends: numpy,torch,mlx,cblas]")  # fmt: skip
@click.option("--backend-file", "backend_files", multiple=True, type=_BACKEND_FILE, metavar="FILE", help="A Python file with backends of your own; its code is executed. Repeatable.")  # fmt: skip
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
@click.option("--out", type=_FOLDER, metavar="DIR", help="Folder for the results.  [default: gemmscope-results/DATE_MACHINE]")  # fmt: skip
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
        _refuse_others("--resume goes on with the run's own settings", but=("resume", "anyway", "details", "as_json"))
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
        _tell(f"Results: {job.folder / 'results.json'}")
        _tell(f"Page: {job.folder / jobs.PAGE}")
        _print(result, as_json=as_json)
    else:
        from gemmscope.report.terminal import print_end

        _tell("")
        with _console() as console:
            print_end(result, job.folder, console)
        if preset == "original" and result.status == "complete":
            try:
                _print_original(result)
            except GemmscopeError as error:  # the run itself is whole
                _tell(f"gemmscope: {error}")
    _tell_rank(job.machine, job.folder)
    _exit(result, job)


@main.command(short_help="Which GPU of this host is slow, and why.")
@click.option("--devices", type=_comma_separated, metavar="NAME,...", help="gpu:0,gpu:1, or cpu:0,cpu:1 for processors; gpu and cpu stand for all.  [default: gpu]")  # fmt: skip
@click.option("--backends", type=_comma_separated, shell_complete=_complete_backends, metavar="NAME,...", help="What to measure with.  [default: torch-gpu; numpy-cpu for processors]")  # fmt: skip
@click.option("--backend-file", "backend_files", multiple=True, type=_BACKEND_FILE, metavar="FILE", help="A Python file with backends of your own; its code is executed. May be given again.")  # fmt: skip
@click.option("--size", type=click.IntRange(min=1), metavar="N", help="M = N = K of the product that is bound by arithmetic.  [default: 4096; 512 for processors]")  # fmt: skip
@click.option("--memory/--no-memory", default=True, show_default=True, help="Measure matrix times vector as well, which memory bounds.")  # fmt: skip
@click.option(
    "--sets", type=click.IntRange(min=1), default=5, show_default=True, help="Fresh processes for each device."
)
@click.option("--seconds", type=duration, default=60.0, show_default=True, metavar="BUDGET", help="Time budget: 60, 60s or 1m.")  # fmt: skip
@click.option("--margin", type=percent, default="1%", help="Smallest difference worth naming.  [default: 1%]")
@click.option("--seed", type=click.IntRange(min=0, max=2**63 - 1), default=0, show_default=True, help="Of operands and of the order.")  # fmt: skip
@click.option("--fail-slower-than", "limit", type=percent, metavar="PERCENT", help="Exit with 1 where a device is shown to be slower than its peers by more than this.")  # fmt: skip
@click.option("--out", type=_FOLDER, metavar="DIR", help="Folder for the results.  [default: gemmscope-results/DATE_MACHINE]")  # fmt: skip
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
    measured, found = job.execute((lambda _: None) if quiet else _tell, margin=margin, limit=limit)
    if not quiet:
        _tell(f"Results: {job.folder / 'fleet.json'}")
        _tell(f"Page: {job.folder / PAGE}")
        if as_json:
            _print_json(found)
        else:
            _print_document(pages.fleet_page(found))
    _tell_rank(job.machine, job.folder)
    for device in measured.devices:
        if device.status != "ok":
            _tell(f"gemmscope: {device.name} was not measured: {device.reason}")
    if limit is not None:
        _tell(f"gemmscope: {pages.gate_sentence(found)}")
    for reason in job.unwritten:
        _tell(f"gemmscope: {reason}")
    if measured.status == "partial":
        sys.exit(EXIT_INTERRUPTED)
    if found.over_limit or any(one.status != "ok" for one in measured.devices):
        sys.exit(EXIT_FAILED)
    sys.exit(EXIT_USAGE if job.unwritten else EXIT_OK)


@main.command(short_help="List backends, their options, and whether they can run here.")
@click.option("--backend-file", "backend_files", multiple=True, type=_BACKEND_FILE, metavar="FILE", help="A Python file with backends of your own; its code is executed.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the backends as JSON.")
def backends(backend_files: tuple[str, ...], as_json: bool) -> None:
    """List the backends: what each one times, its options, and whether it can run here.

    \b
    Example:
      gemmscope backends
    """
    from gemmscope.measure.survey import survey
    from gemmscope.report.backends import print_backends

    found = survey([Path(file) for file in backend_files])
    if as_json:
        _print_json(found)
        return
    with _console() as console:
        print_backends(found, console)


@main.command(short_help="Say what looks wrong here, in seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one object: machine, throttling, libraries, variables, suspicions.")  # fmt: skip
def doctor(as_json: bool) -> None:
    """Say what looks wrong with this machine and its libraries, in seconds: nothing is measured.

    It shows the machine, each library with the BLAS behind it and its threads, the environment variables that they
    obey, and what of all this looks wrong. These are suspicions: 'gemmscope diagnose' measures what they cost.

    \b
    Examples:
      gemmscope doctor
      gemmscope doctor --json

    \b
    The JSON is one object:
      machine      processor, instructions, memory, load, GPUs, power, heat
      throttling   affinity, quota, and the periods in which it was enforced
      libraries    name, status, reason, remedy, versions, wheels, blas, openmp,
                   backends
      variables    name, value, effect, readers, source, and the libraries here
                   that obey it
      suspicions   id, subject, backends, text, evidence, remedy, and the
                   command that would confirm it

    Exit status: 0, whatever was found; 2 for bad usage.
    """
    from gemmscope.analysis.checkup import check
    from gemmscope.measure.checkup import look
    from gemmscope.report.doctor import document

    seen = look()
    found = check(seen.result, seen.throttling)
    if as_json:
        _print_json(found)
    else:
        _print_document(document(found))


@main.command(short_help="List the presets of shapes.")
@click.option("--json", "as_json", is_flag=True, help="Print the presets as JSON.")
def shapes(as_json: bool) -> None:
    """List the presets of shapes: names for --shape that stand for several.

    \b
    Example:
      gemmscope shapes
      gemmscope run --shape gemv
    """
    from gemmscope.report.output import printing
    from gemmscope.workload.presets import PRESETS

    if as_json:
        _print_json(list(PRESETS.values()))
        return
    with printing():
        for preset in PRESETS.values():
            click.echo(f"{preset.name:<17} {preset.what}")
            click.echo(f"{'':<17} {' '.join(map(str, preset.shapes))}")
            if preset.source:
                click.echo(f"{'':<17} source: {preset.source}")


@main.command("list", short_help="List the runs and fleets there are.")
@click.option("--json", "as_json", is_flag=True, help="Print the runs as JSON.")
def list_runs(as_json: bool) -> None:
    """List the runs under gemmscope-results, the newest last: date, machine, what was fastest, and the folder.

    The ranks of a job, and what gemmscope fleet has measured, are one line: how many members, and who is slow.

    \b
    Example:
      gemmscope list
    """
    from gemmscope.report.runs import document, listed

    found = listed()
    if as_json:
        _print_json(found)
    else:
        _print_document(document(found))


@main.command(short_help="Print a run again, or export it.")
@click.argument("results", type=click.Path(exists=True), required=False)
@click.option("--figures", type=_FOLDER, metavar="DIR", help="Draw the figures into this folder.")
@click.option("--html", type=_FILE, metavar="FILE", help="Write the page: one file that needs no other.")
@click.option("--csv", type=_FILE_OR_OUTPUT, metavar="FILE", help="Write CSV, one row per cell; - prints it instead of the tables.")  # fmt: skip
@click.option("--markdown", type=_FILE_OR_OUTPUT, metavar="FILE", help="Write the tables as Markdown; - prints them instead.")  # fmt: skip
@click.option("--pyperf", type=_FILE_OR_OUTPUT, metavar="FILE", help="Write the samples as pyperf's JSON; - prints it instead.")  # fmt: skip
@click.option("--share", is_flag=True, help="Leave private folders, and your user name in them, out of all that is written.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of a table.")
def report(
    results: str | None, figures: str | None, html: str | None, share: bool, as_json: bool, **files: str | None
) -> None:
    """Print a run's tables and findings again, or export it.

    RESULTS is a results file or the folder that holds it; by default the newest run under gemmscope-results. Of a run
    that was cut off before it had results, the journal is read.

    \b
    Examples:
      gemmscope report
      gemmscope report gemmscope-results/2026-11-22_201500_apple-m1/results.json
      gemmscope report some-folder --share --html for-a-colleague.html
      gemmscope report some-folder --csv cells.csv --markdown summary.md
      gemmscope report some-folder --pyperf - > pyperf.json
    """
    from gemmscope.records.sharing import shared
    from gemmscope.report.exports import to_csv, to_pyperf
    from gemmscope.report.markdown import markdown
    from gemmscope.report.model import Report
    from gemmscope.report.sections import for_file

    if [*files.values(), "-" if as_json else None].count("-") > 1:
        raise UsageError("only one of --csv, --markdown, --pyperf and --json can be printed: name files for the others")
    result = _loaded(results)
    if share:
        result = shared(result)
    if "-" not in files.values():
        _print(result, as_json=as_json)
    formats = {"csv": to_csv, "markdown": lambda result: markdown(for_file(Report(result))), "pyperf": to_pyperf}
    for name, formatted in formats.items():
        if (file := files[name]) is not None:
            _write(file, formatted(result))
    if html is not None:
        from gemmscope.report.html import write_page

        write_page(result, Path(html))
        _tell(f"Written: {html}")
    if figures is not None:
        from gemmscope.files import writing
        from gemmscope.report.charts import write_figures

        with writing(Path(figures)):
            drawn = write_figures(result, Path(figures))
        for path in drawn:
            _tell(f"Drawn: {path}")


@main.command(short_help="Say in words what a run found.")
@click.argument("results", type=click.Path(exists=True), required=False)
@click.option("--backend", metavar="NAME", shell_complete=_complete_backends, help="Only what is about this backend or its variants.")  # fmt: skip
@click.option("--shape", metavar="MxNxK", help="Only what is about this shape.")
@click.option("--claims", "only_claims", is_flag=True, help="Only what this run says of the claims of the comparison that gemmscope began with.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print findings and diagnoses as JSON, claims among them.")
def explain(results: str | None, backend: str | None, shape: str | None, only_claims: bool, as_json: bool) -> None:
    """Say in words what a run found: which library is fastest, why, and how sure that is.

    RESULTS is a results file or the folder that holds it; by default the newest run under gemmscope-results. Of a run
    that was cut off before it had results, the journal is read.

    \b
    Examples:
      gemmscope explain
      gemmscope explain --backend mlx-cpu --shape 256
      gemmscope explain gemmscope-results/2026-11-22_201500_apple-m1 --claims
    """
    from gemmscope.records.words import did_you_mean
    from gemmscope.report import causes
    from gemmscope.report.sections import document_of, is_claim, selected
    from gemmscope.workload.shapes import Shape

    result = _loaded(results)
    names = {record.name for record in result.backends} | {record.name.partition(":")[0] for record in result.backends}
    # A library stands for the first of its plain backends.
    plain = {record.library: record.name.partition(":")[0] for record in reversed(result.backends) if record.is_choice}
    backend = backend if backend is None or backend in names else plain.get(backend, backend)
    if backend is not None and backend not in names:
        hint = did_you_mean(backend, names)
        raise UsageError(f"this run has no backend {backend!r}: {hint}it has {', '.join(sorted(names))}")
    wanted = None if shape is None else str(Shape.parse(shape))
    if wanted is not None and wanted not in result.settings.shapes:
        raise UsageError(f"this run has no shape {wanted}; it has {', '.join(result.settings.shapes)}")
    found = selected(result.findings, backend, wanted)
    why = [] if only_claims else causes.about(result.diagnoses, backend, wanted)
    if not as_json or only_claims:
        found = [one for one in found if is_claim(one) == only_claims]
    if as_json:
        _print_json([*found, *why])
        return
    blocks = [*document_of(found), *causes.listed(why)]
    if blocks:
        _print_document(blocks)
    else:
        _say("Nothing was found about that in this run.\n")


@main.command(short_help="Say why a backend is slow, and what to change.")
@click.argument("backend", required=False, shell_complete=_complete_backends)
@click.option("--shape", "shapes", multiple=True, metavar="MxNxK", help="A shape to look at. Repeatable.  [default: 64 and 1024]")  # fmt: skip
@click.option("--threads", type=int, metavar="N", help="Ask every library for this many threads.")
@click.option("--seconds", type=duration, default=60.0, metavar="BUDGET", help="Time budget: 60, 60s or 1m.  [default: 60]")  # fmt: skip
@click.option("--out", type=_FOLDER, metavar="DIR", help="Folder for the results.  [default: gemmscope-results/DATE_MACHINE]")  # fmt: skip
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
    _tell(f"Results: {job.folder / 'results.json'}")
    _tell(f"Page: {job.folder / jobs.PAGE}")
    if as_json:
        _print_json(result.diagnoses)
    else:
        _print_document(causes.in_full(result))
    _exit(result, job)


@main.command(short_help="List the BLAS libraries that are here.")
@click.argument("names", nargs=-1, metavar="[NAME|PATH]...")
@click.option("--json", "as_json", is_flag=True, help="Print the libraries as JSON.")
def blas(names: tuple[str, ...], as_json: bool) -> None:
    """List the BLAS libraries that can be put under a framework: file, version, interface, threads.

    Each is loaded in a process of its own, and multiplies. What is missing is listed with how to install it.

    \b
    Examples:
      gemmscope blas
      gemmscope blas openblas /opt/blis/lib/libblis.so

    Exit status: 0; 1 if a library that was named cannot be used; 2 for bad usage.
    """
    from gemmscope.measure.blas_survey import survey
    from gemmscope.report.blas import document

    found = survey(names)
    if as_json:
        _print_json(found)
    else:
        _print_document(document(found))
    sys.exit(EXIT_FAILED if names and any(one.status != "ok" for one in found) else EXIT_OK)


@main.command("blas-shim", short_help="Put another BLAS under your own program (Linux).")
@click.option("--blas", "name", metavar="NAME|PATH", help="The BLAS: a name that 'gemmscope blas' lists, or a path.  [default: openblas]")  # fmt: skip
@click.option("--print-env", is_flag=True, help="Print the variables to set, for env, as --blas does.")
def blas_shim(name: str | None, print_env: bool) -> None:
    """Print what puts another BLAS under NumPy, PyTorch, MLX or SciPy in your own program, on Linux.

    Without options it prints the path of a library for LD_PRELOAD, which passes float32 multiplications on to OpenBLAS.
    With --blas it prints the variables to set instead, and keeps what LD_PRELOAD already holds.

    It replaces float32 products of matrices and vectors (sgemm, sgemv, ssyrk, sdot), and dgemm and cgemm for MLX. It
    does not replace PyTorch's batches (bmm), nor LAPACK and the rest of BLAS, except with MKL, which brings its own.
    The number of threads is set by OPENBLAS_NUM_THREADS, MKL_NUM_THREADS or BLIS_NUM_THREADS, and not by
    torch.set_num_threads. With GEMMSCOPE_BLAS_VERBOSE=1 the program says at its end how many calls were passed on.

    \b
    Examples:
      LD_PRELOAD=$(gemmscope blas-shim) python your_program.py
      env $(gemmscope blas-shim --blas mkl) python your_program.py
    """
    from gemmscope.backends import preload
    from gemmscope.errors import BackendUnavailable
    from gemmscope.measure.blas_survey import survey

    try:
        library = preload.library()
    except BackendUnavailable as absent:
        raise UsageError(f"{absent.reason}; {absent.remedy}") from absent
    if name is None and not print_env:
        _say(f"{library}\n")
        return
    (found,) = survey(["openblas" if name is None else name])
    if found.status != "ok":
        raise UsageError(f"{found.name}: {found.reason}{'; ' + found.remedy if found.remedy else ''}")
    if re.search(r"\s", found.file):
        raise UsageError(
            f"{found.file}: no shell would keep the space in this path together; set {preload.TARGET} yourself"
        )
    variables = {preload.TARGET: found.file, "LD_PRELOAD": preload.with_library(os.environ.get("LD_PRELOAD", ""))}
    _say(" ".join(f"{key}={value}" for key, value in variables.items()) + "\n")


@main.command(short_help="Compare runs, or machines.")
@click.argument("results", nargs=-1, type=click.Path(exists=True))
@click.option("--fail-slower-than", "limit", type=percent, metavar="PERCENT", help="Exit with status 1 where a cell is shown to be slower by more than this.")  # fmt: skip
@click.option("--margin", type=percent, default="2%", help="Smallest difference worth naming.  [default: 2%]")
@click.option("--fleet/--no-fleet", default=None, help="Machines side by side, or each run against the first.  [default: by whether their hardware differs]")  # fmt: skip
@click.option("--markdown", type=_FILE_OR_OUTPUT, metavar="FILE", help="Write the summary as Markdown too; - prints it instead.")  # fmt: skip
@click.option("--figure", type=_FILE, metavar="FILE", help="Draw machines by backend, as .svg, .png or .pdf; for a fleet.")  # fmt: skip
@click.option("--html", type=_FILE, metavar="FILE", help="Write the page of a fleet: one file that needs no other.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON instead of a table.")
def compare(
    results: tuple[str, ...],
    limit: float | None,
    margin: float,
    fleet: bool | None,
    markdown: str | None,
    figure: str | None,
    html: str | None,
    as_json: bool,
) -> None:
    """Compare runs: ratios with intervals and verdicts, and what differs between them.

    RESULTS are results files, journals, or the folders that hold them; each is compared with the first. By default the
    newest run under gemmscope-results is compared with the one before it. It tells a library that changed from a
    machine that changed. Runs of different machines are put side by side, and those of the same hardware against the
    median of their peers; a folder then stands for all runs in it.

    \b
    Examples:
      gemmscope compare
      gemmscope compare before/ after/
      gemmscope compare main.json branch.json --fail-slower-than 5%
      gemmscope compare node*/results.json --figure fleet.svg
      gemmscope compare --fleet fleet/ --fail-slower-than 3% --html fleet.html

    Exit status: 0; 1 if a backend, or a member of a fleet, is slower than --fail-slower-than allows; 2 for bad usage,
    or runs that cannot be compared.
    """
    from gemmscope.analysis.runs.model import Fleet
    from gemmscope.api import compare as compare_files
    from gemmscope.report import between_runs as pages
    from gemmscope.report import fleet as fleet_pages
    from gemmscope.report.markdown import markdown as in_markdown
    from gemmscope.storage.store import newest

    found = compare_files(results or newest(2), margin=margin, fail_slower_than=limit, fleet=fleet)
    if isinstance(found, Fleet):
        page = fleet_pages.fleet_page(found)
        gates = [fleet_pages.gate_sentence(found)] if found.over_limit else []
    else:
        page = [block for one in found for block in pages.comparison_page(one)]
        gates = [pages.gate_sentence(one.gate) for one in found if one.gate is not None and one.gate.slower]
    for option, file in (("--figure", figure), ("--html", html)):
        if file is not None and not isinstance(found, Fleet):
            raise UsageError(f"{option} is for machines side by side: these runs are of one machine; ask with --fleet")
    if figure is not None and isinstance(found, Fleet):
        from gemmscope.report.charts.fleet import draw_fleet

        draw_fleet(found, Path(figure))
        _tell(f"Drawn: {figure}")
    if html is not None and isinstance(found, Fleet):
        from gemmscope.report.html.fleet import write_fleet_page

        write_fleet_page(found, Path(html))
        _tell(f"Written: {html}")
    if as_json:
        _print_json(found)
    elif markdown != "-":
        _print_document(page)
    if markdown is not None:
        _write(markdown, in_markdown(page))
    for gate in gates:
        _tell(f"gemmscope: {gate}")
    sys.exit(EXIT_FAILED if gates else EXIT_OK)


def _loaded(results: str | None) -> Run:
    """The run that was named, or else the newest; of one that was cut off, how to go on is said beside it."""
    from gemmscope.api import load
    from gemmscope.storage.journal import JOURNAL
    from gemmscope.storage.store import newest

    path = Path(results) if results is not None else newest()[0]
    run = load(path)
    folder = path if path.is_dir() else path.parent
    if run.status == "partial" and (folder / JOURNAL).exists():
        _tell(f"This run was cut off. Go on with: gemmscope run --resume {folder}")
    return run


def _refuse_others(why: str, but: Sequence[str]) -> None:
    """Refuses options that were given and would be ignored."""
    context = click.get_current_context()
    given = [
        option.opts[0]
        for option in context.command.params
        if option.name and option.name not in but
        and context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE
    ]  # fmt: skip
    if given:
        raise UsageError(f"{why}: leave out {', '.join(given)}")


def _is_quiet(machine: Machine) -> bool:
    """Whether this is a further rank of a job: the first one alone prints tables, which would else be mixed."""
    return machine.launched is not None and machine.launched.rank > 0


def _tell_rank(machine: Machine, folder: Path) -> None:
    """Where a rank's results are, and from the first rank how all of them are put together."""
    rank = machine.launched
    if rank is None:
        return
    _tell(f"{rank.node} rank {rank.rank}: results in {folder}")
    if rank.rank == 0:
        _tell(f"Once all ranks have ended: gemmscope compare --fleet {shlex.quote(str(folder.parent))}")


def _exit(result: Result, job: Job) -> NoReturn:
    """Ends with the status of a run."""
    for reason in job.unwritten:
        _tell(f"gemmscope: {reason}")
    if result.status == "partial":
        _tell(f"Interrupted, so the results are partial. Go on with: gemmscope run --resume {job.folder}")
        sys.exit(EXIT_INTERRUPTED)
    if job.unwritten:
        sys.exit(EXIT_USAGE)
    # An experiment that cannot run says less of a cause, and costs nothing that was asked for.
    failed = any(backend.status == "failed" and not backend.experiment for backend in result.backends)
    sys.exit(EXIT_FAILED if failed else EXIT_OK)


def _say(text: str) -> None:
    """Prints a text, in ASCII where standard output has no other characters."""
    from gemmscope.records.words import in_ascii
    from gemmscope.report.output import printing

    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    with printing():
        click.echo(text if encoding.startswith("utf") else in_ascii(text), nl=False)


def _write(file: str, text: str) -> None:
    """Writes a text to a file, or to standard output for ``-``."""
    from gemmscope.files import writing

    if file == "-":
        _say(text)
        return
    with writing(Path(file)):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(text, encoding="utf-8", newline="")
    _tell(f"Written: {file}")


def _print_json(records: object) -> None:
    import msgspec

    from gemmscope.report.output import printing

    with printing():
        click.echo(msgspec.json.format(msgspec.json.encode(records), indent=1).decode())


def _print(result: Result, *, as_json: bool) -> None:
    if as_json:
        _print_json(result)
        return
    from gemmscope.report.terminal import print_result

    with _console() as console:
        print_result(result, console)


def _print_original(result: Result) -> None:
    """Makes the comparison that gemmscope began with as it was made, and prints it beside a run of the same."""
    from gemmscope.measure.original import Protocol, means
    from gemmscope.records.model import ORIGINAL
    from gemmscope.report.original import document, rows
    from gemmscope.workload.shapes import parse_shapes

    here = [backend.name for backend in result.backends if backend.status == "ok" and backend.name in ORIGINAL]
    sizes = [shape.n for shape in parse_shapes([], result.settings.shapes) if shape.is_square]
    protocol = Protocol(backends=here, sizes=sizes, pairs=result.settings.pairs, seed=result.settings.seed)
    _tell("\nNow as the original did it: one call to each pair, one after the other ...")
    _print_document(document(rows(means(protocol), result), protocol))


def _print_document(blocks: Sequence[Block]) -> None:
    from gemmscope.report.terminal import print_document

    with _console() as console:
        print_document(blocks, console)


@contextlib.contextmanager
def _console() -> Iterator[Console]:
    from gemmscope.report.output import Console, printing

    with printing():
        yield Console()


def _tell(text: str) -> None:
    """Says something on standard error; that there is nobody to hear it changes nothing."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)
