"""PyTorch: ``torch.mm`` on the processor, and on the accelerator that ``torch.accelerator`` names (mps, cuda)."""

from __future__ import annotations

import warnings
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from gemmscope import _kernels
from gemmscope.backends import cuda_events, slope
from gemmscope.backends.arrangement import arranged
from gemmscope.backends.base import (
    DEVICE,
    FROM_HOST,
    OUT,
    Backend,
    Layer,
    Option,
    alignment,
    rotation,
    thread_count,
)
from gemmscope.backends.kernel import Candidate, KernelBackend, image_of
from gemmscope.backends.preload import CPU_OPTIONS, KERNEL_OPTIONS
from gemmscope.errors import BackendUnavailable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from gemmscope.backends.base import Device, Entry
    from gemmscope.records.base import Mode
    from gemmscope.workload.operands import Operands

_INSTALL = (
    "pip install torch; on Linux that brings a CUDA build, docs/installing.md says how to take the smaller CPU build"
)
# torch.accelerator, which serves mps and cuda alike, came with 2.6.
_MINIMUM = (2, 6)

TF32 = Option("tf32", "allow TF32, the 19-bit format of NVIDIA's tensor cores, for float32", own_worker=True)


class TorchCpu(Backend):
    """``torch.mm(a, b)`` under ``inference_mode``; with ``:out`` into one tensor."""

    name = "torch-cpu"
    library = "torch"
    device: ClassVar[Device] = "cpu"
    entry: ClassVar[Entry] = "python"
    summary = "torch.mm(a, b) under inference_mode"
    options: ClassVar[tuple[Option, ...]] = (OUT, *CPU_OPTIONS)
    layers: ClassVar[tuple[Layer, ...]] = (
        Layer("allocation", "torch-cpu:out"),
        Layer("binding", "torch-cpp-cpu"),
        Layer("runtime", "kernel-torch"),
    )

    def probe(self) -> None:
        """Imports torch, asks it for IEEE float32, and sets its threads."""
        try:
            import torch  # 1.7 s, and only a worker may load it
        except ImportError as error:
            raise BackendUnavailable(f"PyTorch cannot be imported: {error}", _INSTALL) from error
        version = tuple(int(part) for part in torch.__version__.split(".")[:2])
        if version < _MINIMUM:
            raise BackendUnavailable(f"PyTorch {torch.__version__} is too old", "pip install --upgrade 'torch>=2.6'")
        KernelTorch.check_blas(self.settings)
        self._torch = torch
        self._device = self._find_device()
        self._set_precision()
        threads = thread_count()
        if threads is not None:
            torch.set_num_threads(threads)

    def prepare(self, operands: Operands) -> None:
        """Takes the operands over as tensors on the device."""
        on_gpu = self._device.type != "cpu"
        with warnings.catch_warnings():
            # What is copied from may be read-only, and nothing is written to it.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            self._pairs = arranged(operands, str(self._device), self._on_device, self.settings, copies=on_gpu)
        self._out = self._on_device(operands.output())

    def run(self, loops: int, first: int) -> float:
        """Calls ``torch.mm`` in a Python loop; on the processor a call returns when its result is complete."""
        mm = self._torch.mm
        pairs = rotation(self._pairs, loops, first)
        with self._torch.inference_mode():
            if "out" in self.settings:
                out = self._out
                start = perf_counter()
                for a, b in pairs:
                    mm(a, b, out=out)
                return perf_counter() - start
            start = perf_counter()
            for a, b in pairs:
                mm(a, b)
            return perf_counter() - start

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once, copied to the host."""
        a, b = self._pairs[pair]
        with self._torch.inference_mode():
            product = self._torch.mm(a, b, out=self._out) if "out" in self.settings else self._torch.mm(a, b)
        return product.cpu().numpy()

    def operand_arrays(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The tensors' memory, on the processor."""
        return [(a.numpy(), b.numpy()) for a, b in self._pairs]

    def provenance(self) -> dict[str, str | int]:
        """Version, device, threads; on the processor the BLAS that is called here, and the operands' alignment.

        ``torch.__config__`` has what the builder of its wheel had.
        """
        torch = self._torch
        facts: dict[str, str | int] = {
            "torch": torch.version.__version__,
            "device": str(self._device),
            "threads": torch.get_num_threads(),
        }
        if self._device.type == "cpu":
            facts |= KernelTorch.called_facts()
            facts["alignment"] = alignment([matrix.data_ptr() for pair in self._pairs for matrix in pair])
        return facts

    def _on_device(self, matrix: NDArray[np.float32]) -> torch.Tensor:
        # On the processor a tensor keeps the memory, which begins with a cache line as that of torch's own does.
        return self._torch.from_numpy(matrix).to(self._device)

    def _find_device(self) -> torch.device:
        return self._torch.device("cpu")

    def _set_precision(self) -> None:
        """Nothing to set: without a request torch's processor kernels are IEEE float32."""


