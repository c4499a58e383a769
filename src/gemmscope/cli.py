"""The command line. Each command loads what it needs when it is called, so that ``--help`` answers at once."""

from __future__ import annotations

import contextlib
import shlex
import sys
from typing import TYPE_CHECKING

import click

from gemmscope.errors import GemmscopeError, RunInterrupted, UsageError

if TYPE_CHECKING:
    from gemmscope.results.model import Result

# Exit statuses, as the README promises them.
EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _Percent(click.ParamType):  # type: ignore[type-arg]
    """A share written as ``1%`` or ``0.01``."""

    name = "PERCENT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Reads the share, or says what was expected."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
        except ValueError:
            self.fail(f"{text!r} is no share: write 1% or 0.01", param, ctx)


class _Group(click.Group):
    """Turns gemmscope's own errors into one line on standard error and an exit status, instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            _tell(f"gemmscope: {error}")
            ctx.exit(EXIT_USAGE)
        except GemmscopeError as error:
            _tell(f"gemmscope: {error}")
            ctx.exit(EXIT_INTERRUPTED if isinstance(error, RunInterrupted) else EXIT_FAILED)


@click.group(cls=_Group, context_settings=_CONTEXT)
@click.version_option(package_name="gemmscope")
def main() -> None:
    r"""Which library multiplies float32 matrices fastest on this machine?

    And is the time spent in the kernel, or in the framework around it?

    \b
    Example:
      gemmscope run --sizes 64,256,1024
    """


@main.command()
@click.option("--sizes", metavar="N,...", help="Squares, M = N = K.  [default: 64,256,1024]")
@click.option("--shape", "shapes", multiple=True, metavar="MxNxK", help="A further shape, or a preset: see gemmscope shapes. May be given again.")  # fmt: skip  # noqa: E501
@click.option(
    "--backends", metavar="NAME,...", help="What to measure; 'gemmscope backends' lists them.  [default: all]"
)
@click.option("--backend-file", "backend_files", multiple=True, type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="A Python file with backends of your own; its code is executed. May be given again.")  # fmt: skip  # noqa: E501
@click.option("--threads", type=click.IntRange(min=1), help="Ask every library for this many threads.")
@click.option(
    "--pairs", type=click.IntRange(min=1), default=10, show_default=True, help="Distinct operand pairs a shape."
)
@click.option("--sets", type=click.IntRange(min=1), default=5, show_default=True, help="Sets of fresh processes.")
@click.option("--seconds", type=float, metavar="BUDGET", help="Time budget of the whole run.  [default: 90]")
@click.option("--margin", type=_Percent(), default=0.01, help="Smallest difference worth naming.  [default: 1%]")
@click.option("--width", type=_Percent(), help="Half-width of an interval that is narrow enough.  [default: half the margin]")  # fmt: skip  # noqa: E501
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**63 - 1),
    default=0,
    show_default=True,
    help="Of operands and of the order.",
)
@click.option("--resume", type=click.Path(exists=True, file_okay=False), metavar="DIR", help="Go on with a run that was cut off, with its own settings; the code of its backend files is executed.")  # fmt: skip  # noqa: E501
@click.option("--out", type=click.Path(file_okay=False), metavar="DIR", help="Folder for the results.  [default: gemmscope-results/DATE_MACHINE]")  # fmt: skip  # noqa: E501
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of a table.")
def run(
    sizes: str | None,
    shapes: tuple[str, ...],
    backends: str | None,
    backend_files: tuple[str, ...],
    threads: int | None,
    pairs: int,
    sets: int,
    seconds: float | None,
    margin: float,
    width: float | None,
    seed: int,
    resume: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    r"""Measure, and write DIR/results.json and DIR/figures/.

    Every product is compared with float64 before anything is timed. Backends take turns in random rounds, in fresh
    processes for every set; the intervals are over the sets.

    \b
    Examples:
      gemmscope run
      gemmscope run --sizes 64,256 --backends numpy-cpu,numpy-cpu:out,torch-cpu:threads=1 --seconds 40
      gemmscope run --shape 1x4096x4096 --out decode

    Exit status: 0 if everything asked for was measured, or explained as unavailable; 1 if a backend failed; 2 for bad
    usage; 130 if the run was interrupted (what was measured is written).
    """
    from pathlib import Path  # noqa: PLC0415

    from gemmscope import job as jobs  # noqa: PLC0415
    from gemmscope.report.progress import Progress  # noqa: PLC0415

    if resume is not None:
        job = jobs.Job.resumed(Path(resume))
    else:
        settings = jobs.make_settings(
            sizes=None if sizes is None else _comma_separated(sizes), shapes=shapes,
            backends=None if backends is None else _comma_separated(backends), backend_files=backend_files,
            threads=threads, pairs=pairs, sets=sets, width=width,
            seconds=jobs.DEFAULT_SECONDS if seconds is None else seconds, margin=margin, seed=seed,
            command=shlex.join(["gemmscope", *sys.argv[1:]]),
        )  # fmt: skip
        job = jobs.Job.new(settings, None if out is None else Path(out))
    with Progress(earlier=job.earlier) as progress:
        result = job.execute(progress)
    # Before the table: whoever reads only its beginning should still learn where the rest is.
    _tell(f"Results: {job.folder / 'results.json'}")
    _print(result, as_json=as_json)
    if result.status == "partial":
        _tell(f"Interrupted, so the results are partial. Go on with: gemmscope run --resume {job.folder}")
        sys.exit(EXIT_INTERRUPTED)
    failed = any(backend.status == "failed" for backend in result.backends)
    sys.exit(EXIT_FAILED if failed else EXIT_OK)


@main.command()
@click.option("--backend-file", "backend_files", multiple=True, type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="A Python file with backends of your own; its code is executed.")  # fmt: skip  # noqa: E501
@click.option("--json", "as_json", is_flag=True, help="Print the backends as JSON.")
def backends(backend_files: tuple[str, ...], as_json: bool) -> None:
    r"""List the backends: what each one times, its options, and whether it can run here.

    \b
    Example:
      gemmscope backends
    """
    from pathlib import Path  # noqa: PLC0415

    from gemmscope.report.output import printing  # noqa: PLC0415
    from gemmscope.survey import print_survey, survey, survey_json  # noqa: PLC0415

    found = survey([Path(file) for file in backend_files])
    with printing():
        if as_json:
            click.echo(survey_json(found))
        else:
            print_survey(found)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the presets as JSON.")
def shapes(as_json: bool) -> None:
    r"""List the presets of shapes: names for --shape that stand for several.

    \b
    Example:
      gemmscope shapes
      gemmscope run --shape gemv
    """
    from gemmscope.presets import PRESETS  # noqa: PLC0415
    from gemmscope.report.output import printing  # noqa: PLC0415

    with printing():
        if as_json:
            import msgspec  # noqa: PLC0415

            click.echo(msgspec.json.format(msgspec.json.encode(list(PRESETS.values())), indent=1).decode())
            return
        for preset in PRESETS.values():
            click.echo(f"{preset.name:<17} {preset.what}")
            click.echo(f"{'':<17} {' '.join(map(str, preset.shapes))}")
            if preset.source:
                click.echo(f"{'':<17} source: {preset.source}")


@main.command()
@click.argument("results", type=click.Path(exists=True))
@click.option("--figures", type=click.Path(file_okay=False), metavar="DIR", help="Draw the figures into this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of a table.")
def report(results: str, figures: str | None, as_json: bool) -> None:
    r"""Print the table of a results file again. RESULTS is the file, or the folder that holds it.

    \b
    Example:
      gemmscope report gemmscope-results/2026-11-22_201500_apple-m1/results.json
    """
    from gemmscope.results.store import load  # noqa: PLC0415

    result = load(results)
    _print(result, as_json=as_json)
    if figures is not None:
        from pathlib import Path  # noqa: PLC0415

        from gemmscope.report.figures import draw  # noqa: PLC0415
        from gemmscope.results.store import writing  # noqa: PLC0415

        with writing(Path(figures)):
            drawn = draw(result, Path(figures))
        for path in drawn:
            _tell(f"Drawn: {path}")


def _print(result: Result, *, as_json: bool) -> None:
    from gemmscope.report.output import Console, printing  # noqa: PLC0415

    if as_json:
        import msgspec  # noqa: PLC0415

        with printing():
            click.echo(msgspec.json.format(msgspec.json.encode(result), indent=1).decode())
        return

    from gemmscope.report.terminal import print_result  # noqa: PLC0415

    with printing():
        print_result(result, Console())


def _tell(text: str) -> None:
    """Says something on standard error; that there is nobody to hear it changes nothing."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def _comma_separated(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
