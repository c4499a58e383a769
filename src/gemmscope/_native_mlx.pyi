"""
MLX's C++ API. Importable only where the MLX that is installed is the one that gemmscope was built against.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, final

from numpy import float32
from numpy.typing import NDArray


Array: TypeAlias = NDArray[float32]

@final
class MlxCalls():
    """
    Operand pairs in MLX's own memory, for use in the thread that made it.

    Args:
        pairs: C-contiguous float32 matrices of shapes (m, k) and (k, n); they are copied.
        device: ``"cpu"`` or ``"gpu"``.

    Raises:
        ValueError: If the device is not there, there is no pair, or dimensions do not fit.
    """

    def __init__(self, pairs: Sequence[tuple[Array, Array]], device: Literal["cpu", "gpu"]) -> None: ...

    def latency(self, loops: int, first: int) -> float:
        """
        Seconds for ``loops`` calls, each waited for, going round the pairs from ``first``.
        """

    def throughput(self, loops: int, first: int) -> float:
        """Seconds for ``loops`` calls and one wait after all of them."""

    def chain(self, length: int, first: int, factor: float) -> float:
        """
        Seconds for ``length`` chained calls and one wait: C = A·B, then C = C·B, with ``factor`` on B.

        Raises:
            ValueError: If B is not square.
        """

    def product(self, pair: int, out: Array) -> None:
        """
        Multiplies a pair into a C-contiguous array of shape (m, n).

        Raises:
            IndexError: If there is no such pair.
            ValueError: If ``out`` is of another size.
        """

    @property
    def alignment(self) -> int:
        """The smallest alignment of the operands in bytes; 0 on a gpu."""

def version() -> str:
    """The version of the libmlx that is loaded."""

def has_device(device: Literal["cpu", "gpu"]) -> bool:
    """True if MLX can use the device here."""
