"""CuPy: ``cupy.matmul`` on an NVIDIA GPU, by cuBLAS."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gemmscope.backends import cuda_events, slope
from gemmscope.backends.base import DEVICE, FROM_HOST_PAGEABLE, OUT, Backend, Option, rotation
from gemmscope.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gemmscope.backends.base import Device
    from gemmscope.records.base import Mode
    from gemmscope.workload.operands import Operands

_INSTALL = "pip install cupy-cuda13x (or cupy-cuda12x) on a machine with an NVIDIA GPU"

# CuPy reads this once, when it is imported.
TF32 = Option("tf32", "allow TF32, the 19-bit format of NVIDIA's tensor cores, for float32", environment={"CUPY_TF32": "1"})  # fmt: skip  # noqa: E501

_SPIN = """
extern "C" __global__ void spin(long long cycles) {
  const long long start = clock64();
  while (clock64() - start < cycles) {
  }
}
"""


class _Queue:
    """CuPy's current stream, for :mod:`~gemmscope.backends.cuda_events`."""

    def __init__(self, library: Any) -> None:
        self._cuda = library.cuda
        self._spin = library.RawKernel(_SPIN, "spin")
        self._begin, self._end = library.cuda.Event(), library.cuda.Event()

    def begin(self, cycles: int) -> None:
        self._cuda.get_current_stream().synchronize()
        self._spin((1,), (1,), (np.int64(cycles),))
        self._begin.record()

    def end(self) -> float:
        self._end.record()
        self._end.synchronize()
        return float(self._cuda.get_elapsed_time(self._begin, self._end)) * 1e-3


class CupyGpu(Backend):
    """``cupy.matmul(a, b)``, with the stream synchronised after each call, or once after all of them.

    With ``:from-host`` each call begins with arrays of NumPy's and ends with the result as one.
    """

    name = "cupy-gpu"
    library = "cupy"
    device: ClassVar[Device] = "gpu"
    entry = "python"
    summary = "cupy.matmul(a, b), synchronised"
    options: ClassVar[tuple[Option, ...]] = (OUT, TF32, FROM_HOST_PAGEABLE, DEVICE)
    environment: ClassVar[dict[str, str]] = {"CUPY_TF32": "0"}
    modes: ClassVar[tuple[Mode, ...]] = ("latency", "throughput", "device")

    def probe(self) -> None:
        """Imports CuPy and looks for a device."""
        try:
            import cupy
        except ImportError as error:
            raise BackendUnavailable(f"CuPy cannot be imported: {error}", _INSTALL) from error
        try:
            cupy.cuda.runtime.getDevice()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise BackendUnavailable(f"CuPy {cupy.__version__} finds no GPU: {error}", _INSTALL) from error
        self._cupy = cupy

    def prepare(self, operands: Operands) -> None:
        """Copies the operands to the device; with ``:from-host`` into NumPy's arrays."""
        from_host = "from-host" in self.settings
        if from_host:
            self._pairs = operands.converted("host", np.asarray)
        else:
            self._pairs = operands.converted("cupy", self._cupy.asarray, copies=True)
        self._out = self._cupy.empty((operands.m, operands.n), np.float32)

    def run(self, loops: int, first: int) -> float:
        """Waits for the device after every call."""
        call = self._call()
        wait = self._cupy.cuda.get_current_stream().synchronize
        pairs = rotation(self._pairs, loops, first)
        wait()
        start = perf_counter()
        for a, b in pairs:
            call(a, b)
            wait()
        return perf_counter() - start

    def run_throughput(self, loops: int, first: int) -> float:
        """Waits for the device once, after the last call."""
        call = self._call()
        wait = self._cupy.cuda.get_current_stream().synchronize
        pairs = rotation(self._pairs, loops, first)
        wait()
        start = perf_counter()
        for a, b in pairs:
            call(a, b)
        wait()
        return perf_counter() - start

    def run_device(self, loops: int, first: int) -> float:
        """Seconds by CUDA events around full queues."""
        matmul, out = self._cupy.matmul, self._out
        queue = _Queue(self._cupy)
        return cuda_events.seconds(queue, lambda a, b: matmul(a, b, out=out), self._pairs, loops, first)

    def why_not(self, mode: Mode) -> str:
        """Copies have no throughput or device time of their own."""
        return slope.why_not(mode, self.settings, chainable=True)

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once, copied to the host."""
        product = self._call()(*self._pairs[pair])
        return np.array(product if "from-host" in self.settings else self._cupy.asnumpy(product))

    def provenance(self) -> dict[str, str | int]:
        """Versions, the device, the precision, and what the device is timed by."""
        runtime = self._cupy.cuda.runtime
        name = runtime.getDeviceProperties(runtime.getDevice())["name"]
        return {
            "cupy": self._cupy.__version__,
            "cuda": int(runtime.runtimeGetVersion()),
            "device name": name.decode() if isinstance(name, bytes) else str(name),
            "fp32 precision": "tf32" if "tf32" in self.settings else "ieee",
            "device clock": "events",
        }

    def _call(self) -> Callable[[Any, Any], Any]:
        """What is called for a pair."""
        matmul = self._cupy.matmul
        if "from-host" in self.settings:
            to_device, to_host = self._cupy.asarray, self._cupy.asnumpy
            return lambda a, b: to_host(matmul(to_device(a), to_device(b)))
        if "out" in self.settings:
            out = self._out
            return lambda a, b: matmul(a, b, out=out)
        call: Callable[[Any, Any], Any] = matmul
        return call
