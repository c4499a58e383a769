"""The methods that are tried, each with its own way to a verdict on five copies of one call against that call.

Within a process all copies multiply the same arrays, by every method.

- gemmscope: a run with the planted backends; its verdicts.
- plain loop: 200 calls of one after 200 of the other; the ratio of medians against the margin.
- alternating loop: blocks of both in turn, in random order, on the same operands; the median of the ratios with the
  interval of the sign test, which is held against the margin as gemmscope holds its own. It may take as long as
  gemmscope.
- torch.utils.benchmark: ``blocked_autorange`` of one after the other; the ratio of medians against the margin.
- pyperf: ``pyperf timeit --fast`` of one after the other; ``pyperf compare_to --min-speed``, a t-test.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from common.commands import output_of
from common.intervals import median_interval
from planted import BASE, LEDGERS, SLOWDOWNS, achieved, name_of, operands_of, planted_call

import gemmscope
from gemmscope.analysis.statistics import verdict
from gemmscope.backends.base import thread_environment
from gemmscope.records.base import Interval

from .records import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent.parent
# Calls of a block of the alternating loop; the first is not timed.
BLOCK = 11


class Task(NamedTuple):
    """What a trial compares.

    ``size`` is M = N = K, ``seconds`` what gemmscope or the alternating loop may take, ``margin`` the smallest relative
    difference worth naming, ``seed`` the trial's number.
    """

    size: int
    seconds: float
    margin: float
    seed: int


def outcomes_of(method: str, task: Task) -> list[Outcome]:
    """What a method says of every slow-down, with what was really achieved while it measured."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[LEDGERS] = folder
        try:
            told = by_gemmscope(task) if method == "gemmscope" else by_peer(method, task)
        finally:
            del os.environ[LEDGERS]
        return [
            msgspec.structs.replace(one, achieved=achieved(Path(folder), name_of(one.per_cent)))
            for one in told
        ]  # fmt: skip


def by_gemmscope(task: Task) -> list[Outcome]:
    """A run of gemmscope with the planted backends; the verdicts are its own."""
    with tempfile.TemporaryDirectory() as folder:
        result = gemmscope.run(
            sizes=[task.size], backends=[BASE, *map(name_of, SLOWDOWNS)], backend_files=[HERE / "planted.py"],
            threads=1, seconds=task.seconds, margin=task.margin, seed=task.seed, out=Path(folder) / "run",
        )  # fmt: skip
    told = {comparison.backend: comparison for comparison in result.comparisons}
    outcomes = []
    for per_cent in SLOWDOWNS:
        one = told[name_of(per_cent)]
        outcomes.append(Outcome(per_cent, one.ratio.estimate, one.verdict, one.ratio.low, one.ratio.high))
    return outcomes


def by_peer(method: str, task: Task) -> list[Outcome]:
    """Another tool, in a fresh process.

    Raises:
        ClickException: If it fails, with the end of what it says about that.
    """
    command = [sys.executable, str(HERE / "truth.py"), "peer", method, *map(str, task)]
    return msgspec.json.decode(output_of(command, os.environ | thread_environment("1")), type=list[Outcome])


def plain_loop(task: Task) -> list[Outcome]:
    """Medians of 200 calls in sequence, one callable after the other."""
    multiply = operands_of(task.size, task.seed)

    def median(per_cent: float, name: str) -> float:
        call = planted_call(multiply, per_cent, name)
        seconds = []
        for _ in range(200):
            start = perf_counter()
            call()
            seconds.append(perf_counter() - start)
        return statistics.median(seconds)

    return by_ratio(median, task.margin)


def torch_benchmark(task: Task) -> list[Outcome]:
    """Medians of ``blocked_autorange``, as its documentation recommends."""
    from torch.utils.benchmark import Timer  # 1.7 s

    multiply = operands_of(task.size, task.seed)

    def median(per_cent: float, name: str) -> float:
        call = planted_call(multiply, per_cent, name)
        return float(Timer("call()", globals={"call": call}).blocked_autorange(min_run_time=0.2).median)

    return by_ratio(median, task.margin)


