"""An ordinary program: it multiplies with a library, and prints how long a call takes. bench/truth_causes.py starts it.

    python bench/planted_program.py time numpy 1024x1024x1024
    python bench/planted_program.py time torch 512x512x512 --options strided,out
    python bench/planted_program.py spin $$

It shares no line with gemmscope: what gemmscope promises is held against it. Environment, processors and neighbours are
those that it is started with.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

# Calls are timed in blocks of about so many seconds, so that the clock and a neighbour's calls do not weigh.
BLOCK_SECONDS = 1e-3
WARM_UP_SECONDS = 0.25
_TO_SUBNORMAL = np.float32(2.0**-126)
_LARGER_THAN_CACHES = 128 * 2**20


def operands(
    m: int, n: int, k: int, options: dict[str, str], generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A pair that lies in memory as the options say; a library gets views of it."""
    a = matrix(m, k, "a", options, generator)
    if "subnormal" in options:
        a *= _TO_SUBNORMAL
    if "self" in options:
        return a, a.T if options["self"] == "view" else a.T.copy()
    return a, matrix(k, n, "b", options, generator)


def matrix(
    rows: int, columns: int, side: str, options: dict[str, str], generator: np.random.Generator
) -> NDArray[np.float32]:
    """One matrix."""
    by_columns = side in options.get("transposed", "")
    lines, length = (columns, rows) if by_columns else (rows, columns)
    step = 2 if "strided" in options else 1
    width = int(options.get("pitch", 0)) or step * length
    block = np.empty((lines, width), np.float32)
    view = block[:, : step * length : step]
    view[:] = generator.uniform(-1, 1, (lines, length))
    return view.T if by_columns else view


def calls(library: str, pairs: list[Any], options: dict[str, str]) -> Iterator[Callable[[], object]]:
    """The calls of a library, one for each pair: each returns when its result is complete."""
    rows, columns = pairs[0][0].shape[0], pairs[0][1].shape[1]
    if library == "numpy":
        out = np.empty((rows, columns), np.float32) if "out" in options else None
        for a, b in pairs:
            yield partial(np.matmul, a, b) if out is None else partial(np.matmul, a, b, out)
    elif library == "torch":
        yield from torch_calls(pairs, options, rows, columns)
    elif library == "mlx":
        import mlx.core as mx

        def multiply(a: Any, b: Any) -> None:
            mx.eval(mx.matmul(a, b, stream=mx.cpu))

        for a, b in [(mx.array(a), mx.array(b)) for a, b in pairs]:
            yield partial(multiply, a, b)
    else:
        raise ValueError(library)


def torch_calls(pairs: list[Any], options: dict[str, str], rows: int, columns: int) -> Iterator[Callable[[], object]]:
    """PyTorch's, on the processor or on a GPU; strides survive, because tensors are views of the arrays' memory."""
    import torch

    torch.inference_mode(mode=True).__enter__()
    device = torch.device("cuda" if "gpu" in options else "cpu")
    wait = torch.cuda.synchronize if "gpu" in options and "once" not in options else None
    stays = "from-host" in options
    placed = [tuple(torch.from_numpy(x) if stays else torch.from_numpy(x).to(device) for x in pair) for pair in pairs]
    out = torch.empty((rows, columns), device=device) if "out" in options else None

    def call(a: torch.Tensor, b: torch.Tensor) -> None:
        if stays:
            torch.mm(a.to(device), b.to(device)).cpu()
        elif out is not None:
            torch.mm(a, b, out=out)
        else:
            torch.mm(a, b)
        if wait is not None:
            wait()

    for a, b in placed:
        yield partial(call, a, b)


def before_each(options: dict[str, str]) -> Callable[[], object] | None:
    """What is done before every block, untimed: another library's call, or one that leaves nothing in the caches."""
    if "cold" in options:
        other = np.zeros(_LARGER_THAN_CACHES // 4, np.float32)
        return lambda: np.add(other, 1, out=other)
    if "beside" in options:
        square = np.ones((256, 256), np.float32)
        return next(calls(options["beside"], [(square, square)], {}))
    return None


def seconds_of_a_call(library: str, shape: tuple[int, int, int], options: dict[str, str], pairs: int, seconds: float,
                      seed: int, average: Callable[[list[float]], float] = statistics.median) -> float:  # fmt: skip
    """The median, or another average, over blocks of calls, after a warm-up."""
    generator = np.random.default_rng(seed)
    made = list(calls(library, [operands(*shape, options, generator) for _ in range(pairs)], options))
    turns = itertools.cycle(made)
    before = before_each(options)
    wait: Callable[[], object] | None = None
    if "once" in options:
        import torch

        wait = torch.cuda.synchronize
    start = perf_counter()
    done = 0
    while perf_counter() - start < WARM_UP_SECONDS or done < len(made):
        next(turns)()
        done += 1
    each = (perf_counter() - start) / done
    count = 1 if "cold" in options else max(1, round((20 if wait else 1) * BLOCK_SECONDS / each))
    blocks: list[float] = []
    until = perf_counter() + seconds
    while perf_counter() < until or len(blocks) < len(made):
        if before is not None:
            before()
        now = [next(turns) for _ in range(count)]
        start = perf_counter()
        for call in now:
            call()
        if wait is not None:
            wait()
        blocks.append((perf_counter() - start) / count)
    return average(blocks)


def spin(parent: int) -> None:
    """Compute until the parent is gone."""
    while os.getppid() == parent:
        sum(range(100_000))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    timing = commands.add_parser("time", help="print the seconds of a call")
    timing.add_argument("library", choices=["numpy", "torch", "mlx"])
    timing.add_argument("shape", type=lambda text: tuple(map(int, text.split("x"))), help="MxNxK")
    timing.add_argument("--options", default="", help="such as out,pitch=1040")
    timing.add_argument("--pairs", type=int, default=4)
    timing.add_argument("--seconds", type=float, default=0.6)
    timing.add_argument("--mean", action="store_true", help="the mean over blocks of calls, and not their median")
    timing.add_argument("--seed", type=int, default=0)
    spinning = commands.add_parser("spin", help="compute until a process is gone")
    spinning.add_argument("parent", type=int)
    given = parser.parse_args()
    if given.command == "spin":
        spin(given.parent)
        return
    options = dict(word.partition("=")[::2] for word in given.options.split(",") if word)
    average = statistics.fmean if given.mean else statistics.median
    pairs, seconds, seed = given.pairs, given.seconds, given.seed
    print(seconds_of_a_call(given.library, given.shape, options, pairs, seconds, seed, average))


if __name__ == "__main__":
    main()
