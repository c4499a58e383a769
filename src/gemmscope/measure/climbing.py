"""What a large multiplication will take, seen by smaller ones: a slow library is not called before that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gemmscope.measure.loops import checked_seconds
from gemmscope.measure.pacing import RATE_SECONDS
from gemmscope.workload.operands import OperandPair, Operands

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmscope.backends.base import Backend
    from gemmscope.workload.shapes import Shape

# Less work takes less than a second even by the slowest library, which sums one product after the other.
_WORTH_A_TRIAL = 2 * 1024**3
_FIRST_SIDE = 512
_LOOKS = 2
# A trial of more than this share of the work would not be much shorter than the call itself.
_SMALLER = 1 / 4


def expected_seconds(make: Callable[[], Backend], operands: Operands, shape: Shape) -> float:
    """Seconds that a call should take, by the rate of the first smaller one that is long enough; 0 if none is.

    Args:
        make: Makes the backend anew, which is probed already.
        operands: What it will multiply.
        shape: Their shape.
    """
    side = _FIRST_SIDE
    while shape.flops >= _WORTH_A_TRIAL:
        m, n, k = (min(dimension, side) for dimension in (shape.m, shape.n, shape.k))
        share = m * n * k / (shape.m * shape.n * shape.k)
        if share > _SMALLER:
            break
        a, b = (np.ascontiguousarray(part) for part in (operands.pairs[0].a[:m, :k], operands.pairs[0].b[:k, :n]))
        backend = make()
        backend.probe()
        backend.prepare(Operands([OperandPair(a, a.T if operands.same else b)], same=operands.same))
        backend.run(1, 0)
        seconds = min(checked_seconds(backend.run(1, 0)) for _ in range(_LOOKS))
        if seconds >= RATE_SECONDS:
            return seconds / share
        side *= 2
    return 0.0
