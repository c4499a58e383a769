"""What a user types, in the tests' own process: for commands that start no run, and so need no process of their own."""

from __future__ import annotations

from typing import NamedTuple

from click.testing import CliRunner

from gemmscope.cli import main


class Typed(NamedTuple):
    """How a command ended, as :class:`subprocess.CompletedProcess` has it."""

    returncode: int
    stdout: str
    stderr: str


def typed(*arguments: object, **variables: str | None) -> Typed:
    """Runs a command of gemmscope; what it does not expect is raised here, where a user would see a traceback.

    Variables stand over the environment's; one that is None is taken away.
    """
    plain = dict.fromkeys(("COLUMNS", "NO_COLOR"))
    done = CliRunner().invoke(
        main, [str(argument) for argument in arguments], env=plain | variables, catch_exceptions=False
    )
    return Typed(done.exit_code, done.stdout, done.stderr)
