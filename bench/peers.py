"""gemmscope beside timeit, torch.utils.benchmark and pyperf, on the same products with the same threads.

    python bench/peers.py
    python bench/peers.py --sizes 64,256 --rounds 5 --threads 1

Every tool times np.matmul and torch.mm on ten pairs of operands in rotation, in processes of its own. A round is one
measurement by each tool, in random order; the ratio of a tool's figure to gemmscope's is taken inside a round. A fixed
product before and after each round says whether the machine was quiet: rounds in which it changed are set apart.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import timeit
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import gemmscope
from gemmscope.backends.base import thread_environment

if TYPE_CHECKING:
    from collections.abc import Callable

BACKENDS = ("numpy-cpu", "torch-cpu")
PAIRS = 10
PEERS = ("timeit", "torch.utils.benchmark", "pyperf")
# A round is quiet if the fixed product, in five looks before and five after it, stays within this share.
QUIET = 0.05


def rotating_call(backend: str, size: int) -> Callable[[], object]:
    """One product of the next of ten pairs: what every peer is given to time."""
    generator = np.random.default_rng(size)
    operands: list[tuple[Any, Any]] = [
        (
            generator.uniform(-1, 1, (size, size)).astype(np.float32),
            generator.uniform(-1, 1, (size, size)).astype(np.float32),
        )
        for _ in range(PAIRS)
    ]
    multiply: Callable[[Any, Any], object] = np.matmul
    if backend == "torch-cpu":
        import torch  # noqa: PLC0415

        torch.set_grad_enabled(False)
        operands = [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in operands]
        multiply = torch.mm
    following = itertools.cycle(operands).__next__

    def call() -> object:
        a, b = following()
        return multiply(a, b)

    return call


def by_timeit(backend: str, size: int) -> float:
    """``timeit``'s own protocol: as many calls as take 0.2 s, five times; the median, not its customary minimum."""
    timer = timeit.Timer(rotating_call(backend, size))
    number, _ = timer.autorange()
    return statistics.median(timer.repeat(5, number)) / number


def by_torch(backend: str, size: int) -> float:
    """The median of ``blocked_autorange``, with the threads of the process: by itself it would take one."""
    import torch  # noqa: PLC0415
    from torch.utils.benchmark import Timer  # noqa: PLC0415

    timer = Timer("call()", globals={"call": rotating_call(backend, size)}, num_threads=torch.get_num_threads())
    return float(timer.blocked_autorange(min_run_time=0.5).median)


def by_pyperf(backend: str, size: int) -> float:
    """The median over the values of ``pyperf timeit --fast``."""
    setup = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import peers; call = peers.rotating_call({backend!r}, {size})"  # noqa: E501
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, "-m", "pyperf", "timeit", "--fast", "--processes", "5", "-q", "-o", str(out),
                   "--inherit-environ", ",".join(thread_environment("1")), "-s", setup, "call()"]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        runs = json.loads(out.read_text())["benchmarks"][0]["runs"]
    return float(statistics.median(value for run in runs for value in run.get("values", ())))


MEASURE = {"timeit": by_timeit, "torch.utils.benchmark": by_torch, "pyperf": by_pyperf}


def by_gemmscope(sizes: list[int], threads: int | None, seconds: float, seed: int) -> dict[str, float]:
    """Gemmscope's medians, by backend and size."""
    with tempfile.TemporaryDirectory() as folder:
        result = gemmscope.run(sizes=sizes, backends=BACKENDS, pairs=PAIRS, threads=threads, seconds=seconds, seed=seed,
                               out=Path(folder) / "run")  # fmt: skip
    return {f"{cell.backend} {cell.m}": cell.seconds.median for cell in result.cells if cell.seconds is not None}


def by_peer(peer: str, sizes: list[int], threads: int | None) -> dict[str, float]:
    """A peer's figures, by backend and size; a fresh process for each backend, so that pools do not meet."""
    environment = os.environ | (thread_environment(str(threads)) if threads else {})
    figures: dict[str, float] = {}
    for backend in BACKENDS:
        command = [sys.executable, __file__, "--peer", peer, "--backend", backend, "--sizes", ",".join(map(str, sizes))]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        figures |= json.loads(done.stdout)
    return figures


