"""Operands in shared memory: made once from the seed, seen by every worker, checked against float64.

The memory is a file without a name that workers inherit, so nothing can be left behind, however a run ends.
"""

from __future__ import annotations

import math
import mmap
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar, cast

import numpy as np

from gemmscope.errors import UsageError
from gemmscope.workload.placement import Placement, mapped, mapped_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from gemmscope.workload.shapes import Block


# Values of a stream that are made at a time; an even number.
_PIECE = 2**13

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

    A backend takes them over with :meth:`converted`. Backends of a worker that name the same place share the copies, so
    that what is subtracted from each other reads the same memory.

    Args:
        pairs: At least one, all of one shape.
        same: Whether every B is A transposed, and to be so in the library's memory too: one matrix, seen twice.
        placement: Where each matrix begins within a page; at its start unless told.
    """

    def __init__(self, pairs: Sequence[OperandPair], *, same: bool = False, placement: Placement | None = None) -> None:
        self.pairs = tuple(pairs)
        self.same = same
        self.placement = placement or Placement.aligned(len(self.pairs))
        first = self.pairs[0]
        self.m, self.k = first.a.shape
        self.n = first.b.shape[1]
        self._converted: dict[tuple[str, str], object] = {}
        self._outputs: dict[bool, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self.pairs)

    def first(self, count: int) -> Operands:
        """The first pairs alone; all of them are these operands themselves."""
        if count == len(self.pairs):
            return self
        placement = Placement(self.placement.a[:count], self.placement.b[:count], self.placement.out)
        return Operands(self.pairs[:count], same=self.same, placement=placement)

    def converted(
        self,
        place: str,
        convert: Callable[[NDArray[np.float32]], T],
        *,
        copies: bool = False,
        as_numpy: bool = False,
    ) -> list[tuple[T, T]]:
        """Every operand through ``convert``; done once for a place such as ``"cuda:0"``.

        ``convert`` is given a copy that is the worker's own, C-contiguous and at its place within a page. A library
        that can work on memory of others keeps it (``np.asarray``, ``torch.from_numpy``); others copy it.

        Args:
            place: Backends of a worker that name the same share what ``convert`` returned.
            convert: From an array of NumPy's to the library's own.
            copies: Whether ``convert`` copies in any case, to a GPU for example: then it is given the run's operands
                themselves, which are read-only, and time is saved.
            as_numpy: Whether the copies lie as NumPy's own arrays do: behind the header that malloc puts before an
                array, and in huge pages where they are large.
        """
        a, b = (self.side(side, place, convert, copies=copies, as_numpy=as_numpy) for side in ("a", "b"))
        return list(zip(a, b, strict=True))

    def side(
        self,
        side: Literal["a", "b"],
        place: str,
        convert: Callable[[NDArray[np.float32]], T],
        *,
        stored: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
        copies: bool = False,
        as_numpy: bool = False,
    ) -> list[T]:
        """Every A or every B, as for :meth:`converted`; ``stored`` says as which block a matrix lies in memory."""
        if (place, side) not in self._converted:
            matrices = [getattr(pair, side) for pair in self.pairs]
            blocks = map(stored, matrices) if stored is not None else matrices
            self._converted[place, side] = [
                convert(block if copies else mapped_copy(block, offset, as_numpy=as_numpy))
                for block, offset in zip(blocks, getattr(self.placement, side), strict=True)
            ]
        return cast("list[T]", self._converted[place, side])

    def output(self, *, huge_pages: bool = False) -> NDArray[np.float32]:
        """The output for results, of shape (m, n), at its place within a page, where it begins with a cache line.

        All backends of a worker that ask alike share it: what is subtracted from each other writes to the same memory.

        Args:
            huge_pages: As for :func:`~gemmscope.workload.placement.mapped`.
        """
        if huge_pages not in self._outputs:
            self._outputs[huge_pages] = mapped((self.m, self.n), np.float32, self.placement.out, huge_pages=huge_pages)
        return self._outputs[huge_pages]


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


def operands_in(memory: mmap.mmap, block: Block, placement: Placement | None = None) -> Operands:
    """The operand pairs of a block as arrays on the shared memory, without a copy, with the places of their copies."""
    m, n, k = block.shape.m, block.shape.n, block.shape.k
    return Operands(
        [
            OperandPair(_matrix(memory, np.float32, a, m, k), _matrix(memory, np.float32, b, k, n))
            for a, b in block.operand_offsets
        ],
        placement=placement,
    )


def reference_in(memory: mmap.mmap, block: Block, pair: int) -> NDArray[np.float64]:
    """The float64 products of ``block.rows``, of shape (reference_rows, n)."""
    return _matrix(memory, np.float64, block.reference_offsets[pair], block.reference_rows, block.shape.n)


def scale_in(memory: mmap.mmap, block: Block, pair: int) -> NDArray[np.float64]:
    """The one number that :func:`scale` gives for the reference rows, of shape (1, 1)."""
    return _matrix(memory, np.float64, block.scale_offsets[pair], 1, 1)


def scale(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The size ‖D‖ that A·B would have in the Frobenius norm if nothing cancelled, without a matrix multiplication.

    ‖D‖² = Σᵢⱼ Σₖ a²ᵢₖ b²ₖⱼ = Σₖ (Σᵢ a²ᵢₖ)(Σⱼ b²ₖⱼ).
    """
    return math.sqrt(float(np.dot(np.einsum("ik,ik->k", a, a), np.einsum("kj,kj->k", b, b))))


def make_operands(memory: mmap.mmap, blocks: Sequence[Block], seed: int) -> None:
    """Fills every block: operands from the seed, the float64 products of their reference rows, and the scale of these.

    An operand depends on the seed, its shape, its pair and its side, and on nothing else: adding a shape to a run
    leaves the others as they were.
    """
    for block in blocks:
        shape = block.shape
        for pair, (a, b) in enumerate(operands_in(memory, block).pairs):
            for side, matrix in enumerate((a, b)):
                matrix.ravel()[:] = uniform(matrix.size, (seed, shape.m, shape.n, shape.k, pair, side))
            exact_a, exact_b = a[block.rows].astype(np.float64), b.astype(np.float64)
            reference_in(memory, block, pair)[:] = exact_a @ exact_b
            scale_in(memory, block, pair)[:] = scale(exact_a, exact_b)


def uniform(count: int, key: Sequence[int]) -> NDArray[np.float32]:
    """``count`` float32 values from [-1, 1), the same on every platform and in every version.

    NumPy may change how its distributions turn bits into numbers, but not the bits of a bit generator (NEP 19), so
    the step from bits to numbers is made here: 24 random bits, scaled exactly.
    """
    words = np.random.Philox(np.random.SeedSequence(key))
    values = mapped((count,), np.float32)
    # In pieces, so that malloc is asked for nothing large: see the module on placement.
    for begin in range(0, count, _PIECE):
        part = values[begin : begin + _PIECE]
        bits = words.random_raw((part.size + 1) // 2).astype("<u8").view("<u4")[: part.size] >> np.uint32(8)
        np.multiply(bits.astype(np.float32), np.float32(2.0**-23), out=part)
        part -= np.float32(1.0)
    return values


def _matrix(memory: mmap.mmap, kind: type[F], offset: int, rows: int, columns: int) -> NDArray[F]:
    if rows * columns == 0:
        return np.empty((rows, columns), kind)
    return np.frombuffer(memory, kind, rows * columns, offset).reshape(rows, columns)
