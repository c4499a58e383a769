"""Does gemmscope tell the truth? The same work against itself, and slow-downs that were planted, on this machine.

    python bench/truth.py run --short
    python bench/truth.py run --trials 100 --out truth.jsonl      # hours; go on with the same command
    python bench/truth.py run --trials 100 --lanes 6              # on a machine with twelve processors or more
    python bench/truth.py table truth.jsonl

A trial is one whole comparison by one method: gemmscope, a plain loop over the calls one after the other,
torch.utils.benchmark, pyperf. Each compares np.matmul with itself and with copies of itself that are slower by 1, 2, 5
and 10 %, with an idle machine or beside two noisy processes. Methods and conditions take turns in random order. With
lanes several trials run side by side, each on two processors of its own, its noisy neighbours among them.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

import click
import msgspec
import numpy as np

import gemmscope
from gemmscope.backends.base import thread_environment

sys.path.insert(0, str(Path(__file__).parent))  # the planted backends stand beside this script, wherever that is
from planted import SLOWDOWNS, slowed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BASE = "planted-base"
METHODS = ("gemmscope", "plain loop", "torch.utils.benchmark", "pyperf")
CONDITIONS = ("idle", "noisy")
NEIGHBOURS = 2
MARGIN = 0.01
# Processors of a lane: the one that works, and one for the harness and whatever else there is.
LANE = 2


class Outcome(msgspec.Struct, frozen=True):
    """What a method said of one planted slow-down: its ratio, and whether it calls it faster, slower, or neither."""

    per_cent: float
    ratio: float
    verdict: str


class Trial(msgspec.Struct, frozen=True):
    """One comparison by one method: the seconds that it took, and what it said."""

    method: str
    condition: str
    number: int
    size: int
    seconds: float
    outcomes: list[Outcome]


# --- The methods -----------------------------------------------------------------------------------------------------


def by_gemmscope(size: int, seconds: float, seed: int) -> list[Outcome]:
    """A run of gemmscope with the planted backends; the verdicts are its own."""
    names = [f"planted-{per_cent}" for per_cent in SLOWDOWNS]
    with tempfile.TemporaryDirectory() as folder:
        result = gemmscope.run(
            sizes=[size], backends=[BASE, *names], backend_files=[Path(__file__).with_name("planted.py")], threads=1,
            seconds=seconds, margin=MARGIN, seed=seed, out=Path(folder) / "run",
        )  # fmt: skip
    told = {comparison.backend: comparison for comparison in result.comparisons}
    return [
        Outcome(per_cent, told[name].ratio.estimate, told[name].verdict)
        for per_cent, name in zip(SLOWDOWNS, names, strict=True)
    ]


def by_peer(method: str, size: int, seed: int) -> list[Outcome]:
    """Another tool, in a fresh process. None of them gives a verdict, so its ratio is held against the same margin."""
    command = [sys.executable, __file__, "peer", method, "--size", str(size), "--seed", str(seed)]
    environment = os.environ | thread_environment("1")
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    ratios = json.loads(done.stdout)
    return [
        Outcome(per_cent, ratio, "slower" if ratio > 1 + MARGIN else "faster" if ratio < 1 / (1 + MARGIN) else "same")
        for per_cent, ratio in zip(SLOWDOWNS, ratios, strict=True)
    ]


def plain_loop(call: Callable[[], None]) -> float:
    """The median of 200 calls in sequence."""
    seconds = []
    for _ in range(200):
        start = perf_counter()
        call()
        seconds.append(perf_counter() - start)
    return statistics.median(seconds)


def torch_benchmark(call: Callable[[], None]) -> float:
    """The median of ``blocked_autorange``, as its documentation recommends."""
    from torch.utils.benchmark import Timer  # 1.7 s

    return float(Timer("call()", globals={"call": call}).blocked_autorange(min_run_time=0.2).median)


def pyperf_timeit(size: int, seed: int, per_cent: float) -> float:
    """The mean of ``pyperf timeit --fast``: pyperf's own command, with its fewest processes."""
    setup = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import truth; "
        f"call = truth.planted_call({size}, {seed}, {per_cent})"
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        # pyperf passes no environment on unless told: without this its workers would use all threads.
        command = [sys.executable, "-m", "pyperf", "timeit", "--fast", "--processes", "5", "--min-time", "0.02",
                   "--inherit-environ", ",".join(thread_environment("1")), "-q", "-o", str(out), "-s", setup, "call()"]  # fmt: skip  # noqa: E501
        subprocess.run(command, check=True, capture_output=True)
        runs = json.loads(out.read_text())["benchmarks"][0]["runs"]
    return statistics.fmean(value for run in runs for value in run.get("values", ()))


