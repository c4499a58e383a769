"""What is multiplied: shapes of float32 matrices, and where their operands lie in shared memory."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import msgspec

from gemmscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FLOAT32_BYTES = 4
_FLOAT64_BYTES = 8

COMPUTE_BOUND_SIDE = 32
_ENOUGH_FLOPS = 2 * 1024**3

# Operands in shared memory begin on a page, so that no two of them share one.
_PAGE = 4096

# The float64 reference of a whole product would take longer than the float32 products that it checks. Above this many
# multiplications a product is compared on some of its rows.
_REFERENCE_MULTIPLICATIONS = 2**26
# A list of more would be large itself: see the module on placement.
_MOST_REFERENCE_ROWS = 2**13

# Pairs are distinct so that no cache holds them all. Few large ones do as well, and take less memory and time to make.
_ENOUGH_OPERAND_BYTES = 2**28
_FEWEST_PAIRS = 2


class Shape(msgspec.Struct, frozen=True, order=True):
    """C = A·B with A of shape (m, k), B of shape (k, n) and C of shape (m, n)."""

    m: int
    n: int
    k: int

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Reads ``"64"`` (a square) or ``"64x32x16"`` (M, N, K).

        Raises:
            UsageError: If the text is neither, or a dimension is negative.
        """
        found = re.fullmatch(r"(\d+)(?:[xX](\d+)[xX](\d+))?", text.strip())
        if found is None:
            raise UsageError(
                f"shape {text!r}: expected one size such as 256, MxNxK such as 512x256x1024, or a preset's name"
            )
        m, n, k = (found[1], found[2] or found[1], found[3] or found[1])
        return cls(int(m), int(n), int(k))

    @property
    def flops(self) -> int:
        """Floating-point operations of one product: a multiplication and an addition for each of M·N·K."""
        return 2 * self.m * self.n * self.k

    @property
    def operand_bytes(self) -> int:
        """Bytes of one pair of operands."""
        return _FLOAT32_BYTES * (self.m * self.k + self.k * self.n)

    @property
    def product_bytes(self) -> int:
        """Bytes of one product."""
        return _FLOAT32_BYTES * self.m * self.n

    @property
    def intensity(self) -> float:
        """FLOP for each byte of the operands and the product, each moved once: what no kernel can go below."""
        return self.flops / max(self.operand_bytes + self.product_bytes, 1)

    @property
    def is_square(self) -> bool:
        """Whether one number says it all."""
        return self.m == self.n == self.k

    @property
    def title(self) -> str:
        """For a reader: a square by its size, ``"1024"``, another shape as ``"96×640×1280"``."""
        return str(self.n) if self.is_square else self.full_title

    @property
    def full_title(self) -> str:
        """For a reader, with all three dimensions: ``"64×64×64"``."""
        return f"{self.m}×{self.n}×{self.k}"

    def __str__(self) -> str:
        return f"{self.m}x{self.n}x{self.k}"


class Block(msgspec.Struct, frozen=True):
    """Where a shape's operands and references lie in the shared memory of a run.

    Pairs of float32 operands come first, A before B, each on a page of its own; then, for every pair, the float64
    products of ``reference_rows`` rows spread evenly over the product, and their scale, one float64.
    """

    shape: Shape
    pairs: int
    offset: int
    reference_rows: int

    @property
    def operand_offsets(self) -> list[tuple[int, int]]:
        """For every pair, where A and B begin, in bytes."""
        a_bytes, b_bytes = self._operand_bytes
        starts = (self.offset + pair * (a_bytes + b_bytes) for pair in range(self.pairs))
        return [(start, start + a_bytes) for start in starts]

    @property
    def reference_offsets(self) -> list[int]:
        """For every pair, where its reference rows begin, in bytes."""
        first = self.offset + self.pairs * sum(self._operand_bytes)
        return [first + pair * self._reference_bytes for pair in range(self.pairs)]

    @property
    def scale_offsets(self) -> list[int]:
        """For every pair, where the scale of its reference rows lies, in bytes: right behind them."""
        return [offset + _FLOAT64_BYTES * self.reference_rows * self.shape.n for offset in self.reference_offsets]

    @property
    def rows(self) -> list[int]:
        """The rows of a product that are compared, spread evenly from the first to the last."""
        if self.reference_rows < 2:
            return list(range(self.reference_rows))
        last = self.shape.m - 1
        return [row * last // (self.reference_rows - 1) for row in range(self.reference_rows)]

    @property
    def end(self) -> int:
        """The first byte behind the block."""
        return self.offset + self.pairs * (sum(self._operand_bytes) + self._reference_bytes)

    @property
    def _operand_bytes(self) -> tuple[int, int]:
        m, n, k = self.shape.m, self.shape.n, self.shape.k
        return _on_page(_FLOAT32_BYTES * m * k), _on_page(_FLOAT32_BYTES * k * n)

    @property
    def _reference_bytes(self) -> int:
        return _on_page(_FLOAT64_BYTES * (self.reference_rows * self.shape.n + 1))


def by_work(shapes: Iterable[Shape]) -> list[Shape]:
    """Each shape once, from the least work to the most."""
    return sorted(set(shapes), key=lambda shape: (shape.flops, shape))


def kernel_shape(shapes: Iterable[Shape]) -> Shape | None:
    """The shape at which a kernel best shows what it can, of those bound by arithmetic, or else of all; None of none.

    That is the least with enough work to reach the full rate, or else the one with the most: more work takes longer and
    shows no more. With a side shorter than ``COMPUTE_BOUND_SIDE`` a shape is bound by memory, whatever its size.
    """
    ordered = by_work(shapes)
    bound = [shape for shape in ordered if min(shape.m, shape.n, shape.k) >= COMPUTE_BOUND_SIDE] or ordered
    enough = [shape for shape in bound if shape.flops >= _ENOUGH_FLOPS]
    return next(iter(enough or bound[-1:]), None)


def pair_count(shape: Shape, most: int) -> int:
    """How many distinct pairs of operands a shape has: ``most``, or fewer that take 256 MiB; two if ``most`` allows."""
    enough = _ENOUGH_OPERAND_BYTES // max(shape.operand_bytes, 1)
    return min(most, max(enough, _FEWEST_PAIRS))


def layout(shapes: Sequence[Shape], pairs: int) -> list[Block]:
    """Lays the blocks of all shapes behind each other, in the order given, with as many pairs at most."""
    blocks: list[Block] = []
    offset = 0
    for shape in shapes:
        rows = min(shape.m, max(8, _REFERENCE_MULTIPLICATIONS // max(1, shape.n * shape.k)), _MOST_REFERENCE_ROWS)
        blocks.append(Block(shape=shape, pairs=pair_count(shape, pairs), offset=offset, reference_rows=rows))
        offset = blocks[-1].end
    return blocks


def parse_shapes(sizes: Iterable[str | int], shapes: Iterable[str | Shape]) -> list[Shape]:
    """Squares and shapes in one list, each once, in the order in which they were named.

    Raises:
        UsageError: If a text is no shape, or nothing is left.
    """
    named = itertools.chain(
        (Shape.parse(str(size)) for size in sizes),
        (shape if isinstance(shape, Shape) else Shape.parse(shape) for shape in shapes),
    )
    unique = list(dict.fromkeys(named))
    if not unique:
        raise UsageError("no shapes: name squares with --sizes 64,256 or shapes with --shape 512x256x1024")
    return unique


def _on_page(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
