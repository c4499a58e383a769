"""Kernels that libraries have loaded, ATen and cuBLAS, caches, ceilings, macOS. Linked with no BLAS of its own."""

from collections.abc import Sequence
from typing import Any, final

from gemmscope._native import Array

def find_symbol(image: str, name: str) -> tuple[str, str] | None:
    """What ``image``, a library that is loaded already, would call by that name.

    A definition in the global scope, which is where LD_PRELOAD puts its own, wins over the image's own and those of
    what it depends on. An empty image asks for the global scope alone.

    Returns:
        The file that holds the function, and what that library says of itself (version, options); None if there is no
        such name.
    """

@final
class Products:
    """Products of operand pairs into one output: checked once, and kept alive. Operands may be transposed views.

    Raises:
        TypeError, ValueError: As :func:`gemmscope.native.sgemm`, or if there is no pair.
    """

    def __init__(self, pairs: Sequence[tuple[Array | Any, Array | Any]], out: Array | Any) -> None: ...

@final
class Kernel:
    """The sgemm, or sgemv, that a loaded image calls by a name.

    Args:
        image: The calling library's file, as the loader names it.
        symbol: The function's name.
        convention: ``"cblas-lp64"``, ``"cblas-ilp64"``, ``"fortran-lp64"`` or ``"fortran-ilp64"``. A wrong one makes
            wrong products, or ends the process.
        routine: ``"sgemm"``, or ``"sgemv"`` for products with one row or one column.

    Raises:
        ValueError: If there is no such symbol, convention or routine.
    """

    def __init__(self, image: str, symbol: str, convention: str, routine: str) -> None: ...
    def multiply(self, products: Products, i: int) -> None:
        """Computes product ``i``. Raises ValueError if it is empty, or no vector is among its sides for sgemv."""
    def time(self, products: Products, loops: int, first: int) -> float:
        """Seconds for ``loops`` products in a C++ loop, going round from ``first``."""
    @property
    def image(self) -> str: ...
    @property
    def description(self) -> str: ...

@final
class TorchProducts:
    """ATen's ``mm`` with an output, from C++, by the stable C interface that libtorch_cpu exports.

    Raises:
        RuntimeError: If ``image`` lacks one of its functions, or torch refuses the memory.
    """

    def __init__(self, image: str, products: Products) -> None: ...
    def time(self, loops: int, first: int) -> float:
        """Seconds for ``loops`` calls in a C++ loop, under the thread's own modes (inference, number of threads)."""

@final
class CublasProducts:
    """Operand pairs, C-contiguous and of one shape, in a CUDA device's memory, multiplied by cuBLAS.

    Args:
        pairs: The operands; they are copied.
        tf32: Whether TF32 is allowed. Without it the products are IEEE float32.
        runtimes: Names or paths under which CUDA's runtime is looked for, in that order.
        blases: The same for cuBLAS.

    Raises:
        RuntimeError: If a library, a device or its memory is not there, with CUDA's name for the error. Every method
            raises it where CUDA reports one.
        TypeError, ValueError: If the operands do not fit together.
    """

    def __init__(
        self, pairs: Sequence[tuple[Array | Any, Array | Any]], tf32: bool, runtimes: list[str], blases: list[str]
    ) -> None: ...
    def latency(self, loops: int, first: int) -> float:
        """Seconds for ``loops`` products, each waited for, going round from ``first``."""
    def throughput(self, loops: int, first: int) -> float:
        """Seconds for ``loops`` products and one wait after all of them."""
    def event_seconds(self, loops: int, first: int) -> float:
        """Seconds for ``loops`` products by the device's own clock, around queues that were full before it ran."""
    def product(self, pair: int, out: Array | Any) -> None:
        """Computes a pair's product into a C-contiguous array of shape (m, n)."""
    @property
    def runtime_image(self) -> str: ...
    @property
    def blas_image(self) -> str: ...
    @property
    def runtime_version(self) -> int: ...
    @property
    def blas_version(self) -> int: ...

def cuda_devices(runtimes: list[str], blases: list[str]) -> int:
    """The number of CUDA devices. Raises RuntimeError if CUDA's runtime or cuBLAS cannot be loaded or reports one."""

def evict(array: Array | Any) -> None:
    """Writes back and drops every cache line of a 2-D float32 array, from all levels of the processor's caches."""

def can_evict() -> bool:
    """True if :func:`evict` can do so here."""

def vector_instructions() -> str:
    """What :func:`peak_flops` uses: ``"AVX-512"``, ``"AVX2"``, ``"NEON"`` or ``"none"``."""

def peak_flops(threads: int) -> float:
    """Float32 operations per second of fused multiply-adds on registers (two each), by ``threads`` threads."""

def triad_bandwidth(threads: int, size: int) -> float:
    """Bytes per second of STREAM's triad over three arrays that take ``size`` bytes together."""

def process_use() -> tuple[int, int, int, int] | None:
    """macOS: this process's ticks on all cores, those on performance cores, nanojoules and cycles (0: not counted)."""

def tick_seconds() -> float | None:
    """macOS: seconds of one tick."""

def thermal_state() -> int | None:
    """macOS: 0 nominal, 1 fair, 2 serious, 3 critical."""

def low_power_mode() -> bool | None:
    """macOS: whether low-power mode is on."""

def run_in_background() -> bool:
    """macOS: keeps this process, all its threads, on efficiency cores where there are any; False where refused."""

@final
class Sampler:
    """Interrupts this process every so many seconds of its processor time, all its threads together.

    It stores where the thread that was running was interrupted, by a handler that allocates and locks nothing. Linux
    looks at such a timer when its scheduler ticks, every 1 to 10 ms on each processor, however short the interval. What
    a thread does that blocks SIGPROF is not seen.

    Args:
        interval_seconds: 0.0001 to 1.
        capacity: The most samples that are stored, at most 2**20.

    Raises:
        ValueError: If one of them is out of range.
    """

    def __init__(self, interval_seconds: float, capacity: int) -> None: ...
    def start(self) -> None:
        """Begins. Raises RuntimeError if a sampler of this process is running, or the system refuses the timer."""
    def stop(self) -> tuple[list[int], list[int], int]:
        """Ends, and puts back the timer and the handler of SIGPROF that were there before.

        Returns:
            Program counters, the ids of the threads (as ``threading.get_native_id``), and how many more samples found
            the buffer full, since the last start. Nothing of a sampler that is not running.
        """
    @property
    def running(self) -> bool: ...

def read_memory(address: int, size: int) -> bytes:
    """Bytes of this process's memory; fewer, or none, where it cannot be read. ``size`` is at most 1 MiB."""

def locate(address: int) -> tuple[str, str, int] | None:
    """The image, the exported function (or nothing) and the offset in the image at an address; None for no image's."""
