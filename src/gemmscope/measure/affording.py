"""What the operands of a shape cost a run before anything is timed, and which shapes its budget can so afford.

Costs are predicted from bytes and arithmetic at rates of an idle processor, times the pace at which this machine turns
out to work. Times are in seconds.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gemmscope.measure.protocol import OperandsMade
from gemmscope.workload.operands import make_operands, uniform

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

    from gemmscope.measure.protocol import MakeOperands
    from gemmscope.workload.shapes import Block

# Of the budget, for making operands and for preparing them in as many sets as any shape has.
OPERANDS_SHARE = 0.7
# A budget may be shorter than starting the workers takes, which is waited for in any case.
OPERANDS_LEAST = 2.0

# Seconds on an idle processor of 2024, by one thread, new pages among them: to draw a value; to draw it, store it, and
# turn it into float64; to store a float64 element; for each floating-point operation of a float64 reference of few
# rows, which reads all of B for them, and of more.
_DRAW = 4e-9
_VALUE = 8e-9
_ELEMENT = 10e-9
_FEW_ROWS = 32
_FLOP_OF_FEW_ROWS = 0.5e-9
_FLOP = 0.1e-9
# To copy a value in a worker; to touch an element of a new output, for each of the calls before the first round.
_COPY = 3e-9
_OUTPUT = 1e-9
_CALLS = 6

# Enough values to be timed, and several times: the first look finds cold caches and a low clock.
_PACE_VALUES = 2**16
_PACE_LOOKS = 5
_LONG_ENOUGH = 0.1


def making(block: Block) -> float:
    """Predicted for the operands of a block and their float64 references."""
    shape, rows = block.shape, block.reference_rows
    flop = _FLOP if rows >= _FEW_ROWS else _FLOP_OF_FEW_ROWS
    values = shape.m * shape.k + shape.k * shape.n
    reference = rows * (shape.n + shape.k) * _ELEMENT + 2 * rows * shape.n * shape.k * flop
    return block.pairs * (values * _VALUE + reference)


def preparing(block: Block, workers: int, backends: int) -> float:
    """Predicted for one set: every worker copies all pairs, and every backend's output is made and compared."""
    shape = block.shape
    copies = workers * block.pairs * (shape.m * shape.k + shape.k * shape.n) * _COPY
    outputs = _CALLS * shape.m * shape.n * _OUTPUT + block.reference_rows * shape.n * _ELEMENT
    return copies + backends * outputs


def make_affordable(
    memory: mmap.mmap, request: MakeOperands, clock: Callable[[], float] = time.process_time
) -> OperandsMade:
    """Makes the first block in any case, and the others from the cheapest on while their costs fit.

    Args:
        memory: The run's shared memory, writable.
        request: What to make, and what there is for it.
        clock: Of this process's processor time: others that work beside it make nothing dearer.
    """
    needed = [0.0] * len(request.blocks)
    costs = [making(block) + more for block, more in zip(request.blocks, request.preparing or needed, strict=True)]
    pace = _pace(clock)
    spent = 0.0
    for i in sorted(range(len(costs)), key=lambda i: (i > 0, costs[i])):
        block = request.blocks[i]
        if i > 0 and spent + pace * costs[i] > request.seconds:
            needed[i] = spent + pace * costs[i]
            continue
        begin = clock()
        make_operands(memory, [block], request.seed)
        if (nominal := making(block)) > _LONG_ENOUGH:
            pace = max(pace, (clock() - begin) / nominal)
        spent += pace * costs[i]
    return OperandsMade(needed=needed)


def _pace(clock: Callable[[], float]) -> float:
    """How many times as long as predicted this machine takes: the least of some looks."""
    looks: list[float] = []
    for _ in range(_PACE_LOOKS):
        begin = clock()
        uniform(_PACE_VALUES, (0,))
        looks.append((clock() - begin) / (_PACE_VALUES * _DRAW))
    return min(looks)
