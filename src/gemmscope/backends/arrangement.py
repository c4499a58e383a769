"""Where the elements of the operands lie in memory, as the options TRANSPOSED, PITCH and STRIDED of a variant ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import numpy as np

from gemmscope.errors import BackendUnavailable
from gemmscope.machine.limits import available_bytes
from gemmscope.workload.placement import mapped

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
        block = mapped((count, width), np.float32)
        block.fill(np.nan)
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
    operands: Operands,
    place: str,
    convert: Callable[[NDArray[np.float32]], T],
    settings: Mapping[str, str],
    *,
    copies: bool = False,
    as_numpy: bool = False,
) -> list[tuple[T, T]]:
    """The operand pairs in a library's own arrays, laid out as a variant's settings ask.

    Args:
        operands: What the backend was given.
        place: Backends of a worker that name the same place share the copies, layout by layout.
        convert: As for :meth:`Operands.converted <gemmscope.workload.operands.Operands.converted>`. What it returns
            must know ``T`` and slices as NumPy's arrays do, and they must be views.
        settings: The variant's.
        copies: As for the same method.
        as_numpy: As for the same method.

    Raises:
        BackendUnavailable: If the operands cannot lie so, with a reason and a remedy.
    """

    def side(which: Literal["a", "b"], layout: Layout) -> list[T]:
        plain = layout == Layout()
        blocks = operands.side(
            which, place if plain else f"{place} {layout}", convert,
            stored=None if plain else layout.stored, copies=copies, as_numpy=as_numpy,
        )  # fmt: skip
        if plain:
            return blocks
        return [
            layout.view(block, getattr(pair, which).shape) for block, pair in zip(blocks, operands.pairs, strict=True)
        ]

    of_a, of_b = layouts(settings)
    first = side("a", of_a)
    if operands.same:
        if of_b.by_columns:
            raise BackendUnavailable(
                "with self, B lies in memory as A does, so it cannot be transposed as well", "ask for transposed=a"
            )
        return [(a, a.T) for a in first]  # type: ignore[attr-defined]
    return list(zip(first, side("b", of_b), strict=True))


def for_numpy(
    operands: Operands, settings: Mapping[str, str]
) -> tuple[list[tuple[NDArray[np.float32], NDArray[np.float32]]], NDArray[np.float32]]:
    """Operand pairs and an output for a library that works on NumPy's arrays, which lie as NumPy's own do.

    Raises:
        BackendUnavailable: As :func:`arranged`.
    """
    return arranged(operands, "host", np.asarray, settings, as_numpy=True), operands.output(huge_pages=True)
