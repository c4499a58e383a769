"""What the variants of one shape multiply, and what their products are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from gemmscope.errors import BackendUnavailable
from gemmscope.measure.verify import Comparison
from gemmscope.workload.operands import OperandPair, Operands, scale
from gemmscope.workload.placement import mapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

F = TypeVar("F", np.float32, np.float64)

# Operands are multiples of 2^-23 below 1. So scaled they are multiples of 2^-149, the smallest number above 0, and
# exact; and so is the scaled reference.
_TO_SUBNORMAL = 2.0**-126


class Multiplied:
    """The operands of one shape, as they are and as variants change them: every change is made once.

    Args:
        operands: Those of the run.
        rows: Which rows of a product are compared.
        references: The float64 values of these rows, for every pair.
        scales: Their sizes if nothing cancelled, for every pair.
    """

    def __init__(
        self, operands: Operands, rows: list[int], references: Sequence[NDArray[np.float64]], scales: Sequence[float]
    ) -> None:
        self._operands = operands
        self._rows = rows
        self._references = references
        self._scales = scales
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
        operands = self._operands.first(1) if reused else self._operands
        pairs, placement = operands.pairs, operands.placement
        references, scales = self._references[: len(pairs)], self._scales[: len(pairs)]
        if same:
            if subnormal:
                raise BackendUnavailable("self and subnormal together give products below 2^-149, and they are all 0")
            if self._operands.m != self._operands.n:
                raise BackendUnavailable(
                    f"A times its transpose is square, but M = {self._operands.m} and N = {self._operands.n}",
                    "ask for shapes with M = N",
                )
            pairs = tuple(OperandPair(pair.a, pair.a.T) for pair in pairs)
            references, scales = zip(*(_product_with_itself(pair.a, self._rows) for pair in pairs), strict=True)
        if subnormal:
            pairs = tuple(OperandPair(_scaled(pair.a), pair.b) for pair in pairs)
            # Compared as they are: float64 has room for both, and the error is relative.
            references = [_scaled(reference) for reference in references]
            scales = [scale * _TO_SUBNORMAL for scale in scales]
        shape = (self._operands.m, self._operands.n)
        comparisons = [
            Comparison(shape, self._rows, reference, scale) for reference, scale in zip(references, scales, strict=True)
        ]
        unchanged = not (same or subnormal)
        return operands if unchanged else Operands(pairs, same=same, placement=placement), comparisons


def _scaled(matrix: NDArray[F]) -> NDArray[F]:
    """The matrix times 2⁻¹²⁶."""
    scaled = mapped(matrix.shape, matrix.dtype.type)
    return np.multiply(matrix, matrix.dtype.type(_TO_SUBNORMAL), out=scaled)


def _product_with_itself(a: NDArray[np.float32], rows: list[int]) -> tuple[NDArray[np.float64], float]:
    """Rows of A·Aᵀ in float64, and their scale. By einsum: NumPy's BLAS would start threads beside the library's."""
    exact = mapped(a.shape, np.float64)
    exact[...] = a
    chosen = np.take(exact, rows, axis=0, out=mapped((len(rows), a.shape[1]), np.float64), mode="clip")
    products = np.einsum("ik,jk->ij", chosen, exact, out=mapped((len(rows), len(a)), np.float64))
    return products, scale(chosen, exact.T)
