"""Matrices so small that a second thread costs more than it brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.causes.thread_count import remedy_for
from gemmscope.analysis.diagnosis.judging import find
from gemmscope.analysis.diagnosis.suspect import Suspect, Trial
from gemmscope.workload.shapes import COMPUTE_BOUND_SIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject
    from gemmscope.workload.shapes import Shape

# Below that only one thread is at work, whatever the pool has.
_MORE_THAN_ONE = 1.25
# Larger ones gain from every thread, unless memory is what they wait for.
_AT_MOST_FLOPS = 2 * 400**3


def suspects(subject: Subject) -> Iterator[Suspect]:
    """Where more than one thread is at work on little arithmetic, or on a shape that is bound by memory.

    The next larger square is tried as well: it may be where threads begin to help.
    """
    if subject.record.device != "cpu" or subject.asked_threads is not None:
        return
    several = [shape for shape in subject.shapes if (subject.threads(shape) or 0.0) > _MORE_THAN_ONE]
    small = [shape for shape in several if _is_small(shape)]
    larger = [shape for shape in several if small and shape.is_square and shape not in small][:1]
    variant = subject.with_options({"threads": "1"})
    for shape in (*small, *larger):
        threads = subject.threads(shape) or 0.0
        said = f"matrices this small are shared by {threads:.1f} threads, which have to be woken and waited for"
        if shape not in small:
            said = f"{threads:.1f} threads are at work, where one may be faster"
        yield Suspect(
            cause="threads-hurt",
            backend=subject.name,
            shape=shape,
            because=f"{said}{_helps_from(subject, variant, shape)}",
            without="With one thread",
            subject="1",
            evidence={"threads at work": threads, "pool": subject.pool},
            trials=(Trial(variant, remedy_for(subject, 1)),),
            likely=2 if shape in small else 1,
        )


def _is_small(shape: Shape) -> bool:
    return shape.flops <= _AT_MOST_FLOPS or min(shape.m, shape.n) < COMPUTE_BOUND_SIDE


def _helps_from(subject: Subject, variant: str, smaller: Shape) -> str:
    """From which larger square on several threads are faster, where that was measured."""
    name = find(subject.view, variant)
    for shape in subject.shapes:
        is_larger = shape.is_square and shape.flops > smaller.flops
        found = subject.view.compare(subject.name, name, shape) if name and is_larger else None
        if found is not None and found.verdict == "faster":
            return f"; from {shape.title} on they help"
    return ""
