"""How far a float32 product may be from the exact one, and operands to try it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gemmscope.measure.verify import Comparison
from gemmscope.workload.operands import scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gemmscope.workload.operands import OperandPair

UNIT_ROUNDOFF = 2.0**-24


def gamma(k: int) -> float:
    """γ_K = K·u / (1 − K·u), the bound of a sum of K rounded products in any order (Higham, 2nd ed., lemma 3.1)."""
    return k * UNIT_ROUNDOFF / (1 - k * UNIT_ROUNDOFF)


def error_bound(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """γ_K · |A||B|, elementwise: no float32 product may be further from the exact one."""
    return gamma(a.shape[1]) * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64))


def matrices(m: int, n: int, k: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Operands of shapes (m, k) and (k, n), uniform in [-1, 1)."""
    random = np.random.default_rng(seed)
    return (
        random.uniform(-1, 1, (m, k)).astype(np.float32),
        random.uniform(-1, 1, (k, n)).astype(np.float32),
    )


def comparison(pair: OperandPair, rows: list[int] | None = None) -> Comparison:
    """What a worker compares a pair's result with, on these rows or on all."""
    rows = list(range(len(pair.a))) if rows is None else rows
    a, b = pair.a[rows].astype(np.float64), pair.b.astype(np.float64)
    return Comparison((len(pair.a), pair.b.shape[1]), rows, a @ b, scale(a, b))
