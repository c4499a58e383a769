"""gemmscope beside timeit, torch.utils.benchmark and pyperf, on the same products with the same threads.

    python bench/peers.py
    python bench/peers.py --sizes 64,256 --rounds 5 --threads 1

Every tool times np.matmul and torch.mm (under inference_mode) on ten pairs of operands in rotation, as gemmscope does:
one pair alone would stay in a cache that ten do not fit. Each works in processes of its own. Going round the pairs
costs the peers some 50 ns a call more than a bare product, and gemmscope 20; they time what they are given, so that
products of a few microseconds look that much slower.

A round is one measurement by each tool, in random order; the ratio of a tool's figure to gemmscope's is taken inside a
round. A fixed product, timed before the first tool and after each, says whether the machine was quiet: the summary is
over the quiet rounds, if there are any.
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
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import gemmscope
from gemmscope.backends.base import thread_environment
from gemmscope.errors import GemmscopeError

if TYPE_CHECKING:
    from collections.abc import Callable

BACKENDS = ("numpy-cpu", "torch-cpu")
PAIRS = 10
PEERS = ("timeit", "torch.utils.benchmark", "pyperf")
# A round is quiet if all looks at the fixed product lie within this share of each other.
QUIET = 0.05
# How near to gemmscope a peer's median should be on quiet rounds.
NEAR = 0.05

# Seconds of one product, by product ("numpy-cpu 64").
Figures = dict[str, float]

# --- The peers, each in a process of its own -------------------------------------------------------------------------

# What every peer is given to time, with the names that `namespace` makes.
STATEMENT = "multiply(*following())"


def namespace(backend: str, size: int) -> dict[str, Any]:
    """The call and the operands, going round ten pairs."""
    generator = np.random.default_rng(size)
    pairs: list[tuple[Any, Any]] = [
        (
            generator.uniform(-1, 1, (size, size)).astype(np.float32),
            generator.uniform(-1, 1, (size, size)).astype(np.float32),
        )
        for _ in range(PAIRS)
    ]
    if backend == "numpy-cpu":
        return {"multiply": np.matmul, "following": itertools.cycle(pairs).__next__}
    import torch  # noqa: PLC0415

    # For the rest of the process: the mode ends when its object does, so the namespace keeps it.
    mode = torch.inference_mode()
    mode.__enter__()
    pairs = [(torch.from_numpy(a).clone(), torch.from_numpy(b).clone()) for a, b in pairs]
    return {"multiply": torch.mm, "following": itertools.cycle(pairs).__next__, "mode": mode}


def by_timeit(backend: str, size: int) -> float:
    """``timeit``'s own protocol: as many calls as take 0.2 s, five times; the median, not its customary minimum."""
    timer = timeit.Timer(STATEMENT, globals=namespace(backend, size))
    number, _ = timer.autorange()
    return statistics.median(timer.repeat(5, number)) / number


def by_torch(backend: str, size: int) -> float:
    """The median of ``blocked_autorange``, with the threads of the process: by itself it would take one."""
    import torch  # noqa: PLC0415
    from torch.utils.benchmark import Timer  # noqa: PLC0415

    timer = Timer(STATEMENT, globals=namespace(backend, size), num_threads=torch.get_num_threads())
    return float(timer.blocked_autorange(min_run_time=0.5).median)


def by_pyperf(backend: str, size: int) -> float:
    """The median over the values of ``pyperf timeit --fast``, in five processes."""
    here = str(Path(__file__).parent)
    setup = f"import sys; sys.path.insert(0, {here!r}); import peers; "
    setup += f"globals().update(peers.namespace({backend!r}, {size}))"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        # pyperf starts its processes with an environment of its own; the thread counts must get through.
        command = [sys.executable, "-m", "pyperf", "timeit", "--fast", "--processes", "5", "-q", "-o", str(out),
                   "--inherit-environ", ",".join(thread_environment("1")), "-s", setup, STATEMENT]  # fmt: skip
        output_of(command)
        runs = json.loads(out.read_text())["benchmarks"][0]["runs"]
    return float(statistics.median(value for run in runs for value in run.get("values", ())))


