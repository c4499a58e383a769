"""The loop that is timed: a backend's own for a mode, with what a variant asks to be done between its calls."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from gemmscope.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from gemmscope.backends.base import Backend
    from gemmscope.records.base import Mode

    # Multiplies so many times, from a pair on, and returns the seconds.
    Run = Callable[[int, int], float]

# How the threads of a neighbour are kept awake: see with_neighbour.
_BESIDE_SECONDS = 1e-3
_BESIDE_SIZE = 256


def bind(backend: Backend, mode: Mode) -> Run:
    """The backend's loop for a mode; with ``cold`` on operands that are in no cache, with ``beside`` after a neighbour.

    Raises:
        BackendUnavailable: If a variant asks for what cannot be had here.
    """
    run: Run = {"latency": backend.run, "throughput": backend.run_throughput, "device": backend.run_device}[mode]
    if "cold" in backend.settings:
        run = with_cold_operands(run, backend.operand_arrays())
    if "beside" in backend.settings:
        # Around the eviction, which the neighbour's operands must not undo.
        run = with_neighbour(run, neighbour(backend.settings["beside"], backend.library))
    return run


def with_neighbour(run: Run, multiply: Callable[[], object]) -> Run:
    """The same loop, with ``multiply`` called again and again between its calls, untimed, so that its threads spin.

    As many calls at a time as take about a millisecond: OpenMP's threads spin for some milliseconds, and what the
    neighbour leaves in the caches should not weigh.
    """

    def beside(loops: int, first: int) -> float:
        seconds = 0.0
        done = 0
        count = 1
        while done < loops:
            count = min(count, loops - done)
            multiply()
            elapsed = run(count, first + done)
            seconds += elapsed
            done += count
            count = max(1, min(8 * count, int(count * _BESIDE_SECONDS / max(elapsed, 1e-9))))
        return seconds

    return beside


@functools.cache
def neighbour(name: str, library: str) -> Callable[[], object]:
    """One multiplication by another library, on the processor, of matrices that are large enough for its threads.

    Args:
        name: The neighbour: ``"numpy"``, ``"torch"`` or ``"mlx"``.
        library: The one that is measured.

    Raises:
        BackendUnavailable: If it is no other library, or cannot be imported.
    """
    if name == library:
        raise BackendUnavailable(f"{name} cannot be its own neighbour", "ask for another library behind beside=")
    matrix = np.ones((_BESIDE_SIZE, _BESIDE_SIZE), np.float32)
    try:
        if name == "torch":
            import torch

            tensor = torch.from_numpy(matrix)
            return functools.partial(torch.mm, tensor, tensor)
        if name == "mlx":
            import mlx.core as mx

            array = mx.array(matrix)
            return lambda: mx.eval(mx.matmul(array, array, stream=mx.cpu))
    except ImportError as error:
        raise BackendUnavailable(f"the neighbour {name} cannot be imported: {error}", f"pip install {name}") from error
    return functools.partial(np.matmul, matrix, matrix)


def with_cold_operands(run: Run, pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Run:
    """The same loop, with every pair evicted from the caches before it is used; the eviction is not timed.

    The pairs are taken in rounds, each pair once, so that the clock is read once a round and not once a call.

    Raises:
        BackendUnavailable: If nothing can be evicted from the caches here.
    """
    from gemmscope import _kernels  # only a worker may load it

    if not _kernels.can_evict():
        raise BackendUnavailable("programs cannot evict memory from the caches of this processor")

    def cold(loops: int, first: int) -> float:
        seconds = 0.0
        for begin in range(0, loops, len(pairs)):
            count = min(len(pairs), loops - begin)
            for i in range(count):
                for matrix in pairs[(first + begin + i) % len(pairs)]:
                    _kernels.evict(matrix)
            seconds += run(count, first + begin)
        return seconds

    return cold