def planted_call(size: int, seed: int, per_cent: float) -> Callable[[], None]:
    """The same call that gemmscope times, on operands of its own."""
    generator = np.random.default_rng(seed)
    a, b = (generator.uniform(-1, 1, (size, size)).astype(np.float32) for _ in range(2))
    return slowed(a, b, np.empty((size, size), np.float32), per_cent)


# --- The conditions --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def condition_of(name: str) -> Iterator[None]:
    """Idle, or beside processes that compute in bursts of random length."""
    neighbours = []
    if name == "noisy":
        command = [sys.executable, __file__, "neighbour"]
        environment = os.environ | thread_environment("1")
        neighbours = [
            subprocess.Popen([*command, str(i), str(os.getpid())], env=environment) for i in range(NEIGHBOURS)
        ]
        sleep(0.5)
    try:
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


# --- The command line ------------------------------------------------------------------------------------------------


@click.group(help=__doc__.partition("\n")[0])
def main() -> None:
    """Measures and counts."""


@main.command()
@click.option("--short", is_flag=True, help="A minute's worth: two trials of gemmscope and one of each peer, idle.")
@click.option("--trials", type=click.IntRange(min=1), default=100, show_default=True, help="Of each case.")
@click.option("--seconds", type=float, default=20.0, show_default=True, help="Budget of one of gemmscope's runs.")
@click.option("--size", type=click.IntRange(min=1), default=256, show_default=True, help="M = N = K.")
@click.option("--methods", default=",".join(METHODS), show_default=True)
@click.option("--conditions", default=",".join(CONDITIONS), show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("truth.jsonl"), show_default=True,
              help="A line for each trial; trials that it holds already are not made again.")  # fmt: skip
@click.option("--stop-after", type=float, help="Begin no trial after so many seconds.")
@click.option("--lanes", type=click.IntRange(min=0), default=0, show_default=True,
              help="Trials side by side, each on two processors of its own (Linux); 0 for one on all.")  # fmt: skip
def run(
    short: bool,
    trials: int,
    seconds: float,
    size: int,
    methods: str,
    conditions: str,
    out: Path,
    stop_after: float | None,
    lanes: int,
) -> None:
    """Make trials, and print the table."""
    if short:
        counts = {"gemmscope": 2}
        cases = [(method, i) for method in METHODS for i in range(counts.get(method, 1))]
        done = [trial(method, "idle", i, size, min(seconds, 10.0)) for method, i in cases]
        click.echo(table(done))
        return
    wanted = [(m, c, i) for m in methods.split(",") for c in conditions.split(",") for i in range(trials)]
    there = {(t.method, t.condition, t.number) for t in read(out)} if out.exists() else set()
    missing = [case for case in wanted if case not in there]
    random.Random(len(missing)).shuffle(missing)
    make_trials(missing, out, size, seconds, stop_after or math.inf, processors_of(lanes))
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


def make_trials(
    cases: list[tuple[str, str, int]],
    out: Path,
    size: int,
    seconds: float,
    stop_after: float,
    lanes: list[set[int] | None],
) -> None:
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
            made = trial_apart(case, size, seconds, processors)
            with lock, out.open("ab") as file:
                file.write(made + b"\n")
            click.echo(f"{number} of {len(cases)}: {case[0]}, {case[1]}", err=True)

    with ThreadPoolExecutor(len(lanes)) as pool:
        for done in [pool.submit(work, processors) for processors in lanes]:
            done.result()


