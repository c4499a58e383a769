"""Until a GPU has forgotten the call before: untimed calls, for as long as its clocks and power state need."""

from __future__ import annotations

import statistics
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmscope.measure.loops import Run

# A GPU's clocks fall while others have their turn, and after work that draws the card's whole power they stay down: on
# an H100, 8192³ in float32 takes 25 % longer right after TF32, and its own time again 100 to 200 ms later. NVML says so
# some 100 ms late. Short calls leave the card mostly idle, and its clocks alone, so they need less.
_WASH_OUT = 0.15
_WASH_OUT_SHORT = 0.03
_WASH_OUT_SHORT_BELOW = 0.2e-3
_WASH_OUTS_AT_MOST = 7
_STEADY_WITHIN = 0.005
_CLOCK_WITHIN = 0.02


def wash_out_window(seconds: float) -> float:
    """For how long timings and clocks are looked at before samples of a call of so many seconds on a GPU."""
    return _WASH_OUT_SHORT if seconds < _WASH_OUT_SHORT_BELOW else _WASH_OUT


def wash_out(
    run: Run,
    loops: int,
    first: int,
    read_clock: Callable[[], float | None],
    window: float = _WASH_OUT,
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
    stop = perf_counter() + _WASH_OUTS_AT_MOST * window
    recent: deque[tuple[float, float, float | None]] = deque()
    while True:
        seconds = run(loops, first)
        end = perf_counter()
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
