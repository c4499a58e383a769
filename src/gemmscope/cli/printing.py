"""What every command says, and where: results on standard output, and the rest on standard error."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gemmscope.records.model import Result
    from gemmscope.report.document import Block
    from gemmscope.report.output import Console

# Exit statuses, as docs/commands.md promises them.
EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def tell(text: str) -> None:
    """Says something on standard error; that there is nobody to hear it changes nothing."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def say(text: str) -> None:
    """Prints a text, in ASCII where standard output has no other characters."""
    from gemmscope.records.words import in_ascii
    from gemmscope.report.output import printing

    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    with printing():
        click.echo(text if encoding.startswith("utf") else in_ascii(text), nl=False)


def write(file: str, text: str) -> None:
    """Writes a text to a file, or to standard output for ``-``."""
    from gemmscope.files import writing

    if file == "-":
        say(text)
        return
    with writing(Path(file)):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(text, encoding="utf-8", newline="")
    tell(f"Written: {file}")


def print_json(records: object) -> None:
    """Prints records, or a list of them, as JSON."""
    import msgspec

    from gemmscope.report.output import printing

    with printing():
        click.echo(msgspec.json.format(msgspec.json.encode(records), indent=1).decode())


def print_result(result: Result, *, as_json: bool) -> None:
    """Prints all tables and findings of a run, or its results as JSON."""
    from gemmscope.report import terminal

    if as_json:
        print_json(result)
        return
    with console() as on:
        terminal.print_result(result, on)


def print_document(blocks: Sequence[Block]) -> None:
    """Prints headings, paragraphs and tables as standard output can show them."""
    from gemmscope.report import terminal

    with console() as on:
        terminal.print_document(blocks, on)


@contextlib.contextmanager
def console() -> Iterator[Console]:
    """Standard output, as rich writes to it; that nobody reads on is no error."""
    from gemmscope.report.output import Console, printing

    with printing():
        yield Console()
