"""How commands are listed, and how errors end them."""

from __future__ import annotations

import click

from gemmscope.cli.printing import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, tell
from gemmscope.errors import GemmscopeError, ResultsError, RunInterrupted, UsageError

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
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


class RunCommand(click.Command):
    """A command with so many options that they need sections; what is in none stands last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options."""
        records = {option.name: option.get_help_record(ctx) for option in self.get_params(ctx)}
        sections = {title: [records.pop(name) for name in names] for title, names in _RUN_OPTIONS.items()}
        for title, options in {**sections, "Results": list(records.values())}.items():
            with formatter.section(title):
                formatter.write_dl([record for record in options if record is not None])


class Group(click.Group):
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
            tell(f"gemmscope: {error}")
            ctx.exit(EXIT_USAGE)
        except GemmscopeError as error:
            tell(f"gemmscope: {error}")
            ctx.exit(EXIT_INTERRUPTED if isinstance(error, RunInterrupted) else EXIT_FAILED)
        except KeyboardInterrupt:
            # Before a run has begun or after it has ended; it treats signals itself, see gemmscope.signals.
            tell("gemmscope: interrupted")
            ctx.exit(EXIT_INTERRUPTED)
        except OSError as error:
            # What a system may refuse at any moment: too many open files, no memory, no permission.
            where = f"{error.filename}: " if error.filename else ""
            tell(f"gemmscope: the system refuses: {where}{error.strerror or error}")
            ctx.exit(EXIT_FAILED)
