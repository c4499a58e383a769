"""The commands that look at this machine, and what puts another BLAS under a program."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import click

from gemmscope.cli.parameters import BACKEND_FILE
from gemmscope.cli.printing import EXIT_FAILED, EXIT_OK, console, print_document, print_json, say
from gemmscope.errors import UsageError


@click.command(short_help="Say what looks wrong here, in seconds.")
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
        print_json(found)
    else:
        print_document(document(found))


@click.command(short_help="List backends, their options, and whether they can run here.")
@click.option("--backend-file", "backend_files", multiple=True, type=BACKEND_FILE, metavar="FILE", help="A Python file with backends of your own; its code is executed.")  # fmt: skip
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
        print_json(found)
        return
    with console() as on:
        print_backends(found, on)


@click.command(short_help="List the presets of shapes.")
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
        print_json(list(PRESETS.values()))
        return
    with printing():
        for preset in PRESETS.values():
            click.echo(f"{preset.name:<17} {preset.what}")
            click.echo(f"{'':<17} {' '.join(map(str, preset.shapes))}")
            if preset.source:
                click.echo(f"{'':<17} source: {preset.source}")


@click.command(short_help="List the BLAS libraries that are here.")
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
        print_json(found)
    else:
        print_document(document(found))
    sys.exit(EXIT_FAILED if names and any(one.status != "ok" for one in found) else EXIT_OK)


@click.command("blas-shim", short_help="Put another BLAS under your own program (Linux).")
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
        say(f"{library}\n")
        return
    (found,) = survey(["openblas" if name is None else name])
    if found.status != "ok":
        raise UsageError(f"{found.name}: {found.reason}{'; ' + found.remedy if found.remedy else ''}")
    if re.search(r"\s", found.file):
        raise UsageError(
            f"{found.file}: no shell would keep the space in this path together; set {preload.TARGET} yourself"
        )
    variables = {preload.TARGET: found.file, "LD_PRELOAD": preload.with_library(os.environ.get("LD_PRELOAD", ""))}
    say(" ".join(f"{key}={value}" for key, value in variables.items()) + "\n")
