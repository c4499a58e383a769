"""What a worker does with a backend, in this order: prepare, verify, calibrate, warm up, sample, wait until quiet."""

from __future__ import annotations

import functools
import gc
import hashlib
import math
import numbers
import statistics
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gemmscope.backends import preload
from gemmscope.errors import BackendUnavailable
from gemmscope.machine import gpu_clock, usage
from gemmscope.measure.protocol import PreparedCell, TurnedCell
from gemmscope.measure.verify import precision_class
from gemmscope.records.model import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from gemmscope.backends.base import Backend
    from gemmscope.machine.usage import Meter
    from gemmscope.measure.protocol import TurnCell
    from gemmscope.measure.verify import Comparison
    from gemmscope.records.base import Mode
    from gemmscope.records.model import Status

    Run = Callable[[int, int], float]

# Verifying goes on to further pairs for this long, once; in later sets one pair is compared, another in each.
_VERIFY_SECONDS = 0.1

# A turn's first calls can cost 24 times more than later ones: pools wake up, caches and clocks come back. One rotation
# over the pairs brings small calls to within 10 %; a slow call needs none: waking costs less than a millisecond.
_WARM_AT_LEAST = 1e-3
_WARM_AT_MOST = 10e-3

# A GPU's clocks fall while others have their turn, and after work that draws the card's whole power they stay down: on
# an H100, 8192³ in float32 takes 25 % longer right after TF32, and its own time again 100 to 200 ms later. NVML says so
# some 100 ms late. Short calls leave the card mostly idle, and its clocks alone, so they need less.
WASH_OUT = 0.15
_WASH_OUT_SHORT = 0.03
_WASH_OUT_SHORT_BELOW = 0.2e-3
_WASH_OUTS_AT_MOST = 7
_STEADY_WITHIN = 0.005
_CLOCK_WITHIN = 0.02
# Timings of some length: one short call's time scatters by more than clocks do.
_STEADY_BLOCK = 2e-3

# Long enough for the clock's own steps (26 ns here, 42 ns on Apple) to be below 0.01 %.
_CALIBRATE_SECONDS = 0.5e-3

# From here on a calibration says what a larger shape will take, and a cell that seems too slow is skipped for the whole
# run. A busy machine may hold up a call for so long, but hardly twice.
_TIMED_TWICE = 10e-3

# From here on a wait after every call cannot matter: it costs microseconds.
SLOW_CALL = 0.1

# How the threads of a neighbour are kept awake: see with_neighbour.
_BESIDE_SECONDS = 1e-3
_BESIDE_SIZE = 256

# What a backend may raise. SystemExit and KeyboardInterrupt are no reason to end the worker, which others share.
ANY_ERROR = (Exception, SystemExit, KeyboardInterrupt)

# A pool that still spins uses a whole processor; a worker that waits for a message uses none.
_QUIET_SHARE = 0.15
_QUIET_STEP = 1e-3
_QUIET_AT_MOST = 1.0


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


class Verified(NamedTuple):
    """What the comparison with float64 has shown.

    Args:
        error: The largest relative error.
        compared: How many pairs were compared.
        digests: Of the first pair's result, which says where it is another library's to the last bit.
        blas_calls: How many calls of the preloaded BLAS there were for each call; None where none is preloaded.
    """

    error: float
    compared: int
    digests: dict[int, str]
    blas_calls: float | None


def verify(backend: Backend, comparisons: Sequence[Comparison], first_pair: int, seconds: float) -> Verified:
    """Compares results with float64, from ``first_pair`` on, for so many seconds; one result at least."""
    stop = time.perf_counter() + seconds
    worst = 0.0
    compared = 0
    digests: dict[int, str] = {}
    before = preload.calls() if preload.is_counted(backend) else None
    for offset in range(len(comparisons)):
        pair = (first_pair + offset) % len(comparisons)
        product = backend.product(pair)
        worst = max(worst, comparisons[pair].relative_error(product))
        if not digests:
            digests[pair] = hashlib.blake2b(np.ascontiguousarray(product).data, digest_size=8).hexdigest()
        compared += 1
        if time.perf_counter() > stop:
            break
    after = preload.calls()
    counted = None if before is None or after is None else (after - before) / compared
    return Verified(worst, compared, digests, counted)


