"""What options and arguments are, and how a shell completes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gemmscope.errors import UsageError
from gemmscope.workload import spans

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = click.Path(dir_okay=False)
FILE_OR_OUTPUT = click.Path(dir_okay=False, allow_dash=True)
BACKEND_FILE = click.Path(exists=True, dir_okay=False)
FOLDER = click.Path(file_okay=False)


def percent(text: str) -> float:
    """A share, written as ``5%`` or ``5``. By the name of this function it is called in the help."""
    try:
        return spans.share(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


def duration(value: str | float) -> float:
    """Seconds, or a text such as ``2m``. By the name of this function it is called in the help."""
    try:
        return spans.seconds(value)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


def complete_backends(_context: click.Context, _option: click.Parameter, incomplete: str) -> list[str]:
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


def refuse_others(why: str, but: Sequence[str]) -> None:
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
