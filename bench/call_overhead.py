"""What a call costs: NumPy against gemmscope's native entry, on a product too small to matter.

    python bench/call_overhead.py
    python bench/call_overhead.py --size 64 --rounds 500

All candidates run in one process, on the same operands, in rounds of random order; what is printed are the medians and,
paired inside each round, the ratios to ``np.matmul(a, b, out=out)``. Absolute times are this machine's, today.
"""

from __future__ import annotations

import gc
import json
import random
import statistics
from itertools import repeat
from time import perf_counter
from typing import TYPE_CHECKING

import click
import numpy as np

from gemmscope import _native, native

if TYPE_CHECKING:
    from collections.abc import Callable

BASELINE = "np.matmul(a, b, out)"


def candidates(size: int, seed: int) -> dict[str, Callable[[int], float]]:
    """Loops that return the seconds of ``n`` products; each binds all it needs before its clock starts."""
    generator = np.random.default_rng(seed)
    a, b = (generator.uniform(-1, 1, (size, size)).astype(np.float32) for _ in range(2))
    out = np.empty((size, size), np.float32)
    plan = native.Plan(a, b, out)
    matmul, sgemm = np.matmul, native.sgemm

    def numpy_out(n: int) -> float:
        start = perf_counter()
        for _ in repeat(None, n):
            matmul(a, b, out)
        return perf_counter() - start

    def numpy_new(n: int) -> float:
        start = perf_counter()
        for _ in repeat(None, n):
            matmul(a, b)
        return perf_counter() - start

    def native_out(n: int) -> float:
        start = perf_counter()
        for _ in repeat(None, n):
            sgemm(a, b, out)
        return perf_counter() - start

    def native_new(n: int) -> float:
        start = perf_counter()
        for _ in repeat(None, n):
            sgemm(a, b)
        return perf_counter() - start

    def planned(n: int) -> float:
        start = perf_counter()
        for _ in repeat(None, n):
            plan()
        return perf_counter() - start

    def nothing(n: int) -> float:
        start = perf_counter()
        for _ in repeat(None, n):
            pass
        return perf_counter() - start

    return {
        BASELINE: numpy_out,
        "np.matmul(a, b)": numpy_new,
        "native.sgemm(a, b, out)": native_out,
        "native.sgemm(a, b)": native_new,
        "plan()": planned,
        "cblas_sgemm in a C++ loop": lambda n: _native.time_plans([plan], n),
        "the loop around nothing": nothing,
    }


def measure(loops: dict[str, Callable[[int], float]], rounds: int, calls: int, seed: int) -> dict[str, list[float]]:
    """Seconds of one product, by candidate and round; every round in another order, after an untimed warm-up."""
    order = list(loops)
    shuffle = random.Random(seed).shuffle
    seconds: dict[str, list[float]] = {name: [] for name in order}
    for loop in loops.values():
        loop(calls)
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                seconds[name].append(loops[name](calls) / calls)
    finally:
        gc.enable()
    return seconds


@click.command(help=__doc__.partition("\n")[0])
@click.option("--size", type=click.IntRange(min=1), default=2, show_default=True, help="M = N = K.")
@click.option("--rounds", type=click.IntRange(min=1), default=300, show_default=True)
@click.option("--calls", type=click.IntRange(min=1), default=1000, show_default=True, help="Calls of one sample.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print medians and ratios as JSON.")
def main(size: int, rounds: int, calls: int, seed: int, as_json: bool) -> None:
    """Measures and prints."""
    seconds = measure(candidates(size, seed), rounds, calls, seed)
    rows = {
        name: {
            "median_ns": 1e9 * statistics.median(values),
            "ratio": statistics.median(ours / base for ours, base in zip(values, seconds[BASELINE], strict=True)),
        }
        for name, values in seconds.items()
    }
    if as_json:
        click.echo(json.dumps({"size": size, "rounds": rounds, "calls": calls, "candidates": rows}, indent=1))
        return
    click.echo(
        f"{size}x{size}x{size} float32, {rounds} rounds of {calls} calls, medians; ratios paired inside rounds\n"
    )
    for name, row in rows.items():
        click.echo(f"{name:<28} {row['median_ns']:>9.1f} ns   {row['ratio']:>6.3f} of {BASELINE}")


if __name__ == "__main__":
    main()
