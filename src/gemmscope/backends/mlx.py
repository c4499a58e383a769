"""MLX: ``mx.matmul`` and ``mx.eval`` from Python, and the same by MLX's C++ API."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gemmscope import _build
from gemmscope.backends import preload
from gemmscope.backends.base import (
    COLD,
    QOS,
    REUSED,
    THREADS,
    TRANSPOSED,
    Backend,
    Layer,
    Option,
    alignment,
    in_order,
    rotation,
)
from gemmscope.backends.kernel import Candidate, KernelBackend
from gemmscope.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from gemmscope.backends.base import Device
    from gemmscope.operands import Operands

_INSTALL = "pip install 'gemmscope[cpu]' (or [cuda12], [cuda13]) on Linux, pip install gemmscope on Apple silicon"
_NO_GPU = "run on Apple silicon, or with gemmscope[cuda12] or gemmscope[cuda13] on a machine with an NVIDIA GPU"


# MLX reads this once, at its first product. TF32 is its default where the hardware has it; ours is IEEE float32.
_IEEE = {"MLX_ENABLE_TF32": "0"}
TF32 = Option("tf32", "allow TF32, MLX's own default on CUDA and on M5", environment={"MLX_ENABLE_TF32": "1"})


# Preloaded, it comes before the netlib BLAS of MLX's wheel for Linux. Nobody else in the process calls that name.
BLAS = Option(
    "blas",
    "let MLX call this BLAS instead of its own (Linux)",
    ("openblas",),
    {"LD_PRELOAD": str(preload.library("blas"))},
)


def _check_blas(settings: Mapping[str, str]) -> None:
    """Sees to it that the BLAS that a variant asks for is the one that MLX will find.

    Raises:
        BackendUnavailable: If it is not.
    """
    if "blas" not in settings:
        return
    path = preload.blas_library()
    from gemmscope import _kernels  # noqa: PLC0415  (only a worker may load it)

    found = _kernels.find_symbol("", "cblas_sgemm")
    if found is None or not path.samefile(found[0]):
        raise BackendUnavailable(
            f"{path.name} was not loaded before MLX's own BLAS",
            "LD_PRELOAD is for Linux; it is not obeyed in programs that run with raised privileges",
        )


def _import_mlx() -> Any:
    try:
        import mlx.core as mx  # noqa: PLC0415  (only a worker may load it)
    except ImportError as error:
        raise BackendUnavailable(f"MLX cannot be imported: {error}", _INSTALL) from error
    return mx


class MlxCpu(Backend):
    """``mx.matmul(a, b)`` and ``mx.eval`` on the processor. MLX is lazy: without ``eval`` nothing is computed."""

    name = "mlx-cpu"
    library = "mlx"
    device: ClassVar[Device] = "cpu"
    entry = "python"
    summary = "mx.matmul(a, b) and mx.eval on the cpu"
    options: ClassVar[tuple[Option, ...]] = (THREADS, QOS, BLAS, TRANSPOSED, COLD, REUSED)
    environment = _IEEE
    modes = ("latency", "throughput")
    layers: ClassVar[tuple[Layer, ...]] = (Layer("binding", "mlx-cpp-cpu"), Layer("runtime", "kernel-mlx"))

    def probe(self) -> None:
        """Imports MLX and looks for the device.

        Raises:
            BackendUnavailable: If MLX is missing or broken, or has no such device here.
        """
        self._mx = _import_mlx()
        self._device = getattr(self._mx, self.device)
        if not self._mx.is_available(self._device):
            raise BackendUnavailable(f"MLX {self._mx.__version__} has no {self.device} device here", _NO_GPU)
        _check_blas(self.settings)

    def prepare(self, operands: Operands) -> None:
        """Copies the operands into MLX's memory."""
        pairs = operands.converted(self.device, self._mx.array)
        self._pairs = in_order(self.settings, pairs, lambda matrix: self._mx.contiguous(matrix.T).T)
        self._mx.eval([matrix for pair in self._pairs for matrix in pair])

    def run(self, loops: int, first: int) -> float:
        """Evaluates every product before the next is asked for."""
        matmul, evaluate = self._mx.matmul, self._mx.eval
        pairs = rotation(self._pairs, loops, first)
        self._mx.set_default_device(self._device)
        start = perf_counter()
        for a, b in pairs:
            evaluate(matmul(a, b))
        return perf_counter() - start

    def run_throughput(self, loops: int, first: int) -> float:
        """Asks for all products, and evaluates them together."""
        matmul, evaluate = self._mx.matmul, self._mx.eval
        pairs = rotation(self._pairs, loops, first)
        self._mx.set_default_device(self._device)
        start = perf_counter()
        evaluate([matmul(a, b) for a, b in pairs])
        return perf_counter() - start

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once, copied to NumPy."""
        self._mx.set_default_device(self._device)
        a, b = self._pairs[pair]
        product = self._mx.matmul(a, b)
        self._mx.eval(product)
        copy = np.array(product)
        # On CUDA reading moves the buffer to managed memory for good; it must not come back out of MLX's cache.
        del product
        self._mx.clear_cache()
        return copy

    def operand_arrays(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The arrays' memory, on the cpu device."""
        return [(np.array(a, copy=False), np.array(b, copy=False)) for a, b in self._pairs]

    def provenance(self) -> dict[str, str | int]:
        """Version, device, whether TF32 is allowed, and the operands' alignment."""
        info = self._mx.device_info(self._device)
        facts: dict[str, str | int] = {
            "mlx": self._mx.__version__,
            "device": str(info.get("device_name", self.device)),
            "architecture": str(info.get("architecture", "")),
            "tf32": int("tf32" in self.settings),
        }
        if self.device == "cpu":
            facts["alignment"] = alignment([view.ctypes.data for pair in self.operand_arrays() for view in pair])
        return facts


