"""All suspicions about a run: of every cause about every backend, and of the remedies that were confirmed together."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis import causes
from gemmscope.analysis.diagnosis.judging import best_of, tried
from gemmscope.analysis.diagnosis.subject import Subject, subjects
from gemmscope.analysis.diagnosis.suspect import Suspect, Trial
from gemmscope.backends.variant import join, split_any
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.analysis.diagnosis.judging import Tried
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


def investigated(view: View) -> tuple[list[Suspect], dict[int, list[Tried]]]:
    """All suspects, those that are several confirmed ones at once among them, and what was measured for each."""
    found = suspicions(view)
    measured = tried(view, found)
    together = _combined(view, found, measured)
    suspects = [*found, *together]
    return suspects, tried(view, suspects) if together else measured


def _combined(view: View, found: Sequence[Suspect], measured: Mapping[int, Sequence[Tried]]) -> list[Suspect]:
    """For every backend and shape with several confirmed causes: all their remedies at once."""
    by_cell: dict[tuple[str, Shape], list[tuple[Suspect, Trial]]] = {}
    for i, one in enumerate(found):
        best = best_of(measured[i])
        if best is not None and one.shape is not None and best.trial.mode == "latency":
            by_cell.setdefault((one.backend, one.shape), []).append((one, best.trial))
    return [
        suspect
        for (backend, shape), several in by_cell.items()
        if (suspect := _together(view, backend, shape, several)) is not None
    ]


def _together(view: View, backend: str, shape: Shape, several: Sequence[tuple[Suspect, Trial]]) -> Suspect | None:
    """The variant with every remedy; None where one of them holds all of the others, or two contradict each other."""
    subject = Subject(view, backend)
    # What one remedy holds as it was is what another one changes.
    changes = [
        {name: value for name, value in _change(subject, split_any(trial.variant)[1]).items() if name not in trial.held}
        for _, trial in several
    ]
    # A group of variables holds what each of its members changes.
    whole = [i for i, one in enumerate(changes) if not any(_holds(other, one) for other in changes if other is not one)]
    if len(whole) < 2:
        return None
    options: dict[str, str | None] = {}
    for i in whole:
        if any(options.get(name, value) != value for name, value in changes[i].items()):
            return None
        options |= changes[i]
    merged = subject.options | options
    causes_ = [several[i][0].subject or several[i][0].cause for i in whole]
    return Suspect(
        cause=COMBINED,
        backend=backend,
        shape=shape,
        because=f"several causes come together: {words.listed(causes_)}",
        without="Without all of them",
        subject=" + ".join(causes_),
        evidence={},
        trials=(
            Trial(
                join(subject.base, {name: value for name, value in merged.items() if value is not None}),
                "; ".join(dict.fromkeys(several[i][1].remedy_together or several[i][1].remedy for i in whole)),
            ),
        ),
        likely=_COMBINED_LIKELY,
    )


def _change(subject: Subject, options: dict[str, str]) -> dict[str, str | None]:
    """What a variant changes of a backend's options; None stands for one that it leaves out."""
    set_ = {name: value for name, value in options.items() if subject.options.get(name) != value}
    return set_ | {name: None for name in subject.options if name not in options}


def _holds(one: dict[str, str | None], other: dict[str, str | None]) -> bool:
    """Whether a change makes another one too, and more."""
    return len(one) > len(other) and all(name in one and one[name] == value for name, value in other.items())
