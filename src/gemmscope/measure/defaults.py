"""What is measured where nothing is named: sizes that give a curve, and instruments where overhead counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.workload.shapes import Shape, by_work, pair_count

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
# Where there is a GPU, one more: it takes that to keep a large one busy.
GPU_SIZE = 8192
# For a quick look, and where every size is measured many times.
FEW_SIZES = (64, 256, 1024)
# What the comparison was made at that gemmscope began with.
ORIGINAL_SIZES = (64, 128, 256, 512, 1024, 2048)
SECONDS = 75.0
# A GPU's clock has to settle before each turn, and there is more to measure.
GPU_SECONDS = 120.0
PAIRS = 10
# Of the budget, what one cell may take at most: many cells share it.
LARGEST_SHARE = 0.2

# About so many workers copy a size's operands, for which this share of the free memory may be taken.
_WORKERS = 8
_MEMORY_SHARE = 0.5

# The overhead of a call is microseconds. With more work than this it is less than a hundredth of any call.
_INSTRUMENTS_UP_TO = 2 * 1024**3
_SLOW_INSTRUMENTS_UP_TO = 2 * 256**3


def default_sizes(*, has_gpu: bool) -> list[int]:
    """The squares that are measured where none are named: those whose operands are no burden on the memory."""
    from gemmscope.machine import limits  # importing gemmscope stays light

    room = _MEMORY_SHARE * limits.available_bytes()
    sizes = (*SIZES, GPU_SIZE) if has_gpu else SIZES
    return [size for size in sizes if size in FEW_SIZES or _WORKERS * _operand_bytes(size) <= room]


def telling_shapes(shapes: Sequence[Shape], *, by_default: bool = False) -> dict[str, list[str]]:
    """For every instrument the shapes at which it tells something: up to three of those at which overhead counts.

    Calls are taken apart at the smallest, at the largest, and at one between: overhead hardly depends on the size.
    Where the shapes were not asked for, the one for GPUs is not measured on the processor either.
    """
    from gemmscope.backends.registry import INSTRUMENTS, ON_GPU, PLAIN, SLOW_INSTRUMENTS  # importing stays light

    def telling(most: int) -> list[str]:
        ordered = by_work(shapes)
        small = [shape for shape in ordered if shape.flops <= most] or ordered[:1]
        return [str(shape) for shape in dict.fromkeys((small[0], small[len(small) // 2], small[-1]))]

    smaller = [str(shape) for shape in shapes if shape.flops < 2 * GPU_SIZE**3]
    has_gpu_size = by_default and len(smaller) < len(shapes)
    on_processor = {name: smaller for name in PLAIN if name not in ON_GPU} if has_gpu_size else {}
    return on_processor | {
        name: telling(_SLOW_INSTRUMENTS_UP_TO if name in SLOW_INSTRUMENTS else _INSTRUMENTS_UP_TO)
        for name in INSTRUMENTS
    }


def _operand_bytes(size: int) -> int:
    """Bytes of all pairs of a square, in one worker."""
    shape = Shape(size, size, size)
    return pair_count(shape, PAIRS) * shape.operand_bytes
