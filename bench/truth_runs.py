"""Does ``gemmscope compare`` tell the truth? Pairs of real runs, of which one backend is slower in the later, or none.

    python bench/truth_runs.py run --short
    python bench/truth_runs.py run --sets 12 --out truth_runs.jsonl      # 80 minutes; go on with the same command
    python bench/truth_runs.py table truth_runs.jsonl

Each run measures five backends of five libraries at two sizes. In half of the pairs ``planted-base`` is slower in the
later run; pairs with and without take turns in random order. Nothing that is recorded tells the two apart: this is the
harder case, since the library that changed then has a voice in what the machine is thought to have done. One whose
version differs has none.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING
from unittest import mock

import click
import msgspec

import gemmscope
from gemmscope.analysis.runs import others

sys.path.insert(0, str(Path(__file__).parent))  # the other scripts stand beside this one, wherever that is
from common import records
from common.intervals import clopper_pearson
from planted import BASE

if TYPE_CHECKING:
    from gemmscope.analysis.runs.model import RunsComparison

BACKENDS = ("numpy-cpu", "scipy-blas", "torch-cpu", "cblas", BASE)
DIFFERENT = ("faster", "slower")
RULES = {"others": "relative to the other libraries", "reference": "relative to the reference workload"}
NO_VOICES = 10**9


class Outcome(msgspec.Struct, frozen=True):
    """What a rule said of a backend's cell: its ratio, later over earlier, and the verdict."""

    rule: str
    backend: str
    shape: str
    ratio: float
    low: float | None
    high: float | None
    verdict: str


class Pair(msgspec.Struct, frozen=True):
    """Two runs: how much slower ``planted-base`` was in the later one, how long both took, and what was said."""

    number: int
    per_cent: float
    seconds: float
    sets: tuple[int, int]
    outcomes: list[Outcome]


# --- Pairs -----------------------------------------------------------------------------------------------------------


def make_pair(number: int, per_cent: float, seconds: float, sizes: str, sets: int | None, folder: Path) -> Pair:
    """Makes both runs, and compares them by both rules."""
    start = perf_counter()
    for name, slower in (("before", 0.0), ("after", per_cent)):
        measure(folder / name, number, slower, seconds, sizes, sets)
    took = perf_counter() - start
    return judged(folder, number, per_cent, took)


def measure(out: Path, seed: int, per_cent: float, seconds: float, sizes: str, sets: int | None) -> None:
    """One run, by the program itself, in an environment that has the slow-down in it."""
    command = [sys.executable, "-m", "gemmscope", "run", "--out", str(out), "--seed", str(seed), "--threads", "1",
               "--backends", ",".join(BACKENDS), "--backend-file", str(Path(__file__).with_name("planted.py")),
               "--sizes", sizes, "--seconds", str(seconds), "--experiments", "0"]  # fmt: skip
    if sets is not None:
        command += ["--sets", str(sets)]
    subprocess.run(command, env=os.environ | {"GEMMSCOPE_PLANTED": str(per_cent)}, check=True, capture_output=True)


def judged(folder: Path, number: int, per_cent: float, took: float) -> Pair:
    """What is said of two runs: by the rule for several libraries, and by that for a library alone.

    Raises:
        ClickException: If a fact was recorded that tells the runs apart, so that a plant would be a change of version.
    """
    said: dict[str, RunsComparison] = {"others": compared(folder)}
    with mock.patch.object(others, "FEWEST_VOICES", NO_VOICES):
        said["reference"] = compared(folder)
    changed = {change.backend for change in said["others"].changes if change.library_changed}
    if changed:
        raise click.ClickException(f"the runs in {folder} differ in what is recorded of {', '.join(sorted(changed))}")
    outcomes: list[Outcome] = []
    for rule, comparison in said.items():
        for one in comparison.changes:
            ratio = one.beside_others or (one.relative if one.rests_on_reference else None) or one.ratio
            outcomes.append(
                Outcome(rule, one.backend, str(one.shape), ratio.estimate, ratio.low, ratio.high, one.verdict)
            )
    sets = (said["others"].before.sets, said["others"].after.sets)
    return Pair(number, per_cent, took, sets, outcomes)


def compared(folder: Path) -> RunsComparison:
    """What ``gemmscope compare`` says of the pair in a folder."""
    found = gemmscope.compare([folder / "before", folder / "after"])
    if not isinstance(found, list):
        raise click.ClickException(f"the runs in {folder} are of two machines")
    return found[0]


# --- The command line ------------------------------------------------------------------------------------------------


@click.group(help=__doc__.partition("\n")[0])
def main() -> None:
    """Measures and counts."""


