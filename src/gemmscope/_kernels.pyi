"""
Kernels that libraries have loaded, ATen and cuBLAS, caches, ceilings, macOS. Linked with no BLAS of its own.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, final

from numpy import float32
from numpy.typing import NDArray


Array: TypeAlias = NDArray[float32]

def find_symbol(image: str, name: str) -> tuple[str, str] | None:
    """
    What ``image``, a library that is loaded already, would call by that name.

    A definition in the global scope, which is where LD_PRELOAD puts its own, wins over the image's own and those of what
    it depends on. An empty image asks for the global scope alone.

    Returns:
        The file that holds the function, and what that library says of itself (version, options); None if there is no
        such name.
    """

def count_calls(image: str, symbol: str, function: Callable[[], object]) -> int | None:
    """
    How often an image calls a function of that name while ``function`` runs, which computes nothing then.

    Calls are counted in the image's own table of addresses, and go nowhere. No other thread may multiply meanwhile.

    Returns:
        The number of calls; None where they go through no such table: on macOS, or where the image does not import the
        name.
    """

def description_of(image: str) -> str:
    """
    What a loaded BLAS says of itself (version, options); empty where it says nothing, or is not loaded.
    """

def blas_file_problem(path: str) -> str:
    """
    Why a file cannot be a BLAS in this process, in words; empty if it may be one.

    Its headers and the names that it exports are read; nothing of it is loaded. Always empty on macOS, where a library need
    not be a file.
    """

def load_blas(path: str) -> tuple[str, str]:
    """
    Loads a BLAS, which stays loaded; its own calls find its own functions.

    Returns:
        The name of its sgemm, and the convention by which that is called: see :class:`Kernel`.

    Raises:
        RuntimeError: If it cannot be loaded, in the loader's words, or has no sgemm.
    """

class Calls:
    """
    Operand pairs and the output that each of them is multiplied into: checked once, and kept alive.

    Operands may be transposed views.

    Raises:
        TypeError, ValueError: As :func:`gemmscope.native.sgemm`, or if there is no pair.
    """

    def __init__(self, pairs: Sequence[tuple[Array | Any, Array | Any]], out: Array | Any) -> None: ...

@final
class Kernel():
    """
    The sgemm, or sgemv, that a loaded image calls by a name.

    Args:
        image: The calling library's file, as the loader names it.
        symbol: The function's name.
        convention: ``"cblas-lp64"``, ``"cblas-ilp64"``, ``"fortran-lp64"`` or ``"fortran-ilp64"``. A wrong one gives wrong
            results, or ends the process.
        routine: ``"sgemm"``, or ``"sgemv"`` for results with one row or one column.
        own: Whether the image's own function is meant, and not one that LD_PRELOAD puts before it.

    Raises:
        ValueError: If there is no such symbol, convention or routine.
    """

    def __init__(self, image: str, symbol: str, convention: str, routine: str, own: bool = False) -> None: ...

    def multiply(self, calls: Calls, i: int) -> None:
        """
        Multiplies pair ``i``.

        Raises:
            IndexError: If there is no such pair.
            ValueError: If the result is empty, or, for sgemv, has neither one row nor one column.
        """

    def time(self, calls: Calls, loops: int, first: int) -> float:
        """
        Seconds for ``loops`` calls in a C++ loop, going round the pairs from ``first``.
        """

    @property
    def image(self) -> str:
        """The file that holds the function."""

    @property
    def description(self) -> str:
        """What that library says of itself."""

class TorchCalls:
    """
    ATen's ``mm`` with an output, from C++, by the stable C interface that libtorch_cpu exports.

    Raises:
        RuntimeError: If ``image`` lacks one of its functions, or torch refuses the memory.
    """

    def __init__(self, image: str, calls: Calls) -> None: ...

    def time(self, loops: int, first: int) -> float:
        """
        Seconds for ``loops`` calls in a C++ loop, under the thread's own modes (inference, number of threads).
        """

@final
class CublasCalls():
    """
    Operand pairs in a CUDA device's memory, multiplied by cuBLAS.

    Args:
        pairs: The operands, C-contiguous, shapes (m, k) and (k, n), all pairs alike; they are copied.
        tf32: Whether TF32 is allowed. Without it the results are IEEE float32.
        runtime: The file of CUDA's runtime, libcudart.
        blas: The file of libcublas.

    Raises:
        RuntimeError: If a library, a device or its memory is not there, with CUDA's name for the error. Every method
            raises it where CUDA reports one.
        TypeError, ValueError: If the operands do not fit together.
    """

    def __init__(self, pairs: Sequence[tuple[Array | Any, Array | Any]], tf32: bool, runtime: str, blas: str) -> None: ...

    def latency(self, loops: int, first: int) -> float:
        """
        Seconds for ``loops`` calls, each waited for, going round the pairs from ``first``.
        """

    def throughput(self, loops: int, first: int) -> float:
        """Seconds for ``loops`` calls and one wait after all of them."""

    def event_seconds(self, loops: int, first: int) -> float:
        """
        Seconds for ``loops`` calls by the device's own clock, around queues that were full before it ran.
        """

    def product(self, pair: int, out: Array | Any) -> None:
        """
        Multiplies a pair into a C-contiguous array of shape (m, n).

        Raises:
            IndexError: If there is no such pair.
            ValueError: If ``out`` is of another size, or not C-contiguous.
        """

    @property
    def runtime_image(self) -> str:
        """The file of CUDA's runtime."""

    @property
    def blas_image(self) -> str:
        """The file of cuBLAS."""

    @property
    def runtime_version(self) -> int:
        """As the runtime numbers itself: 13000 is 13.0."""

    @property
    def blas_version(self) -> int:
        """As cuBLAS numbers itself."""

