"""MLX's C++ API. Importable only where the MLX that is installed is the one that gemmscope was built against."""

from collections.abc import Sequence
from typing import Literal

from numpy import float32
from numpy.typing import NDArray

class MlxProducts:
    """Operand pairs in MLX's own memory, for use in the thread that made it.

    Args:
        pairs: C-contiguous float32 matrices of shapes (m, k) and (k, n); they are copied.
        device: ``"cpu"`` or ``"gpu"``.

    Raises:
        ValueError: If the device is not there, there is no pair, or dimensions do not fit.
    """

    def __init__(
        self, pairs: Sequence[tuple[NDArray[float32], NDArray[float32]]], device: Literal["cpu", "gpu"]
    ) -> None: ...
    def latency(self, loops: int, first: int) -> float:
        """Seconds for ``loops`` products, each waited for."""
    def throughput(self, loops: int, first: int) -> float:
        """Seconds for ``loops`` products and one wait after all of them."""
    def chain(self, length: int, first: int, factor: float) -> float:
        """Seconds for ``length`` chained products and one wait: C = A·B, then C = C·B, with ``factor`` on B.

        Raises:
            ValueError: If B is not square.
        """
    def product(self, pair: int, out: NDArray[float32]) -> None:
        """Writes the product of a pair to a C-contiguous array of shape (m, n)."""
    @property
    def alignment(self) -> int:
        """The smallest alignment of the operands in bytes; 0 on a gpu."""

def version() -> str:
    """The version of the libmlx that is loaded."""

def has_device(device: Literal["cpu", "gpu"]) -> bool:
    """True if MLX can use the device here."""