@main.command()
@click.option("--short", is_flag=True, help="Two pairs of runs of 10 s, one with a slow-down; nothing is kept.")
@click.option("--pairs", type=click.IntRange(min=1), default=10, show_default=True, help="With, and as many without.")
@click.option("--seconds", type=click.FloatRange(min=1), default=120.0, show_default=True, help="Budget of a run.")
@click.option("--slower", type=click.FloatRange(min=0), default=5.0, show_default=True, help="Per cent to plant.")
@click.option("--sizes", default="256,512", show_default=True, help="As for gemmscope run.")
@click.option("--sets", type=click.IntRange(min=2), help="As for gemmscope run, whose default it is.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("truth_runs.jsonl"),
              show_default=True, help="A line for each pair; those that it holds are not made again.")  # fmt: skip
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep the runs in this folder.")
@click.option("--stop-after", type=float, default=float("inf"), help="Begin no pair after so many seconds.")
def run(
    short: bool,
    pairs: int,
    seconds: float,
    slower: float,
    sizes: str,
    sets: int | None,
    out: Path,
    keep: Path | None,
    stop_after: float,
) -> None:
    """Make pairs of runs, and print the table."""
    if short:
        with tempfile.TemporaryDirectory() as folder:
            made = [make_pair(i, p, min(seconds, 10.0), sizes, sets, Path(folder) / f"{i}-{p:g}")
                    for i, p in enumerate((0.0, slower))]  # fmt: skip
        click.echo(table(made))
        return
    there = {(pair.number, pair.per_cent) for pair in read(out)} if out.exists() else set()
    missing = [case for i in range(pairs) for case in ((i, 0.0), (i, slower)) if case not in there]
    random.Random(len(missing)).shuffle(missing)
    begin = perf_counter()
    for done, (number, per_cent) in enumerate(missing):
        if perf_counter() - begin > stop_after:
            break
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) if keep is None else keep / f"{number}-{per_cent:g}"
            pair = make_pair(number, per_cent, seconds, sizes, sets, kept)
        with out.open("ab") as file:
            file.write(msgspec.json.encode(pair) + b"\n")
        click.echo(f"{done + 1} of {len(missing)}: {per_cent:g} % slower", err=True)
    click.echo(table(read(out)))


@main.command(name="table")
@click.argument("pairs", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def print_table(pairs: Path) -> None:
    """Print the table of a file of pairs, as Markdown."""
    click.echo(table(read(pairs)))


@main.command(name="again")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def judge_again(folder: Path) -> None:
    """Judge runs again that --keep has kept, and print the table."""
    made: list[Pair] = []
    for path in sorted(folder.iterdir()):
        number, _, per_cent = path.name.partition("-")
        if (path / "after" / "results.json").exists():
            made.append(judged(path, int(number), float(per_cent), 0.0))
    click.echo(table(made))


def read(path: Path) -> list[Pair]:
    """The pairs of a file."""
    return records.read(path, Pair, "bench/truth_runs.py")


def table(pairs: list[Pair]) -> str:
    """How often each rule found what was planted, and called different what was not, as Markdown."""
    slower = [pair for pair in pairs if pair.per_cent]
    same = [pair for pair in pairs if not pair.per_cent]
    planted = " and ".join(f"{per_cent:g} %" for per_cent in sorted({pair.per_cent for pair in slower})) or "nothing"
    lines = [
        f"| judged | found ({planted} planted) | another backend called different | false alarms (nothing planted) |",
        "| --- | --- | --- | --- |",
    ]
    for rule, name in RULES.items():
        found = [bool(named(pair, rule, ("slower",)) & {BASE}) for pair in slower]
        wrong = [bool(named(pair, rule, DIFFERENT) - {BASE}) for pair in slower]
        false = [bool(named(pair, rule, DIFFERENT)) for pair in same]
        lines.append(f"| {name} | {counted(found)} | {counted(wrong)} | {counted(false)} |")
    if slower:
        cells = [one for pair in slower for one in pair.outcomes if one.backend == BASE and one.rule == "others"]
        ratio = statistics.median(one.ratio for one in cells)
        lines += ["", f"The planted backend took {ratio:.3f} times as long, by the median over pairs and sizes."]
    return "\n".join(lines)


def named(pair: Pair, rule: str, verdicts: tuple[str, ...]) -> set[str]:
    """The backends of which a rule gave such a verdict in at least one cell."""
    return {one.backend for one in pair.outcomes if one.rule == rule and one.verdict in verdicts}


def counted(cases: list[bool]) -> str:
    """So many of so many, with the interval of Clopper and Pearson."""
    if not cases:
        return "no pairs"
    low, high = clopper_pearson(sum(cases), len(cases))
    return f"{sum(cases)} of {len(cases)} [{low:.0%}, {high:.0%}]"


if __name__ == "__main__":
    main()
