"""
The CBLAS that gemmscope is linked with. The public names are in gemmscope.native.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, final

from numpy import float32
from numpy.typing import NDArray


Array: TypeAlias = NDArray[float32]

def sgemm(a: Array | Any, b: Array | Any, out: Array | Any | None = None) -> Array:
    """
    Multiplies two float32 matrices by one ``cblas_sgemm``: C = A·B. The GIL is released meanwhile.

    Operands are NumPy arrays, or anything with the buffer protocol or DLPack in the processor's memory: PyTorch's tensors,
    memoryviews, MLX arrays.

    Args:
        a: Shape (m, k). Rows or columns must be contiguous: C order, F order (a transposed view is passed as a
            transpose) and slices of whole rows or columns are taken as they are. Nothing is ever copied.
        b: Shape (k, n), likewise.
        out: Shape (m, n), likewise, writable, and not overlapping ``a`` or ``b``. Allocated when None.

    Returns:
        ``out``, or a new C-contiguous array. With k = 0 it is all zeros.

    Raises:
        TypeError: If an argument is no array of float32 in this machine's byte order, in the processor's memory.
        ValueError: If an argument has not two dimensions, shapes do not fit, neither rows nor columns are contiguous,
            ``out`` is read-only or overlaps an operand, or a dimension exceeds the BLAS's 32-bit integer.
    """

@final
class Plan():
    """
    One call of ``sgemm``, its operands checked and kept alive: calling the plan multiplies them into
    ``out``. The GIL is released meanwhile.

    The plan holds the memory that its arrays have when it is made. Values may be changed between calls, but an array that is
    given other memory needs another plan: ``ndarray.resize`` and, as after ``tensor.numpy()``, ``tensor.resize_`` refuse to.
    After ``tensor.share_memory_()`` the plan is of no use, and says so when it is called.
    Two threads must not call plans with the same ``out`` at once. Arguments and errors are those of :func:`sgemm`.
    """

    def __call__(self) -> None: ...

    def __init__(self, a: Array | Any, b: Array | Any, out: Array | Any) -> None: ...

    @property
    def a(self) -> Array:
        """The left operand, as it was given."""

    @property
    def b(self) -> Array:
        """The right operand, as it was given."""

    @property
    def out(self) -> Array:
        """The output, as it was given."""

def time_plans(plans: Sequence[Plan], loops: int, first: int = 0) -> float:
    """
    Seconds for ``loops`` calls in a C++ loop, going round the plans from ``first``.

    Raises:
        ValueError: If there is no plan, ``loops`` is beyond 2**40, or an array of a plan was given other memory.
    """

def time_nothing(loops: int) -> float:
    """
    Seconds that the C++ loop takes around nothing, for ``loops`` turns of it.
    """

def blas_description() -> dict[str, str]:
    """
    ``interface``, ``symbol``, ``image`` (the file) and ``config`` of the linked CBLAS.
    """
