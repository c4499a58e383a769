"""The loop that is timed: a backend's own for a mode, with what a variant asks to be done between its calls."""

from __future__ import annotations

import functools
import numbers
from time import perf_counter  # bound before code of others is loaded, which may put a clock of its own there
from typing import TYPE_CHECKING

import numpy as np

from gemmscope.errors import BackendUnavailable
from gemmscope.records.base import LEAST_SECONDS, MOST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from gemmscope.backends.base import Backend
    from gemmscope.machine.usage import Meter, Use
    from gemmscope.records.base import Mode

    # Multiplies so many times, from a pair on, and returns the seconds.
    Run = Callable[[int, int], float]

# How the threads of a neighbour are kept awake: see with_neighbour.
_BESIDE_SECONDS = 1e-3
_BESIDE_SIZE = 256

# Two steady clocks of one machine differ by less.
_CLOCKS_DIFFER = 1.02
_CLOCK_STEP = 20e-6
# If more than this multiple of what a backend times, and this besides, passes outside of its own clock, it is seen
# whether that grows with the calls: by so many times as many, or twice as many where they take long already.
_NOT_TIMED = 4.0
_NOT_TIMED_SECONDS = 0.2e-3
_MORE_CALLS = 8
_LONG_LOOP = 0.1
_TIMES_TO_ASK = 3


class Loop:
    """A backend's loop for a mode; with ``cold`` on operands that are in no cache, with ``beside`` after a neighbour.

    What the backend says of each piece of it is held against the wall clock, unless somebody counts its calls
    (``checked`` is False): where the two seem to disagree, the backend is asked again.

    Raises:
        BackendUnavailable: If a variant asks for what cannot be had here.
    """

    def __init__(self, backend: Backend, mode: Mode, *, checked: bool = True) -> None:
        self._own: Run = {
            "latency": backend.run, "throughput": backend.run_throughput, "device": backend.run_device
        }[mode]  # fmt: skip
        # A device's own clock, or the slope over fewer calls, is no wall clock's.
        self._is_wall_time = checked and mode != "device"
        self._keeps_results = mode == "throughput"
        self._meter: Meter | None = None
        self._used: Use | None = None
        run: Run = self._checked
        self._evict: Callable[[int, int], None] | None = None
        if "cold" in backend.settings:
            pairs = backend.operand_arrays()
            self._evict = eviction(pairs)
            run = in_rounds(run, len(pairs))
        if "beside" in backend.settings:
            # Around the eviction, which the neighbour's operands must not undo.
            run = with_neighbour(run, neighbour(backend.settings["beside"], backend.library))
        self._run = run

    def __call__(self, loops: int, first: int) -> float:
        """Multiplies so many times, from a pair on, and returns the seconds.

        Raises:
            ValueError: If the backend returns no duration, or one that the wall clock around it contradicts.
        """
        return self._run(loops, first)

    def metered(self, loops: int, first: int, meter: Meter) -> tuple[float, Use]:
        """The same, with what all of the process's threads used meanwhile: without what is not timed."""
        self._meter, self._used = meter, None
        try:
            seconds = self._run(loops, first)
        finally:
            self._meter = None
        assert self._used is not None
        return seconds, self._used

    def _checked(self, loops: int, first: int) -> float:
        # What holds the process up right before or after the backend's clock runs looks like a lie. It does once.
        for _ in range(_TIMES_TO_ASK):
            if self._evict is not None:  # each time: calls leave what they have read in the caches
                self._evict(loops, first)
            before = self._meter.read() if self._meter is not None else None
            seconds, wall = self._timed(loops, first)
            used = self._meter.read().since(before) if self._meter is not None and before is not None else None
            can_be = seconds <= _CLOCKS_DIFFER * wall + _CLOCK_STEP
            if not self._is_wall_time or (can_be and not self._hides(seconds, wall, loops, first)):
                break
        else:
            raise ValueError(
                f"run() returned {seconds:.3g} s for {loops} calls, but by the wall clock it took {wall:.3g} s, so "
                "these are not the seconds of its calls"
            )
        if used is not None:
            self._used = used if self._used is None else self._used.plus(used)
        return seconds

    def _timed(self, loops: int, first: int) -> tuple[float, float]:
        """What the backend says that its calls took, and the wall clock's seconds around it."""
        start = perf_counter()
        seconds = checked_seconds(self._own(loops, first))
        return seconds, perf_counter() - start

    def _hides(self, seconds: float, wall: float, loops: int, first: int) -> bool:
        """Whether calls take far longer by the wall clock than the backend says.

        What it does before its own clock starts, however long, takes as long for more calls; calls do not.
        """
        if wall <= _NOT_TIMED * seconds + _NOT_TIMED_SECONDS:
            return False
        more = 2 if wall >= _LONG_LOOP or self._keeps_results else _MORE_CALLS
        if self._evict is not None:
            self._evict(more * loops, first)
        _, longer = self._timed(more * loops, first)
        # Between the 1 + (more - 1) / 4 that it is at most if the calls are as short as it says, and more.
        # Asked each time anew: what looked like preparation may have been a process that was held up.
        return longer > (1 + (more - 1) / 2) * wall


def checked_seconds(seconds: object) -> float:
    """What a backend's ``run`` returned, if it can be a duration.

    Raises:
        ValueError: If it is no number, or one that no record can hold.
    """
    if not isinstance(seconds, numbers.Real) or not LEAST_SECONDS <= float(seconds) <= MOST_SECONDS:
        raise ValueError(
            f"run() returned {seconds!r}; expected seconds, of all its calls together, {LEAST_SECONDS:g} at least"
        )
    return float(seconds)


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


def in_rounds(run: Run, pairs: int) -> Run:
    """The same loop, each pair once at a time, so that the clock is read once a round and not once a call."""

    def rounds(loops: int, first: int) -> float:
        return sum(run(min(pairs, loops - begin), first + begin) for begin in range(0, loops, pairs))

    return rounds


def eviction(pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Callable[[int, int], None]:
    """Evicts the operands of so many calls from the caches, from a pair on.

    Raises:
        BackendUnavailable: If nothing can be evicted from the caches here.
    """
    from gemmscope import _kernels  # only a worker may load it

    if not _kernels.can_evict():
        raise BackendUnavailable("programs cannot evict memory from the caches of this processor")

    def evict(loops: int, first: int) -> None:
        for i in range(min(loops, len(pairs))):
            for matrix in pairs[(first + i) % len(pairs)]:
                _kernels.evict(matrix)

    return evict
