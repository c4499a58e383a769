"""Right before fast: how far a float32 result is from the float64 one, and which precision that error points to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gemmscope.records.model import Precision

# Unit roundoff of float32: half the distance from 1 to the next number.
UNIT_ROUNDOFF = 2.0**-24

# Rounding errors of a sum of K random terms grow like a random walk, as the root of K, in units of the roundoff
# (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 2.8). Kernels that sum in blocks stay well
# below; four times above it there is room for the slowest and still two orders of magnitude to TF32 at K = 64.
_FLOAT32_FACTOR = 4.0

# Operands rounded to p bits make a relative error of about 0.6 · 2⁻ᵖ, whatever K is: 2.9e-4 for TF32's 11 bits
# (measured on an H200), 2.3e-3 for bfloat16's 8. The limits are the geometric means between neighbours, roughly.
_FLOAT32_LIMIT = 5e-5
_TF32_LIMIT = 8e-4
_BF16_LIMIT = 8e-3


# A piece is compared at a time, so that malloc is asked for nothing large: freeing that would change its ways for
# good, and with them what a call costs that allocates its output.
_PIECE_BYTES = 2**16


class Comparison:
    """One pair's float64 reference, and the size that its elements would have if nothing cancelled.

    Args:
        shape: Of the whole product, (m, n).
        rows: Which rows of the result are compared.
        reference: The float64 values of these rows, of shape (len(rows), n).
        scale: ‖D‖ of these rows, by :func:`~gemmscope.workload.operands.scale`.
    """

    def __init__(self, shape: tuple[int, int], rows: list[int], reference: NDArray[np.float64], scale: float) -> None:
        self._shape = shape
        self._rows = rows
        self._reference = reference
        self._scale = scale

    def relative_error(self, product: NDArray[np.float32]) -> float:
        """‖C − C₆₄‖ / ‖D‖ in the Frobenius norm over the compared rows; infinite for a NaN or another shape."""
        if product.shape != self._shape:
            return math.inf
        if product.size == 0:
            return 0.0
        squared = 0.0
        width = min(product.shape[1], _PIECE_BYTES // self._reference.itemsize)
        height = max(1, _PIECE_BYTES // (self._reference.itemsize * width))
        for top in range(0, len(self._rows), height):
            rows = self._rows[top : top + height]
            for left in range(0, product.shape[1], width):
                columns = slice(left, left + width)
                difference = product[rows, columns] - self._reference[top : top + height, columns]
                squared += float(np.vdot(difference, difference))
        error = math.sqrt(squared)
        if not math.isfinite(error):
            return math.inf
        if self._scale == 0.0:  # an empty sum: only zero is right
            return 0.0 if error == 0.0 else math.inf
        return error / self._scale


def precision_class(relative_error: float, k: int) -> Precision:
    """The format whose rounding explains the error of sums over K terms; ``"wrong"`` if none does."""
    float32_error = _FLOAT32_FACTOR * UNIT_ROUNDOFF * math.sqrt(max(k, 1))
    if relative_error <= min(float32_error, _FLOAT32_LIMIT):
        return "float32"
    if relative_error <= _TF32_LIMIT:
        return "tf32"
    if relative_error <= _BF16_LIMIT:
        return "bf16"
    return "wrong"
