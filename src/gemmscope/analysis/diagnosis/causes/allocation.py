"""A new output in every call: memory that is asked for, and pages that are touched for the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.suspect import Suspect, Trial
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject

_WORTH_NAMING = 0.05
_LIBRARIES = {"numpy": "np.matmul(a, b, out=c)", "torch": "torch.mm(a, b, out=c)"}


def suspects(subject: Subject) -> Iterator[Suspect]:
    """Where the part of a call that is allocation is large; its variant with an output is in most runs anyway."""
    if subject.library not in _LIBRARIES or "out" in subject.options:
        return
    for shape in subject.shapes:
        cell, part = subject.cell(shape), subject.view.parts(subject.name, shape).get("allocation")
        if cell is None or cell.seconds is None or part is None or part.seconds is None or part.status != "ok":
            continue
        share = part.seconds.estimate / cell.seconds.estimate
        if share >= _WORTH_NAMING:
            yield Suspect(
                cause="allocation",
                backend=subject.name,
                shape=shape,
                because=f"every call makes a new output, which takes {words.duration(part.seconds.estimate)}",
                without="Into an output that is there already",
                subject="out",
                evidence={"seconds": part.seconds.estimate, "share of the call": share},
                trials=(Trial(subject.with_options({"out": ""}), _LIBRARIES[subject.library]),),
                likely=2,
            )
