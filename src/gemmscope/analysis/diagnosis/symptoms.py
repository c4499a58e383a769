"""What makes a backend worth looking at: signs that it is slower than it could be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.records.base import CellKey

if TYPE_CHECKING:
    from gemmscope.analysis.diagnosis.subject import Subject
    from gemmscope.workload.shapes import Shape

# A good kernel reaches this share of the attainable rate.
GOOD_SHARE = 0.8
_LARGE_OVERHEAD = 0.1
_USED_SHARE = 0.75
# Smaller ones are finished before a second thread is awake.
_THREADS_FROM_FLOPS = 2 * 256**3
# Of the rate at the neighbouring sizes.
_DIP = 0.9


def symptom(subject: Subject, shape: Shape | None) -> str:  # noqa: PLR0911  (one for each sign)
    """The first sign at a shape, in words that follow "numpy-cpu"; empty for a healthy backend."""
    if shape is None:
        return ""
    cell = subject.cell(shape)
    if cell is not None and cell.precision not in (None, "float32"):
        return f"computes with reduced precision ({cell.precision})"
    share = subject.share(shape)
    if share is not None and share < GOOD_SHARE:
        return f"reaches {words.percent(share)} of the attainable rate at {shape.title}"
    found = subject.view.overheads.get(CellKey(subject.name, shape))
    if found is not None and found.share.estimate > _LARGE_OVERHEAD:
        return f"spends {words.percent(found.share.estimate)} of a call outside its kernel at {shape.title}"
    threads = subject.threads(shape)
    unused = threads is not None and threads < _USED_SHARE * subject.available
    if unused and threads is not None and shape.flops >= _THREADS_FROM_FLOPS and subject.record.device == "cpu":
        return f"uses {threads:.1f} of {words.count(subject.available, 'processor')} at {shape.title}"
    if is_dip(subject, shape):
        return f"is slower at {shape.title} than at the neighbouring sizes"
    return ""


def is_dip(subject: Subject, shape: Shape) -> bool:
    """Whether the rate of a square is lower than that of the next smaller and of the next larger one."""
    squares = [one for one in subject.shapes if one.is_square]
    at = squares.index(shape) if shape in squares else -1
    if not 0 < at < len(squares) - 1:
        return False
    rates = [subject.rate(squares[i]) or 0.0 for i in (at - 1, at, at + 1)]
    return rates[1] < _DIP * min(rates[0], rates[2])
