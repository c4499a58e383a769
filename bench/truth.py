"""Does gemmscope tell the truth? The same work against itself, and slow-downs that were planted, on this machine.

    python bench/truth.py run --short
    python bench/truth.py run --trials 100 --out truth.jsonl      # hours; go on with the same command
    python bench/truth.py run --trials 100 --lanes 6              # on a machine with twelve processors or more
    python bench/truth.py run --trials 200 --margin 0.5% --seconds 12 --methods gemmscope --conditions idle
    python bench/truth.py table truth.jsonl
    python bench/truth.py plant                                   # how large are the slow-downs really?

A trial is one whole comparison by one method: gemmscope, a plain loop over the calls one after the other, a loop that
alternates between them, torch.utils.benchmark, pyperf. Each compares np.matmul with itself and with copies of itself
that are slower by 1, 2, 5 and 10 %: on an idle machine, beside two noisy processes, or beside bursts of two busy
threads. How much slower the copies really were is noted in every trial by a clock of the plant's own. Methods and
conditions take turns in random order. With lanes several trials run side by side, each on two processors of its own,
its neighbours among them.
"""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import click
import msgspec

from gemmscope.cli.parameters import percent

sys.path.insert(0, str(Path(__file__).parent))  # what is planted stands beside this script, wherever that is
from common import markdown
from common.intervals import median_interval
from planted import BASE, LEDGERS, SLOWDOWNS, Ledger, achieved, name_of, operands_of, slowed
from trials.conditions import CONDITIONS, condition_of
from trials.methods import METHODS, PEERS, Task, block_ratios, outcomes_of
from trials.records import Trial, check_goes_on, read
from trials.table import table

# Processors of a lane: the one that works, and one for the harness and whatever else there is.
LANE = 2

SIZE = click.option("--size", type=click.IntRange(min=1), default=256, show_default=True, help="M = N = K.")


def positive(share: float) -> float:
    """A margin that something can lie above or below.

    Raises:
        BadParameter: If it is none.
    """
    if not 0 < share < 1:
        raise click.BadParameter("expected a percentage above 0 and below 100")
    return share


def names_from(known: tuple[str, ...], text: str) -> list[str]:
    """The names of an option such as ``idle,noisy``.

    Raises:
        BadParameter: If one of them is not known.
    """
    names = list(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known)}")
    return names


@click.group(help=__doc__.partition("\n")[0])
def main() -> None:
    """Measures and counts."""


@main.command()
@click.option("--short", is_flag=True, help="A minute's worth: two trials of gemmscope and one of each peer, idle.")
@click.option("--trials", type=click.IntRange(min=1), default=100, show_default=True, help="Of each case.")
@click.option("--seconds", type=float, default=20.0, show_default=True,
              help="Budget of one run of gemmscope, or of the alternating loop.")  # fmt: skip
@click.option("--margin", type=percent, default="1%", show_default=True, callback=lambda _c, _p, share: positive(share),
              help="The smallest relative difference worth naming, for every method.")  # fmt: skip
@SIZE
@click.option("--methods", default=",".join(METHODS), show_default=True, callback=lambda _c, _p, text: names_from(METHODS, text))  # fmt: skip  # noqa: E501
@click.option("--conditions", default=",".join(CONDITIONS), show_default=True, callback=lambda _c, _p, text: names_from(CONDITIONS, text))  # fmt: skip  # noqa: E501
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("truth.jsonl"), show_default=True,
              help="A line for each trial; trials that it holds already are not made again.")  # fmt: skip
@click.option("--stop-after", type=float, help="Begin no trial after so many seconds.")
@click.option("--lanes", type=click.IntRange(min=0), default=0, show_default=True,
              help="Trials side by side, each on two processors of its own (Linux); 0 for one on all.")  # fmt: skip
def run(
    short: bool,
    trials: int,
    seconds: float,
    margin: float,
    size: int,
    methods: list[str],
    conditions: list[str],
    out: Path,
    stop_after: float | None,
    lanes: int,
) -> None:
    """Make trials, and print the table."""
    if short:
        counts = {"gemmscope": 2}
        cases = [(method, i) for method in methods for i in range(counts.get(method, 1))]
        click.echo(table([trial(method, "idle", Task(size, min(seconds, 10.0), margin, i)) for method, i in cases]))
        return
    there = read(out) if out.exists() else []
    check_goes_on(there, out, size, margin)
    wanted = [(m, c, i) for m in methods for c in conditions for i in range(trials)]
    made = {(t.method, t.condition, t.number) for t in there}
    missing = [(m, c, Task(size, seconds, margin, i)) for m, c, i in wanted if (m, c, i) not in made]
    random.Random(len(missing)).shuffle(missing)
    make_trials(missing, out, stop_after or math.inf, processors_of(lanes))
    click.echo(table(read(out)))


