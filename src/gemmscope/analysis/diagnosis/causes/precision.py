"""Reduced precision that nobody asked for, by the error that was seen: TF32 forced from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.suspect import Suspect
from gemmscope.machine import environment
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject


def suspects(subject: Subject) -> Iterator[Suspect]:
    """Where no variable explains it: those that force TF32 are environment variables, and are tried as such."""
    shape = subject.large
    cell = subject.cell(shape)
    reduced = cell is not None and cell.precision not in (None, "float32")
    known = [environment.variable(name) for name in subject.variables]
    explained = any(one is not None and one.affects == "precision" for one in known)
    if cell is None or not reduced or "tf32" in subject.options or explained:
        return
    yield Suspect(
        cause="reduced-precision",
        backend=subject.name,
        shape=shape,
        because=f"its results have the error of {cell.precision} ({words.error(cell.relative_error or 0.0)}), though "
        "IEEE float32 was asked for",
        subject=str(cell.precision),
        evidence={"precision": cell.precision, "relative error": cell.relative_error},
        untestable="nothing that is known here forces it",
        remedy="look for a setting of the library that allows reduced precision",
        serious=True,
        likely=3,
    )
