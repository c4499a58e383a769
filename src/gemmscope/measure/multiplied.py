"""What the variants of one shape multiply, and what their products are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gemmscope.errors import BackendUnavailable
from gemmscope.measure.verify import Comparison
from gemmscope.workload.operands import OperandPair, Operands

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

# Operands are multiples of 2^-23 below 1. So scaled they are multiples of 2^-149, the smallest number above 0, and
# exact; and so is the scaled reference.
_TO_SUBNORMAL = 2.0**-126


class Multiplied:
    """The operands of one shape, as they are and as variants change them: every change is made once.

    Args:
        operands: Those of the run.
        rows: Which rows of a product are compared.
        references: The float64 values of these rows, for every pair.
    """

    def __init__(self, operands: Operands, rows: list[int], references: Sequence[NDArray[np.float64]]) -> None:
        self._operands = operands
        self._rows = rows
        self._references = references
        self._made: dict[tuple[bool, bool, bool], tuple[Operands, list[Comparison]]] = {}

    def by(self, settings: Mapping[str, str]) -> tuple[Operands, list[Comparison]]:
        """The operands that a variant with these settings multiplies, and a comparison for each pair.

        Raises:
            BackendUnavailable: If there are no such operands of this shape.
        """
        key = ("self" in settings, "subnormal" in settings, "reused" in settings)
        if key not in self._made:
            self._made[key] = self._make(*key)
        return self._made[key]

    def _make(self, same: bool, subnormal: bool, reused: bool) -> tuple[Operands, list[Comparison]]:
        pairs = self._operands.pairs
        references = self._references
        if reused:
            pairs, references = pairs[:1], references[:1]
        if same:
            if subnormal:
                raise BackendUnavailable("self and subnormal together give products below 2^-149, and they are all 0")
            if self._operands.m != self._operands.n:
                raise BackendUnavailable(
                    f"A times its transpose is square, but M = {self._operands.m} and N = {self._operands.n}",
                    "ask for shapes with M = N",
                )
            pairs = tuple(OperandPair(pair.a, pair.a.T) for pair in pairs)
            references = [_product_with_itself(pair.a, self._rows) for pair in pairs]
        if subnormal:
            scale = np.float32(_TO_SUBNORMAL)
            pairs = tuple(OperandPair(pair.a * scale, pair.b) for pair in pairs)
            # Compared as they are: float64 has room for both, and the error is relative.
            references = [reference * _TO_SUBNORMAL for reference in references]
        comparisons = [
            Comparison(pair, self._rows, reference) for pair, reference in zip(pairs, references, strict=True)
        ]
        unchanged = not (same or subnormal or reused)
        return self._operands if unchanged else Operands(pairs, same=same), comparisons


def _product_with_itself(a: NDArray[np.float32], rows: list[int]) -> NDArray[np.float64]:
    """Rows of A·Aᵀ in float64. By einsum, because NumPy's BLAS would start threads beside those of the library."""
    exact = a.astype(np.float64)
    products: NDArray[np.float64] = np.einsum("ik,jk->ij", exact[rows], exact)
    return products
