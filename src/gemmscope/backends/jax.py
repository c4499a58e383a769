"""JAX: ``jnp.matmul``, compiled by XLA, on the processor and on a GPU."""

from __future__ import annotations

import functools
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gemmscope.backends import slope
from gemmscope.backends.base import (
    COLD,
    DEVICE,
    FROM_HOST_PAGEABLE,
    PROCESS_OPTIONS,
    REUSED,
    Backend,
    Option,
    alignment,
    rotation,
)
from gemmscope.errors import BackendUnavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gemmscope.backends.base import Device
    from gemmscope.records.base import Mode
    from gemmscope.workload.operands import Operands

_INSTALL = "pip install 'gemmscope[jax]', or jax[cuda13] on a machine with an NVIDIA GPU"

TF32 = Option("tf32", "XLA's default precision, which is TF32 on NVIDIA's GPUs")


@functools.cache
def _compiled(precision: str) -> Any:
    """The multiplication under ``jit``: made once, so that a shape is compiled once in a process.

    XLA times several kernels when it compiles, and may choose another one the next time.
    """
    import jax
    import jax.numpy as jnp

    return jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))


class JaxCpu(Backend):
    """``jax.jit(jnp.matmul)`` at the ``highest`` precision, and ``block_until_ready``."""

    name = "jax-cpu"
    library = "jax"
    device: ClassVar[Device] = "cpu"
    entry = "python"
    summary = "jax.jit(jnp.matmul)(a, b), at the highest precision, blocked until ready"
    # XLA flushes subnormal numbers to zero, and such products would be wrong.
    options: ClassVar[tuple[Option, ...]] = (*PROCESS_OPTIONS, COLD, REUSED)
    # JAX would take three quarters of a GPU's memory as soon as it is used, and leave none to anybody else. And we name
    # the device ourselves.
    environment: ClassVar[dict[str, str]] = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "JAX_PLATFORMS": ""}
    modes: ClassVar[tuple[Mode, ...]] = ("latency", "throughput")
    inseparable: ClassVar[str] = "XLA compiles it into one program, and exports no kernel to call without it"

    def probe(self) -> None:
        """Imports JAX, looks for the device, and asks for float32 and IEEE precision."""
        try:
            import jax
        except ImportError as error:
            raise BackendUnavailable(f"JAX cannot be imported: {error}", _INSTALL) from error
        try:
            self._device = jax.devices(self.device)[0]
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise BackendUnavailable(f"JAX {jax.__version__} has no {self.device} device here: {reason}",
                                     _INSTALL) from error  # fmt: skip
        jax.config.update("jax_enable_x64", False)
        self._jax = jax
        self._matmul = _compiled("default" if "tf32" in self.settings else "highest")

    def prepare(self, operands: Operands) -> None:
        """Copies the operands to the device, and compiles the multiplication for their shape."""
        self._pairs = operands.converted(str(self._device), self._on_device, copies=self.device == "gpu")
        self._jax.block_until_ready(self._matmul(*self._pairs[0]))

    def run(self, loops: int, first: int) -> float:
        """Waits for every result before the next is asked for."""
        matmul = self._matmul
        pairs = rotation(self._pairs, loops, first)
        start = perf_counter()
        for a, b in pairs:
            matmul(a, b).block_until_ready()
        return perf_counter() - start

    def run_throughput(self, loops: int, first: int) -> float:
        """Asks for all results, and waits for them together."""
        matmul, wait = self._matmul, self._jax.block_until_ready
        pairs = rotation(self._pairs, loops, first)
        start = perf_counter()
        wait([matmul(a, b) for a, b in pairs])
        return perf_counter() - start

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once, copied to NumPy."""
        return np.array(self._matmul(*self._pairs[pair]))

    def operand_arrays(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The arrays' memory, on the processor."""
        return [(np.asarray(a), np.asarray(b)) for a, b in self._pairs]

    def provenance(self) -> dict[str, str | int]:
        """Versions, the device and the precision asked for; on the processor the operands' alignment."""
        from jaxlib import version

        facts: dict[str, str | int] = {
            "jax": self._jax.__version__,
            "jaxlib": version.__version__,
            "device": str(self._device.device_kind),
            "precision": "default" if "tf32" in self.settings else "highest",
        }
        if self.device == "cpu":
            facts["alignment"] = alignment([view.ctypes.data for pair in self.operand_arrays() for view in pair])
        return facts

    def _on_device(self, matrix: NDArray[np.float32]) -> Any:
        # On the processor JAX may share the array's memory, which is the worker's own.
        return self._jax.block_until_ready(self._jax.device_put(matrix, self._device))


class JaxGpu(JaxCpu):
    """``jax.jit(jnp.matmul)`` on a GPU.

    With ``:from-host`` each call begins with arrays of NumPy's and ends with the result as one.
    """

    name = "jax-gpu"
    device = "gpu"
    options: ClassVar[tuple[Option, ...]] = (TF32, FROM_HOST_PAGEABLE, DEVICE)
    modes = ("latency", "throughput", "device")
    inseparable = ""

    def prepare(self, operands: Operands) -> None:
        """Copies the operands to the device; with ``:from-host`` into NumPy's arrays."""
        self._chainable = operands.k == operands.n
        if "from-host" in self.settings:
            self._pairs = operands.converted("host", np.asarray)
            np.asarray(self._matmul(*self._on_both(0)))
            return
        super().prepare(operands)

    def run(self, loops: int, first: int) -> float:
        """Waits for every result before the next is asked for; with ``:from-host`` reads it too."""
        if "from-host" not in self.settings:
            return super().run(loops, first)
        through = self._through_device
        pairs = rotation(range(len(self._pairs)), loops, first)
        start = perf_counter()
        for pair in pairs:
            through(pair)
        return perf_counter() - start

    def run_device(self, loops: int, first: int) -> float:
        """Seconds by the slope over chained calls: JAX has no clock of the device's."""
        a, b = self._pairs[first % len(self._pairs)]
        link = self._jax.block_until_ready(b * np.float32(slope.scale(b.shape[0])))
        # Compiled for the chain's shape before the clock starts: the first link may have another than the rest.
        self._jax.block_until_ready(self._matmul(self._matmul(a, link), link))

        def chain(length: int) -> float:
            matmul = self._matmul
            start = perf_counter()
            product = a
            for _ in range(length):
                product = matmul(product, link)
            product.block_until_ready()
            return perf_counter() - start

        return loops * slope.call_seconds(chain, loops)

    def why_not(self, mode: Mode) -> str:
        """Copies have no throughput or device time of their own; a chain needs K = N."""
        return slope.why_not(mode, self.settings, chainable=self._chainable)

    def product(self, pair: int) -> NDArray[np.float32]:
        """The same call once, copied to NumPy."""
        return self._through_device(pair) if "from-host" in self.settings else super().product(pair)

    def provenance(self) -> dict[str, str | int]:
        """Adds what the device is timed by."""
        return super().provenance() | {"device clock": "slope over chained products"}

    def _on_both(self, pair: int) -> tuple[Any, Any]:
        a, b = self._pairs[pair]
        return self._jax.device_put(a, self._device), self._jax.device_put(b, self._device)

    def _through_device(self, pair: int) -> NDArray[np.float32]:
        return np.array(self._matmul(*self._on_both(pair)))
