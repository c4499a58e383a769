"""Nothing: what the harness's own loops cost, as the floor under every other figure."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gemmscope.backends.base import Backend, rotation
from gemmscope.backends.cblas import extension

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gemmscope.backends.base import Entry
    from gemmscope.workload.operands import Operands


class NullPython(Backend):
    """The Python loop over the pairs, around nothing."""

    name = "null-python"
    library = "null"
    device = "cpu"
    entry: ClassVar[Entry] = "python"
    summary = "the Python loop around nothing"
    multiplies = False

    def probe(self) -> None:
        """Nothing is always there."""

    def prepare(self, operands: Operands) -> None:
        """Takes the pairs as they are: nobody reads them."""
        self._pairs = operands.pairs
        self._shape = (operands.m, operands.n)

    def run(self, loops: int, first: int) -> float:
        """Unpacks a pair, as every Python loop here does, and goes on to the next."""
        pairs = rotation(self._pairs, loops, first)
        start = perf_counter()
        for _a, _b in pairs:
            pass
        return perf_counter() - start

    def product(self, pair: int) -> NDArray[np.float32]:
        """No result: zeros, that nobody compares."""
        return np.zeros(self._shape, np.float32)


class NullNative(NullPython):
    """The C++ loop, around nothing."""

    name = "null-native"
    entry = "native"
    summary = "the C++ loop around nothing"

    def probe(self) -> None:
        """Loads the extension, as ``cblas`` does."""
        self._time_nothing: Callable[[int], float] = extension().time_nothing

    def run(self, loops: int, first: int) -> float:
        """Turns the loop, by its own steady clock."""
        return self._time_nothing(loops)