MEASURE: dict[str, Callable[[str, int], float]] = {
    "timeit": by_timeit,
    "torch.utils.benchmark": by_torch,
    "pyperf": by_pyperf,
}


def absent(peer: str) -> str:
    """Why a peer cannot be asked, or nothing. The other two come with Python and with gemmscope."""
    if peer == "pyperf" and importlib.util.find_spec("pyperf") is None:
        return "not installed: pip install pyperf"
    return ""


def output_of(command: list[str], environment: dict[str, str] | None = None) -> str:
    """What a command prints.

    Raises:
        ClickException: If it fails, with the end of what it says about that.
    """
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-3:]
        raise click.ClickException(f"{' '.join(command[1:4])}… ended with {done.returncode}: {' / '.join(last)}")
    return done.stdout


# --- Rounds ----------------------------------------------------------------------------------------------------------


def by_gemmscope(sizes: list[int], threads: int | None, seconds: float, seed: int) -> Figures:
    """Gemmscope's medians, by backend and size."""
    with tempfile.TemporaryDirectory() as folder:
        result = gemmscope.run(sizes=sizes, backends=BACKENDS, pairs=PAIRS, threads=threads, seconds=seconds, seed=seed,
                               out=Path(folder) / "run")  # fmt: skip
    return {f"{cell.backend} {cell.m}": cell.seconds.median for cell in result.cells if cell.seconds is not None}


def by_peer(peer: str, sizes: list[int], threads: int | None) -> Figures:
    """A peer's figures, by backend and size; a fresh process for each backend, so that pools do not meet."""
    environment = os.environ | (thread_environment(str(threads)) if threads else {})
    figures: Figures = {}
    for backend in BACKENDS:
        command = [sys.executable, __file__, "--peer", peer, "--backend", backend, "--sizes", ",".join(map(str, sizes))]
        figures |= json.loads(output_of(command, environment))
    return figures


def look_at_machine() -> float:
    """Seconds of a fixed number of products, too small to be spread over threads; the median of five."""
    a = np.ones((40, 40), np.float32)
    b = a.copy()
    looks = []
    for _ in range(5):
        start = perf_counter()
        for _ in range(2000):
            np.matmul(a, b)
        looks.append(perf_counter() - start)
    return statistics.median(looks)


def measure_round(tools: dict[str, Callable[[], Figures]], seed: int) -> dict[str, Any]:
    """The figures of all tools, in random order, and whether the machine was quiet meanwhile."""
    order = list(tools)
    random.Random(seed).shuffle(order)
    figures: dict[str, Figures] = {}
    looks = [look_at_machine()]
    for tool in order:
        figures[tool] = tools[tool]()
        looks.append(look_at_machine())
    changed = max(looks) / min(looks) - 1
    return {"figures": figures, "changed": changed, "quiet": changed <= QUIET}


def measure_rounds(
    sizes: list[int], peers: list[str], rounds: int, threads: int | None, seconds: float
) -> list[dict[str, Any]]:
    """As many rounds as were asked for, each said on standard error when it has ended."""
    made = []
    for number in range(rounds):
        tools: dict[str, Callable[[], Figures]] = {peer: partial(by_peer, peer, sizes, threads) for peer in peers}
        tools["gemmscope"] = partial(by_gemmscope, sizes, threads, seconds, number)
        made.append(measure_round(tools, number))
        word = "quiet" if made[-1]["quiet"] else "noisy"
        changed = 100 * made[-1]["changed"]
        click.echo(f"round {number + 1} of {rounds}: {word}, the fixed product changed by {changed:.1f} %", err=True)
    return made


# --- What is printed -------------------------------------------------------------------------------------------------


def summarise(rounds: list[dict[str, Any]], peers: list[str]) -> dict[str, dict[str, Any]]:
    """For every product gemmscope's median, and each peer's ratio to it: median, least and most over the rounds."""
    products = list(dict.fromkeys(product for one in rounds for product in one["figures"]["gemmscope"]))
    rows: dict[str, dict[str, Any]] = {}
    for product in products:
        having = [one["figures"] for one in rounds if product in one["figures"]["gemmscope"]]
        rows[product] = {
            "gemmscope": statistics.median(figures["gemmscope"][product] for figures in having),
            "ratios": {},
        }
        for peer in peers:
            ratios = [figures[peer][product] / figures["gemmscope"][product] for figures in having]
            median = statistics.median(ratios)
            rows[product]["ratios"][peer] = {"median": median, "least": min(ratios), "most": max(ratios)}
    return rows