def look_at_machine() -> list[float]:
    """Five times the seconds of a fixed product, on one thread and too small to be spread."""
    a = np.ones((40, 40), np.float32)
    looks = []
    for _ in range(5):
        start = perf_counter()
        for _ in range(2000):
            np.matmul(a, a.copy())
        looks.append(perf_counter() - start)
    return looks


def measure_rounds(
    sizes: list[int], peers: list[str], rounds: int, threads: int | None, seconds: float
) -> list[dict[str, Any]]:
    """For every round the figures of all tools, and whether the machine was quiet."""
    made = []
    for number in range(rounds):
        tools: dict[str, Callable[[], dict[str, float]]] = {
            "gemmscope": lambda seed=number: by_gemmscope(sizes, threads, seconds, seed),  # type: ignore[misc]
            **{peer: (lambda peer=peer: by_peer(peer, sizes, threads)) for peer in peers},  # type: ignore[misc]
        }
        order = list(tools)
        random.Random(number).shuffle(order)
        looks = look_at_machine()
        figures = {tool: tools[tool]() for tool in order}
        looks += look_at_machine()
        before, after = statistics.median(looks[:5]), statistics.median(looks[5:])
        made.append({"figures": figures, "quiet": abs(after / before - 1) <= QUIET})
        click.echo(f"round {number + 1} of {rounds}: {'quiet' if made[-1]['quiet'] else 'noisy'}", err=True)
    return made


@click.command(help=__doc__.partition("\n")[0])
@click.option("--sizes", default="64,256", show_default=True, help="M = N = K.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="For every tool; by default what each library takes.")
@click.option("--seconds", type=float, default=20.0, show_default=True, help="gemmscope's budget in each round.")
@click.option("--peers", default=",".join(PEERS), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.option("--peer", type=click.Choice(PEERS), hidden=True)
@click.option("--backend", type=click.Choice(BACKENDS), hidden=True)
def main(
    sizes: str,
    rounds: int,
    threads: int | None,
    seconds: float,
    peers: str,
    as_json: bool,
    peer: str | None,
    backend: str | None,
) -> None:
    """Measures and prints."""
    numbers = [int(size) for size in sizes.split(",")]
    if peer and backend:
        click.echo(json.dumps({f"{backend} {size}": MEASURE[peer](backend, size) for size in numbers}))
        return
    asked = [name for name in peers.split(",") if name != "pyperf" or importlib.util.find_spec("pyperf")]
    made = measure_rounds(numbers, asked, rounds, threads, seconds)
    if as_json:
        click.echo(json.dumps({"rounds": made}, indent=1))
        return
    quiet = [one for one in made if one["quiet"]]
    summary(quiet or made, asked, f"{len(quiet)} quiet of {len(made)} rounds" if quiet else "no round was quiet: all")
    if "pyperf" not in asked and "pyperf" in peers:
        click.echo("pyperf is not installed: pip install pyperf")


def summary(rounds: list[dict[str, Any]], peers: list[str], what: str) -> None:
    """The table: gemmscope's median, and each peer's figure as a ratio to it, with the range over rounds."""
    click.echo(f"{what}; ratio of a tool's figure to gemmscope's: median [least, most] over the rounds\n")
    click.echo(f"{'product':<16} {'gemmscope':>12}  " + "  ".join(f"{peer:<24}" for peer in peers))
    for product in rounds[0]["figures"]["gemmscope"]:
        ours = statistics.median(one["figures"]["gemmscope"][product] for one in rounds)
        cells = []
        for peer in peers:
            ratios = [one["figures"][peer][product] / one["figures"]["gemmscope"][product] for one in rounds]
            cells.append(f"{statistics.median(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}]".ljust(24))
        click.echo(f"{product:<16} {1e6 * ours:>9.2f} µs  " + "  ".join(cells))


if __name__ == "__main__":
    main()