def warm_up(run: Run, pairs: int, first: int) -> float:
    """Calls untimed: a rotation over the pairs and at least 1 ms, but no more than 10 ms. Returns seconds a call."""
    start = time.perf_counter()
    calls = 0
    while True:
        run(1, first + calls)
        calls += 1
        elapsed = time.perf_counter() - start
        if elapsed > _WARM_AT_MOST or (calls >= pairs and elapsed > _WARM_AT_LEAST):
            return elapsed / calls


def wash_out_window(seconds: float) -> float:
    """For how long timings and clocks are looked at before samples of a call of so many seconds on a GPU."""
    return _WASH_OUT_SHORT if seconds < _WASH_OUT_SHORT_BELOW else WASH_OUT


def wash_out(
    run: Run,
    loops: int,
    first: int,
    read_clock: Callable[[], float | None],
    window: float = WASH_OUT,
) -> None:
    """Calls untimed until nothing is left of what another call did to the GPU's clocks and power state.

    That is when, over a window of this call's own work, the timings of the first half and of the second half agree
    within 0.5 %, and the clock at the end is within 2 % of the one at the beginning; at the latest after seven windows.

    Args:
        run: The loop of the cell whose samples come next.
        loops: Calls at a time.
        first: The pair to begin with.
        read_clock: The GPU's clock in MHz, or None where it is not known: then the timings decide alone.
        window: In seconds.
    """
    stop = time.perf_counter() + _WASH_OUTS_AT_MOST * window
    recent: deque[tuple[float, float, float | None]] = deque()
    while True:
        seconds = run(loops, first)
        end = time.perf_counter()
        recent.append((end, seconds, read_clock()))
        while len(recent) > 1 and recent[1][0] <= end - window:
            recent.popleft()
        if end > stop or (recent[0][0] <= end - window and _is_steady(recent)):
            return


def _is_steady(recent: Sequence[tuple[float, float, float | None]]) -> bool:
    seconds = [one[1] for one in recent]
    half = len(seconds) // 2
    halves = statistics.median(seconds[:half]), statistics.median(seconds[half:])
    before, after = recent[0][2], recent[-1][2]
    clock_is_back = before is None or after is None or abs(after - before) <= _CLOCK_WITHIN * before
    return clock_is_back and abs(halves[0] - halves[1]) <= _STEADY_WITHIN * min(halves)


def calibrate(run: Run, pairs: int) -> float:
    """Seconds of one call, from calls in a row that are long enough for the clock."""
    seconds = _timed_once(run, pairs)
    return seconds if seconds < _TIMED_TWICE else min(seconds, _timed_once(run, pairs))


def _timed_once(run: Run, pairs: int) -> float:
    seconds = warm_up(run, pairs, 0)
    loops = max(1, min(2**24, math.ceil(_CALIBRATE_SECONDS / max(seconds, 1e-9))))
    if loops == 1:
        return seconds
    while True:
        elapsed = checked_seconds(run(loops, 0))
        if elapsed >= _CALIBRATE_SECONDS or loops >= 2**24:
            return elapsed / loops
        loops = min(2**24, math.ceil(loops * min(10.0, 1.5 * _CALIBRATE_SECONDS / max(elapsed, 1e-9))))


def failure(error: BaseException) -> tuple[Status, str, str]:
    """What a backend's error is as a result: a status, a reason and a remedy."""
    if isinstance(error, BackendUnavailable):
        return "unavailable", error.reason, error.remedy
    return "failed", describe(error), ""


