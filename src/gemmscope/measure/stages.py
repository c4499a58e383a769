"""What a worker does with a backend, in this order: prepare, verify, calibrate, warm up, sample, wait until quiet."""

from __future__ import annotations

import gc
import hashlib
import math
from time import perf_counter, process_time, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from gemmscope.backends import preload
from gemmscope.errors import BackendUnavailable
from gemmscope.machine import nvml, usage
from gemmscope.measure.loops import Loop
from gemmscope.measure.protocol import PreparedCell, TurnedCell
from gemmscope.measure.verify import precision_class
from gemmscope.measure.washing import wash_out, wash_out_window
from gemmscope.records import words
from gemmscope.records.gpu import MIG_INSTANCE, NVML_INDEX
from gemmscope.records.model import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gemmscope.backends.base import Backend
    from gemmscope.machine.usage import Meter
    from gemmscope.measure.loops import Run
    from gemmscope.measure.protocol import TurnCell
    from gemmscope.measure.verify import Comparison
    from gemmscope.records.base import Mode
    from gemmscope.records.model import Status

# Verifying goes on to further pairs for this long, once; in later sets one pair is compared, another in each.
_VERIFY_SECONDS = 0.1

# A turn's first calls can cost 24 times more than later ones: pools wake up, caches and clocks come back. One rotation
# over the pairs brings small calls to within 10 %; a slow call needs none: waking costs less than a millisecond.
_WARM_AT_LEAST = 1e-3
_WARM_AT_MOST = 10e-3

# Timings of some length: one short call's time scatters by more than clocks do.
_STEADY_BLOCK = 2e-3

# NVML's readings are up to 100 ms old: more of them would say nothing new.
_STATE_EVERY = 20e-3

# Long enough for the clock's own steps (26 ns here, 42 ns on Apple) to be below 0.01 %.
_CALIBRATE_SECONDS = 0.5e-3

# However short a call seems: a backend that returns the mean of its calls would else be asked for ever more of them.
MOST_LOOPS = 2**24

# From here on a wait after every call cannot matter: it costs microseconds.
SLOW_CALL = 0.1

# What a backend may raise. SystemExit and KeyboardInterrupt are no reason to end the worker, which others share.
ANY_ERROR = (Exception, SystemExit, KeyboardInterrupt)

# Two times of one slow call agree: the one that was seen before includes bringing the result to the host.
_AGREES = 1.5

# A pool that still spins uses a whole processor; a worker that waits for a message uses none.
_QUIET_SHARE = 0.15
_QUIET_STEP = 1e-3
_QUIET_AT_MOST = 1.0


class Verified(NamedTuple):
    """What the comparison with float64 has shown.

    Args:
        error: The largest relative error.
        compared: How many pairs were compared.
        digests: Of the first pair's result, which says where it is another library's to the last bit.
        blas_calls: How many calls of the preloaded BLAS there were for each call; None where none is preloaded.
        seconds: Of the shortest call, with bringing its result to the host.
    """

    error: float
    compared: int
    digests: dict[int, str]
    blas_calls: float | None
    seconds: float


def verify(backend: Backend, comparisons: Sequence[Comparison], first_pair: int, seconds: float) -> Verified:
    """Compares results with float64, from ``first_pair`` on, for so many seconds; one result at least."""
    stop = perf_counter() + seconds
    worst, shortest = 0.0, math.inf
    compared = 0
    digests: dict[int, str] = {}
    before = preload.calls() if preload.is_counted(backend) else None
    for offset in range(len(comparisons)):
        pair = (first_pair + offset) % len(comparisons)
        start = perf_counter()
        product = backend.product(pair)
        shortest = min(shortest, perf_counter() - start)
        worst = max(worst, comparisons[pair].relative_error(product))
        if not digests:
            digests[pair] = hashlib.blake2b(np.ascontiguousarray(product).data, digest_size=8).hexdigest()
        compared += 1
        if perf_counter() > stop:
            break
    after = preload.calls()
    counted = None if before is None or after is None else (after - before) / compared
    return Verified(worst, compared, digests, counted, shortest)


def warm_up(run: Run, pairs: int, first: int) -> float:
    """Calls untimed: a rotation over the pairs and at least 1 ms, but no more than 10 ms. Returns seconds a call."""
    start = perf_counter()
    calls = 0
    while True:
        run(1, first + calls)
        calls += 1
        elapsed = perf_counter() - start
        if elapsed > _WARM_AT_MOST or (calls >= pairs and elapsed > _WARM_AT_LEAST):
            return elapsed / calls


def calibrate(run: Run, pairs: int, seen: float = 0.0) -> float:
    """Seconds of one call, from calls in a row that are long enough for the clock: the lower of two looks.

    A calibration says what a larger shape will take, and a cell that seems too slow is skipped for the whole run. A
    busy machine may hold up one look for a second, but hardly both. A slow call that took no longer than one seen
    before, of ``seen`` seconds, was not held up.
    """
    look = _timed_once(run, pairs)
    if SLOW_CALL <= look <= _AGREES * seen:
        return look
    return min(look, _timed_once(run, pairs))


