"""A new output in every call: memory that is asked for, and pages that are touched for the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis import heap
from gemmscope.analysis.diagnosis.suspect import Suspect, Trial
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject

_WORTH_NAMING = 0.05
_LIBRARIES = {"numpy": "np.matmul(a, b, out=c)", "torch": "torch.mm(a, b, out=c)"}
# A freed piece of 32 MB is the largest that makes glibc keep what is freed later (mallopt(3), M_MMAP_THRESHOLD).
_WARMED = {
    "numpy": "np.empty(8_000_000, np.float32)  # once, at the start: glibc then keeps freed memory",
    "torch": "torch.empty(8_000_000)  # once, at the start: glibc then keeps freed memory",
}


def suspects(subject: Subject) -> Iterator[Suspect]:
    """Where the part of a call that is allocation is large; its variant with an output is in most runs anyway.

    Where calls fault, a heap that keeps what is freed is tried too.
    """
    if subject.library not in _LIBRARIES or "out" in subject.options:
        return
    for shape in subject.shapes:
        cell, part = subject.cell(shape), subject.view.parts(subject.name, shape).get("allocation")
        if cell is None or cell.seconds is None or part is None or part.seconds is None or part.status != "ok":
            continue
        share = part.seconds.estimate / cell.seconds.estimate
        if share >= _WORTH_NAMING:
            where, faults = heap.state(subject.view, part), heap.faults(subject.view, part)
            trials = [Trial(subject.with_options({"out": ""}), _LIBRARIES[subject.library])]
            if faults is not None and heap.can_be_warmed(subject.view, part):
                trials.append(Trial(subject.with_options({"heap": "warm"}), _WARMED[subject.library]))
            yield Suspect(
                cause="allocation",
                backend=subject.name,
                shape=shape,
                because=f"every call makes a new output{where and f' in {where}'}, which takes "
                f"{words.duration(part.seconds.estimate)}{_faulting(faults)}",
                without="With the output's memory kept" if len(trials) > 1 else "Into an output that is there already",
                subject="out",
                evidence={"seconds": part.seconds.estimate, "share of the call": share, "page faults": faults},
                trials=tuple(trials),
                likely=2,
            )


def _faulting(faults: float | None) -> str:
    return "" if faults is None else f" and {words.count(round(faults), 'page fault')}"
