"""GPU calls so short that the processor cannot launch them as fast as the GPU finishes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.suspect import Suspect, Trial
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject

_MOSTLY = 0.5


def suspects(subject: Subject) -> Iterator[Suspect]:
    """Where the GPU's own time is less than half of a call that is waited for."""
    if subject.record.device != "gpu":
        return
    for shape in subject.shapes:
        own, call = subject.view.cell(subject.name, shape, "device"), subject.cell(shape)
        if own is None or own.seconds is None or call is None or call.seconds is None:
            continue
        share = own.seconds.estimate / call.seconds.estimate
        if share < _MOSTLY:
            yield Suspect(
                cause="launch-bound",
                backend=subject.name,
                shape=shape,
                because=f"the GPU is at work for {words.percent(share)} of a call; the rest is launching and waiting",
                without="With one wait after many calls",
                subject="launch",
                evidence={"share of the GPU's own time": share},
                trials=(Trial(subject.name, "wait once after many calls, or multiply in batches", "throughput"),),
                likely=2,
            )