def lost_cells(name: str, backend: Backend, status: Status, reason: str, **more: Any) -> list[PreparedCell]:
    """A backend's cells where none of them can be timed."""
    return [PreparedCell(backend=name, mode=mode, status=status, reason=reason, **more) for mode in backend.modes]


def prepare_cells(
    name: str,
    backend: Backend,
    comparisons: Sequence[Comparison],
    k: int,
    first_pair: int,
    known: Mapping[Mode, float],
    first_call: float | None = None,
    *,
    placed: bool = False,
) -> tuple[list[PreparedCell], float]:
    """Verifies and calibrates a backend that has its operands; returns its cells and the seconds for calibrating.

    Modes in ``known`` are not calibrated again: a slow call has better uses for its time. ``first_call`` is recorded
    with the first cell, and ``placed`` with each.
    """
    facts: dict[str, Any] = {"placed": placed, "on_gpu": backend.device == "gpu"}
    if backend.multiplies:
        verified = verify(backend, comparisons, first_pair, 0.0 if known else _VERIFY_SECONDS)
        precision = precision_class(verified.error, k)
        facts |= {
            "precision": precision, "relative_error": verified.error, "pairs_compared": verified.compared,
            "digests": verified.digests, "blas_calls": verified.blas_calls,
        }  # fmt: skip
        if precision == "wrong":
            reason = f"wrong product: relative error {verified.error:.3g} against float64, so it is not timed"
            if "subnormal" in backend.settings:
                reason += "; a library that flushes subnormal numbers to zero computes such a product"
            if not math.isfinite(verified.error):
                facts["relative_error"] = None
            return lost_cells(name, backend, "failed", reason, **facts), 0.0
        if "blas" in backend.settings and verified.blas_calls == 0:
            reason = f"{backend.library} calls no BLAS here, so there is none to change"
            return lost_cells(name, backend, "unavailable", reason, **facts), 0.0
    # Plain values only: a framework's version may be a subclass of str that no message can carry.
    provenance = {
        name: int(value) if isinstance(value, int) else "".join(str(value))
        for name, value in backend.provenance().items()
    }
    start = time.perf_counter()
    cells: list[PreparedCell] = []
    latency = 0.0
    for mode in backend.modes:
        seconds: float | None = None
        reason = backend.why_not(mode)
        if not reason and mode != "latency" and latency >= SLOW_CALL:
            what = "one wait after many" if mode == "throughput" else "the device's own time"
            reason = f"one call takes {latency:.3g} s, so {what} is no different: see latency"
        if not reason:
            seconds = known.get(mode) or calibrate(bind(backend, mode), len(comparisons))
            latency = seconds if mode == "latency" else latency
        cells.append(
            PreparedCell(backend=name, mode=mode, status="skipped" if reason else "ok", reason=reason, seconds=seconds,
                         provenance=provenance, first_call=None if cells else first_call, **facts)
        )  # fmt: skip
    return cells, time.perf_counter() - start


def take_turn(
    cells: Sequence[TurnCell], order: Sequence[int], backends: Mapping[str, Backend], pairs: int
) -> tuple[list[TurnedCell], float, float]:
    """Warms every cell up, then takes samples in the order given.

    On a GPU one call changes the clock that the next one finds. So the samples of each of its cells are taken in a row,
    behind those of the processor, and a wash-out comes before.

    Returns:
        The cells' samples, in the order of ``cells``; seconds of warming up; seconds of sampling.
    """
    turn = _Turn(cells, backends, pairs)
    on_gpu = [backends[cell.backend].device == "gpu" for cell in cells]
    interleaved = [i for i in order if not on_gpu[i]]
    # Not collected here: with a framework loaded that takes 20 ms a turn.
    gc.disable()
    try:
        start = time.perf_counter()
        # The one that comes first is warmed up first: right before its first sample stands another, as later on.
        for i in dict.fromkeys(interleaved):
            turn.attempt(i, turn.warm_up)
        warming = time.perf_counter() - start
        for i in interleaved:
            turn.attempt(i, turn.sample)
        for i in dict.fromkeys(i for i in order if on_gpu[i]):
            wash = time.perf_counter()
            turn.attempt(i, turn.warm_up_gpu)
            warming += time.perf_counter() - wash
            for _ in range(order.count(i)):
                turn.attempt(i, turn.sample)
        sampling = time.perf_counter() - start - warming
    finally:
        gc.enable()
    turned = [
        TurnedCell(samples=taken, reason=reason) for taken, reason in zip(turn.samples, turn.reasons, strict=True)
    ]
    return turned, warming, sampling


