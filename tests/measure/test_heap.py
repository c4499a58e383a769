"""What a worker does besides its calls leaves malloc as a fresh program has it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gemmscope.errors import BackendUnavailable
from gemmscope.machine import heap

# malloc maps what is above its threshold, which rises to whatever larger was freed: so a piece of 600 kB says whether
# anything of that size has been freed before.
PROBE = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def is_mapped():
    libc.malloc_trim(0)  # what small pieces have left at the heap's end is given back when the next large one is freed
    piece = libc.malloc(600_000)
    heap = next(line for line in open("/proc/self/maps") if line.endswith("[heap]\\n")).split()[0].split("-")
    inside = int(heap[0], 16) <= piece < int(heap[1], 16)
    # Never freed: that would raise the threshold itself.
    return not inside
"""

WORK = {
    "nothing": "pass",
    "operands": "uniform(3_000_000, (0,)); operands.converted('host', np.asarray); operands.output()",
    "a wide result": "Comparison((1, 200_000), [0], mapped((1, 200_000), np.float64), 1.0).relative_error(wide)",
    "a tall result": "Comparison((90_000, 2), ROWS, mapped((8192, 2), np.float64), 1.0).relative_error(tall)",
    "self": "multiplied.by({'self': ''})",
    "subnormal": "multiplied.by({'subnormal': ''})",
    "a layout": "arranged(operands, 'x', np.asarray, {'pitch': '500', 'transposed': 'ab'})",
    "a kernel": "kernel = KernelNumpy({}); kernel.probe(); kernel.prepare(Operands(operands.pairs[:1]))",
    "smaller calls before a large one": "expected_seconds(lambda: NullPython({}), deep, Shape(512, 512, 60_000))",
    "instructions": "sampling.sample(lambda: sum(range(1000)), 0.02)",
}


@pytest.mark.skipif(not heap.has_thresholds(), reason="it is about glibc's malloc; run on Linux")
@pytest.mark.parametrize("work", WORK)
def test_nothing_large_is_freed(work):
    code = f"""{PROBE}
import numpy as np
from gemmscope.backends.arrangement import arranged
from gemmscope.backends.null import NullPython
from gemmscope.backends.numpy import KernelNumpy
from gemmscope.machine import sampling
from gemmscope.measure.climbing import expected_seconds
from gemmscope.measure.multiplied import Multiplied
from gemmscope.measure.verify import Comparison
from gemmscope.workload.operands import OperandPair, Operands, uniform
from gemmscope.workload.placement import mapped
from gemmscope.workload.shapes import Shape
matrix = mapped((384, 384), np.float32)
operands = Operands([OperandPair(matrix, matrix)] * 2)
multiplied = Multiplied(operands, list(range(384)), [mapped((384, 384), np.float64)] * 2, [1.0] * 2)
wide, tall = mapped((1, 200_000), np.float32), mapped((90_000, 2), np.float32)
ROWS = list(range(8192))
deep = Operands([OperandPair(*(np.broadcast_to(np.float32(1), each) for each in ((512, 60_000), (60_000, 512))))])
before = is_mapped()
{WORK[work]}
print(before, is_mapped())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=250)
    assert done.stdout.split() == ["True", "True"], done.stderr


@pytest.mark.skipif(not heap.has_thresholds(), reason="it is about glibc's malloc; run on Linux")
def test_a_heap_that_is_warmed_keeps_what_is_freed():
    code = f"{PROBE}\nfrom gemmscope.machine import heap\nbefore = is_mapped()\nheap.warm()\nprint(before, is_mapped())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=250)
    assert done.stdout.split() == ["True", "False"], done.stderr


@pytest.mark.parametrize(
    ("variables", "fixed"),
    [
        ({}, []),
        ({"MALLOC_MMAP_THRESHOLD_": "1"}, ["MALLOC_MMAP_THRESHOLD_"]),
        ({"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1"}, ["GLIBC_TUNABLES"]),
        ({"GLIBC_TUNABLES": "glibc.pthread.rseq=0", "MALLOC_CONF": "narenas:1"}, []),
    ],
)
def test_variables_that_fix_what_malloc_keeps(variables, fixed):
    assert heap.fixed_by(variables) == fixed


def test_a_heap_cannot_be_warmed_against_them(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    if heap.has_thresholds():
        with pytest.raises(BackendUnavailable, match="MALLOC_TRIM_THRESHOLD_ in the environment fixes"):
            heap.warm()
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libjemalloc.so.2")
    with pytest.raises(BackendUnavailable, match="this program has another"):
        heap.warm()
