"""Environment variables that cap threads, choose other kernels, or change how memory and waiting work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis import variables
from gemmscope.analysis.diagnosis.suspect import Suspect, Trial
from gemmscope.machine import known_kernels
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gemmscope.analysis.diagnosis.subject import Subject
    from gemmscope.machine.environment import Variable
    from gemmscope.workload.shapes import Shape

_LIKELY = {"threads": 3, "instructions": 3, "precision": 3, "waiting": 3, "placement": 3, "memory": 2, "loading": 2}


def suspects(subject: Subject) -> Iterator[Suspect]:
    """One for all variables that the backend's library obeys where there are several, and one for each of them."""
    found = {name: known for name in subject.variables if (known := variables.obeyed(subject, name)) is not None}
    # First: one may hide another. With OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 neither helps alone.
    if len(found) > 1:
        yield _suspect(subject, found, f"{words.listed([_set(subject, name) for name in found])} are set")
    for name, known in found.items():
        one = {name: known}
        yield _suspect(subject, one, _because(subject, name, known, _shape(subject, one)))


def _shape(subject: Subject, found: Mapping[str, Variable]) -> Shape | None:
    """Where it shows: how threads wait, in small calls; all else in large ones."""
    waiting = all(known.affects == "waiting" for known in found.values())
    return subject.shapes[0] if waiting and subject.shapes else subject.large


def _suspect(subject: Subject, found: Mapping[str, Variable], because: str) -> Suspect:
    shape = _shape(subject, found)
    effects = {known.affects for known in found.values()}
    return Suspect(
        cause=variables.CAUSE,
        backend=subject.name,
        shape=shape,
        subject=" ".join(found),
        because=because,
        brief=f"{words.listed(list(found), 1)} {'is' if len(found) == 1 else 'are'} set",
        without="Without it" if len(found) == 1 else "Without them",
        evidence={name: subject.variables[name] for name in found},
        trials=(Trial(subject.with_options(dict.fromkeys(found, "")), f"unset {' '.join(found)}"),),
        likely=max(_LIKELY[effect] for effect in effects),
        precision="precision" in effects and _is_reduced(subject, shape),
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


def _set(subject: Subject, name: str) -> str:
    return f"{name}={subject.variables[name]}"


def _is_reduced(subject: Subject, shape: Shape | None) -> bool:
    cell = subject.cell(shape)
    return cell is not None and cell.precision not in (None, "float32") and "tf32" not in subject.options
