"""A call's own time on a device that has no clock to read: the slope of the time over chained calls.

C ← A·B, then C ← C·B and so on: each call needs the result before it, so that no two can overlap, and all are launched
before the first wait. What a launch and a wait cost once is the line's intercept; its slope is one call. Where
launching a call takes longer than the device takes for it, the slope is that of the launches: an upper bound.
"""

from __future__ import annotations

import math
from statistics import linear_regression
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gemmscope.records.base import Mode

# A line needs three points to be more than a difference; more links than these say nothing new.
_SHORTEST, _LONGEST = 8, 256


def lengths(loops: int, most: int = _LONGEST) -> list[int]:
    """The chains to time where ``loops`` calls are asked for: a quarter, a half and all of them, within bounds.

    Args:
        loops: Calls of a sample.
        most: The longest chain that there is memory for.
    """
    longest = max(3, min(max(loops, _SHORTEST), most, _LONGEST))
    return sorted({max(1, longest // 4), max(2, longest // 2), longest})


def seconds_of(chains: Sequence[int], seconds: Sequence[float]) -> float:
    """Seconds of one call, from the seconds that chains of several lengths took.

    A slope that is not above 0, or steeper than a call of the longest chain with all that it costs besides, is
    noise; that call's time is then what is known: an upper bound.
    """
    bound = seconds[-1] / chains[-1]
    slope = linear_regression(chains, seconds).slope
    return slope if 0.0 < slope < bound else bound


def call_seconds(chain: Callable[[int], float], loops: int, most: int = _LONGEST) -> float:
    """Seconds of one call on the device.

    Args:
        chain: Computes that many chained calls, waits once, and returns the seconds.
        loops: As many calls as the caller would time.
        most: The longest chain that there is memory for.
    """
    chains = lengths(loops, most)
    return seconds_of(chains, [chain(length) for length in chains])


def scale(size: int) -> float:
    """What to multiply B by, of K = N = ``size``, so that a chain neither overflows nor vanishes.

    Elements are uniform in [-1, 1) and so have the variance 1/3: scaled like this, a row of C keeps its length on
    average from one call to the next.
    """
    return math.sqrt(3.0 / size) if size > 0 else 1.0


def why_not(mode: Mode, settings: Mapping[str, str], *, chainable: bool) -> str:
    """Why a GPU has no figure in a mode; empty if it has one. A chain of calls needs K = N."""
    if mode == "latency":
        return ""
    if "from-host" in settings:
        return "from host memory to host memory every call is waited for: see latency"
    if mode == "device" and not chainable:
        return "without a clock of the device's own its time needs a chain of calls, and that needs K = N"
    return ""