def processors_of(lanes: int) -> list[set[int] | None]:
    """The processors of each lane; one lane without any of its own if none are asked for.

    Raises:
        UsageError: If there are not so many.
    """
    if lanes == 0:
        return [None]
    allowed = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    if len(allowed) < LANE * lanes:
        raise click.UsageError(f"{lanes} lanes need {LANE * lanes} processors; this process may use {len(allowed)}")
    return [set(allowed[LANE * i : LANE * (i + 1)]) for i in range(lanes)]


def make_trials(cases: list[tuple[str, str, Task]], out: Path, stop_after: float, lanes: list[set[int] | None]) -> None:
    """Makes the trials in as many lanes; each is a line of the file as soon as it is done."""
    begin = perf_counter()
    waiting = iter(enumerate(cases, 1))
    lock = threading.Lock()

    def work(processors: set[int] | None) -> None:
        while True:
            with lock:
                number, case = next(waiting, (0, None))
            if case is None or perf_counter() - begin > stop_after:
                return
            made = trial_apart(*case, processors)
            with lock, out.open("ab") as file:
                file.write(made + b"\n")
            click.echo(f"{number} of {len(cases)}: {case[0]}, {case[1]}", err=True)

    with ThreadPoolExecutor(len(lanes)) as pool:
        for done in [pool.submit(work, processors) for processors in lanes]:
            done.result()


def trial_apart(method: str, condition: str, task: Task, processors: set[int] | None) -> bytes:
    """A trial in a process of its own, on these processors, as JSON."""
    command = [sys.executable, __file__, "one", method, condition, *map(str, task)]
    if processors is not None:
        command = ["taskset", "--cpu-list", ",".join(map(str, sorted(processors))), *command]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.strip()


def trial(method: str, condition: str, task: Task) -> Trial:
    """One trial of one case."""
    with condition_of(condition, task.seed):
        start = perf_counter()
        outcomes = outcomes_of(method, task)
        seconds = perf_counter() - start
    return Trial(method, condition, task.seed, task.size, seconds, outcomes, task.margin, task.seconds)


@main.command(hidden=True)
@click.argument("method", type=click.Choice(METHODS))
@click.argument("condition", type=click.Choice(CONDITIONS))
@click.argument("size", type=int)
@click.argument("seconds", type=float)
@click.argument("margin", type=float)
@click.argument("seed", type=int)
def one(method: str, condition: str, size: int, seconds: float, margin: float, seed: int) -> None:
    """Make one trial, and print it as JSON."""
    click.echo(msgspec.json.encode(trial(method, condition, Task(size, seconds, margin, seed))))


@main.command(hidden=True)
@click.argument("method", type=click.Choice(list(PEERS)))
@click.argument("size", type=int)
@click.argument("seconds", type=float)
@click.argument("margin", type=float)
@click.argument("seed", type=int)
def peer(method: str, size: int, seconds: float, margin: float, seed: int) -> None:
    """Print what a peer says, as JSON."""
    click.echo(msgspec.json.encode(PEERS[method](Task(size, seconds, margin, seed))))


@main.command(name="table")
@click.argument("trials", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def print_table(trials: Path) -> None:
    """Print the tables of a file of trials, as Markdown."""
    click.echo(table(read(trials)))


@main.command()
@SIZE
@click.option("--seconds", type=float, default=5.0, show_default=True, help="For each slow-down.")
def plant(size: int, seconds: float) -> None:
    """Print how large the slow-downs really are, found in two ways.

    By the plant's own ledger, and by blocks of both calls in alternation, which would also show what a wait does to the
    multiplication after it.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ[LEDGERS] = folder
        multiply = operands_of(size, 0)
        for per_cent in SLOWDOWNS:
            ledgers = Ledger(BASE), Ledger(name_of(per_cent))
            base, planted = slowed(multiply, 0, ledgers[0].ratios), slowed(multiply, per_cent, ledgers[1].ratios)
            ratio = median_interval(block_ratios(base, planted, seconds, random.Random(per_cent)))
            for ledger in ledgers:
                ledger.keep()
            noted = achieved(Path(folder), name_of(per_cent)) or 0.0
            estimate, low, high = (100 * (x - 1) for x in (ratio.estimate, ratio.low or 0.0, ratio.high or math.inf))
            rows.append([f"{per_cent} %", f"{noted:.3f} %", f"{estimate:.2f} % [{low:.2f}, {high:.2f}]"])
    click.echo(markdown.table(["planted", "by its ledger", "by alternation"], rows))


if __name__ == "__main__":
    main()
