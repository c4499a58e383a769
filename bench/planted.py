"""Backends whose slow-down is known, because it was planted: what ``bench/truth.py`` asks gemmscope to find.

Each multiplies by NumPy and then waits for a share of what that very product took, so that the planted ratio holds
whatever the machine does meanwhile. ``planted-base`` and ``planted-0`` are the same work under two names. For two runs
to compare, the environment variable ``GEMMSCOPE_PLANTED`` makes ``planted-base`` slower by so many per cent.
"""

from __future__ import annotations

import os
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


def slowed(
    a: NDArray[np.float32], b: NDArray[np.float32], out: NDArray[np.float32], per_cent: float
) -> Callable[[], None]:
    """One product, slower by so many per cent of itself. Even without a slow-down the clock is read, as with one."""
    matmul, share = np.matmul, per_cent / 100

    def call() -> None:
        start = perf_counter()
        matmul(a, b, out)
        now = perf_counter()
        end = now + share * (now - start)
        while now < end:
            now = perf_counter()

    return call


class Planted(Backend):
    """NumPy's product, and a wait in proportion to it."""

    name: ClassVar[str] = "planted-base"
    library = "planted"
    device = "cpu"
    entry = "python"
    summary = "np.matmul(a, b, out), with nothing planted"
    per_cent: ClassVar[float] = float(os.environ.get("GEMMSCOPE_PLANTED", "0"))

    def probe(self) -> None:
        """NumPy is always there."""

    def prepare(self, operands: Operands) -> None:
        """Copies the operands into arrays of NumPy's own."""
        self._out = np.empty((operands.m, operands.n), np.float32)
        pairs = operands.converted("host", np.array)
        self._calls = [slowed(a, b, self._out, self.per_cent) for a, b in pairs]

    def run(self, loops: int, first: int) -> float:
        """Calls in a Python loop."""
        calls = rotation(self._calls, loops, first)
        start = perf_counter()
        for call in calls:
            call()
        return perf_counter() - start

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
