"""The CBLAS that gemmscope's own extension is linked with: Accelerate on macOS, OpenBLAS elsewhere."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gemmscope.backends.arrangement import arranged
from gemmscope.backends.base import BLAS_OPERAND_OPTIONS, PROCESS_OPTIONS, Backend, Layer, alignment, rotation
from gemmscope.errors import BackendUnavailable
from gemmscope.machine.images import blas_facts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gemmscope.backends.base import Entry
    from gemmscope.workload.operands import Operands


class Cblas(Backend):
    """A C++ loop on the linked ``cblas_sgemm``: the kernel with nothing around it."""

    name = "cblas"
    library = "cblas"
    device = "cpu"
    entry: ClassVar[Entry] = "native"
    summary = "a C++ loop on the linked cblas_sgemm"
    options = (*PROCESS_OPTIONS, *BLAS_OPERAND_OPTIONS)

    def probe(self) -> None:
        """Loads the extension, and with it the BLAS that it is linked with."""
        try:
            from gemmscope import _native
        except ImportError as error:
            raise BackendUnavailable(
                f"gemmscope's extension cannot be loaded: {error}",
                "install gemmscope again, so that it is built for this Python and this BLAS",
            ) from error
        self.native = _native

    def prepare(self, operands: Operands) -> None:
        """Copies the operands into NumPy arrays, and plans one call into the same output for each pair."""
        self._pairs = arranged(operands, "host", np.array, self.settings)
        self._out = np.empty((operands.m, operands.n), np.float32)
        self._plans = [self.native.Plan(a, b, self._out) for a, b in self._pairs]

    def run(self, loops: int, first: int) -> float:
        """Multiplies in a C++ loop, by its own steady clock."""
        return self.native.time_plans(self._plans, loops, first)

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same loop for one turn."""
        self.native.time_plans(self._plans, 1, pair)
        return self._out

    def operand_arrays(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The operands themselves."""
        return self._pairs

    def blas_image(self) -> str:
        """The file of the BLAS that the extension is linked with."""
        return str(self.native.blas_description()["image"])

    def provenance(self) -> dict[str, str | int]:
        """Which BLAS it is, where it lies, what it says of itself, and the operands' alignment."""
        blas = self.native.blas_description()
        return {
            "blas": blas["interface"],
            **blas_facts(blas["image"]),
            "blas symbol": blas["symbol"],
            "blas image": blas["image"],
            "blas config": blas["config"],
            "alignment": alignment([matrix.ctypes.data for pair in self._pairs for matrix in pair]),
        }


class CblasCall(Cblas):
    """Python calls ``native.sgemm(a, b, out)``: what a C++ extension of one's own costs."""

    name = "cblas-call"
    entry = "python"
    summary = "native.sgemm(a, b, out) from Python"
    layers = (Layer("binding", "cblas"),)

    def run(self, loops: int, first: int) -> float:
        """Calls the nanobind function in a Python loop."""
        sgemm = self.native.sgemm
        out = self._out
        pairs = rotation(self._pairs, loops, first)
        start = perf_counter()
        for a, b in pairs:
            sgemm(a, b, out)
        return perf_counter() - start

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once."""
        a, b = self._pairs[pair]
        self.native.sgemm(a, b, self._out)
        return self._out
