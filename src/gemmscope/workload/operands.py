"""Operands in shared memory: made once from the seed, seen by every worker, checked against float64.

The memory is a file without a name that workers inherit, so nothing can be left behind, however a run ends.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar, cast

import numpy as np

from gemmscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from gemmscope.workload.shapes import Block


T = TypeVar("T")
F = TypeVar("F", np.float32, np.float64)


class OperandPair(NamedTuple):
    """Two float32 matrices, C-contiguous and read-only: A of shape (m, k) and B of shape (k, n).

    Of :class:`Operands` that are ``same``, B is a view of A, and so not C-contiguous.
    """

    a: NDArray[np.float32]
    b: NDArray[np.float32]


class Operands:
    """The operand pairs of one shape, as a backend is given them.

    A backend copies them into memory of its own library with :meth:`converted`. Backends of a worker that name the same
    place share the copies, so that what is subtracted from each other reads the same memory.

    Args:
        pairs: At least one, all of one shape.
        same: Whether every B is A transposed, and to be so in the library's memory too: one matrix, seen twice.
    """

    def __init__(self, pairs: Sequence[OperandPair], *, same: bool = False) -> None:
        self.pairs = tuple(pairs)
        self.same = same
        first = self.pairs[0]
        self.m, self.k = first.a.shape
        self.n = first.b.shape[1]
        self._converted: dict[tuple[str, str], object] = {}

    def __len__(self) -> int:
        return len(self.pairs)

    def converted(self, place: str, convert: Callable[[NDArray[np.float32]], T]) -> list[tuple[T, T]]:
        """Every operand through ``convert``, which must copy; done once for a place such as ``"cuda:0"``."""
        return list(zip(self.side("a", place, convert), self.side("b", place, convert), strict=True))

    def side(self, side: Literal["a", "b"], place: str, convert: Callable[[NDArray[np.float32]], T]) -> list[T]:
        """Every A or every B through ``convert``, which must copy; done once for a place."""
        if (place, side) not in self._converted:
            self._converted[place, side] = [convert(getattr(pair, side)) for pair in self.pairs]
        return cast("list[T]", self._converted[place, side])


class SharedMemory:
    """A stretch of memory that child processes inherit by its file descriptor.

    It has no name in any file system or namespace: the kernel frees it with the last process that holds it.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls, size: int) -> SharedMemory:
        """Takes ``size`` bytes, filled with zeros.

        Raises:
            UsageError: If there is no room for them.
        """
        try:
            if sys.platform == "linux":
                descriptor = os.memfd_create("gemmscope-operands")
            else:
                # macOS has no memfd; an unlinked file's pages are shared just the same.
                with tempfile.TemporaryFile(prefix="gemmscope-") as file:
                    descriptor = os.dup(file.fileno())
            os.ftruncate(descriptor, max(size, 1))
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"no room for {size} bytes of operands ({error}); ask for smaller shapes or fewer pairs"
            ) from error
        return cls(descriptor)

    def map(self, *, writable: bool = False) -> mmap.mmap:
        """Maps all of it into this process."""
        return mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)

    def close(self) -> None:
        """Lets go of the descriptor; mappings stay."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def operands_in(memory: mmap.mmap, block: Block) -> Operands:
    """The operand pairs of a block as arrays on the shared memory, without a copy."""
    m, n, k = block.shape.m, block.shape.n, block.shape.k
    return Operands(
        [
            OperandPair(_matrix(memory, np.float32, a, m, k), _matrix(memory, np.float32, b, k, n))
            for a, b in block.operand_offsets
        ]
    )


def reference_in(memory: mmap.mmap, block: Block, pair: int) -> NDArray[np.float64]:
    """The float64 products of ``block.rows``, of shape (reference_rows, n)."""
    return _matrix(memory, np.float64, block.reference_offsets[pair], block.reference_rows, block.shape.n)


def make_operands(memory: mmap.mmap, blocks: Sequence[Block], seed: int) -> None:
    """Fills every block with operands from the seed, and with the float64 products of its reference rows.

    An operand depends on the seed, its shape, its pair and its side, and on nothing else: adding a shape to a run
    leaves the others as they were.
    """
    for block in blocks:
        shape = block.shape
        for pair, (a, b) in enumerate(operands_in(memory, block).pairs):
            for side, matrix in enumerate((a, b)):
                matrix.ravel()[:] = uniform(matrix.size, (seed, shape.m, shape.n, shape.k, pair, side))
            reference_in(memory, block, pair)[:] = a[block.rows].astype(np.float64) @ b.astype(np.float64)


def uniform(count: int, key: Sequence[int]) -> NDArray[np.float32]:
    """``count`` float32 values from [-1, 1), the same on every platform and in every version.

    NumPy may change how its distributions turn bits into numbers, but not the bits of a bit generator (NEP 19), so
    the step from bits to numbers is made here: 24 random bits, scaled exactly.
    """
    words = np.random.Philox(np.random.SeedSequence(key)).random_raw((count + 1) // 2)
    bits = words.astype("<u8").view("<u4")[:count] >> np.uint32(8)
    return bits.astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)


def _matrix(memory: mmap.mmap, kind: type[F], offset: int, rows: int, columns: int) -> NDArray[F]:
    if rows * columns == 0:
        return np.empty((rows, columns), kind)
    return np.frombuffer(memory, kind, rows * columns, offset).reshape(rows, columns)
