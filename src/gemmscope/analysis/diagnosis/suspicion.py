"""All suspicions about a run: of every cause about every backend, and of the remedies that were confirmed together."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis import causes
from gemmscope.analysis.diagnosis.judging import confirmed_trial
from gemmscope.analysis.diagnosis.subject import Subject, subjects
from gemmscope.analysis.diagnosis.suspect import Suspect, Trial
from gemmscope.backends.variant import split_any
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.analysis.view import View
    from gemmscope.workload.shapes import Shape

COMBINED = "combined"
_COMBINED_LIKELY = 3


def suspicions(view: View) -> list[Suspect]:
    """What every cause suspects, each once, the likeliest first."""
    found: dict[tuple[str, str, Shape | None, str], Suspect] = {}
    for subject, cause in itertools.product(subjects(view), causes.known().values()):
        for one in cause(subject):
            found.setdefault((one.cause, one.backend, one.shape, one.subject), one)
    return sorted(found.values(), key=lambda one: -one.likely)


def combined(view: View, found: Sequence[Suspect]) -> list[Suspect]:
    """For every backend and shape with several confirmed causes: all their remedies at once."""
    by_cell: dict[tuple[str, Shape], list[tuple[Suspect, Trial]]] = {}
    for one in found:
        trial = confirmed_trial(view, one)
        if trial is not None and one.shape is not None and trial.mode == "latency":
            by_cell.setdefault((one.backend, one.shape), []).append((one, trial))
    return [
        suspect
        for (backend, shape), several in by_cell.items()
        if (suspect := _together(view, backend, shape, several)) is not None
    ]


def _together(view: View, backend: str, shape: Shape, several: Sequence[tuple[Suspect, Trial]]) -> Suspect | None:
    """The variant that has every remedy; None where one of them holds all of the others, or two contradict."""
    options = _merged(split_any(trial.variant)[1] for _, trial in several)
    if options is None:
        return None
    subject = Subject(view, backend)
    dropped = [name for name in subject.options if any(name not in split_any(trial.variant)[1] for _, trial in several)]
    variant = Subject(view, backend).with_options({k: v for k, v in options.items() if k not in dropped})
    if dropped or any(split_any(trial.variant) == split_any(variant) for _, trial in several):
        return None
    causes_ = [one.subject or one.cause for one, _ in several]
    return Suspect(
        cause=COMBINED,
        backend=backend,
        shape=shape,
        because=f"several causes come together: {words.listed(causes_)}",
        without="Without all of them",
        subject=" + ".join(causes_),
        evidence={},
        trials=(Trial(variant, "; ".join(dict.fromkeys(trial.remedy for _, trial in several))),),
        likely=_COMBINED_LIKELY,
    )


def _merged(several: Iterable[dict[str, str]]) -> dict[str, str] | None:
    merged: dict[str, str] = {}
    for options in several:
        if any(merged.get(name, value) != value for name, value in options.items()):
            return None
        merged |= options
    return merged
