"""MLX: ``mx.matmul`` and ``mx.eval`` from Python, and the same by MLX's C++ API."""

from __future__ import annotations

import platform
import re
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gemmscope import _build
from gemmscope.backends import slope
from gemmscope.backends.arrangement import arranged
from gemmscope.backends.base import (
    BLAS_OPERAND_OPTIONS,
    DEVICE,
    FROM_HOST_PAGEABLE,
    PITCH,
    PROCESS_OPTIONS,
    STRIDED,
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
from gemmscope.machine.images import wheel_tags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gemmscope.backends.base import Device
    from gemmscope.records.base import Mode
    from gemmscope.workload.operands import Operands

_INSTALL = "pip install 'gemmscope[cpu]' (or [cuda12], [cuda13]) on Linux, pip install gemmscope on Apple silicon"
# The build's own MLX is another one: without isolation it is the user's.
_REBUILD = (
    "build gemmscope for this MLX: pip install --no-build-isolation --no-deps --force-reinstall . in its checkout, or "
    f"with --no-binary gemmscope gemmscope=={_build.VERSION} in place of the dot; that needs cmake, ninja, "
    "scikit-build-core and nanobind"
)
_NO_GPU = "run on Apple silicon, or with gemmscope[cuda12] or gemmscope[cuda13] on a machine with an NVIDIA GPU"


# MLX reads this once, at its first call. TF32 is its default where the hardware has it; ours is IEEE float32.
_IEEE = {"MLX_ENABLE_TF32": "0"}
TF32 = Option("tf32", "allow TF32, MLX's own default on CUDA and on M5", environment={"MLX_ENABLE_TF32": "1"})


# MLX gives its BLAS no leading dimension but the length of a line: it copies such operands too.
_COPIED = (STRIDED, Option(PITCH.name, f"{PITCH.help}; MLX copies them on each call", PITCH.values))
_PASSED_ON = tuple(option for option in BLAS_OPERAND_OPTIONS if option != PITCH)


def _import_mlx() -> Any:
    try:
        import mlx.core as mx  # only a worker may load it
    except ImportError as error:
        raise BackendUnavailable(f"MLX cannot be imported: {error}", _INSTALL) from error
    return mx


# What MLX says of a device's memory, the most telling first: CUDA's names, then Metal's. The cpu has none of these.
_MEMORY = ("free_memory", "max_recommended_working_set_size", "total_memory", "memory_size")


def _gpu_memory(mx: Any) -> int | None:
    """Bytes that the GPU has for arrays, as far as MLX knows."""
    info = mx.device_info(mx.gpu)
    return next((int(info[name]) for name in _MEMORY if info.get(name)), None)


def _longest_chain(mx: Any, operands: Operands) -> int:
    """How many results of a chain fit into a quarter of the GPU's memory, should MLX keep them all until the end.

    Sees to it first that operands and a few results fit, before any memory is taken. MLX takes managed memory on CUDA
    for what the host reads or writes: more of it than the card has is no error there, but can stop the whole GPU.

    Raises:
        MemoryError: If they do not fit.
    """
    room = _gpu_memory(mx)
    m, n, k = operands.m, operands.n, operands.k
    needed = 4 * (len(operands) * (m * k + k * n) + 3 * m * n)
    if room is None:
        return 256
    if needed > room:
        raise MemoryError(
            f"the GPU has {room >> 20} MiB for arrays, and {len(operands)} operand pairs and their results need "
            f"{needed >> 20} MiB: ask for smaller shapes or fewer pairs"
        )
    return max(3, room // 4 // max(int(4 * m * n), 1))


def has_nax(architecture: str, tags: Sequence[str], macos: str) -> bool:
    """Whether MLX's kernels for Apple's neural accelerators (NAX) can be in use; MLX does not tell Python.

    By MLX's own rule (``is_nax_available`` in ``mlx/backend/metal/device.cpp``): a wheel built for macOS 26, macOS 26.2
    or newer, and a GPU of generation 17 or newer, 18 on phones. For float32 they also need TF32 to be allowed. Never
    run on macOS.

    Args:
        architecture: As Metal names it, such as ``"applegpu_g17s"``.
        tags: The tags of MLX's wheel.
        macos: The version of macOS, such as ``"26.2"``.
    """
    found = re.fullmatch(r"applegpu_g(\d+)([a-z])", architecture)
    version = tuple(int(part) for part in macos.split(".") if part.isdecimal())
    if found is None or version < (26, 2):
        return False
    newest = max((int(major) for tag in tags for major in re.findall(r"macosx_(\d+)_", tag)), default=0)
    return newest >= 26 and int(found[1]) >= (18 if found[2] == "p" else 17)


def _read(product: Any) -> NDArray[np.float32]:
    """A copy of an array that was evaluated."""
    if product.size == 0:  # on CUDA, MLX 0.32.4, reading an empty array ends the process
        return np.empty(product.shape, np.float32)
    return np.array(product)


class MlxCpu(Backend):
    """``mx.matmul(a, b)`` and ``mx.eval`` on the processor. MLX is lazy: without ``eval`` nothing is computed."""

    name = "mlx-cpu"
    library = "mlx"
    device: ClassVar[Device] = "cpu"
    entry = "python"
    summary = "mx.matmul(a, b) and mx.eval on the cpu"
    options: ClassVar[tuple[Option, ...]] = (*PROCESS_OPTIONS, BLAS, *_COPIED, *_PASSED_ON)
    environment = _IEEE
    modes: ClassVar[tuple[Mode, ...]] = ("latency", "throughput")
    layers: ClassVar[tuple[Layer, ...]] = (Layer("binding", "mlx-cpp-cpu"), Layer("runtime", "kernel-mlx"))

    def probe(self) -> None:
        """Imports MLX and looks for the device."""
        self._mx = _import_mlx()
        self._device = getattr(self._mx, self.device)
        if not self._mx.is_available(self._device):
            raise BackendUnavailable(f"MLX {self._mx.__version__} has no {self.device} device here", _NO_GPU)
        KernelMlx.check_blas(self.settings)

    def prepare(self, operands: Operands) -> None:
        """Copies the operands into MLX's memory."""
        self._pairs = arranged(operands, self.device, self._mx.array, self.settings, copies=True)
        self._mx.eval([matrix for pair in self._pairs for matrix in pair])

    def run(self, loops: int, first: int) -> float:
        """Evaluates every result before the next is asked for."""
        matmul, evaluate = self._mx.matmul, self._mx.eval
        pairs = rotation(self._pairs, loops, first)
        self._mx.set_default_device(self._device)
        start = perf_counter()
        for a, b in pairs:
            evaluate(matmul(a, b))
        return perf_counter() - start

    def run_throughput(self, loops: int, first: int) -> float:
        """Asks for all results, and evaluates them together."""
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
        copy = _read(product)
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
            **(KernelMlx.called_facts() if self.device == "cpu" else {}),
        }
        if self.device == "cpu":
            facts["alignment"] = alignment([view.ctypes.data for pair in self.operand_arrays() for view in pair])
        return facts


class MlxGpu(MlxCpu):
    """``mx.matmul(a, b)`` and ``mx.eval`` on the GPU: Metal, or CUDA.

    With ``:from-host`` each call makes MLX's arrays of NumPy's and ends with the result as an array of NumPy's.
    """

    name = "mlx-gpu"
    device = "gpu"
    summary = "mx.matmul(a, b) and mx.eval on the gpu"
    # MLX pins no memory, so there is one way from the host.
    options: ClassVar[tuple[Option, ...]] = (TF32, FROM_HOST_PAGEABLE, DEVICE)
    modes = ("latency", "throughput", "device")
    layers: ClassVar[tuple[Layer, ...]] = (Layer("binding", "mlx-cpp-gpu"),)

    def prepare(self, operands: Operands) -> None:
        """Copies the operands into MLX's memory; with ``:from-host`` into NumPy's."""
        self._chainable = operands.k == operands.n
        self._longest = _longest_chain(self._mx, operands)
        if "from-host" in self.settings:
            self._pairs = operands.converted("host", np.asarray)
            return
        super().prepare(operands)

    def run(self, loops: int, first: int) -> float:
        """Evaluates every result before the next is asked for; with ``:from-host`` reads it too."""
        if "from-host" not in self.settings:
            return super().run(loops, first)
        through = self._through_device
        pairs = rotation(self._pairs, loops, first)
        self._mx.set_default_device(self._device)
        start = perf_counter()
        for a, b in pairs:
            through(a, b)
        elapsed = perf_counter() - start
        # What was read on CUDA is managed memory for good; it must not come back for somebody else's result.
        self._mx.clear_cache()
        return elapsed

    def run_device(self, loops: int, first: int) -> float:
        """Seconds by the slope over chained calls: MLX has no clock of the device's."""
        mx = self._mx
        mx.set_default_device(self._device)
        a, b = self._pairs[first % len(self._pairs)]
        link = b * slope.scale(b.shape[0])
        mx.eval(link)

        def chain(length: int) -> float:
            matmul = mx.matmul
            start = perf_counter()
            product = a
            for _ in range(length):
                product = matmul(product, link)
            mx.eval(product)
            return perf_counter() - start

        return loops * slope.call_seconds(chain, loops, self._longest)

    def why_not(self, mode: Mode) -> str:
        """Copies have no throughput or device time of their own; a chain needs K = N."""
        return slope.why_not(mode, self.settings, chainable=self._chainable)

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once, copied to NumPy."""
        if "from-host" not in self.settings:
            return super().product(pair)
        self._mx.set_default_device(self._device)
        product = self._through_device(*self._pairs[pair])
        self._mx.clear_cache()
        return product

    def provenance(self) -> dict[str, str | int]:
        """Adds what the device is timed by, and what Metal says of itself."""
        facts = super().provenance()
        facts["device clock"] = "slope over chained products"
        facts["metal"] = int(self._mx.metal.is_available())
        if facts["metal"]:
            tags = wheel_tags("mlx-metal") or wheel_tags("mlx")
            facts["metal wheel"] = " ".join(tags)
            facts["nax"] = int(has_nax(str(facts["architecture"]), tags, platform.mac_ver()[0]))
        memory = _gpu_memory(self._mx)
        return facts if memory is None else facts | {"device memory": memory}

    def _through_device(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        mx = self._mx
        product = mx.matmul(mx.array(a), mx.array(b))
        mx.eval(product)
        return _read(product)


class MlxCppCpu(Backend):
    """A C++ loop on ``mlx::core::matmul`` and ``eval`` on the processor."""

    name = "mlx-cpp-cpu"
    library = "mlx"
    device: ClassVar[Device] = "cpu"
    entry = "native"
    summary = "a C++ loop on mlx::core::matmul and eval on the cpu"
    options: ClassVar[tuple[Option, ...]] = (*PROCESS_OPTIONS, BLAS, SUBNORMAL)
    environment = _IEEE
    modes: ClassVar[tuple[Mode, ...]] = ("latency", "throughput")
    layers: ClassVar[tuple[Layer, ...]] = (Layer("runtime", "kernel-mlx"),)

    def probe(self) -> None:
        """Compares MLX's version with the one built against, and only then loads the extension."""
        mx = _import_mlx()
        if not _build.MLX_VERSION:
            raise BackendUnavailable("gemmscope was built without MLX's C++ API", _REBUILD)
        # The ABI of libmlx changes in patch releases: a mismatch would show as an undefined symbol at best.
        if mx.__version__ != _build.MLX_VERSION:
            raise BackendUnavailable(
                f"MLX is {mx.__version__}, but gemmscope was built against {_build.MLX_VERSION}", _REBUILD
            )
        try:
            from gemmscope import _native_mlx  # after the comparison above
        except ImportError as error:
            raise BackendUnavailable(f"gemmscope's MLX extension cannot be loaded: {error}", _REBUILD) from error
        if _native_mlx.version() != mx.__version__:
            raise BackendUnavailable(
                f"gemmscope's MLX extension found libmlx {_native_mlx.version()}, but Python found {mx.__version__}",
                "remove the other libmlx from the loader's path",
            )
        if not _native_mlx.has_device(self.device):
            raise BackendUnavailable(f"MLX {mx.__version__} has no {self.device} device here", _NO_GPU)
        KernelMlx.check_blas(self.settings)
        self._native_mlx = _native_mlx

    def prepare(self, operands: Operands) -> None:
        """Copies the operands into MLX's memory."""
        self._shape = (operands.m, operands.n)
        self._calls = self._native_mlx.MlxCalls(operands.pairs, self.device)

    def run(self, loops: int, first: int) -> float:
        """Evaluates every result before the next is asked for, by a clock in C++."""
        return self._calls.latency(loops, first)

    def run_throughput(self, loops: int, first: int) -> float:
        """Asks for all results, and evaluates them together, by a clock in C++."""
        return self._calls.throughput(loops, first)

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once, copied to NumPy."""
        product = np.empty(self._shape, np.float32)
        self._calls.product(pair, product)
        return product

    def provenance(self) -> dict[str, str | int]:
        """The libmlx that is loaded, the one built against, and the operands' alignment."""
        facts: dict[str, str | int] = {
            "libmlx": self._native_mlx.version(),
            "built against": _build.MLX_VERSION,
            "tf32": int("tf32" in self.settings),
            **(KernelMlx.called_facts() if self.device == "cpu" else {}),
        }
        if self.device == "cpu":
            facts["alignment"] = self._calls.alignment
        return facts


class MlxCppGpu(MlxCppCpu):
    """A C++ loop on ``mlx::core::matmul`` and ``eval`` on the GPU."""

    name = "mlx-cpp-gpu"
    device = "gpu"
    summary = "a C++ loop on mlx::core::matmul and eval on the gpu"
    options: ClassVar[tuple[Option, ...]] = (TF32, DEVICE)
    modes = ("latency", "throughput", "device")
    layers: ClassVar[tuple[Layer, ...]] = ()

    def prepare(self, operands: Operands) -> None:
        """Copies the operands into MLX's memory."""
        self._longest = _longest_chain(_import_mlx(), operands)
        self._scale = slope.scale(operands.k)
        self._chainable = operands.k == operands.n
        super().prepare(operands)

    def run_device(self, loops: int, first: int) -> float:
        """Seconds by the slope over chained calls, by a clock in C++."""
        chain, scale = self._calls.chain, self._scale
        return loops * slope.call_seconds(lambda length: chain(length, first, scale), loops, self._longest)

    def why_not(self, mode: Mode) -> str:
        """A chain needs K = N."""
        return slope.why_not(mode, self.settings, chainable=self._chainable)

    def provenance(self) -> dict[str, str | int]:
        """Adds what the device is timed by."""
        return super().provenance() | {"device clock": "slope over chained products"}


class KernelMlx(KernelBackend):
    """A C++ loop on the BLAS that MLX calls on the processor: netlib's in its wheel for Linux, Accelerate on macOS.

    MLX calls it in the thread of its stream, and this loop in the worker's main one.
    """

    name = "kernel-mlx"
    library = "mlx"
    summary = "a C++ loop on the sgemm that MLX has loaded"
    options = (*PROCESS_OPTIONS, BLAS, *_PASSED_ON)
    environment = _IEEE
    of = MlxCpu
    caller = r"^libmlx\."
    candidates = (Candidate("cblas_sgemm$NEWLAPACK", "cblas-lp64"), Candidate("cblas_sgemm", "cblas-lp64"))
