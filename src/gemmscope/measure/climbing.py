"""What a large multiplication will take, seen by smaller ones: a slow library is not called before that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.measure.loops import checked_seconds
from gemmscope.measure.pacing import RATE_SECONDS
from gemmscope.workload.operands import OperandPair, Operands
from gemmscope.workload.placement import mapped_copy

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


def expected_seconds(make: Callable[[], Backend], operands: Operands, shape: Shape) -> float | None:
    """Seconds that a call should take, by the rate of the first smaller one that is long enough.

    0 if none of them is long enough to tell, and None if none was made, since the call itself is short.

    Args:
        make: Makes the backend anew, which is probed already.
        operands: What it will multiply.
        shape: Their shape.
    """
    side, expected = _FIRST_SIDE, None
    while shape.flops >= _WORTH_A_TRIAL:
        m, n, k = (min(dimension, side) for dimension in (shape.m, shape.n, shape.k))
        share = m * n * k / (shape.m * shape.n * shape.k)
        if share > _SMALLER:
            break
        # Mapped, as the operands themselves are: malloc is left as it is.
        a = mapped_copy(operands.pairs[0].a[:m, :k], 0)
        b = a.T if operands.same else mapped_copy(operands.pairs[0].b[:k, :n], 0)
        backend = make()
        backend.probe()
        backend.prepare(Operands([OperandPair(a, b)], same=operands.same))
        backend.run(1, 0)
        seconds = min(checked_seconds(backend.run(1, 0)) for _ in range(_LOOKS))
        if seconds >= RATE_SECONDS:
            return seconds / share
        side, expected = 2 * side, 0.0
    return expected
