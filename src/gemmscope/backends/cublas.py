"""cuBLAS from C++: the GPU's own kernel with no framework around it, on NVIDIA's devices."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from gemmscope import _kernels
from gemmscope.backends.base import DEVICE, Backend, Option
from gemmscope.errors import BackendUnavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gemmscope.workload.operands import Operands

_REMEDY = "run on a machine with an NVIDIA GPU, its driver, and CUDA's libcudart and libcublas (12 or 13)"

TF32 = Option("tf32", "allow TF32, the 19-bit format of NVIDIA's tensor cores, for float32")


def library(name: str) -> str:
    """Loads one of CUDA's libraries, such as ``"cudart"``, and returns its file.

    It is looked for in NVIDIA's wheels, in conda's environment, on the loader's paths and in ``CUDA_HOME``.

    Raises:
        BackendUnavailable: If it is in none of these places.
    """
    from cuda.pathfinder import DynamicLibNotFoundError, load_nvidia_dynamic_lib  # it is installed on Linux alone

    try:
        return str(load_nvidia_dynamic_lib(name).abs_path)
    except (DynamicLibNotFoundError, RuntimeError) as error:
        # Behind that comes a list of every place that was looked at.
        reason = str(error).partition("\n")[0].partition(": No such file")[0]
        raise BackendUnavailable(f"CUDA's lib{name} cannot be loaded: {reason}", _REMEDY) from error


class Cublas(Backend):
    """A C++ loop on ``cublasSgemm``, with operands and result in the device's memory."""

    name = "cublas"
    library = "cublas"
    device = "gpu"
    entry = "native"
    summary = "a C++ loop on cublasSgemm, synchronised"
    options = (TF32, DEVICE)
    modes = ("latency", "throughput", "device")

    def probe(self) -> None:
        """Looks for CUDA's libraries and a device."""
        if sys.platform == "darwin":
            raise BackendUnavailable("CUDA does not run on macOS")
        self._runtime, self._blas = library("cudart"), library("cublas")
        try:
            devices = _kernels.cuda_devices(self._runtime, self._blas)
        except RuntimeError as error:
            raise BackendUnavailable(str(error), _REMEDY) from error
        if devices == 0:
            raise BackendUnavailable("CUDA finds no device", _REMEDY)

    def prepare(self, operands: Operands) -> None:
        """Copies the operands to the device, which must have room for them."""
        self._shape = (operands.m, operands.n)
        self._calls = _kernels.CublasCalls(operands.pairs, "tf32" in self.settings, self._runtime, self._blas)

    def run(self, loops: int, first: int) -> float:
        """Synchronises the stream after every call, by a clock in C++."""
        return self._calls.latency(loops, first)

    def run_throughput(self, loops: int, first: int) -> float:
        """Synchronises the stream once, by a clock in C++."""
        return self._calls.throughput(loops, first)

    def run_device(self, loops: int, first: int) -> float:
        """Seconds between two CUDA events around queues that were full before the device began."""
        return self._calls.event_seconds(loops, first)

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once, copied to NumPy."""
        product = np.empty(self._shape, np.float32)
        self._calls.product(pair, product)
        return product

    def provenance(self) -> dict[str, str | int]:
        """The libraries' files and versions, the precision, and what the device is timed by."""
        return {
            "cudart image": self._calls.runtime_image,
            "cudart": self._calls.runtime_version,
            "cublas image": self._calls.blas_image,
            "cublas": self._calls.blas_version,
            "fp32 precision": "tf32" if "tf32" in self.settings else "ieee",
            "device clock": "events",
        }
