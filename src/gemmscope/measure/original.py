"""The comparison that gemmscope began with, as it was described: what it measured, and how.

NumPy, PyTorch and MLX on the cpu, PyTorch and MLX on the gpu; float32; ten distinct random pairs a size, each
multiplied once, one after the other, all in one process; the mean time. What the description leaves open is a switch,
with the likely choice as its default.

It runs in a process of its own, ``python -m gemmscope.measure.original``: all libraries share that one, and their
thread pools would outlive the comparison.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from gemmscope.errors import GemmscopeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    # How an operand gets to the device, and the call that is timed.
    System = tuple[Callable[[Matrix], Any], Callable[[Any, Any], Any]]


class Protocol(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured, and the switches that the description leaves open.

    Args:
        backends: Of the five, by gemmscope's names for them.
        sizes: Squares, M = N = K.
        pairs: Distinct random pairs a size; each is multiplied once.
        seed: Of the operands.
        copies: Whether the copies to the device and back are timed.
        sync: Whether each call is waited for. Without it MLX and GPUs have only accepted the work.
        warm_up: Untimed calls before the first.
    """

    backends: list[str]
    sizes: list[int]
    pairs: int = 10
    seed: int = 0
    copies: bool = False
    sync: bool = True
    warm_up: int = 0


class Mean(msgspec.Struct, frozen=True, kw_only=True):
    """The mean seconds of a call of a backend at a size."""

    backend: str
    size: int
    seconds: float


def means(protocol: Protocol) -> list[Mean]:
    """The comparison, in a process of its own; size by size, backend by backend.

    Raises:
        GemmscopeError: If that process failed; the message ends with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__], input=msgspec.json.encode(protocol), capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise GemmscopeError(f"the original comparison failed with status {done.returncode}: {''.join(said)}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=list[Mean])


def measure(protocol: Protocol) -> Iterable[Mean]:
    """The comparison, here."""
    for size in protocol.sizes:
        for name in protocol.backends:
            yield Mean(backend=name, size=size, seconds=_mean(system(name, protocol), size, protocol))


def system(name: str, protocol: Protocol) -> System:
    """One of the five, by the name that gemmscope has for it."""
    library, _, device = name.partition("-")
    if library == "numpy":
        return (lambda matrix: matrix), np.matmul
    make = _torch if library == "torch" else _mlx
    return make(protocol, gpu=device == "gpu")


def _torch(protocol: Protocol, *, gpu: bool) -> System:
    """PyTorch on the cpu, where nothing is copied or waited for, or on the accelerator that it finds."""
    import torch

    device = torch.accelerator.current_accelerator() if gpu else torch.device("cpu")

    def place(matrix: Matrix) -> Any:
        return torch.from_numpy(matrix).to(device)

    def multiply(a: Any, b: Any) -> Any:
        product = torch.mm(a, b)
        if protocol.sync and gpu:
            torch.accelerator.synchronize()
        return product.cpu() if protocol.copies else product

    return place, multiply


def _mlx(protocol: Protocol, *, gpu: bool) -> System:
    """MLX on one of its devices. Without ``sync`` nothing is computed: MLX is lazy."""
    import mlx.core as mx

    device: Any = mx.gpu if gpu else mx.cpu

    def multiply(a: Any, b: Any) -> Any:
        product = mx.matmul(a, b, stream=device)
        if protocol.sync:
            mx.eval(product)
        return np.array(product) if protocol.copies else product

    return mx.array, multiply


def _mean(made: System, size: int, protocol: Protocol) -> float:
    """The mean seconds of one call, as the original took it."""
    place, multiply = made
    generator = np.random.default_rng(protocol.seed)
    host = [[generator.random((size, size), np.float32) for _ in range(2)] for _ in range(protocol.pairs)]
    operands = host if protocol.copies else [[place(matrix) for matrix in pair] for pair in host]

    def product(pair: Sequence[Any]) -> None:
        a, b = (place(matrix) for matrix in pair) if protocol.copies else pair
        multiply(a, b)

    for _ in range(protocol.warm_up):
        product(operands[0])
    seconds = []
    for pair in operands:
        start = perf_counter()
        product(pair)
        seconds.append(perf_counter() - start)
    return statistics.fmean(seconds)


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Protocol)
    sys.stdout.buffer.write(msgspec.json.encode(list(measure(asked))) + b"\n")