class MlxGpu(MlxCpu):
    """``mx.matmul(a, b)`` and ``mx.eval`` on the GPU: Metal, or CUDA."""

    name = "mlx-gpu"
    device = "gpu"
    summary = "mx.matmul(a, b) and mx.eval on the gpu"
    options: ClassVar[tuple[Option, ...]] = (TF32,)
    layers: ClassVar[tuple[Layer, ...]] = (Layer("binding", "mlx-cpp-gpu"),)


class MlxCppCpu(Backend):
    """A C++ loop on ``mlx::core::matmul`` and ``eval`` on the processor."""

    name = "mlx-cpp-cpu"
    library = "mlx"
    device: ClassVar[Device] = "cpu"
    entry = "native"
    summary = "a C++ loop on mlx::core::matmul and eval on the cpu"
    options: ClassVar[tuple[Option, ...]] = (THREADS, QOS, BLAS)
    environment = _IEEE
    modes = ("latency", "throughput")
    layers: ClassVar[tuple[Layer, ...]] = (Layer("runtime", "kernel-mlx"),)

    def probe(self) -> None:
        """Compares MLX's version with the one built against, and only then loads the extension.

        Raises:
            BackendUnavailable: If MLX or the extension is missing, the versions differ, or the device is not there.
        """
        mx = _import_mlx()
        rebuild = f"pip install 'mlx=={_build.MLX_VERSION}', or install gemmscope again to build it for this MLX"
        if not _build.MLX_VERSION:
            raise BackendUnavailable(
                "gemmscope was built without MLX's C++ API", "install gemmscope again where MLX is found"
            )
        # The ABI of libmlx changes in patch releases: a mismatch would show as an undefined symbol at best.
        if mx.__version__ != _build.MLX_VERSION:
            raise BackendUnavailable(
                f"MLX is {mx.__version__}, but gemmscope was built against {_build.MLX_VERSION}", rebuild
            )
        try:
            from gemmscope import _native_mlx  # noqa: PLC0415  (after the comparison above)
        except ImportError as error:
            raise BackendUnavailable(f"gemmscope's MLX extension cannot be loaded: {error}", rebuild) from error
        if _native_mlx.version() != mx.__version__:
            raise BackendUnavailable(
                f"gemmscope's MLX extension found libmlx {_native_mlx.version()}, but Python found {mx.__version__}",
                "remove the other libmlx from the loader's path",
            )
        if not _native_mlx.has_device(self.device):
            raise BackendUnavailable(f"MLX {mx.__version__} has no {self.device} device here", _NO_GPU)
        _check_blas(self.settings)
        self._native_mlx = _native_mlx

    def prepare(self, operands: Operands) -> None:
        """Copies the operands into MLX's memory."""
        self._shape = (operands.m, operands.n)
        self._products = self._native_mlx.MlxProducts(operands.pairs, self.device)

    def run(self, loops: int, first: int) -> float:
        """Evaluates every product before the next is asked for, by a clock in C++."""
        return self._products.latency(loops, first)

    def run_throughput(self, loops: int, first: int) -> float:
        """Asks for all products, and evaluates them together, by a clock in C++."""
        return self._products.throughput(loops, first)

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once, copied to NumPy."""
        product = np.empty(self._shape, np.float32)
        self._products.product(pair, product)
        return product

    def provenance(self) -> dict[str, str | int]:
        """The libmlx that is loaded, the one built against, and the operands' alignment."""
        facts: dict[str, str | int] = {
            "libmlx": self._native_mlx.version(),
            "built against": _build.MLX_VERSION,
            "tf32": int("tf32" in self.settings),
        }
        if self.device == "cpu":
            facts["alignment"] = self._products.alignment
        return facts


class MlxCppGpu(MlxCppCpu):
    """A C++ loop on ``mlx::core::matmul`` and ``eval`` on the GPU."""

    name = "mlx-cpp-gpu"
    device = "gpu"
    summary = "a C++ loop on mlx::core::matmul and eval on the gpu"
    options: ClassVar[tuple[Option, ...]] = (TF32,)
    layers: ClassVar[tuple[Layer, ...]] = ()


class KernelMlx(KernelBackend):
    """A C++ loop on the BLAS that MLX calls on the processor: netlib's in its wheel for Linux, Accelerate on macOS.

    MLX calls it in the thread of its stream, and this loop in the worker's main one.
    """

    name = "kernel-mlx"
    library = "mlx"
    summary = "a C++ loop on the sgemm that MLX has loaded"
    options: ClassVar[tuple[Option, ...]] = (THREADS, QOS, BLAS, TRANSPOSED, COLD, REUSED)
    environment = _IEEE
    of = MlxCpu
    caller = r"^libmlx\."
    candidates = (Candidate("cblas_sgemm$NEWLAPACK", "cblas-lp64"), Candidate("cblas_sgemm", "cblas-lp64"))
