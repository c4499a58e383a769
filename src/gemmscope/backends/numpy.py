"""NumPy: ``np.matmul`` on the BLAS that its wheel carries."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from gemmscope.backends.arrangement import for_numpy
from gemmscope.backends.base import OUT, SELF, Backend, Layer, alignment, rotation
from gemmscope.backends.kernel import Candidate, KernelBackend
from gemmscope.backends.preload import CPU_OPTIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gemmscope.workload.operands import Operands


class NumpyCpu(Backend):
    """``np.matmul(a, b)``, which allocates its output on every call; with ``:out`` it does not."""

    name = "numpy-cpu"
    library = "numpy"
    device = "cpu"
    entry = "python"
    summary = "np.matmul(a, b)"
    options = (OUT, *CPU_OPTIONS)
    layers = (Layer("allocation", "numpy-cpu:out"), Layer("binding", "kernel-numpy"))

    def probe(self) -> None:
        """NumPy is a dependency of gemmscope itself: it is always there. The BLAS asked for may not be."""
        KernelNumpy.check_blas(self.settings)

    def prepare(self, operands: Operands) -> None:
        """Takes the operands over as arrays of NumPy's."""
        self._pairs, self._out = for_numpy(operands, self.settings)

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

    def operand_arrays(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The operands themselves."""
        return self._pairs

    def provenance(self) -> dict[str, str | int]:
        """The BLAS that NumPy calls in this process, and the operands' alignment.

        ``np.show_config`` has what the builder of its wheel had.
        """
        return {
            **KernelNumpy.called_facts(),
            "alignment": alignment([matrix.ctypes.data for pair in self._pairs for matrix in pair]),
        }


class KernelNumpy(KernelBackend):
    """A C++ loop on the BLAS that NumPy calls: OpenBLAS in its own wheels, Accelerate in those for macOS 14 and newer.

    Where C has one row or one column NumPy calls ``sgemv`` (numpy/_core/src/umath/matmul.c.src).
    """

    name = "kernel-numpy"
    library = "numpy"
    summary = "a C++ loop on the sgemm that NumPy has loaded"
    # For a @ a.T NumPy calls another routine, ssyrk.
    options = tuple(option for option in KernelBackend.options if option != SELF)
    of = NumpyCpu
    huge_pages = True
    caller = r"^_multiarray_umath"
    candidates = (
        Candidate("scipy_cblas_sgemm64_", "cblas-ilp64", "scipy_cblas_sgemv64_"),
        Candidate("cblas_sgemm$NEWLAPACK$ILP64", "cblas-ilp64", "cblas_sgemv$NEWLAPACK$ILP64"),
        Candidate("cblas_sgemm$NEWLAPACK", "cblas-lp64", "cblas_sgemv$NEWLAPACK"),
        Candidate("cblas_sgemm64_", "cblas-ilp64", "cblas_sgemv64_"),
        Candidate("cblas_sgemm", "cblas-lp64", "cblas_sgemv"),
    )
