"""Backends whose slow-down is known, because it was planted: what ``bench/truth.py`` asks gemmscope to find.

Each multiplies by NumPy and then waits for a share of what that very call took, so that the planted ratio holds
whatever the machine does meanwhile. ``planted-base`` and ``planted-0`` are the same work under two names. For two runs
to compare, the environment variable ``GEMMSCOPE_PLANTED`` makes ``planted-base`` slower by so many per cent.

All of them multiply the same arrays into the same array. On arrays of their own identical calls differed by up to 2 %
on one machine, and alike in every fresh process, where arrays come to lie at the same places.

What was really achieved is noted call by call, by a clock that the waits do not look at: the :class:`Ledger`.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from array import array
from functools import lru_cache, partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gemmscope.backends.base import Backend, rotation

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gemmscope.workload.operands import Operands

# Per cent.
SLOWDOWNS = (0, 1, 2, 5, 10)
BASE = "planted-base"
# A wait ends late by half a look at the clock (0.014 % of 150 µs). The next one is shorter by that, but by no more than
# this, in seconds: where a wait was interrupted, many calls would not wait at all.
LATEST = 1e-6
# The environment variable with the folder for ledgers.
LEDGERS = "GEMMSCOPE_PLANTED_LEDGERS"

# In nanoseconds. Not steered by NTP, and not the clock under test; Windows has no such clock.
_apart: Callable[[], int] = (
    time.perf_counter_ns if sys.platform == "win32" else partial(time.clock_gettime_ns, time.CLOCK_MONOTONIC_RAW)
)


def name_of(per_cent: float) -> str:
    """The backend that is slower by so many per cent."""
    return f"planted-{per_cent:g}"


class Ledger:
    """By how much longer the calls of a plant really took: a ratio each, of the whole call to the call less its plant.

    Kept in a file by the plant's name, in the folder that ``GEMMSCOPE_PLANTED_LEDGERS`` names; nowhere without it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ratios = array("d")
        atexit.register(self.keep)

    def keep(self) -> None:
        """Adds what was noted to the file, and forgets it."""
        folder = os.environ.get(LEDGERS)
        if folder and self.ratios:
            with (Path(folder) / self.name).open("ab") as file:
                self.ratios.tofile(file)
        del self.ratios[:]


def achieved(folder: Path, name: str) -> float | None:
    """How much slower the calls of this name really were than the base's, in per cent; None if none were noted."""
    if not ((folder / name).exists() and (folder / BASE).exists()):
        return None
    whole, base = (float(np.median(np.fromfile(folder / each))) for each in (name, BASE))
    return 100 * (whole / base - 1)


def slowed(
    multiply: Callable[[], object],
    per_cent: float,
    ratios: array[float],
    clock: Callable[[], float] = perf_counter,
    apart: Callable[[], int] = _apart,
) -> Callable[[], None]:
    """One multiplication, slower by so many per cent of itself. Without a slow-down every statement is the same.

    Args:
        multiply: The call.
        per_cent: How much slower.
        ratios: Where to note the whole call's time over its time without the plant.
        clock: In seconds: what the wait goes by.
        apart: In nanoseconds: what is noted goes by this one.
    """
    share, note, late = per_cent / 100, ratios.append, 0.0

    def call() -> None:
        nonlocal late
        begin = apart()
        start = clock()
        multiply()
        wait = share * (clock() - start) - late
        middle = apart()
        # What a planted call does between its looks counts towards its wait; the base's does it on top. So as little as
        # possible stands here: with cold caches the line above takes 150 ns, 0.1 % of the call.
        now = clock()
        end = now + wait
        while now < end:
            now = clock()
        late = min(now - end, LATEST)
        note((apart() - begin) / (middle - begin))

    return call


def operands_of(size: int, seed: int) -> Callable[[], object]:
    """A multiplication of two matrices of that size into a third, made from the seed."""
    generator = np.random.default_rng(seed)
    a, b = (generator.uniform(-1, 1, (size, size)).astype(np.float32) for _ in range(2))
    return partial(np.matmul, a, b, np.empty((size, size), np.float32))


def planted_call(multiply: Callable[[], object], per_cent: float, name: str) -> Callable[[], None]:
    """The same call that gemmscope times, with a ledger of that name."""
    return slowed(multiply, per_cent, Ledger(name).ratios)


@lru_cache(maxsize=1)
def shared_result(m: int, n: int) -> NDArray[np.float32]:
    """The array for results of all planted backends of a process; their operands are the same as well."""
    return np.empty((m, n), np.float32)


class Planted(Backend):
    """NumPy's product, and a wait in proportion to it."""

    name: ClassVar[str] = BASE
    library = "planted"
    device = "cpu"
    entry = "python"
    summary = "np.matmul(a, b, out), with nothing planted"
    per_cent: ClassVar[float] = float(os.environ.get("GEMMSCOPE_PLANTED", "0"))

    def probe(self) -> None:
        """NumPy is always there."""

    def prepare(self, operands: Operands) -> None:
        """Takes the arrays that all planted backends share."""
        self._out = shared_result(operands.m, operands.n)
        pairs = operands.converted("host", np.array)
        self._ledger = Ledger(self.name)
        self._calls = [
            slowed(partial(np.matmul, a, b, self._out), self.per_cent, self._ledger.ratios) for a, b in pairs
        ]

    def run(self, loops: int, first: int) -> float:
        """Calls in a Python loop; the ledger is kept when the time was taken."""
        calls = rotation(self._calls, loops, first)
        start = perf_counter()
        for call in calls:
            call()
        seconds = perf_counter() - start
        self._ledger.keep()
        return seconds

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once."""
        self._calls[pair]()
        return self._out


class Planted0(Planted):
    """The same work under another name."""

    name = "planted-0"
    per_cent = 0.0


class Planted1(Planted):
    """One per cent slower."""

    name = "planted-1"
    per_cent = 1.0


class Planted2(Planted):
    """Two per cent slower."""

    name = "planted-2"
    per_cent = 2.0


class Planted5(Planted):
    """Five per cent slower."""

    name = "planted-5"
    per_cent = 5.0


class Planted10(Planted):
    """Ten per cent slower."""

    name = "planted-10"
    per_cent = 10.0