def cuda_devices(runtime: str, blas: str) -> int:
    """
    The number of CUDA devices.

    Raises:
        RuntimeError: If CUDA's runtime or cuBLAS cannot be loaded, or reports an error.
    """

def evict(array: Array | Any) -> None:
    """
    Writes back and drops every cache line of a 2-D float32 array, from all levels of the processor's caches.
    """

def can_evict() -> bool:
    """True if :func:`evict` can do so here."""

def vector_instructions() -> str:
    """
    What :func:`peak_flops` uses: ``"AVX-512"``, ``"AVX2"``, ``"NEON"``, ``"SME"`` or ``"none"``.
    """

def peak_flops(threads: int) -> float:
    """
    Float32 operations per second of fused multiply-adds on registers (two each), by ``threads`` threads.

    With SME they are those of outer products, in matrix units that cores share.

    Raises:
        RuntimeError: If the system does not start so many threads.
        ValueError: If ``threads`` is 0.
    """

def amx_peak_flops(threads: int) -> float:
    """
    The same by the outer products of AMX, the undocumented matrix unit of Apple's M1 to M3.

    A processor without AMX ends the process: call it in one that may end, as :mod:`gemmscope.machine.amx` does.

    Raises:
        RuntimeError: If gemmscope was not built for macOS on arm64, or the system does not start so many threads.
        ValueError: If ``threads`` is 0.
    """

def triad_bandwidth(threads: int, size: int) -> float:
    """
    Bytes per second of STREAM's triad over three arrays that take ``size`` bytes together.

    Raises:
        RuntimeError: If the system does not start so many threads.
        ValueError: If ``threads`` is 0, or a thread would have no element.
    """

def process_use() -> tuple[int, int, int, int] | None:
    """
    macOS: this process's ticks on all cores, those on performance cores, nanojoules and cycles (0: not counted).

    None on other systems.
    """

def tick_seconds() -> float | None:
    """macOS: seconds of one tick. None on other systems."""

def thermal_state() -> int | None:
    """
    macOS: 0 nominal, 1 fair, 2 serious, 3 critical. None on other systems.
    """

def low_power_mode() -> bool | None:
    """macOS: whether low-power mode is on. None on other systems."""

def run_in_background() -> bool:
    """
    macOS: keeps this process, all its threads, on efficiency cores where there are any; False where refused.
    """

class Sampler:
    """
    Interrupts this process every so many seconds of its processor time, all threads together.

    It stores where the running thread was interrupted, by a handler that neither allocates nor locks. Linux looks at
    such a timer when its scheduler ticks, every 1 to 10 ms on each processor, however short the interval. Threads that
    block SIGPROF are not seen.

    Args:
        interval_seconds: 0.0001 to 1.
        capacity: The most samples that are stored, at most 2**20.

    Raises:
        ValueError: If one of them is out of range.
    """

    def __init__(self, interval_seconds: float, capacity: int) -> None: ...

    def start(self) -> None:
        """
        Begins to interrupt this process.

        Raises:
            RuntimeError: If a sampler of this process is running already, or the system refuses the timer.
        """

    def stop(self) -> tuple[list[int], list[int], int]:
        """
        Ends that, and puts back the timer and the handler that SIGPROF had before.

        Returns:
            Program counters, ids of threads (as ``threading.get_native_id``), and how many samples found the buffer full.
            Nothing if it is not running.
        """

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped yet."""

def read_memory(address: int, size: int) -> bytes:
    """
    Bytes of this process's memory; fewer, or none, where it cannot be read.

    Raises:
        ValueError: If ``size`` is more than 1 MiB.
    """

def locate(address: int) -> tuple[str, str, int] | None:
    """
    The image, the exported function (or nothing) and the offset at an address; None where it is no image's.
    """
