"""SciPy: ``scipy.linalg.blas.sgemm``, its thin wrapper around the BLAS that its wheel carries."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from gemmscope.backends.arrangement import for_numpy
from gemmscope.backends.base import (
    COLD,
    OUT,
    PROCESS_OPTIONS,
    REUSED,
    SUBNORMAL,
    Backend,
    Layer,
    Option,
    alignment,
    rotation,
)
from gemmscope.backends.kernel import Candidate, KernelBackend
from gemmscope.backends.preload import BLAS
from gemmscope.errors import BackendUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gemmscope.workload.operands import Operands

# Layouts are left out: f2py copies what Fortran cannot read as it lies.
_OPTIONS = (*PROCESS_OPTIONS, BLAS, SUBNORMAL, COLD, REUSED)


class ScipyBlas(Backend):
    """``sgemm(1.0, b.T, a.T)``: Fortran reads a row-major matrix as its transpose, and so nothing is copied.

    With ``:out`` into one array, by ``c=`` and ``overwrite_c``.
    """

    name = "scipy-blas"
    library = "scipy"
    device = "cpu"
    entry = "python"
    summary = "scipy.linalg.blas.sgemm(1.0, b.T, a.T)"
    options: ClassVar[tuple[Option, ...]] = (OUT, *_OPTIONS)
    layers = (Layer("allocation", "scipy-blas:out"), Layer("binding", "kernel-scipy"))

    def probe(self) -> None:
        """SciPy is a dependency of gemmscope itself: it is always there. The BLAS asked for may not be."""
        from scipy.linalg.blas import sgemm  # it loads an OpenBLAS, and only a worker may

        self._sgemm: Any = sgemm
        KernelScipy.check_blas(self.settings)

    def prepare(self, operands: Operands) -> None:
        """Takes the operands over as arrays of NumPy's."""
        if min(operands.m, operands.n, operands.k) == 0:
            raise BackendUnavailable("SciPy refuses empty operands")
        self._pairs, self._out = for_numpy(operands, self.settings)

    def run(self, loops: int, first: int) -> float:
        """Calls ``sgemm`` in a Python loop."""
        sgemm = self._sgemm
        pairs = rotation([(b.T, a.T) for a, b in self._pairs], loops, first)
        if "out" in self.settings:
            out = self._out.T
            start = perf_counter()
            for b, a in pairs:
                sgemm(1.0, b, a, 0.0, out, 0, 0, 1)
            return perf_counter() - start
        start = perf_counter()
        for b, a in pairs:
            sgemm(1.0, b, a)
        return perf_counter() - start

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once."""
        a, b = self._pairs[pair]
        if "out" in self.settings:
            self._sgemm(1.0, b.T, a.T, 0.0, self._out.T, 0, 0, 1)
            return self._out
        product: NDArray[np.float32] = self._sgemm(1.0, b.T, a.T).T
        return product

    def operand_arrays(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The operands themselves."""
        return self._pairs

    def provenance(self) -> dict[str, str | int]:
        """The BLAS that SciPy calls in this process, and the operands' alignment."""
        return {
            **KernelScipy.called_facts(),
            "alignment": alignment([matrix.ctypes.data for pair in self._pairs for matrix in pair]),
        }


class KernelScipy(KernelBackend):
    """A C++ loop on the BLAS that SciPy calls: OpenBLAS in its wheels, Accelerate in those for macOS 14 and newer."""

    name = "kernel-scipy"
    library = "scipy"
    summary = "a C++ loop on the sgemm that SciPy has loaded"
    options = _OPTIONS
    of = ScipyBlas
    huge_pages = True
    caller = r"^_fblas"
    candidates = (
        Candidate("scipy_sgemm_", "fortran-lp64"),
        Candidate("sgemm$NEWLAPACK", "fortran-lp64"),
        Candidate("sgemm_", "fortran-lp64"),
    )
