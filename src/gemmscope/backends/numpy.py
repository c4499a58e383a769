"""NumPy: ``np.matmul`` on the BLAS that its wheel carries."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from gemmscope.backends.base import OUT, THREADS, Backend, alignment, rotation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gemmscope.operands import Operands


class NumpyCpu(Backend):
    """``np.matmul(a, b)``, which allocates its product on every call; with ``:out`` it does not."""

    name = "numpy-cpu"
    library = "numpy"
    device = "cpu"
    entry = "python"
    summary = "np.matmul(a, b)"
    options = (OUT, THREADS)

    def probe(self) -> None:
        """NumPy is a dependency of gemmscope itself: it is always there."""

    def prepare(self, operands: Operands) -> None:
        """Copies the operands into arrays of NumPy's own."""
        self._pairs = operands.converted("host", np.array)
        self._out = np.empty((operands.m, operands.n), np.float32)

    def run(self, loops: int, first: int) -> float:
        """Calls ``np.matmul`` in a Python loop."""
        matmul = np.matmul
        pairs = rotation(self._pairs, loops, first)
        if "out" in self.settings:
            out = self._out
            start = perf_counter()
            for a, b in pairs:
                matmul(a, b, out)
            return perf_counter() - start
        start = perf_counter()
        for a, b in pairs:
            matmul(a, b)
        return perf_counter() - start

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once."""
        a, b = self._pairs[pair]
        return np.matmul(a, b, self._out) if "out" in self.settings else np.matmul(a, b)

    def provenance(self) -> dict[str, str | int]:
        """The BLAS that NumPy says it was built with, and the operands' alignment."""
        dependencies = np.show_config(mode="dicts")["Build Dependencies"]
        blas = dependencies.get("blas", {})
        return {
            "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
            "blas config": blas.get("openblas configuration", ""),
            "alignment": alignment([matrix.ctypes.data for pair in self._pairs for matrix in pair]),
        }
