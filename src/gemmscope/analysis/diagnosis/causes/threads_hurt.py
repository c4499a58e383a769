"""Matrices so small that a second thread costs more than it brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.causes.thread_count import remedy_for
from gemmscope.analysis.diagnosis.suspect import Suspect, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject

# Below that only one thread is at work, whatever the pool has.
_MORE_THAN_ONE = 1.25
# Larger ones gain from every thread, unless memory is what they wait for.
_AT_MOST_FLOPS = 2 * 400**3
_MEMORY_BOUND_SIDE = 32


def suspects(subject: Subject) -> Iterator[Suspect]:
    """Where more than one thread is at work on little arithmetic, or on a shape that is bound by memory."""
    if subject.record.device != "cpu" or subject.asked_threads is not None:
        return
    for shape in subject.shapes:
        threads = subject.threads(shape) or 0.0
        small = shape.flops <= _AT_MOST_FLOPS or min(shape.m, shape.n) < _MEMORY_BOUND_SIDE
        if small and threads > _MORE_THAN_ONE:
            yield Suspect(
                cause="threads-hurt",
                backend=subject.name,
                shape=shape,
                because=f"{threads:.1f} threads work on so little that waking them and waiting for them costs more "
                "than they bring",
                without="With one thread, which only matrices this small want,",
                subject="1",
                evidence={"threads at work": threads, "pool": subject.pool},
                trials=(Trial(subject.with_options({"threads": "1"}), remedy_for(subject, 1)),),
                likely=2,
            )
