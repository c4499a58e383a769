"""The original comparison's figures beside gemmscope's, and why they differ where they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gemmscope.records import words
from gemmscope.records.base import CellKey
from gemmscope.records.model import BASELINE
from gemmscope.report.document import Figures, Heading, Items, Paragraph
from gemmscope.report.rows.model import Column, Group, Table
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.measure.original import Mean, Protocol
    from gemmscope.records.base import Interval
    from gemmscope.records.model import Result
    from gemmscope.report.document import Block

TITLE = "The original comparison beside it"
_NOTE = "mean: of one call to each pair, in one process, as the original took it; × as fast as numpy-cpu"

# Each is a switch or a design decision, not an opinion.
_REASONS = (
    "The original's first call at a size pays for waking threads and caches; gemmscope warms up, and takes medians.",
    "All libraries share one process there, and their thread pools get in each other's way. Here each has its own.",
    "One process is one draw. gemmscope starts several batches of fresh ones, and its interval is over the batches.",
    "Whatever the machine did in those milliseconds hit one library there; here all take turns in random order.",
)
_COPIES = "The original's time holds the copies to the device and back (--copies); gemmscope's never does."
_NO_SYNC = (
    "Only the request for a result is timed where it is computed later: MLX, GPUs (--no-sync). That is a well-known "
    "mistake: MLX computes nothing then, unless the result is copied back."
)
_TF32 = "MLX multiplies on a GPU in TF32 by default, where the hardware has it; gemmscope asks for IEEE float32."


class Row(NamedTuple):
    """A backend at a size: the original's mean, and what gemmscope says; None for what it has not measured.

    Args:
        mean: Seconds of one call.
        speedup: How many times as fast as NumPy, by the means.
        seconds: gemmscope's seconds of one call, with the interval.
        paired: How many times as fast as NumPy, paired in gemmscope's rounds.
        reason: Why gemmscope has no figure.
    """

    size: int
    backend: str
    mean: float
    speedup: float | None
    seconds: Interval | None
    paired: float | None
    reason: str

    @property
    def difference(self) -> float | None:
        """By what share the mean lies above gemmscope's time."""
        return None if self.seconds is None else self.mean / self.seconds.estimate - 1


def rows(means: Iterable[Mean], result: Result | None) -> list[Row]:
    """A row for every mean; without a result the original's figures alone."""
    found = list(means)
    baseline = {one.size: one.seconds for one in found if one.backend == BASELINE}
    cells = {cell.key: cell for cell in result.cells} if result is not None else {}
    speedups = {one.key: one.speedup for one in result.comparisons} if result is not None else {}
    made: list[Row] = []
    for one in found:
        key = CellKey(one.backend, Shape(one.size, one.size, one.size))
        cell = cells.get(key)
        seconds = None if cell is None else cell.seconds
        reason = "" if result is None or seconds is not None else "not measured within its budget"
        made.append(
            Row(
                one.size, one.backend, one.seconds,
                baseline[one.size] / one.seconds if one.size in baseline else None,
                seconds, 1.0 if one.backend == BASELINE and seconds is not None else speedups.get(key),
                words.line(cell.reason) if cell is not None and cell.reason else reason,
            )
        )  # fmt: skip
    return made


def document(made: Sequence[Row], protocol: Protocol, *, beside: bool = True) -> list[Block]:
    """The table, and the reasons that apply to what was asked for."""
    groups = [Group("", [row for row in made if row.size == size]) for size in protocol.sizes]
    table = Table("original", TITLE, _COLUMNS, groups)
    blocks: list[Block] = [Heading(TITLE), Figures(table), Paragraph(_NOTE, "quiet")]
    return [*blocks, Heading("Why the two differ, where they do"), Items.of(*_reasons(protocol))] if beside else blocks


def _reasons(protocol: Protocol) -> list[str]:
    applies = {_COPIES: protocol.copies, _NO_SYNC: not protocol.sync, _TF32: "mlx-gpu" in protocol.backends}
    return [*_REASONS, *(text for text, holds in applies.items() if holds)]


def _percent(share: float) -> str:
    return words.percent(share, signed=True)


_COLUMNS: list[Column[Row]] = [
    Column("size", "size", lambda row: row.size, right=True),
    Column("backend", "backend", lambda row: row.backend),
    Column("mean", "mean", lambda row: row.mean, words.duration, right=True),
    Column("speedup", "", lambda row: row.speedup, words.speedup, right=True),
    Column("seconds", "gemmscope", lambda row: row.seconds and row.seconds.estimate, words.duration, right=True),
    Column("paired", "", lambda row: row.paired, words.speedup, right=True),
    Column("difference", "mean is off by", lambda row: row.difference, _percent, right=True),
    Column("reason", "", lambda row: row.reason or None, drop=1, name="reasons"),
]
