"""Does gemmscope name the true cause? Causes that were planted, healthy controls, and what the remedies really bring.

    python bench/truth_causes.py run --short
    python bench/truth_causes.py run --trials 5 --out causes.jsonl   # hours; go on with the same command
    python bench/truth_causes.py table causes.jsonl

A trial makes a backend slow in one way that is known: by a variable, by fewer processors, by a neighbour, by operands
that lie badly. `gemmscope diagnose` is asked why, and what it names first is held against what was planted. Then its
remedy is applied, to the letter, to an ordinary program that knows nothing of gemmscope (planted_program.py): planted
and remedied processes take turns, and the gain that was promised is held against theirs. Controls are healthy: there
the right answer is nothing.

Each trial starts from an environment without any variable that a library obeys. Where other programs were at work
before or after a trial, by the script's own count, a busy machine is a true answer and is passed over.
"""

from __future__ import annotations

import functools
import math
import random
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import click
import msgspec
import psutil

from gemmscope.machine.cpu import cpuinfo

sys.path.insert(0, str(Path(__file__).parent))
from causes.judging import Trial, diagnosed, judged, named, passes, verdict_on
from causes.plants import PLANTS, Plant, chosen
from causes.remedies import achieved_gain
from causes.surroundings import can_be_planted, planted
from causes.table import table
from common import records

if TYPE_CHECKING:
    from collections.abc import Sequence


def trial(plant: Plant, number: int, seconds: float) -> Trial:
    """One trial of a plant."""
    start = perf_counter()
    before = busy_share()
    with planted(plant) as begin:
        found = diagnosed(plant, seconds, begin)
        said = [named(one) for one in found]
        told = [name for name, one in zip(said, found, strict=True) if one.matters]
        remedies = {name: one.remedy for name, one in zip(said, found, strict=True)}
        first, _ = judged(plant, told, 1.0)
        promised, achieved, note = None, None, "nothing was named"
        if first is not None:
            promised, note = first.gain, "no gain was promised"
        if first is not None and promised is not None:
            achieved, note = achieved_gain(plant, remedies[first], begin, 100 * number)
    others = max(before, busy_share())
    first, right = judged(plant, told, others)
    verdict, why = verdict_on(plant, said)
    return Trial(
        plant=plant.name, number=number, seconds=perf_counter() - start, first=first, matters=told, right=right,
        planted=verdict, promised=promised, achieved=achieved, note=note, others=others,
        versions=versions(), why=why,
    )  # fmt: skip


def busy_share() -> float:
    """The share of the processors that others use while this script does nothing."""
    return float(psutil.cpu_percent(interval=1.0)) / 100


@functools.cache
def versions() -> dict[str, str]:
    """Of gemmscope and of the libraries, and the processor."""
    found = {"cpu": cpuinfo().get("model name", "")}
    for name in ("gemmscope", "numpy", "torch", "mlx"):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def cases_of(plants: Sequence[Plant], trials: int) -> list[tuple[Plant, int]]:
    """Every plant once, then every plant again, each time in another order: a run that is cut off has all plants."""
    cases = []
    for number in range(trials):
        order = list(plants)
        random.Random(number).shuffle(order)
        cases += [(plant, number) for plant in order]
    return cases


# --- The command line ------------------------------------------------------------------------------------------------


@click.group(help=__doc__.partition("\n")[0])
def main() -> None:
    """Plants and counts."""


@main.command()
@click.option("--short", is_flag=True, help="Two minutes' worth: one trial of a few plain plants and of a control.")
@click.option("--trials", type=click.IntRange(min=1), default=5, show_default=True, help="Of each plant.")
@click.option("--seconds", type=float, default=20.0, show_default=True, help="Budget of one diagnosis.")
@click.option("--only", multiple=True, metavar="WORDS", help="Plants whose names contain this; may be given again.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("causes.jsonl"), show_default=True,
              help="A line for each trial; trials that it holds already are not made again.")  # fmt: skip
@click.option("--stop-after", type=float, default=math.inf, help="Begin no trial after so many seconds.")
def run(short: bool, trials: int, seconds: float, only: tuple[str, ...], out: Path, stop_after: float) -> None:
    """Make trials, and print the table.

    With --short the status is 1 if a planted cause is not named first, or a control has a confirmed cause, twice in a
    row: what is planted there costs half of the speed and more, which noise does not hide, but one trial may be unlucky
    on a shared machine. A busy machine is passed over, and no gain is judged.
    """
    if sys.platform != "linux" or shutil.which("taskset") is None:
        raise click.UsageError("causes are planted on Linux, with taskset")
    begin = perf_counter()
    if short:
        plants = can_be_planted([plant for plant in PLANTS if plant.short])
        done = [short_trial(plant, seconds) for plant in plants]
        click.echo(table(done))
        wrong = [one.plant for plant, one in zip(plants, done, strict=True) if not passes(plant, one)]
        for name in wrong:
            click.echo(f"wrong twice: {name}", err=True)
        raise SystemExit(1 if wrong else 0)
    plants = can_be_planted(chosen(only))
    there = {(one.plant, one.number) for one in read(out)} if out.exists() else set()
    missing = [(plant, number) for plant, number in cases_of(plants, trials) if (plant.name, number) not in there]
    for i, (plant, number) in enumerate(missing, 1):
        if perf_counter() - begin > stop_after:
            break
        try:
            made = trial(plant, number, seconds)
        except (click.ClickException, subprocess.CalledProcessError) as error:
            # It is tried again when the command is given again.
            click.echo(f"{i} of {len(missing)}: {plant.name}: failed: {error}", err=True)
            continue
        with out.open("ab") as file:
            file.write(msgspec.json.encode(made) + b"\n")
        click.echo(f"{i} of {len(missing)}: {plant.name}: {'right' if made.right else 'WRONG'}", err=True)
    click.echo(table(read(out) if out.exists() else []))


def short_trial(plant: Plant, seconds: float) -> Trial:
    """A trial, and a second one if the first was wrong."""
    first = trial(plant, 0, seconds)
    return first if passes(plant, first) else trial(plant, 1, seconds)


@main.command(name="table")
@click.argument("trials", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def print_table(trials: Path) -> None:
    """Print the tables of a file of trials, as Markdown."""
    click.echo(table(read(trials)))


def read(path: Path) -> list[Trial]:
    """The trials of a file."""
    return records.read(path, Trial, "bench/truth_causes.py")


if __name__ == "__main__":
    main()
