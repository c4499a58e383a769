"""A C++ loop on a CBLAS: the one that gemmscope's own extension is linked with, or another, loaded at run time.

Linked is Accelerate on macOS, OpenBLAS elsewhere.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from gemmscope import _kernels
from gemmscope.backends import preload
from gemmscope.backends.arrangement import for_numpy
from gemmscope.backends.base import BLAS_OPERAND_OPTIONS, PROCESS_OPTIONS, Backend, Layer, Option, alignment, rotation
from gemmscope.errors import BackendUnavailable
from gemmscope.machine.images import blas_facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

    from gemmscope.backends.base import Entry
    from gemmscope.workload.operands import Operands

    Pairs = Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]

# Two of them in one process would spin against each other.
BLAS = Option("blas", "on this BLAS, loaded at run time; see gemmscope blas", "blas", own_worker=True)


class _Routine(Protocol):
    """An sgemm from C++."""

    def prepare(self, pairs: Pairs, out: NDArray[np.float32]) -> None:
        """Plans one call into the same output for each pair."""

    def time(self, loops: int, first: int) -> float:
        """Seconds for ``loops`` calls in a C++ loop, by its own steady clock."""

    def facts(self) -> dict[str, str | int]:
        """Which function of which file it is, and what that says of itself."""


def extension() -> ModuleType:
    """The extension of gemmscope, and with it the BLAS that it is linked with.

    Raises:
        BackendUnavailable: If it cannot be loaded.
    """
    try:
        from gemmscope import _native
    except ImportError as error:
        raise BackendUnavailable(
            f"gemmscope's extension cannot be loaded: {error}",
            "install gemmscope again, so that it is built for this Python and this BLAS",
        ) from error
    return _native


class _Linked:
    """The one that the extension is linked with."""

    def __init__(self) -> None:
        self._native: Any = extension()

    def prepare(self, pairs: Pairs, out: NDArray[np.float32]) -> None:
        self._plans = [self._native.Plan(a, b, out) for a, b in pairs]

    def time(self, loops: int, first: int) -> float:
        seconds: float = self._native.time_plans(self._plans, loops, first)
        return seconds

    def facts(self) -> dict[str, str | int]:
        blas = self._native.blas_description()
        return {
            "blas": blas["interface"],
            **blas_facts(blas["image"]),
            "blas symbol": blas["symbol"],
            "blas image": blas["image"],
            "blas config": blas["config"],
        }


class _Loaded:
    """The one of a BLAS by its name or file."""

    def __init__(self, name: str) -> None:
        file = preload.file_of(name)
        try:
            self._symbol, self._convention = _kernels.load_blas(file)
            # Its own, and not one that a user has preloaded for all programs.
            self._sgemm = _kernels.Kernel(file, self._symbol, self._convention, "sgemm", own=True)
        except (RuntimeError, ValueError) as error:
            raise BackendUnavailable(str(error), "'gemmscope blas' lists the libraries that are here") from error

    def prepare(self, pairs: Pairs, out: NDArray[np.float32]) -> None:
        self._calls = _kernels.Calls(pairs, out)

    def time(self, loops: int, first: int) -> float:
        return self._sgemm.time(self._calls, loops, first)

    def facts(self) -> dict[str, str | int]:
        return {
            **preload.facts_of(self._sgemm.image),
            "blas symbol": self._symbol,
            "blas interface": self._convention,
        }


class Cblas(Backend):
    """A C++ loop on the linked ``cblas_sgemm``: the kernel with nothing around it. With ``:blas=`` on another BLAS."""

    name = "cblas"
    library = "cblas"
    device = "cpu"
    entry: ClassVar[Entry] = "native"
    summary = "a C++ loop on the linked cblas_sgemm"
    options: ClassVar[tuple[Option, ...]] = (*PROCESS_OPTIONS, BLAS, *BLAS_OPERAND_OPTIONS)

    def probe(self) -> None:
        """Loads the extension, and with it the BLAS that it is linked with; or the BLAS that is asked for."""
        name = self.settings.get("blas", "")
        self._routine: _Routine = _Loaded(name) if name else _Linked()

    def prepare(self, operands: Operands) -> None:
        """Takes the operands over as NumPy arrays, and plans one call into the same output for each pair."""
        if min(operands.m, operands.n, operands.k) == 0 and "blas" in self.settings:
            raise BackendUnavailable("no BLAS is called for empty operands")
        self._pairs, self._out = for_numpy(operands, self.settings)
        self._routine.prepare(self._pairs, self._out)

    def run(self, loops: int, first: int) -> float:
        """Multiplies in a C++ loop, by its own steady clock."""
        return self._routine.time(loops, first)

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same loop for one turn."""
        self._routine.time(1, pair)
        return self._out

    def operand_arrays(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The operands themselves."""
        return self._pairs

    def blas_image(self) -> str:
        """The file of the BLAS."""
        return str(self._routine.facts()["blas image"])

    def provenance(self) -> dict[str, str | int]:
        """Which BLAS it is, where it lies, what it says of itself, and the operands' alignment."""
        return {
            **self._routine.facts(),
            "alignment": alignment([matrix.ctypes.data for pair in self._pairs for matrix in pair]),
        }


class CblasCall(Cblas):
    """Python calls ``native.sgemm(a, b, out)``: what a C++ extension of one's own costs."""

    name = "cblas-call"
    entry = "python"
    summary = "native.sgemm(a, b, out) from Python"
    options: ClassVar[tuple[Option, ...]] = (*PROCESS_OPTIONS, *BLAS_OPERAND_OPTIONS)
    layers = (Layer("binding", "cblas"),)

    def run(self, loops: int, first: int) -> float:
        """Calls the nanobind function in a Python loop."""
        sgemm = extension().sgemm
        out = self._out
        pairs = rotation(self._pairs, loops, first)
        start = perf_counter()
        for a, b in pairs:
            sgemm(a, b, out)
        return perf_counter() - start

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once."""
        a, b = self._pairs[pair]
        extension().sgemm(a, b, self._out)
        return self._out
