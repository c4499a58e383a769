"""Environment variables that cap threads, choose other kernels, or change how memory and waiting work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis import variables
from gemmscope.analysis.diagnosis.suspect import Suspect, Trial
from gemmscope.machine import environment, known_kernels
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject
    from gemmscope.machine.environment import Variable
    from gemmscope.workload.shapes import Shape

_LIKELY = {"threads": 3, "instructions": 3, "precision": 3, "waiting": 3, "placement": 3, "memory": 2, "loading": 2}


def suspects(subject: Subject) -> Iterator[Suspect]:
    """One for all variables that the backend's library obeys where there are several, and one for each of them."""
    found = {name: known for name in subject.variables if (known := variables.obeyed(subject, name)) is not None}
    # First: one may hide another. With OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 neither helps alone.
    if len(found) > 1:
        because = f"{words.listed([_set(subject, name) for name in found])} are set"
        likely = max(_LIKELY[known.affects] for known in found.values())
        yield _suspect(subject, _shape(subject, list(found.values())), list(found), because, likely)
    for name, known in found.items():
        shape = _shape(subject, [known])
        yield _suspect(subject, shape, [name], _because(subject, name, known, shape), _LIKELY[known.affects])


def _shape(subject: Subject, known: list[Variable]) -> Shape | None:
    """Where it shows: how threads wait, in small calls; all else in large ones."""
    waiting = all(one.affects == "waiting" for one in known)
    return subject.shapes[0] if waiting and subject.shapes else subject.large


def _suspect(subject: Subject, shape: Shape | None, names: list[str], because: str, likely: int) -> Suspect:
    return Suspect(
        cause="environment-variable",
        backend=subject.name,
        shape=shape,
        subject=" ".join(names),
        because=because,
        without="Without it" if len(names) == 1 else "Without them",
        evidence={name: subject.variables[name] for name in names},
        trials=(Trial(subject.with_options(dict.fromkeys(names, "")), f"unset {' '.join(names)}"),),
        likely=likely,
        precision=_is_reduced(subject, shape) and any(_affects(name) == "precision" for name in names),
    )


def _because(subject: Subject, name: str, known: Variable, shape: Shape | None) -> str:
    said = f"{_set(subject, name)} is set, which {known.effect}"
    profile = subject.profile(shape)
    if known.affects == "instructions":
        called = subject.called
        kernels = None
        if called is not None:
            kernels = known_kernels.judge(called, subject.machine.cpu_flags, subject.machine.sve_bits)
        if called is not None and kernels is not None and name.startswith("OPENBLAS"):
            said = f"{_set(subject, name)} is set, so {called.kind} {kernels}"
        if profile is not None and profile.arithmetic:
            said += f" ({words.percent(profile.width_share)} of the kernel's samples in {profile.arithmetic})"
    elif known.affects == "threads" and (threads := subject.threads(shape)) is not None:
        said += f": {threads:.1f} of {words.count(subject.available, 'processor')} at work"
    elif known.affects == "threads" and subject.pool is not None:
        said += f": {words.count(subject.pool, 'thread')} for {words.count(subject.available, 'processor')}"
    return said


def _affects(name: str) -> str:
    known = environment.variable(name)
    return known.affects if known is not None else ""


def _set(subject: Subject, name: str) -> str:
    return f"{name}={subject.variables[name]}"


def _is_reduced(subject: Subject, shape: Shape | None) -> bool:
    cell = subject.cell(shape)
    return cell is not None and cell.precision not in (None, "float32") and "tf32" not in subject.options