def by_ratio(measure: Callable[[float, str], float], margin: float) -> list[Outcome]:
    """The verdicts of a tool that gives none: its ratios against the margin, as if they were exact."""
    base = measure(0, BASE)
    outcomes = []
    for per_cent in SLOWDOWNS:
        ratio = measure(per_cent, name_of(per_cent)) / base
        outcomes.append(Outcome(per_cent, ratio, verdict(Interval(estimate=ratio, low=ratio, high=ratio), margin)))
    return outcomes


def alternating_loop(task: Task) -> list[Outcome]:
    """Blocks of the base and of a planted call in alternation, each slow-down for its share of the seconds."""
    multiply = operands_of(task.size, task.seed)
    base = planted_call(multiply, 0, BASE)
    outcomes = []
    for per_cent in SLOWDOWNS:
        planted = planted_call(multiply, per_cent, name_of(per_cent))
        ratios = block_ratios(base, planted, task.seconds / len(SLOWDOWNS), random.Random(task.seed))
        ratio = median_interval(ratios)
        outcomes.append(Outcome(per_cent, ratio.estimate, verdict(ratio, task.margin), ratio.low, ratio.high))
    return outcomes


def block_ratios(
    base: Callable[[], None],
    planted: Callable[[], None],
    seconds: float,
    order: random.Random,
    clock: Callable[[], float] = perf_counter,
) -> list[float]:
    """Ratios of the time of a block of planted calls to one of the base beside it, for so many seconds."""
    ratios: list[float] = []
    stop = clock() + seconds
    while not ratios or clock() < stop:
        took = {}
        for call in order.sample((base, planted), 2):
            call()
            start = clock()
            for _ in range(BLOCK - 1):
                call()
            took[call] = clock() - start
        ratios.append(took[planted] / took[base])
    return ratios


def pyperf(task: Task) -> list[Outcome]:
    """Means of ``pyperf timeit``, with pyperf's own test of whether they differ by more than the margin."""
    with tempfile.TemporaryDirectory() as folder:
        base = pyperf_timeit(Path(folder), task, 0, BASE)
        files = [pyperf_timeit(Path(folder), task, per_cent, name_of(per_cent)) for per_cent in SLOWDOWNS]
        return [pyperf_compare(base, file, per_cent, task) for per_cent, file in zip(SLOWDOWNS, files, strict=True)]


def pyperf_timeit(folder: Path, task: Task, per_cent: float, name: str) -> Path:
    """The file that pyperf's own command writes, with its fewest processes."""
    out = folder / f"{name}.json"
    call = f"planted.planted_call(planted.operands_of({task.size}, {task.seed}), {per_cent}, {name!r})"
    setup = f"import sys; sys.path.insert(0, {str(HERE)!r}); import planted; call = {call}"
    # pyperf passes no environment on unless told: without this its workers would use all threads.
    inherited = ",".join((LEDGERS, *thread_environment("1")))
    command = [sys.executable, "-m", "pyperf", "timeit", "--fast", "--processes", "5", "--min-time", "0.02",
               "--inherit-environ", inherited, "-q", "-o", str(out), "-s", setup, "call()"]  # fmt: skip
    output_of(command)
    return out


def pyperf_compare(base: Path, planted: Path, per_cent: float, task: Task) -> Outcome:
    """What ``pyperf compare_to`` says; it knows no "same", only what is significant."""
    minimum = f"{100 * task.margin:g}"
    said = output_of(
        [sys.executable, "-m", "pyperf", "compare_to", "-v", "--min-speed", minimum, str(base), str(planted)]
    )
    ratio = pyperf_mean(planted) / pyperf_mean(base)
    if any(line.startswith("Significant") for line in said.splitlines()):
        return Outcome(per_cent, ratio, "slower" if ratio > 1 else "faster")
    return Outcome(per_cent, ratio, "unclear")


def pyperf_mean(file: Path) -> float:
    """The mean over all values, in seconds."""
    runs = json.loads(file.read_text())["benchmarks"][0]["runs"]
    return statistics.fmean(value for run in runs for value in run.get("values", ()))


PEERS: dict[str, Callable[[Task], list[Outcome]]] = {
    "plain loop": plain_loop,
    "alternating loop": alternating_loop,
    "torch.utils.benchmark": torch_benchmark,
    "pyperf": pyperf,
}
METHODS = ("gemmscope", *PEERS)
