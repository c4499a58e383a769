"""Where the elements of the operands lie in memory, as the options TRANSPOSED, PITCH and STRIDED of a variant ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from gemmscope.errors import BackendUnavailable
from gemmscope.machine.limits import available_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from gemmscope.workload.operands import Operands

T = TypeVar("T")


class Layout(NamedTuple):
    """How a matrix lies in memory, in lines: its rows, or its columns.

    Args:
        by_columns: Whether columns are the lines, as in a transposed view.
        step: Elements from one element of a line to the next.
        pitch: Elements from one line to the next; 0 where they adjoin.
    """

    by_columns: bool = False
    step: int = 1
    pitch: int = 0

    def stored(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The matrix as one contiguous block with these gaps, which :meth:`view` leaves out.

        The gaps are NaN, so that a library that reads them is found out.

        Raises:
            BackendUnavailable: If a line is longer than the pitch, or there is no room for the block.
        """
        lines = matrix.T if self.by_columns else matrix
        count, length = lines.shape
        needed = self.step * length
        if self.pitch and self.pitch < needed:
            what = "columns" if self.by_columns else "rows"
            raise BackendUnavailable(
                f"{what} of {needed} elements cannot lie {self.pitch} elements apart at this shape",
                f"ask for pitch={needed} or more",
            )
        if self.step == 1 and self.pitch in (0, length):
            return np.ascontiguousarray(lines)
        width = self.pitch or needed
        # The block is made twice: here, and in the library's own memory. More than there is would end the process.
        if 2 * 4 * count * width > available_bytes():
            raise BackendUnavailable(
                f"{count} lines that lie {width} elements apart do not fit into memory",
                "ask for less, or fewer --pairs",
            )
        block = np.full((count, width), np.nan, np.float32)
        block[:, : needed : self.step] = lines
        return block

    def view(self, block: T, shape: tuple[int, int]) -> T:
        """The matrix of that shape in a block that :meth:`stored` made, in any library that slices as NumPy does."""
        length = shape[0] if self.by_columns else shape[1]
        taken = block
        if self.step != 1 or self.pitch not in (0, length):
            taken = block[:, : self.step * length : self.step]  # type: ignore[index]
        return taken.T if self.by_columns else taken  # type: ignore[attr-defined]


def layouts(settings: Mapping[str, str]) -> tuple[Layout, Layout]:
    """The layouts of A and of B that a variant's settings ask for."""
    sides = settings.get("transposed", "")
    step = 2 if "strided" in settings else 1
    pitch = int(settings.get("pitch", "0"))
    return Layout("a" in sides, step, pitch), Layout("b" in sides, step, pitch)


def arranged(
    operands: Operands, place: str, convert: Callable[[NDArray[np.float32]], T], settings: Mapping[str, str]
) -> list[tuple[T, T]]:
    """The operand pairs in a library's own memory, laid out as a variant's settings ask.

    Args:
        operands: What the backend was given.
        place: Backends of a worker that name the same place share the copies, layout by layout.
        convert: Copies a C-contiguous NumPy array into the library's memory. What it returns must know ``T`` and slices
            as NumPy's arrays do, and they must be views.
        settings: The variant's.

    Raises:
        BackendUnavailable: If the operands cannot lie so, with a reason and a remedy.
    """

    def copy_as(layout: Layout) -> tuple[str, Callable[[NDArray[np.float32]], T]]:
        if layout == Layout():
            return place, convert
        shown = f"{place} {layout}"
        return shown, lambda matrix: layout.view(convert(layout.stored(matrix)), matrix.shape)

    of_a, of_b = layouts(settings)
    first = operands.side("a", *copy_as(of_a))
    if operands.same:
        if of_b.by_columns:
            raise BackendUnavailable(
                "with self, B lies in memory as A does, so it cannot be transposed as well", "ask for transposed=a"
            )
        return [(a, a.T) for a in first]  # type: ignore[attr-defined]
    return list(zip(first, operands.side("b", *copy_as(of_b)), strict=True))
