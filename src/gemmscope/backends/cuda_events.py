"""A call's own time by two CUDA events, around calls that were all launched before the device began with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from gemmscope.backends.base import rotation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

# A queue of CUDA's holds about a thousand entries, and a call can be several.
_MOST_QUEUED = 128
# Longer than Python takes to launch a call: about 20 µs at 2 GHz.
_CYCLES_TO_LAUNCH = 40_000


class Queue(Protocol):
    """A library's own stream of work for the device, and two events in it."""

    def begin(self, cycles: int) -> None:
        """Waits for the device, keeps it busy for so many of its cycles, and marks where the calls begin."""

    def end(self) -> float:
        """Marks where the calls end, waits for that, and returns the seconds since they began."""


def seconds(
    queue: Queue, call: Callable[[T, T], object], pairs: Sequence[tuple[T, T]], loops: int, first: int
) -> float:
    """Seconds that the device was at work for ``loops`` calls, from pair ``first`` on."""
    total = 0.0
    for done in range(0, loops, _MOST_QUEUED):
        count = min(_MOST_QUEUED, loops - done)
        batch = list(rotation(pairs, count, first + done))
        # The device is kept busy while the queue fills, so that it does not wait for Python between calls.
        queue.begin(count * _CYCLES_TO_LAUNCH)
        for a, b in batch:
            call(a, b)
        total += queue.end()
    return total
