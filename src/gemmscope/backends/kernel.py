"""The kernel that a library really calls: its own sgemm, found in what it has loaded, in a C++ loop.

A name alone proves nothing: a library may bring several BLAS, or call another routine, or none. Two things confirm it.
The library calls that routine, at this very shape: counted in its own table of addresses, on Linux. And its results are
the library's own to the last bit, in this process and with its threads, on several shapes and pairs. Bits alone prove
little where sums are short or few: where calls cannot be counted, as on macOS, long sums are compared too.
"""

from __future__ import annotations

import math
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from gemmscope import _kernels
from gemmscope.backends import preload
from gemmscope.backends.base import PITCH, Backend, Option
from gemmscope.errors import BackendUnavailable
from gemmscope.machine.images import loaded_images
from gemmscope.workload.operands import OperandPair, Operands, uniform
from gemmscope.workload.placement import mapped
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from gemmscope.backends.base import Entry

# Small, odd, with long sums, and large enough for threads and blocking: a kernel that is not the library's own differs
# on one of them. Below 128 KiB a matrix, also while it is made, so that freeing them leaves malloc as it is: see the
# module on placement.
PROBES = tuple(
    Shape(*shape)
    for shape in ((2, 2, 2), (16, 16, 16), (11, 12, 2053), (100, 37, 211), (128, 128, 128), (160, 160, 160))
)
_PROBE_PAIRS = 2

# Where calls cannot be counted, so many sums of so many terms tell one routine from another: each ends in another order
# of rounding with a chance of a half or so. Shorter ones may be alike in routines that add their terms one by one: on
# arm64 the products of netlib's BLAS and of OpenBLAS are the same to the last bit up to K = 300 to 1024.
_TELLING_SUMS = 64
_TELLING_TERMS = 2053
# For fewer terms libraries have ways of their own, which longer sums do not show: at K = 1 NumPy calls no BLAS.
_FEWEST_TERMS = 8
# The longest side of the products with long sums. They are freed: see PROBES.
_LONG_SUMS_SIDE = 160

# A kernel that was confirmed on the probes is not compared again where that would take seconds of a slow one.
_COMPARE_AT_MOST = 2 * 512**3


class _Compared(NamedTuple):
    """The library with its operands, the same operands for the kernel, and where the kernel writes."""

    library: Backend
    calls: _kernels.Calls
    out: NDArray[np.float32]


class Candidate(NamedTuple):
    """A name by which a library may call its kernel.

    Args:
        symbol: Of its sgemm.
        convention: How it is called: ``"cblas-lp64"``, ``"cblas-ilp64"``, ``"fortran-lp64"``, ``"fortran-ilp64"``.
        vector_symbol: Of the sgemv that it may call where C has one row or one column; empty for none.
    """

    symbol: str
    convention: str
    vector_symbol: str = ""


# What has been confirmed, by class and settings: once in a process is enough.
_IDENTIFIED: dict[tuple[type[Backend], tuple[tuple[str, str], ...]], tuple[Candidate, _kernels.Kernel]] = {}


def image_of(pattern: str) -> str:
    """The file of the loaded image whose name matches a pattern; empty if there is none."""
    return next((image for image in loaded_images() if re.search(pattern, PurePath(image).name)), "")