class TorchCppCpu(TorchCpu):
    """A C++ loop on ATen's ``mm`` into one tensor, by the stable C interface that libtorch_cpu exports."""

    name = "torch-cpp-cpu"
    entry: ClassVar[Entry] = "native"
    summary = "a C++ loop on ATen's mm into one tensor, by torch's stable C interface"
    options: ClassVar[tuple[Option, ...]] = KERNEL_OPTIONS
    layers: ClassVar[tuple[Layer, ...]] = (Layer("runtime", "kernel-torch"),)

    def probe(self) -> None:
        """Loads torch, and finds its library."""
        super().probe()
        self._image = image_of(KernelTorch.caller)

    def prepare(self, operands: Operands) -> None:
        """Makes tensors in C++ on the memory of those that Python has, if torch's C interface has an ``mm``."""
        super().prepare(operands)
        calls = _kernels.Calls(self.operand_arrays(), self._out.numpy())
        try:
            self._calls = _kernels.TorchCalls(self._image, calls)
        except RuntimeError as error:
            raise BackendUnavailable(str(error), "pip install --upgrade torch") from error

    def run(self, loops: int, first: int) -> float:
        """Calls ``mm`` in a C++ loop, by a clock in C++."""
        with self._torch.inference_mode():
            return self._calls.time(loops, first)

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once."""
        self._out.fill_(float("nan"))
        self.run(1, pair)
        return self._out.numpy().copy()


class KernelTorch(KernelBackend):
    """A C++ loop on the BLAS that PyTorch calls: on Linux the MKL inside libtorch_cpu, on macOS Accelerate."""

    name = "kernel-torch"
    library = "torch"
    summary = "a C++ loop on the sgemm that PyTorch has loaded"
    of = TorchCpu
    caller = r"^libtorch_cpu"
    candidates = (Candidate("sgemm_", "fortran-lp64"),)


class _Queue:
    """PyTorch's current stream, for :mod:`~gemmscope.backends.cuda_events`."""

    def __init__(self, library: Any) -> None:
        self._cuda = library.cuda
        self._begin, self._end = (library.cuda.Event(enable_timing=True) for _ in range(2))

    def begin(self, cycles: int) -> None:
        self._cuda.synchronize()
        self._cuda._sleep(cycles)  # noqa: SLF001  (there is no public one; torch's own tests use it)
        self._begin.record()

    def end(self) -> float:
        self._end.record()
        self._cuda.synchronize()
        return float(self._begin.elapsed_time(self._end)) * 1e-3