def trial_apart(case: tuple[str, str, int], size: int, seconds: float, processors: set[int] | None) -> bytes:
    """A trial in a process of its own, on these processors, as JSON."""
    method, condition, number = case
    command = [sys.executable, __file__, "one", method, condition, str(number), str(size), str(seconds)]
    if processors is not None:
        command = ["taskset", "--cpu-list", ",".join(map(str, sorted(processors))), *command]
    return subprocess.run(command, check=True, capture_output=True).stdout.strip()


@main.command(hidden=True)
@click.argument("method")
@click.argument("condition")
@click.argument("number", type=int)
@click.argument("size", type=int)
@click.argument("seconds", type=float)
def one(method: str, condition: str, number: int, size: int, seconds: float) -> None:
    """Make one trial, and print it as JSON."""
    click.echo(msgspec.json.encode(trial(method, condition, number, size, seconds)))


@main.command(name="table")
@click.argument("trials", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def print_table(trials: Path) -> None:
    """Print the table of a file of trials, as Markdown."""
    click.echo(table(read(trials)))


@main.command(hidden=True)
@click.argument("method")
@click.option("--size", type=int, required=True)
@click.option("--seed", type=int, required=True)
def peer(method: str, size: int, seed: int) -> None:
    """Print a peer's ratios to its own time of the base, as JSON."""
    measure: dict[str, Callable[[float], float]] = {
        "plain loop": lambda per_cent: plain_loop(planted_call(size, seed, per_cent)),
        "torch.utils.benchmark": lambda per_cent: torch_benchmark(planted_call(size, seed, per_cent)),
        "pyperf": lambda per_cent: pyperf_timeit(size, seed, per_cent),
    }
    base = measure[method](0.0)
    click.echo(json.dumps([measure[method](per_cent) / base for per_cent in SLOWDOWNS]))


@main.command(hidden=True)
@click.argument("seed", type=int)
@click.argument("parent", type=int)
def neighbour(seed: int, parent: int) -> None:
    """Compute in bursts until the parent is gone."""
    generator = random.Random(seed)
    call = planted_call(300, seed, 0.0)
    while os.getppid() == parent:
        end = perf_counter() + generator.uniform(0.005, 0.2)
        while perf_counter() < end:
            call()
        sleep(generator.uniform(0.005, 0.3))


def trial(method: str, condition: str, number: int, size: int, seconds: float) -> Trial:
    """One trial of one case."""
    with condition_of(condition):
        start = perf_counter()
        outcomes = by_gemmscope(size, seconds, number) if method == "gemmscope" else by_peer(method, size, number)
        return Trial(method, condition, number, size, perf_counter() - start, outcomes)


def read(path: Path) -> list[Trial]:
    """The trials of a file."""
    return [msgspec.json.decode(line, type=Trial) for line in path.read_bytes().splitlines()]


def clopper_pearson(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson, Biometrika 26, 1934)."""
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = float(betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return low, high


def table(trials: list[Trial]) -> str:
    """How often each method called a difference, by what was planted, as Markdown."""
    head = ["method", "machine", "trials", "time", "itself: called different"]
    head += [f"{per_cent} %: called slower" for per_cent in SLOWDOWNS[1:]]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    for method in METHODS:
        for condition in CONDITIONS:
            made = [t for t in trials if (t.method, t.condition) == (method, condition)]
            if made:
                lines.append("| " + " | ".join(row(method, condition, made)) + " |")
    return "\n".join(lines)


def row(method: str, condition: str, made: list[Trial]) -> list[str]:
    """A row of the table: counts, with their intervals."""
    cells = [method, condition, str(len(made)), f"{statistics.median(t.seconds for t in made):.0f} s"]
    for per_cent in SLOWDOWNS:
        verdicts = [o.verdict for t in made for o in t.outcomes if o.per_cent == per_cent]
        calls: Any = ("faster", "slower") if per_cent == 0 else ("slower",)
        count = sum(verdict in calls for verdict in verdicts)
        low, high = clopper_pearson(count, len(verdicts))
        cells.append(f"{count} of {len(verdicts)} [{low:.0%}, {high:.0%}]")
    return cells


if __name__ == "__main__":
    main()
