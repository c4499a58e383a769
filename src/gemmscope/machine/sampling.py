"""Instruction sampling in a worker: what a library's own call executes, as plain data for the orchestrator to decode.

It interrupts all threads, so it is never done inside a timed sample. Decoding is ``machine/instructions.py``'s, in
another process: a worker loads no disassembler.
"""

from __future__ import annotations

import platform
import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from gemmscope import _kernels
from gemmscope.machine import sources
from gemmscope.machine.sources import ROOT
from gemmscope.records.evidence import SampledCode, Sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

# Linux looks at the timer when the scheduler ticks, every 1 to 10 ms; a shorter interval gives no more samples.
INTERVAL_SECONDS = 1e-3

# Far more than the ticks of many processors in the seconds that are spent on it. 16 bytes each.
_CAPACITY = 1 << 16

# A dozen instructions on each side: AVX-512's take 6 to 11 bytes.
_BYTES = 96

# No system has smaller ones.
_PAGE = 4096


def sample(
    work: Callable[[], object],
    seconds: float,
    *,
    interval_seconds: float = INTERVAL_SECONDS,
    capacity: int = _CAPACITY,
) -> Sampling:
    """Calls ``work`` again and again for some seconds, and says what all threads of this process executed meanwhile.

    Args:
        work: The library's own call, or several of them. It is called at least once, and never cut short.
        seconds: Wall time after which it is not called again.
        interval_seconds: Processor time between interruptions, at least 0.0001.
        capacity: The most samples that are stored.

    Returns:
        The samples, or the reason why the system allows none. What ``work`` raises is raised, after the timer stopped.
    """
    sampler = _kernels.Sampler(interval_seconds, capacity)
    try:
        sampler.start()
    except RuntimeError as refused:
        return Sampling(architecture=platform.machine(), reason=str(refused))
    try:
        end = time.perf_counter() + seconds
        work()
        while time.perf_counter() < end:
            work()
    finally:
        addresses, threads, dropped = sampler.stop()
    return Sampling(
        architecture=platform.machine(), codes=_codes(addresses, threads), dropped=dropped, hidden=hidden_threads()
    )


def hidden_threads(root: Path = ROOT) -> int:
    """How many threads of this process block the timer's signal (Linux: proc_pid_status(5)); 0 where none says so."""
    blocked = 0
    for status in (root / "proc/self/task").glob("*/status"):
        # A thread may end while it is looked at.
        masks = (
            line.partition(":")[2] for line in (sources.text(status) or "").splitlines() if line.startswith("SigBlk:")
        )
        blocked += any(int(mask, 16) >> (signal.SIGPROF - 1) & 1 for mask in masks)
    return blocked


def _codes(addresses: Iterable[int], threads: Iterable[int]) -> list[SampledCode]:
    """Samples of one thread at one address as one, with what lies there. The images must still be loaded."""
    numbers = {threading.get_native_id(): 0}
    counts = Counter(
        (address, numbers.setdefault(thread, len(numbers))) for address, thread in zip(addresses, threads, strict=True)
    )
    return [_code(address, thread, count) for (address, thread), count in counts.most_common()]


def _code(address: int, thread: int, count: int) -> SampledCode:
    image, symbol, offset = _kernels.locate(address) or ("", "", 0)
    return SampledCode(
        address=address,
        thread=thread,
        count=count,
        before=_before(address),
        after=_kernels.read_memory(address, _BYTES),
        image=image,
        symbol=symbol,
        offset=offset,
    )


def _before(address: int) -> bytes:
    """The bytes that end at an address; fewer where a page before it cannot be read."""
    for size in (_BYTES, address % _PAGE):
        start = max(0, address - size)
        found = _kernels.read_memory(start, address - start)
        if len(found) == address - start:
            return found
    return b""