class TorchGpu(TorchCpu):
    """``torch.mm`` on the accelerator, synchronised after each call, or once after all of them.

    With ``:from-host`` each call begins with operands in host memory and ends with the result in host memory.
    """

    name = "torch-gpu"
    device = "gpu"
    summary = "torch.mm(a, b) on mps or cuda, synchronised"
    options: ClassVar[tuple[Option, ...]] = (OUT, TF32, FROM_HOST, DEVICE)
    layers: ClassVar[tuple[Layer, ...]] = ()
    modes = ("latency", "throughput", "device")

    def prepare(self, operands: Operands) -> None:
        """Copies the operands into tensors on the device; with ``:from-host`` into tensors of the host."""
        self._square_behind = operands.k == operands.n
        if "from-host" not in self.settings:
            super().prepare(operands)
            return
        pinned = self.settings["from-host"] == "pinned"
        if pinned and self._device.type != "cuda":
            raise BackendUnavailable(f"memory is pinned for cuda, not for {self._device.type}", "from-host=pageable")

        library = self._torch

        def on_host(matrix: NDArray[np.float32]) -> torch.Tensor:
            tensor: torch.Tensor = library.from_numpy(matrix)
            return tensor.pin_memory() if pinned else tensor

        self._pairs = operands.converted(f"host {self.settings['from-host']}", on_host)
        self._out = library.empty((operands.m, operands.n), dtype=library.float32, device=self._device)
        self._on_host = library.empty((operands.m, operands.n), dtype=library.float32, pin_memory=pinned)

    def run(self, loops: int, first: int) -> float:
        """Waits for the device after every call."""
        synchronize, out = self._torch.accelerator.synchronize, self._out
        pairs = rotation(self._pairs, loops, first)
        with self._torch.inference_mode():
            synchronize()
            if "from-host" in self.settings:
                through = self._through_device
                start = perf_counter()
                for a, b in pairs:
                    through(a, b)
                return perf_counter() - start
            mm = self._torch.mm
            if "out" in self.settings:
                start = perf_counter()
                for a, b in pairs:
                    mm(a, b, out=out)
                    synchronize()
                return perf_counter() - start
            start = perf_counter()
            for a, b in pairs:
                mm(a, b)
                synchronize()
            return perf_counter() - start

    def run_throughput(self, loops: int, first: int) -> float:
        """Waits for the device once, after the last call."""
        synchronize = self._torch.accelerator.synchronize
        with self._torch.inference_mode():
            synchronize()
            start = perf_counter()
            super().run(loops, first)
            synchronize()
            return perf_counter() - start

    def run_device(self, loops: int, first: int) -> float:
        """Seconds by CUDA events around full queues; elsewhere by the slope over chained calls."""
        if self._device.type == "cuda":
            return self._event_seconds(loops, first)
        return self.slope_seconds(loops, first)

    def slope_seconds(self, loops: int, first: int) -> float:
        """Seconds by the slope over chained calls, on any accelerator. The shape must have K = N."""
        a, b = self._pairs[first % len(self._pairs)]
        link = b * slope.scale(b.shape[0])
        mm, synchronize = self._torch.mm, self._torch.accelerator.synchronize

        def chain(length: int) -> float:
            synchronize()
            start = perf_counter()
            product = a
            for _ in range(length):
                product = mm(product, link)
            synchronize()
            return perf_counter() - start

        with self._torch.inference_mode():
            # Each link's result is free for the allocator when the next one's is there: two are alive at a time.
            return loops * slope.call_seconds(chain, loops)

    def why_not(self, mode: Mode) -> str:
        """Copies have no throughput or device time of their own; a chain needs K = N."""
        return slope.why_not(mode, self.settings, chainable=self._device.type == "cuda" or self._square_behind)

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once, copied to the host."""
        if "from-host" not in self.settings:
            return super().product(pair)
        with self._torch.inference_mode():
            self._through_device(*self._pairs[pair])
        product: NDArray[np.float32] = self._on_host.numpy().copy()
        return product

    def provenance(self) -> dict[str, str | int]:
        """Adds the device's name, the precision that was asked for, and what the device is timed by."""
        facts = super().provenance()
        cuda = self._device.type == "cuda"
        facts["device clock"] = "events" if cuda else "slope over chained products"
        if cuda:
            facts["device name"] = self._torch.cuda.get_device_name(self._device)
            facts["cuda"] = str(self._torch.version.cuda)
            facts["fp32 precision"] = "tf32" if "tf32" in self.settings else "ieee"
        return facts

    def _through_device(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """To the device, multiplied, and back. Pinned memory is copied while the processor goes on; both end here."""
        device = self._device
        product = self._torch.mm(a.to(device, non_blocking=True), b.to(device, non_blocking=True))
        self._on_host.copy_(product, non_blocking=True)
        self._torch.accelerator.synchronize()

    def _event_seconds(self, loops: int, first: int) -> float:
        mm, out = self._torch.mm, self._out
        with self._torch.inference_mode():
            return cuda_events.seconds(_Queue(self._torch), lambda a, b: mm(a, b, out=out), self._pairs, loops, first)

    def _find_device(self) -> torch.device:
        if not self._torch.accelerator.is_available():
            raise BackendUnavailable(
                "PyTorch finds no accelerator (mps or cuda)",
                "run on Apple silicon, or on a machine with a GPU and a build of PyTorch for it",
            )
        device: torch.device | None = self._torch.accelerator.current_accelerator()
        if device is None or device.type not in ("mps", "cuda"):
            raise BackendUnavailable(f"PyTorch's accelerator is {device}, which gemmscope has no backend for")
        return device

    def _set_precision(self) -> None:
        if self._device.type == "cuda":
            matmul = self._torch.backends.cuda.matmul
            if hasattr(matmul, "fp32_precision"):
                matmul.fp32_precision = "tf32" if "tf32" in self.settings else "ieee"
            else:  # before torch 2.9
                matmul.allow_tf32 = "tf32" in self.settings
        elif "tf32" in self.settings:
            raise BackendUnavailable("TF32 is a format of NVIDIA's GPUs", "ask for torch-gpu")
