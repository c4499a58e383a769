"""How hard is gemmscope to break? Injects every fault of bench/faults many times, and counts what came of it.

    python bench/reliability.py --times 1 --kills 5                  # a look, a few minutes
    python bench/reliability.py --write docs/reliability.md          # the table of the documentation
    python bench/reliability.py --only "disk" --times 20
    python bench/reliability.py --only "goes on" --kills 0 --write docs/reliability.md   # these rows; the others stay

Prints a table in Markdown: each fault, how often it was injected, what was expected and what happened. The last row is
SIGKILL for the orchestrator at random moments of runs that are resumed again and again. Exit status 1 if anything was
lost, left behind or not said. Some faults take 20 s each, since a hang is told from work by waiting.
"""

from __future__ import annotations

import collections
import random
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

sys.path.insert(0, str(Path(__file__).parent))  # the faults stand beside this script, wherever that is
from faults import FAULTS, BrokenError, ImpossibleError, injected
from faults.orchestrator import killed_again_and_again
from faults.program import samples_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from faults import Fault

BEGIN, END = "<!-- made by bench/reliability.py -->", "<!-- end -->"
HEADER = (
    "| fault | injected | expected | what happened | lost, doubled or left behind |\n| --- | --- | --- | --- | --- |"
)
# A run is left in peace after so many kills; each comes within so many seconds, some before the first worker is up.
KILLS_A_RUN = 8
LATEST_KILL = 3.0


def row(*cells: object) -> str:
    """A row of the table."""
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def counted(fault: Fault, times: int) -> tuple[str, bool]:
    """The fault's row, and whether all was well."""
    happened: collections.Counter[str] = collections.Counter()
    broken: list[str] = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            try:
                happened[injected(fault, Path(folder))] += 1
            except ImpossibleError as impossible:
                return row(fault.name, 0, fault.expected, f"not injected: {impossible}", "–"), True
            except BrokenError as error:
                broken.append(str(error))
    said = [words if count == times else f"{count} ×: {words}" for words, count in happened.most_common()]
    return row(fault.name, times, fault.expected, "; ".join(said), "; ".join(broken) or "nothing"), not broken


def killed(kills: int, seed: int) -> tuple[str, bool]:
    """The row of so many SIGKILLs, over as many runs as that takes."""
    moments = random.Random(seed)
    done = runs = samples = 0
    broken: list[str] = []
    while done < kills and not broken:
        with tempfile.TemporaryDirectory() as folder:
            wanted = [moments.uniform(0, LATEST_KILL) for _ in range(min(KILLS_A_RUN, kills - done))]
            try:
                hit, result = killed_again_and_again(Path(folder), wanted)
            except BrokenError as error:
                broken.append(str(error))
                break
        done, runs, samples = done + hit, runs + 1, samples + sum(samples_in(result).values())
        click.echo(f"{done} of {kills} SIGKILLs", err=True)
    happened = f"{runs} runs with {samples} samples in all, each complete after its last resumption"
    name = "SIGKILL for the orchestrator at random moments, over resumed runs"
    expected = "0 samples lost, 0 doubled, 0 processes or segments left"
    return row(name, done, expected, happened, "; ".join(broken) or "0, 0, 0"), not broken


def merged(table: Sequence[str], lines: Sequence[str]) -> list[str]:
    """The rows of a table with those of the same faults replaced, in the order in which faults are injected."""
    found = {name_of(line): line for line in [*table, *lines] if line.startswith("| ") and line not in HEADER}
    order = [name_of(row(fault.name)) for fault in FAULTS]
    return sorted(
        found.values(), key=lambda line: order.index(name) if (name := name_of(line)) in order else len(order)
    )


def name_of(line: str) -> str:
    """The fault of a row."""
    return re.split(r"(?<!\\)\|", line)[1].strip()


def rows(times: int, kills: int, only: Sequence[str], seed: int) -> Iterator[tuple[str, bool]]:
    """All rows, one after the other as they are found."""
    for fault in FAULTS:
        if not only or any(text.lower() in fault.name.lower() for text in only):
            click.echo(fault.name, err=True)
            yield counted(fault, times)
    if kills:
        yield killed(kills, seed)


@click.command(help=__doc__, context_settings={"max_content_width": 110})
@click.option("--times", default=3, show_default=True, help="How often each fault is injected.")
@click.option("--kills", default=200, show_default=True, help="How many SIGKILLs at random moments; 0 for none.")
@click.option("--only", multiple=True, metavar="TEXT", help="Only faults whose name has this in it; may be given again.")  # fmt: skip  # noqa: E501
@click.option("--seed", default=0, show_default=True, help="Of the moments.")
@click.option("--write", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help=f"Put the rows into the table between {BEGIN} and {END} of this file.")  # fmt: skip  # noqa: E501
def main(times: int, kills: int, only: tuple[str, ...], seed: int, write: str | None) -> None:
    """Prints the table, or writes it into a document."""
    click.echo(HEADER)
    lines: list[str] = []
    well = True
    for line, good in rows(times, kills, only, seed):
        click.echo(line)
        lines.append(line)
        well &= good
    if write is not None:
        before, _, rest = Path(write).read_text().partition(BEGIN)
        table, _, after = rest.partition(END)
        lines = merged([] if not only and kills else table.splitlines(), lines)
        Path(write).write_text(f"{before}{BEGIN}\n\n" + "\n".join([HEADER, *lines]) + f"\n\n{END}{after}")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
