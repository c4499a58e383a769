"""Times by CUDA events: full queues, in whole, for any library."""

from __future__ import annotations

import types

import pytest

from gemmscope.backends import cuda_events
from gemmscope.backends.cupy import _Queue


class Queue:
    """A device whose calls take 3 µs each, and that is kept busy for some cycles first."""

    def __init__(self):
        self.queued = []
        self.cycles = []

    def begin(self, cycles):
        self.cycles.append(cycles)
        self.queued.append([])

    def end(self):
        return len(self.queued[-1]) * 3e-6

    def call(self, a, b):
        self.queued[-1].append((a, b))


@pytest.mark.parametrize("loops", [1, 128, 129, 300])
def test_all_calls_are_timed_in_queues_that_cuda_can_hold(loops):
    queue = Queue()
    pairs = [(0, 10), (1, 11), (2, 12)]
    assert cuda_events.seconds(queue, queue.call, pairs, loops, 1) == pytest.approx(loops * 3e-6)
    called = [pair for batch in queue.queued for pair in batch]
    assert called == [pairs[(1 + i) % 3] for i in range(loops)]
    assert max(map(len, queue.queued)) <= 128
    # The device is busy for longer than launching takes, at some 2 GHz and 20 µs a call.
    assert queue.cycles == [40_000 * len(batch) for batch in queue.queued]


def test_cupys_queue_waits_spins_and_reads_milliseconds():
    done = []
    event = lambda: types.SimpleNamespace(record=lambda: done.append("record"), synchronize=lambda: done.append("wait"))  # noqa: E731
    library = types.SimpleNamespace(
        RawKernel=lambda source, name: lambda grid, block, arguments: done.append((name, *arguments)),
        cuda=types.SimpleNamespace(
            Event=event,
            get_current_stream=lambda: types.SimpleNamespace(synchronize=lambda: done.append("stream")),
            get_elapsed_time=lambda begin, end: 2.5,
        ),
    )
    queue = _Queue(library)
    queue.begin(7)
    assert queue.end() == pytest.approx(2.5e-3)
    assert done == ["stream", ("spin", 7), "record", "record", "wait"]