def print_summary(rows: dict[str, dict[str, Any]], peers: list[str], reasons: dict[str, str]) -> None:
    """The table: gemmscope's median, and a column for each peer that was asked for, measured or explained."""
    table = [["product", f"{'gemmscope':>12}", *peers, *reasons]]
    for product, row in rows.items():
        cells = ["{median:.3f} [{least:.3f}, {most:.3f}]".format(**row["ratios"][peer]) for peer in peers]
        table.append([product, f"{1e6 * row['gemmscope']:>9.2f} µs", *cells, *reasons.values()])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        click.echo("  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip())


def agreement(rows: dict[str, dict[str, Any]], quiet: int) -> str:
    """Which of the medians over quiet rounds are further from gemmscope's than they should be."""
    if not quiet:
        return "Without a quiet round there is no word on whether the tools agree."
    far = [
        f"{product} by {peer}"
        for product, row in rows.items()
        for peer, ratio in row["ratios"].items()
        if abs(ratio["median"] - 1) > NEAR
    ]
    if far:
        return f"Further than {100 * NEAR:.0f} % from gemmscope: {', '.join(far)}."
    return f"All medians lie within {100 * NEAR:.0f} % of gemmscope's."


def sizes_from(_context: click.Context, _parameter: click.Parameter, text: str) -> list[int]:
    """The sizes of an option such as ``64,256``."""
    sizes = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if len(sizes) < len(text.split(",")) or min(sizes) < 1:
        raise click.BadParameter(f"{text!r}: write whole numbers above 0 with commas between, such as 64,256")
    return list(dict.fromkeys(sizes))


def peers_from(_context: click.Context, _parameter: click.Parameter, text: str) -> list[str]:
    """The peers of an option such as ``timeit,pyperf``."""
    peers = list(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [peer for peer in peers if peer not in PEERS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(PEERS)}")
    return peers


@click.command(help=__doc__.partition("\n")[0])
@click.option("--sizes", callback=sizes_from, default="64,256", show_default=True, help="M = N = K.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Of one measurement a tool.")
@click.option("--threads", type=click.IntRange(min=1), help="For every tool; by default what each library takes.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=20.0, show_default=True, help="gemmscope's budget in each round.")  # fmt: skip  # noqa: E501
@click.option("--peers", callback=peers_from, default=",".join(PEERS), show_default=True, help="Which tools.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.option("--peer", type=click.Choice(PEERS), hidden=True)
@click.option("--backend", type=click.Choice(BACKENDS), hidden=True)
def main(
    sizes: list[int],
    rounds: int,
    threads: int | None,
    seconds: float,
    peers: list[str],
    as_json: bool,
    peer: str | None,
    backend: str | None,
) -> None:
    """Measures and prints."""
    if peer and backend:
        click.echo(json.dumps({f"{backend} {size}": MEASURE[peer](backend, size) for size in sizes}))
        return
    reasons = {name: absent(name) for name in peers if absent(name)}
    asked = [name for name in peers if name not in reasons]
    try:
        made = measure_rounds(sizes, asked, rounds, threads, seconds)
    except GemmscopeError as error:
        raise click.ClickException(str(error)) from error
    quiet = [one for one in made if one["quiet"]]
    rows = summarise(quiet or made, asked)
    if as_json:
        click.echo(json.dumps({"rounds": made, "quiet": len(quiet), "summary": rows, "absent": reasons}, indent=1))
        return
    what = f"{len(quiet)} of {len(made)} rounds were quiet" if quiet else f"no round of {len(made)} was quiet: all"
    click.echo(f"{what}; ratio of a tool's figure to gemmscope's: median [least, most] over these rounds\n")
    print_summary(rows, asked, reasons)
    click.echo(f"\n{agreement(rows, len(quiet))}")


if __name__ == "__main__":
    main()
