"""The command line. Each command loads what it needs when it is called, so that ``--help`` answers at once."""

from __future__ import annotations

import click

from gemmscope.cli import here, measuring, runs
from gemmscope.cli.group import CONTEXT, Group


@click.group(cls=Group, context_settings=CONTEXT)
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


for _command in (
    measuring.run, measuring.diagnose, measuring.fleet,
    runs.list_runs, runs.report, runs.explain, runs.compare,
    here.doctor, here.backends, here.shapes, here.blas, here.blas_shim,
):  # fmt: skip
    main.add_command(_command)
