"""The CBLAS that gemmscope is linked with."""

from collections.abc import Sequence
from typing import Any, TypeAlias, final

from numpy import float32
from numpy.typing import NDArray

# NumPy arrays, or anything with the buffer protocol or DLPack: PyTorch's CPU tensors, memoryviews, MLX arrays.
Array: TypeAlias = NDArray[float32]

def sgemm(a: Array | Any, b: Array | Any, out: Array | Any | None = None) -> Array:
    """Multiplies two float32 matrices by one ``cblas_sgemm``: C = A·B. The GIL is released meanwhile.

    Args:
        a: Shape (m, k). Rows or columns must be contiguous: C order, F order (a transposed view is passed as a
            transpose) and slices of whole rows or columns are taken as they are. Nothing is ever copied.
        b: Shape (k, n), likewise.
        out: Shape (m, n), likewise, writable, and not overlapping ``a`` or ``b``. Made anew when None.

    Returns:
        ``out``, or a new C-contiguous array. With k = 0 it is all zeros.

    Raises:
        TypeError: If an argument is no array of float32 in this machine's byte order, in the processor's memory.
        ValueError: If an argument has not two dimensions, shapes do not fit, neither rows nor columns are contiguous,
            ``out`` is read-only or overlaps an operand, or a dimension exceeds the BLAS's 32-bit integer.
    """

@final
class Plan:
    """One product, its operands checked and kept alive: calling the plan multiplies them into ``out``.

    The operands may be changed between calls, but not be given other memory (``ndarray.resize`` refuses to). Two
    threads must not call plans with the same ``out`` at once. Arguments and errors are those of :func:`sgemm`.
    """

    def __init__(self, a: Array | Any, b: Array | Any, out: Array | Any) -> None: ...
    def __call__(self) -> None:
        """Multiplies: ``out`` = ``a``·``b``. The GIL is released meanwhile."""
    @property
    def a(self) -> Array: ...
    @property
    def b(self) -> Array: ...
    @property
    def out(self) -> Array: ...

def time_plans(plans: Sequence[Plan], loops: int, first: int = 0) -> float:
    """Seconds for ``loops`` products in a C++ loop, going round the plans from ``first``.

    Raises:
        ValueError: If there is no plan.
    """

def time_nothing(loops: int) -> float:
    """Seconds that the C++ loop takes around nothing, for ``loops`` turns of it."""

def blas_description() -> dict[str, str]:
    """``interface``, ``symbol``, ``image`` (the file) and ``config`` of the linked CBLAS."""
