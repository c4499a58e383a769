"""The peers, each measuring in short pieces in a process of its own, with a fixed product timed beside each piece."""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import tempfile
import timeit
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from common.commands import output_of

from gemmscope.backends.base import thread_environment

from .program import PAIRS, STATEMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Seconds and number of a peer's pieces, for each product in a round. pyperf's are processes.
PIECE, PIECES, PROCESSES = 0.2, 21, 4


class Piece(NamedTuple):
    """Seconds of one product, and of the fixed product beside it: just before or after, whichever was slower."""

    seconds: float
    fixed: float


# The pieces of a tool in a round, by product ("numpy-cpu 64").
Pieces = dict[str, list[Piece]]


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
    import torch

    # For the rest of the process: the mode ends when its object does, so the namespace keeps it.
    mode = torch.inference_mode()
    mode.__enter__()
    pairs = [(torch.from_numpy(a).clone(), torch.from_numpy(b).clone()) for a, b in pairs]
    return {"multiply": torch.mm, "following": itertools.cycle(pairs).__next__, "mode": mode}


def timeit_pieces(backend: str, size: int) -> Iterator[float]:
    """``timeit``'s own protocol: as many calls as take 0.2 s, again and again."""
    timer = timeit.Timer(STATEMENT, globals=namespace(backend, size))
    number, _ = timer.autorange()
    for _ in range(PIECES):
        yield timer.timeit(number) / number


def torch_pieces(backend: str, size: int) -> Iterator[float]:
    """Medians of ``blocked_autorange``, with the threads of the process: by itself it would take one."""
    import torch
    from torch.utils.benchmark import Timer

    timer = Timer(STATEMENT, globals=namespace(backend, size), num_threads=torch.get_num_threads())
    for _ in range(PIECES):
        yield float(timer.blocked_autorange(min_run_time=PIECE).median)


def pyperf_pieces(backend: str, size: int) -> Iterator[float]:
    """Medians over the values of ``pyperf timeit --fast``, a process each."""
    here = str(Path(__file__).parent.parent)
    setup = f"import sys; sys.path.insert(0, {here!r}); import peering.pieces; "
    setup += f"globals().update(peering.pieces.namespace({backend!r}, {size}))"
    for _ in range(PROCESSES):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.json"
            # pyperf starts its processes with an environment of its own; the thread counts must get through.
            command = [sys.executable, "-m", "pyperf", "timeit", "--fast", "--processes", "1", "-q", "-o", str(out),
                       "--inherit-environ", ",".join(thread_environment("1")), "-s", setup, STATEMENT]  # fmt: skip
            output_of(command)
            runs = json.loads(out.read_text())["benchmarks"][0]["runs"]
        yield float(statistics.median(value for run in runs for value in run.get("values", ())))


MEASURE: dict[str, Callable[[str, int], Iterator[float]]] = {
    "timeit": timeit_pieces,
    "torch.utils.benchmark": torch_pieces,
    "pyperf": pyperf_pieces,
}


def fixed_product() -> float:
    """Seconds of a product of the size of gemmscope's canary, with the library's own threads; the median of 30 ms."""
    a = np.ones((192, 192), np.float32)
    blocks: list[float] = []
    begin = perf_counter()
    while not blocks or perf_counter() - begin < 50e-3:
        start = perf_counter()
        for _ in range(10):
            np.matmul(a, a)
        # The first calls after a pause are slower.
        if start - begin > 20e-3:
            blocks.append((perf_counter() - start) / 10)
    return statistics.median(blocks)


def pieces_of(measured: Iterator[float], look: Callable[[], float] = fixed_product) -> list[Piece]:
    """A peer's pieces, each with the fixed product before and after it.

    The first one is left out: before it the peer imports, makes operands and finds how many calls to time.
    """
    next(measured)
    before = look()
    pieces = []
    for seconds in measured:
        after = look()
        pieces.append(Piece(seconds, max(before, after)))
        before = after
    return pieces
