"""Work that competes for a device, and a clock that knows nothing of gemmscope: bench/truth_fleet.py starts both.

    python bench/planted_load.py load cpu:1        # reads: on RATE, off; prints what it did
    python bench/planted_load.py clock gpu:0       # reads: time SECONDS; prints the seconds of one multiplication

The load comes in bursts of a fixed amount of work, RATE of them a second: half a millisecond of processor time, or one
small kernel on a GPU. Both end with their standard input. They share no line with gemmscope: what it says is held
against them.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_CPU_BURST_SECONDS = 0.5e-3
_SIZES = {"cpu": 512, "gpu": 4096}
_SMALL_KERNEL = 1024
_CALLS_TO_WAIT = 4
_IDLE_SECONDS = 0.05


def main(arguments: list[str]) -> None:
    """Binds itself to the device, and answers lines until there are no more."""
    role, device = arguments
    kind, _, number = device.partition(":")
    if kind == "cpu":
        os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        os.sched_setaffinity(0, {int(number)})
    else:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        entries = [entry.strip() for entry in visible.split(",") if entry.strip()]
        # As CUDA counts here, which is how gemmscope fleet names devices.
        os.environ["CUDA_VISIBLE_DEVICES"] = entries[int(number)] if entries else number
    if role == "clock":
        clock(_multiplier(kind))
    else:
        load(_burst(kind))


def clock(multiply: Callable[[], int]) -> None:
    """Answers ``time SECONDS`` with the mean seconds of one multiplication in so many seconds of them."""
    _say({"ready": True})
    for line in iter(sys.stdin.readline, ""):
        seconds = float(line.split()[1])
        start, calls = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            calls += multiply()
        _say({"seconds": (time.perf_counter() - start) / calls})


def load(burst: Callable[[], float]) -> None:
    """Makes bursts while it is on. ``off`` is answered with how many there were, their seconds, and the wall time."""
    _say({"ready": True})
    bursts = 0
    rate, busy, started, due = 0.0, 0.0, 0.0, 0.0
    while True:
        now = time.perf_counter()
        wait = max(0.0, due - now) if rate else _IDLE_SECONDS
        if select.select([sys.stdin], [], [], wait)[0]:
            words = sys.stdin.readline().split()
            if not words:
                return
            if words[0] == "on":
                rate, bursts, busy = float(words[1]), 0, 0.0
                started = due = time.perf_counter()
            else:
                rate = 0.0
                _say({"bursts": bursts, "busy": busy, "wall": time.perf_counter() - started})
        elif rate and time.perf_counter() >= due:
            busy += burst()
            bursts += 1
            # Late bursts are not made up for: the rate is an upper bound, and what was achieved is measured.
            due = max(due + 1 / rate, time.perf_counter())


def _multiplier(kind: str) -> Callable[[], int]:
    """What multiplies a few times, waits, and says how often."""
    size = _SIZES[kind]
    if kind == "cpu":
        import numpy as np

        a, b = (np.random.default_rng(i).random((size, size), np.float32) for i in range(2))
        out = np.empty_like(a)

        def on_processor() -> int:
            np.matmul(a, b, out=out)
            return 1

        return on_processor
    torch = _torch()
    left, right = (torch.rand(size, size, device="cuda") for _ in range(2))

    def on_gpu() -> int:
        for _ in range(_CALLS_TO_WAIT):
            torch.mm(left, right)
        torch.cuda.synchronize()
        return _CALLS_TO_WAIT

    on_gpu()
    return on_gpu


def _burst(kind: str) -> Callable[[], float]:
    """One burst; it says how many seconds it took: of processor time, or until the kernel had ended."""
    if kind == "cpu":

        def spin() -> float:
            # Processor time: while the other has the processor, nothing of the burst is done.
            start = time.thread_time()
            while (used := time.thread_time() - start) < _CPU_BURST_SECONDS:
                pass
            return used

        return spin
    torch = _torch()
    left, right = (torch.rand(_SMALL_KERNEL, _SMALL_KERNEL, device="cuda") for _ in range(2))

    def kernel() -> float:
        start = time.perf_counter()
        torch.mm(left, right)
        torch.cuda.synchronize()
        return time.perf_counter() - start

    kernel()
    return kernel


def _torch() -> Any:
    import torch

    torch.backends.cuda.matmul.fp32_precision = "ieee"
    return torch


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