def _timed_once(run: Run, pairs: int) -> float:
    seconds = warm_up(run, pairs, 0)
    loops = max(1, min(MOST_LOOPS, math.ceil(_CALIBRATE_SECONDS / max(seconds, 1e-9))))
    if loops == 1:
        return seconds
    while True:
        elapsed = run(loops, 0)
        if elapsed >= _CALIBRATE_SECONDS or loops >= MOST_LOOPS:
            return elapsed / loops
        loops = min(MOST_LOOPS, math.ceil(loops * min(10.0, 1.5 * _CALIBRATE_SECONDS / max(elapsed, 1e-9))))


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
    traced: bool = False,
) -> tuple[list[PreparedCell], float]:
    """Verifies and calibrates a backend that has its operands; returns its cells and the seconds for calibrating.

    Modes in ``known`` are not calibrated again: a slow call has better uses for its time. ``first_call`` is recorded
    with the first cell, and ``placed`` with each. Of a backend that is ``traced`` the time on the device is left to
    CUPTI, which needs neither a chain of calls nor a short one.
    """
    facts: dict[str, Any] = {"placed": placed}
    seen = 0.0
    if backend.multiplies:
        verified = verify(backend, comparisons, first_pair, 0.0 if known else _VERIFY_SECONDS)
        precision = precision_class(verified.error, k)
        seen = verified.seconds
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
    provenance = _provenance(backend)
    start = perf_counter()
    cells: list[PreparedCell] = []
    latency = 0.0
    for mode in backend.modes:
        seconds: float | None = None
        if traced and mode == "device":
            cells.append(
                PreparedCell(backend=name, mode=mode, status="ok", seconds=latency, provenance=provenance, **facts)
            )
            continue
        reason = backend.why_not(mode)
        if not reason and mode != "latency" and latency >= SLOW_CALL:
            what = "one wait after many" if mode == "throughput" else "the device's own time"
            reason = f"one call takes {words.duration(latency)}, so {what} is no different: see latency"
        if not reason:
            seconds = known.get(mode) or calibrate(
                Loop(backend, mode), len(comparisons), seen if mode == "latency" else 0.0
            )
            latency = seconds if mode == "latency" else latency
        cells.append(
            PreparedCell(backend=name, mode=mode, status="skipped" if reason else "ok", reason=reason, seconds=seconds,
                         provenance=provenance, first_call=None if cells else first_call, **facts)
        )  # fmt: skip
    return cells, perf_counter() - start


def _provenance(backend: Backend) -> dict[str, str | int]:
    """What a backend says of itself, and which GPU it computes on."""
    # Plain values only: a framework's version may be a subclass of str that no message can carry.
    facts = {
        name: int(value) if isinstance(value, int) else "".join(str(value))
        for name, value in backend.provenance().items()
    }
    if backend.device == "gpu" and (card := nvml.card()) is not None:
        if (index := card.index()) is not None:
            facts[NVML_INDEX] = index
        if card.profile:
            facts[MIG_INSTANCE] = card.profile
    return facts


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
        start = perf_counter()
        # The one that comes first is warmed up first: right before its first sample stands another, as later on.
        for i in dict.fromkeys(interleaved):
            turn.attempt(i, turn.warm_up)
        warming = perf_counter() - start
        for i in interleaved:
            turn.attempt(i, turn.sample)
        for i in dict.fromkeys(i for i in order if on_gpu[i]):
            wash = perf_counter()
            turn.attempt(i, turn.warm_up_gpu)
            warming += perf_counter() - wash
            for _ in range(order.count(i)):
                turn.attempt(i, turn.sample_gpu)
        sampling = perf_counter() - start - warming
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
        self._loops = [Loop(backends[cell.backend], cell.mode) for cell in cells]
        self._next = [cell.first_pair for cell in cells]
        self._meter = usage.meter()
        self._state_read = 0.0
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
            return warm_up(lambda _, first: self._loops[i](loops, first), 1, self._next[i]) / loops
        return warm_up(self._loops[i], self._pairs, self._next[i])

    def warm_up_gpu(self, i: int) -> None:
        settle_gpu(self._loops[i], self._cells[i], self._pairs, self.warm_up(i))

    def sample(self, i: int) -> None:
        loops = self._cells[i].loops
        self.samples[i].append(sample(self._loops[i], loops, self._next[i], self._meter))
        self._next[i] = (self._next[i] + loops) % self._pairs

    def sample_gpu(self, i: int) -> None:
        """A sample, and the GPU's state behind it: behind each one where NVML may have a new one, and the last."""
        self.sample(i)
        now = perf_counter()
        is_last = len(self.samples[i]) == self._cells[i].samples
        if (is_last or now > self._state_read + _STATE_EVERY) and (card := nvml.card()) is not None:
            self._state_read = now
            self.samples[i][-1] = msgspec.structs.replace(self.samples[i][-1], gpu=card.state())


def settle_gpu(run: Run, cell: TurnCell, pairs: int, seconds: float | None = None) -> None:
    """Calls untimed until a GPU has forgotten the call before; a call takes ``seconds``, if that is known."""
    each = max(warm_up(run, pairs, cell.first_pair) if seconds is None else seconds, 1e-9)
    card = nvml.card()
    loops = min(cell.loops, math.ceil(_STEADY_BLOCK / each))
    wash_out(run, loops, cell.first_pair, card.clock if card is not None else lambda: None, wash_out_window(each))


def sample(loop: Loop, loops: int, first: int, meter: Meter) -> Measurement:
    """One sample, with what all the worker's threads used meanwhile beside it."""
    start = perf_counter()
    seconds, used = loop.metered(loops, first, meter)
    return Measurement(start=start, first_pair=first, loops=loops, seconds=seconds, **used._asdict())


def wait_until_quiet() -> float:
    """Waits until this process's thread pools have gone quiet, measured by its processor time; returns the seconds.

    Pools spin after their last call, for 6 ms (OpenMP) to 100 ms and more, and would take a processor from the
    worker whose turn is next.
    """
    start = perf_counter()
    while True:
        wall, processor = perf_counter(), process_time()
        sleep(_QUIET_STEP)
        now = perf_counter()
        if process_time() - processor < _QUIET_SHARE * (now - wall) or now - start > _QUIET_AT_MOST:
            return now - start


def describe(error: BaseException) -> str:
    """An error as a reason: its type and its text, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
