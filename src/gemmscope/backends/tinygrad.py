"""tinygrad: ``a @ b`` under its ``TinyJit``, in a kernel that it generates and compiles itself, on the processor."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gemmscope.backends.base import REUSED, SUBNORMAL, THREADS, Backend, Option, rotation
from gemmscope.errors import BackendUnavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gemmscope.workload.operands import Operands

_INSTALL = "pip install tinygrad, and a clang on the path, which compiles what tinygrad generates"
_DEVICE = "CPU"


class TinygradCpu(Backend):
    """``TinyJit(lambda a, b: (a @ b).realize())``, and a wait for the device."""

    name = "tinygrad-cpu"
    library = "tinygrad"
    device = "cpu"
    entry = "python"
    summary = "TinyJit(a @ b).realize() on the CPU device, synchronised"
    options: ClassVar[tuple[Option, ...]] = (
        Option(THREADS.name, THREADS.help, THREADS.values, {**THREADS.environment, "CPU_COUNT": "{value}"}),
        SUBNORMAL,
        REUSED,
    )
    inseparable = "its kernel is generated for each shape, and there is none to call without it"

    def probe(self) -> None:
        """Imports tinygrad, and lets it compile something: it needs a compiler."""
        try:
            import tinygrad
        except ImportError as error:
            raise BackendUnavailable(f"tinygrad cannot be imported: {error}", _INSTALL) from error
        self._tinygrad = tinygrad
        self._device = tinygrad.Device[_DEVICE]
        try:
            (self._tensor(np.ones((2, 2), np.float32)) + 1).realize()
        except (OSError, RuntimeError) as error:  # a compiler that is not there, or does not compile
            raise BackendUnavailable(f"tinygrad cannot compile a kernel: {error}", _INSTALL) from error

    def prepare(self, operands: Operands) -> None:
        """Copies the operands into tensors, and lets the kernel be compiled: a jitted call is traced twice."""
        if min(operands.m, operands.n, operands.k) == 0:
            raise BackendUnavailable("tinygrad compiles no kernel for empty operands")
        self._pairs = operands.converted("tinygrad", self._tensor, copies=True)
        self._matmul = self._tinygrad.TinyJit(lambda a, b: (a @ b).realize())
        for _ in range(3):
            self._matmul(*self._pairs[0])
        self._device.synchronize()

    def run(self, loops: int, first: int) -> float:
        """Waits for every result before the next is asked for."""
        matmul, wait = self._matmul, self._device.synchronize
        pairs = rotation(self._pairs, loops, first)
        start = perf_counter()
        for a, b in pairs:
            matmul(a, b)
            wait()
        return perf_counter() - start

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once, copied to NumPy."""
        product: NDArray[np.float32] = np.array(self._matmul(*self._pairs[pair]).numpy())
        return product

    def provenance(self) -> dict[str, str | int]:
        """The version, and the device."""
        from importlib.metadata import version

        return {"tinygrad": version("tinygrad"), "device": _DEVICE}

    def _tensor(self, matrix: NDArray[np.float32]) -> Any:
        return self._tinygrad.Tensor(np.array(matrix), device=_DEVICE).realize()
