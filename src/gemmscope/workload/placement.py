"""Where matrices lie: in memory that is mapped for them, at a place within a page that is drawn at random.

A call's time depends on where its operands begin: with all of them at the start of a page, one 384³ multiplication took
13 % longer than at other places. Every process of one program tends to have the same layout, so an interval over
processes does not show it; hence the draw.

Memory is mapped, and not taken from malloc, because glibc's malloc changes its ways for good when something large is
freed: what a library allocates in each call would then come from a heap that an ordinary program does not have.
"""

from __future__ import annotations

import math
import mmap
import random
import sys
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gemmscope.workload.shapes import Shape

# The system's: 4 KiB on x86-64, 16 KiB on Apple silicon, whose level 1 caches look addresses up by as many bytes.
PAGE = mmap.PAGESIZE
# A cache line: the places that PyTorch's allocator chooses from.
STEP = 64

# glibc's malloc, and so NumPy, begins an array so many bytes behind the start of a cache line where it maps memory for
# it; others take whole lines.
MALLOC_HEADER = 16 if sys.platform == "linux" else 0

# From this size on NumPy asks for huge pages (numpy/_core/src/multiarray/alloc.c).
_HUGE_BYTES = 4 * 2**20
_HUGE_PAGES = getattr(mmap, "MADV_HUGEPAGE", None)  # Linux alone has it

F = TypeVar("F", np.float32, np.float64)


class Placement(msgspec.Struct, frozen=True):
    """Where matrices begin within a page, in bytes: A and B of every pair, and the one output that calls share."""

    a: list[int]
    b: list[int]
    out: int = 0

    @classmethod
    def draw(cls, generator: random.Random, pairs: int) -> Placement:
        """A place for each matrix, independently: a multiple of a cache line."""
        places = [STEP * generator.randrange(PAGE // STEP) for _ in range(2 * pairs + 1)]
        return cls(a=places[:pairs], b=places[pairs:-1], out=places[-1])

    @classmethod
    def of(cls, seed: int, set_: int, shape: Shape, pairs: int) -> Placement:
        """The places of a shape in a set of a run: by the run's seed, the set and the shape alone."""
        return cls.draw(random.Random(f"{seed}/{set_}/{shape}"), pairs)  # noqa: S311  (a place, no secret)

    @classmethod
    def aligned(cls, pairs: int) -> Placement:
        """Every matrix at the start of a page."""
        return cls(a=[0] * pairs, b=[0] * pairs)


def mapped(shape: tuple[int, ...], kind: type[F], offset: int = 0, *, huge_pages: bool = False) -> NDArray[F]:
    """An array of zeros in memory that is mapped for it alone, and unmapped with it.

    Args:
        shape: The array's.
        kind: ``np.float32`` or ``np.float64``.
        offset: Where it begins, in bytes from the start of a page.
        huge_pages: Whether to ask for huge pages from 4 MiB on, as NumPy does for its own arrays.
    """
    count = math.prod(shape)
    if count == 0:
        return np.empty(shape, kind)
    size = count * np.dtype(kind).itemsize
    memory = mmap.mmap(-1, offset + size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if huge_pages and size >= _HUGE_BYTES and _HUGE_PAGES is not None:
        memory.madvise(_HUGE_PAGES)
    return np.frombuffer(memory, kind, count, offset).reshape(shape)


def mapped_copy(matrix: NDArray[np.float32], offset: int, *, as_numpy: bool = False) -> NDArray[np.float32]:
    """A C-contiguous copy in memory of its own; see :func:`mapped`.

    Args:
        matrix: What is copied.
        offset: As for :func:`mapped`.
        as_numpy: Whether it lies as an array of NumPy's own: behind the header that malloc puts before it, and in huge
            pages if it is large.
    """
    copy = mapped(matrix.shape, np.float32, offset + (MALLOC_HEADER if as_numpy else 0), huge_pages=as_numpy)
    copy[...] = matrix
    return copy
