"""The native modules in several threads at once; ci/sanitize.sh runs this file under ThreadSanitizer too."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gemmscope import _kernels, _native, native
from tests.bounds import matrices

# The first imports take their time, which lets the other thread run, which makes its own first call meanwhile.
FIRST_CALLS = """
import builtins, sys, threading, time
from gemmscope import {module}
array = memoryview(bytes(16)).cast("f", (2, 2))
imported, pauses = builtins.__import__, [0.2] * 4


def slow(*arguments, **keywords):
    if pauses:
        time.sleep(pauses.pop())
    return imported(*arguments, **keywords)


builtins.__import__ = slow
threads = [threading.Thread(target=lambda: {call}) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


@pytest.mark.parametrize(
    ("module", "call"), [("native", "native.sgemm(array, array)"), ("_kernels", "_kernels.evict(array)")]
)
def test_the_first_calls_may_come_from_two_threads(module, call):
    program = FIRST_CALLS.format(module=module, call=call)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)  # what hangs, hangs for good


def together(*work):
    """Calls functions in a thread each, from one moment on."""
    begin = threading.Barrier(len(work))

    def one(function):
        begin.wait()
        return function()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(one, work))


def test_plans_of_their_own_outputs_at_once():
    a, b = matrices(40, 30, 20)
    outs = [np.zeros((40, 30), np.float32) for _ in range(2)]
    plans = [native.Plan(a, b, out) for out in outs]
    together(*[lambda plan=plan: [plan() for _ in range(50)] for plan in plans])
    for out in outs:
        np.testing.assert_array_equal(out, native.sgemm(a, b))


def test_plans_are_made_called_and_dropped_at_once():
    a, b = matrices(8, 8, 8)
    expected = native.sgemm(a, b)

    def work():
        for _ in range(50):
            plan = native.Plan(a, memoryview(b), np.empty((8, 8), np.float32))
            plan()
            np.testing.assert_array_equal(plan.out, expected)

    together(work, work)


def test_the_plans_of_a_list_that_is_emptied_are_timed_to_the_end():
    a, b = matrices(8, 8, 8)
    outs = [np.zeros((8, 8), np.float32) for _ in range(3)]
    begun = threading.Event()

    class Plans:
        """Says when the last one was taken."""

        def __init__(self):
            self.list = [native.Plan(a, b, out) for out in outs]

        def __len__(self):
            return len(self.list)

        def __getitem__(self, i):
            if i == len(self.list):
                begun.set()
            return self.list[i]

    plans = Plans()
    together(lambda: _native.time_plans(plans, 100_000), lambda: begun.wait(60) and plans.list.clear())
    assert len(plans) == 0
    for out in outs:
        np.testing.assert_array_equal(out, native.sgemm(a, b))


def test_ceilings_are_measured_by_two_threads():
    assert _kernels.peak_flops(2) > 0
    assert _kernels.triad_bandwidth(2, 2**20) > 0