class _Turn:
    """What becomes of a turn's cells, which are named by their index."""

    def __init__(self, cells: Sequence[TurnCell], backends: Mapping[str, Backend], pairs: int) -> None:
        self._cells = cells
        self._pairs = pairs
        self._runs = [bind(backends[cell.backend], cell.mode) for cell in cells]
        self._next = [cell.first_pair for cell in cells]
        self._meter = usage.meter()
        self.samples: list[list[Measurement]] = [[] for _ in cells]
        self.reasons = [""] * len(cells)

    def attempt(self, i: int, stage: Callable[[int], object]) -> None:
        """Lets a cell go through a stage, if it has not failed before."""
        if self.reasons[i]:
            return
        try:
            stage(i)
        except ANY_ERROR as error:  # a backend may raise anything, and it costs only itself
            self.reasons[i] = describe(error)

    def warm_up(self, i: int) -> float:
        """Returns the seconds of a call."""
        if self._cells[i].seconds >= SLOW_CALL:
            return self._cells[i].seconds
        if self._cells[i].mode == "throughput":
            # One call at a time would warm up another path than the one that is timed.
            loops = min(self._cells[i].loops, self._pairs)
            return warm_up(lambda _, first: self._runs[i](loops, first), 1, self._next[i]) / loops
        return warm_up(self._runs[i], self._pairs, self._next[i])

    def warm_up_gpu(self, i: int) -> None:
        seconds = max(self.warm_up(i), 1e-9)
        loops = min(self._cells[i].loops, math.ceil(_STEADY_BLOCK / seconds))
        wash_out(self._runs[i], loops, self._next[i], gpu_clock.reader(), wash_out_window(seconds))

    def sample(self, i: int) -> None:
        loops = self._cells[i].loops
        self.samples[i].append(sample(self._runs[i], loops, self._next[i], self._meter))
        self._next[i] = (self._next[i] + loops) % self._pairs


def sample(run: Run, loops: int, first: int, meter: Meter) -> Measurement:
    """One sample, with what all the worker's threads used meanwhile beside it."""
    before = meter.read()
    start = time.perf_counter()
    seconds = run(loops, first)
    used = meter.read().since(before)
    return Measurement(
        start=start, first_pair=first, loops=loops, seconds=checked_seconds(seconds), **used._asdict()
    )  # fmt: skip


def wait_until_quiet() -> float:
    """Waits until this process's thread pools have gone quiet, measured by its processor time; returns the seconds.

    Pools spin after their last call, for 6 ms (OpenMP) to 100 ms and more, and would take a processor from the
    worker whose turn is next.
    """
    start = time.perf_counter()
    while True:
        wall, processor = time.perf_counter(), time.process_time()
        time.sleep(_QUIET_STEP)
        now = time.perf_counter()
        if time.process_time() - processor < _QUIET_SHARE * (now - wall) or now - start > _QUIET_AT_MOST:
            return now - start


def checked_seconds(seconds: object) -> float:
    """What a backend's ``run`` returned, if it can be a duration.

    Raises:
        ValueError: If it is no positive, finite number.
    """
    if not isinstance(seconds, numbers.Real) or not math.isfinite(seconds) or seconds <= 0:
        raise ValueError(f"run() returned {seconds!r}; expected seconds, a number above 0")
    return float(seconds)


def describe(error: BaseException) -> str:
    """An error as a reason: its type and its text, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
