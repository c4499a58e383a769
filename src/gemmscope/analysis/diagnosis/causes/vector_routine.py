"""Shapes with one row or one column, which are matrix-vector products: other routines, and bound by memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.suspect import Suspect
from gemmscope.analysis.roofline import ceilings_of
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject


def suspects(subject: Subject) -> Iterator[Suspect]:
    """By the shape, and by the routine that its kernel was found to be."""
    ceilings = ceilings_of(subject.view.result.ceilings)
    for shape in subject.shapes:
        rate = subject.rate(shape)
        if 1 not in (shape.m, shape.n) or not ceilings or rate is None or subject.record.device != "cpu":
            continue
        kernels = [cell for cell in subject.view.result.cells if cell.shape == shape and cell.routine]
        routine = next(
            (cell.routine for cell in kernels if subject.view.backends[cell.backend].library == subject.library), ""
        )
        roof = ceilings[0].at(shape.intensity)
        yield Suspect(
            cause="matrix-vector",
            backend=subject.name,
            shape=shape,
            because=f"this is a matrix-vector multiplication{f' ({routine})' if routine else ''}, which is bound by "
            f"memory: {words.rate(rate)}, of at most {words.rate(roof)} if all operands come from memory",
            subject=routine or "gemv",
            evidence={"routine": routine, "GFLOP/s": rate, "roof, GFLOP/s": roof},
            untestable="no variant makes one vector into several",
            remedy="multiply several vectors at once: a matrix of a few costs hardly more than one vector",
        )
