"""gemmscope beside timeit, torch.utils.benchmark and pyperf, on the same products with the same threads.

    python bench/peers.py --threads 1
    python bench/peers.py --sizes 64,256 --rounds 5 --threads 1
    python bench/peers.py --fresh --shapes 384,96x640x1280 --processes 10

Every tool times np.matmul and torch.mm (under inference_mode) on ten pairs of operands in rotation, as gemmscope does:
one pair alone would stay in a cache that ten do not fit. Each works in processes of its own. Going round the pairs
costs the peers some 50 ns a call more than a bare product, and gemmscope 20; they time what they are given, so that
products of a few microseconds look that much slower.

On a shared machine a product can take 40 % longer from one second to the next. So every tool measures in short
pieces, and a fixed product is timed just before and after each: a piece was quiet if the fixed product ran at full
speed at both ends, which is what its fastest tenth took. Within a round (a measurement by each tool, in random order)
the medians over quiet pieces are compared. With one thread, all work on the same processor where the system lets them,
so that the fixed product speaks for it.

With --fresh timeit and torch.utils.benchmark run as in an ordinary program, in a fresh process for each measurement,
and page faults are counted: where a call allocates, its time depends on what its process did before.
"""

from __future__ import annotations

import bisect
import importlib.util
import json
import math
import os
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

import gemmscope
from gemmscope.backends.base import thread_environment
from gemmscope.errors import GemmscopeError

sys.path.insert(0, str(Path(__file__).parent))  # what peers do stands beside this script, wherever that is
from common.commands import output_of
from peering.fresh import BACKENDS, compare, markdown, shapes_from
from peering.pieces import MEASURE, Piece, Pieces, pieces_of
from peering.program import PAIRS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmscope.records.model import Result, Sample
    from gemmscope.workload.shapes import Shape

PEERS = ("timeit", "torch.utils.benchmark", "pyperf")
# A piece is quiet if the fixed product was within this share of its full speed.
QUIET = 0.05
# How near to gemmscope a peer's median should be on quiet rounds.
NEAR = 0.05
# One piece may be slow between two looks at full speed; a round counts where a tool has so many quiet ones.
FEWEST = 2


def absent(peer: str) -> str:
    """Why a peer cannot be asked, or nothing. The other two come with Python and with gemmscope."""
    if peer == "pyperf" and importlib.util.find_spec("pyperf") is None:
        return "not installed: pip install pyperf"
    return ""


# --- Rounds ----------------------------------------------------------------------------------------------------------


def by_gemmscope(sizes: list[int], threads: int | None, seconds: float, seed: int) -> Pieces:
    """Gemmscope's turns, by backend and size."""
    with tempfile.TemporaryDirectory() as folder:
        return turns_of(gemmscope.run(sizes=sizes, backends=BACKENDS, pairs=PAIRS, threads=threads, seconds=seconds,
                                      seed=seed, out=Path(folder) / "run"))  # fmt: skip


def turns_of(result: Result) -> Pieces:
    """The median of each turn, with the slower of the canary's turns before and after it."""
    reference = [
        (turn[0].start, median_of(turn)) for turn in turns(result.reference.samples if result.reference else ())
    ]
    starts = [start for start, _ in reference]
    pieces: Pieces = {}
    for cell in result.cells:
        if cell.seconds is None or cell.mode != "latency":
            continue
        pieces[f"{cell.backend} {cell.m}"] = []
        for turn in turns(cell.samples):
            after = bisect.bisect(starts, turn[0].start)
            beside = [median for _, median in reference[max(after - 1, 0) : after + 1]]
            pieces[f"{cell.backend} {cell.m}"].append(Piece(median_of(turn), max(beside, default=math.inf)))
    return pieces