class KernelBackend(Backend):
    """A C++ loop on the very sgemm symbol that a library has loaded, on that library's own operands.

    Attributes:
        of: The backend whose kernel it is. Its ``product`` is what the kernel's must be identical to.
        caller: A pattern for the file name of the image that calls the kernel.
        candidates: By what name it may call it, the likeliest first.
        huge_pages: Whether the library's own outputs lie in huge pages, as NumPy's do.
    """

    device = "cpu"
    entry: ClassVar[Entry] = "native"
    options: ClassVar[tuple[Option, ...]] = preload.KERNEL_OPTIONS
    of: ClassVar[type[Backend]]
    caller: ClassVar[str]
    candidates: ClassVar[tuple[Candidate, ...]]
    huge_pages: ClassVar[bool] = False

    @classmethod
    def check_blas(cls, settings: Mapping[str, str]) -> None:
        """Sees to it that the BLAS that a variant asks for is what its library, which is loaded, will call.

        Raises:
            BackendUnavailable: If it is not.
        """
        if "blas" in settings:
            preload.check_blas(
                settings["blas"], image_of(cls.caller), [candidate.symbol for candidate in cls.candidates]
            )

    @classmethod
    def called_image(cls) -> str:
        """The file of the BLAS that the library calls, which is loaded; empty where it is not found."""
        caller = image_of(cls.caller)
        found = (_kernels.find_symbol(caller, candidate.symbol) for candidate in cls.candidates)
        return next((one[0] for one in found if one is not None), "")

    @classmethod
    def called_facts(cls) -> dict[str, str | int]:
        """What the BLAS that the library calls in this process says of itself, and not what its builder had."""
        found = cls.called_image()
        return preload.facts_of(found) if found else {"blas": "unknown"}

    def probe(self) -> None:
        """Loads the library, and finds its kernel."""
        library = self._library_backend()
        self._caller = image_of(self.caller)
        key = (type(self), tuple(sorted(self.settings.items())))
        if key not in _IDENTIFIED:
            _IDENTIFIED[key] = self._identify(library)
        self._candidate, self._sgemm = _IDENTIFIED[key]

    def prepare(self, operands: Operands) -> None:
        """Takes the library's own copies of the operands, and sees to it that this is what the library calls here."""
        self._library = self._library_backend()
        self._library.prepare(operands)
        self._out = operands.output(huge_pages=self.huge_pages)
        self._calls = _kernels.Calls(self._library.operand_arrays(), self._out)
        m, n, k = operands.m, operands.n, operands.k
        if min(m, n, k) == 0:
            raise BackendUnavailable("an empty result has no kernel")
        self._compared = min(m, n) == 1 or 2 * m * n * k <= _COMPARE_AT_MOST
        compared = _Compared(self._library, self._calls, self._out)
        for routine, kernel in self._routines_at(operands).items():
            self._routine, self._kernel = routine, kernel
            matches = not self._compared or _matches(kernel, compared, min(len(operands), _pairs(m, n)))
            if matches and (self._counted or k >= _TELLING_TERMS or self._matches_in_long_sums(kernel, m, n)):
                return
        raise BackendUnavailable(
            f"kernel not identified: at this shape results of {self._candidate.symbol} are not those of "
            f"{self._library.name}"
        )

    def _routines_at(self, operands: Operands) -> dict[str, _kernels.Kernel]:
        """The routine that the library calls at a shape; those that it may call, where calls cannot be counted.

        Raises:
            BackendUnavailable: If it calls none of them, or more than one, or if nothing would tell.
        """
        m, n, k = operands.m, operands.n, operands.k
        symbol, convention, vector_symbol = self._candidate
        routines = {"sgemm": self._sgemm}
        if vector_symbol and 1 in (m, n):
            # First: some sgemm pass vectors on to sgemv themselves, and then the results of both are the library's.
            vector = _kernels.Kernel(self._caller, vector_symbol, convention, "sgemv")
            routines = {"sgemv": vector, **routines}
        names = {"sgemm": symbol, "sgemv": vector_symbol}
        counted = {name: self._count(names[name]) for name in routines}
        self._counted = counted["sgemm"] is not None
        if self._counted:
            called = {name: kernel for name, kernel in routines.items() if counted[name] == 1}
            if called:
                return called
            many = [f"{names[name]} {count} times" for name, count in counted.items() if count]
            neither = f"calls neither {symbol} nor {vector_symbol}" if len(routines) > 1 else f"does not call {symbol}"
            how = f"calls {' and '.join(many)} for one product" if many else neither
            raise BackendUnavailable(f"kernel not identified: at this shape {self._library.name} {how}")
        if self._compared and (k < _FEWEST_TERMS or m * n * len(operands) < _TELLING_SUMS):
            raise BackendUnavailable(
                "kernel not identified: at this shape the results of one routine may be those of another, and calls "
                "cannot be counted here"
            )
        return routines

    def _count(self, symbol: str) -> int | None:
        """How often the library calls a routine for one of its products; None where calls cannot be counted."""
        library = self._library
        return _kernels.count_calls(self._caller, symbol, lambda: library.product(0))

    def run(self, loops: int, first: int) -> float:
        """Calls the kernel in a C++ loop, by a clock in C++."""
        return self._kernel.time(self._calls, loops, first)

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once."""
        self._kernel.multiply(self._calls, pair)
        return self._out

    def operand_arrays(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The library's own operands."""
        return list(self._library.operand_arrays())

    def blas_image(self) -> str:
        """The file in which the kernel lies."""
        return preload.behind(self._sgemm.image)

    def provenance(self) -> dict[str, str | int]:
        """Which routine of which file it is, what that says of itself, and whether it was compared at this shape."""
        return {
            "kernel routine": self._routine,
            "kernel symbol": self._candidate.vector_symbol if self._routine == "sgemv" else self._candidate.symbol,
            "kernel image": preload.behind(self._kernel.image),
            "kernel description": _kernels.description_of(preload.behind(self._kernel.image)),
            "kernel interface": self._candidate.convention,
            "identical at this shape": int(self._compared),
            "calls counted at this shape": int(self._counted),
        }

    def _library_backend(self) -> Backend:
        backend = self.of(self.settings)
        backend.probe()
        return backend

    def _identify(self, library: Backend) -> tuple[Candidate, _kernels.Kernel]:
        """The kernel, confirmed on the probes."""
        found = [one for one in self.candidates if _kernels.find_symbol(self._caller, one.symbol) is not None]
        if not found:
            names = ", ".join(one.symbol for one in self.candidates)
            raise BackendUnavailable(
                f"kernel not identified: {PurePath(self._caller).name or library.library} calls none of {names}"
            )
        why = ""
        for candidate in found:
            kernel = _kernels.Kernel(self._caller, candidate.symbol, candidate.convention, "sgemm")
            why = self._why_not_this(candidate, kernel)
            if not why:
                return candidate, kernel
        raise BackendUnavailable(f"kernel not identified: {why}")

    def _why_not_this(self, candidate: Candidate, kernel: _kernels.Kernel) -> str:
        """Why a kernel is not the one that the library calls at the probes; empty where it is."""
        called = False
        for shape in PROBES:
            probe = self._on_probe(shape, _PROBE_PAIRS)
            self._library = probe.library
            if self._count(candidate.symbol) == 0:
                continue  # it may have another way for small ones
            called = True
            if not _matches(kernel, probe, _PROBE_PAIRS):
                return f"results of {candidate.symbol} are not those of {self._library.name} at {shape}"
        return "" if called else f"{self.of.name} does not call {candidate.symbol}"

    def _matches_in_long_sums(self, kernel: _kernels.Kernel, m: int, n: int) -> bool:
        """Whether results are the library's where sums tell, with as many rows and columns, or at least many."""
        shape = Shape(min(m, _LONG_SUMS_SIDE), min(n, _LONG_SUMS_SIDE), _TELLING_TERMS)
        pairs = _pairs(shape.m, shape.n)
        return _matches(kernel, self._on_probe(shape, pairs), pairs)

    def _on_probe(self, shape: Shape, count: int) -> _Compared:
        """The library with so many pairs of operands of a shape that was not asked for."""
        pairs = [
            OperandPair(
                uniform(shape.m * shape.k, (pair, shape.m, shape.n, shape.k, 0)).reshape(shape.m, shape.k),
                uniform(shape.k * shape.n, (pair, shape.m, shape.n, shape.k, 1)).reshape(shape.k, shape.n),
            )
            for pair in range(count)
        ]
        # Some pitch may be too small for a probe and right for the run's shapes, at which it is compared again.
        library = self.of({name: value for name, value in self.settings.items() if name != PITCH.name})
        library.probe()
        library.prepare(Operands(pairs))
        out = mapped((shape.m, shape.n), np.float32)
        return _Compared(library, _kernels.Calls(library.operand_arrays(), out), out)


def _pairs(m: int, n: int) -> int:
    """How many pairs are compared: a few, but more where each of them has only a few sums."""
    return max(2, math.ceil(_TELLING_SUMS / (m * n)))


def _matches(kernel: _kernels.Kernel, compared: _Compared, pairs: int) -> bool:
    """Whether the kernel's results are the library's, to the last bit."""
    library, calls, out = compared
    for pair in range(pairs):
        wanted = library.product(pair)
        out.fill(np.nan)
        kernel.multiply(calls, pair)
        if not np.array_equal(out, wanted):
            return False
    return True