def turns(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Samples by the turn they were taken in, in the order of time."""
    taken: dict[tuple[int, int, int], list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.start):
        taken[sample.set, sample.round, sample.turn].append(sample)
    return sorted(taken.values(), key=lambda turn: turn[0].start)


def median_of(turn: Sequence[Sample]) -> float:
    """Seconds of one product."""
    return statistics.median(sample.seconds / sample.loops for sample in turn)


def by_peer(peer: str, sizes: list[int], threads: int | None) -> Pieces:
    """A peer's pieces, by backend and size; a fresh process for each backend, so that pools do not meet."""
    environment = os.environ | (thread_environment(str(threads)) if threads else {})
    pieces: Pieces = {}
    for backend in BACKENDS:
        command = [sys.executable, __file__, "--peer", peer, "--backend", backend, "--sizes", ",".join(map(str, sizes))]
        for product, taken in json.loads(output_of(command, environment)).items():
            pieces[product] = [Piece(*piece) for piece in taken]
    return pieces


def measure_rounds(
    sizes: list[int], peers: list[str], rounds: int, threads: int | None, seconds: float
) -> list[dict[str, Pieces]]:
    """As many rounds as were asked for, the tools of each in random order; each said on standard error when it ends."""
    made = []
    for number in range(rounds):
        tools: dict[str, Callable[[], Pieces]] = {peer: partial(by_peer, peer, sizes, threads) for peer in peers}
        tools["gemmscope"] = partial(by_gemmscope, sizes, threads, seconds, number)
        order = list(tools)
        random.Random(number).shuffle(order)
        made.append({tool: tools[tool]() for tool in order})
        click.echo(f"round {number + 1} of {rounds} has ended", err=True)
    return made


def stay_on_one_processor() -> None:
    """This process and all that it starts; nothing where the system has no such call."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


# --- What is printed -------------------------------------------------------------------------------------------------


def full_speed(rounds: Sequence[dict[str, Pieces]], tools: Sequence[str]) -> float:
    """Seconds of the fixed product in its fastest tenth; gemmscope and the peers have each one of their own."""
    seen = sorted(piece.fixed for one in rounds for tool in tools for pieces in one[tool].values() for piece in pieces)
    return seen[len(seen) // 10] if seen else math.inf


def quiet_medians(rounds: Sequence[dict[str, Pieces]], peers: Sequence[str]) -> list[dict[str, dict[str, float]]]:
    """Of each round, by tool and product, the median over the quiet pieces; products with too few are left out."""
    limits = dict.fromkeys(peers, (1 + QUIET) * full_speed(rounds, peers))
    limits["gemmscope"] = (1 + QUIET) * full_speed(rounds, ["gemmscope"])
    medians: list[dict[str, dict[str, float]]] = []
    for one in rounds:
        medians.append({})
        for tool, limit in limits.items():
            quiet = {product: [piece.seconds for piece in pieces if piece.fixed <= limit]
                     for product, pieces in one[tool].items()}  # fmt: skip
            medians[-1][tool] = {
                product: statistics.median(taken) for product, taken in quiet.items() if len(taken) >= FEWEST
            }
    return medians


def summarise(rounds: Sequence[dict[str, Pieces]], peers: list[str]) -> dict[str, dict[str, Any]]:
    """For every product gemmscope's median, and each peer's ratio to it: median, least and most over the rounds.

    A round counts where both have quiet pieces; ``rounds`` says how many do.
    """
    medians = quiet_medians(rounds, peers)
    products = list(dict.fromkeys(product for one in medians for product in one["gemmscope"]))
    rows: dict[str, dict[str, Any]] = {}
    for product in products:
        having = [one for one in medians if product in one["gemmscope"]]
        rows[product] = {"gemmscope": statistics.median(one["gemmscope"][product] for one in having), "ratios": {}}
        for peer in peers:
            ratios = [one[peer][product] / one["gemmscope"][product] for one in having if product in one[peer]]
            if ratios:
                median = statistics.median(ratios)
                rows[product]["ratios"][peer] = {"median": median, "least": min(ratios), "most": max(ratios),
                                                 "rounds": len(ratios)}  # fmt: skip
    return rows


def print_summary(rows: dict[str, dict[str, Any]], peers: list[str], reasons: dict[str, str]) -> None:
    """The table: gemmscope's median, and a column for each peer that was asked for, measured or explained."""
    table = [["product", f"{'gemmscope':>12}", *peers, *reasons]]
    for product, row in rows.items():
        cells = [
            "{median:.3f} [{least:.3f}, {most:.3f}] {rounds}".format(**row["ratios"][peer])
            if peer in row["ratios"]
            else "never quiet"
            for peer in peers
        ]
        table.append([product, f"{1e6 * row['gemmscope']:>9.2f} µs", *cells, *reasons.values()])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        click.echo("  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip())


def agreement(rows: dict[str, dict[str, Any]]) -> str:
    """Which of the medians over quiet pieces are further from gemmscope's than they should be."""
    ratios = {
        f"{product} by {peer}": ratio["median"]
        for product, row in rows.items()
        for peer, ratio in row["ratios"].items()
    }
    if not ratios:
        return "Without a quiet round there is no word on whether the tools agree."
    far = [what for what, ratio in ratios.items() if abs(ratio - 1) > NEAR]
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
@click.option(
    "--fresh", is_flag=True, help="Fresh processes, as ordinary programs are; timeit and torch.utils.benchmark."
)
@click.option("--shapes", callback=shapes_from, default="384,640,1448,96x640x1280", show_default=True, help="With --fresh: M=N=K or MxNxK.")  # fmt: skip  # noqa: E501
@click.option("--processes", type=click.IntRange(min=1), default=10, show_default=True, help="With --fresh: of each tool on each shape, and gemmscope's sets.")  # fmt: skip  # noqa: E501
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.option("--peer", type=click.Choice(PEERS), hidden=True)
@click.option("--backend", type=click.Choice(BACKENDS), hidden=True)
def main(
    sizes: list[int],
    rounds: int,
    threads: int | None,
    seconds: float,
    peers: list[str],
    fresh: bool,
    shapes: list[Shape],
    processes: int,
    as_json: bool,
    peer: str | None,
    backend: str | None,
) -> None:
    """Measures and prints."""
    if threads == 1:
        stay_on_one_processor()
    if peer and backend:
        taken = {f"{backend} {size}": pieces_of(MEASURE[peer](backend, size)) for size in sizes}
        click.echo(json.dumps(taken))
        return
    if fresh:
        try:
            compared = compare(shapes, peers, processes, threads, seconds)
        except GemmscopeError as error:
            raise click.ClickException(str(error)) from error
        click.echo(msgspec.json.encode(compared) if as_json else markdown(compared))
        return
    reasons = {name: absent(name) for name in peers if absent(name)}
    asked = [name for name in peers if name not in reasons]
    try:
        made = measure_rounds(sizes, asked, rounds, threads, seconds)
    except GemmscopeError as error:
        raise click.ClickException(str(error)) from error
    rows = summarise(made, asked)
    if as_json:
        click.echo(json.dumps({"rounds": made, "summary": rows, "absent": reasons}, indent=1))
        return
    click.echo("ratio of a tool's median to gemmscope's, over quiet pieces: median [least, most] over so many rounds\n")
    print_summary(rows, asked, reasons)
    click.echo(f"\n{agreement(rows)}")


if __name__ == "__main__":
    main()
