"""What looks wrong though nothing was measured: by the causes of a diagnosis, of which many need no measured cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis import variables
from gemmscope.analysis.diagnosis.subject import Subject
from gemmscope.analysis.diagnosis.suspicion import suspicions
from gemmscope.analysis.view import View
from gemmscope.machine import environment
from gemmscope.records import words
from gemmscope.records.checkup import Checkup, LibraryCheckup, Suspicion, VariableCheckup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.diagnosis.suspect import Suspect
    from gemmscope.records.evidence import Throttling
    from gemmscope.records.model import BackendRecord, Result

# The distributions that a library consists of, its own first.
_DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "torch": ("torch",),
    "mlx": ("mlx", "mlx-cpu", "mlx-metal", "mlx-cuda-12", "mlx-cuda-13"),
    "cblas": ("scipy-openblas32",),
}
_OPENBLAS_WHEEL = "scipy-openblas32"


def check(result: Result, throttling: Throttling) -> Checkup:
    """A run without cells as the answer of a check-up.

    Args:
        result: The machine, workers and backends, and nothing that was measured.
        throttling: What the cgroup has counted until now.
    """
    view = View(result)
    by_library: dict[str, list[BackendRecord]] = {}
    for record in result.backends:
        by_library.setdefault(record.library, []).append(record)
    libraries = [_library(view, name, records) for name, records in by_library.items()]
    return Checkup(
        machine=result.machine,
        throttling=throttling,
        libraries=libraries,
        variables=_variables(view),
        suspicions=[*_broken(libraries), *_without_effect(result.warnings), *_suspected(suspicions(view))],
    )


def _library(view: View, name: str, records: Sequence[BackendRecord]) -> LibraryCheckup:
    usable = [record.name for record in records if record.status == "ok" and record.is_choice]
    gpu = next((record for record in records if record.device == "gpu"), None)
    subject = Subject(view, usable[0] if usable else records[0].name)
    facts = subject.worker.provenance if subject.worker is not None else {}
    called = subject.called if usable else None
    parts = _DISTRIBUTIONS.get(name, (name,))
    if name == "cblas" and (called is None or _OPENBLAS_WHEEL.replace("-", "_") not in called.image):
        parts = ()  # the extension is linked with another one
    first = next((record for record in records if record.is_choice), records[0])
    return LibraryCheckup(
        name=name,
        status="ok" if usable else first.status,
        reason="" if usable else words.line(first.reason),
        remedy="" if usable else first.remedy,
        versions={part: str(facts[part]) for part in parts if part in facts},
        wheels={part: list(tags) for part in parts if isinstance(tags := facts.get(f"{part} wheel"), list) and tags},
        blas=called,
        openmp=[library for library in subject.libraries if library.kind == "OpenMP"],
        backends=usable,
        no_gpu=words.line(gpu.reason) if usable and gpu is not None and gpu.status != "ok" else "",
    )


def _variables(view: View) -> list[VariableCheckup]:
    """Every variable that a worker had, once, with the libraries whose own code or BLAS obeys it."""
    values = {name: value for worker in view.result.workers for name, value in worker.variables.items()}
    usable = [Subject(view, name) for name, record in view.backends.items() if record.status == "ok"]
    return [
        VariableCheckup(
            name=name,
            value=value,
            effect=known.effect,
            readers=list(known.readers),
            libraries=list(dict.fromkeys(
                one.library for one in usable if variables.obeys(one, known) and one.record.is_choice
            )),
            source=known.source,
        )
        for name, value in sorted(values.items())
        if (known := environment.variable(name)) is not None
    ]  # fmt: skip


def _broken(libraries: Sequence[LibraryCheckup]) -> list[Suspicion]:
    """Libraries that crash, hang or raise; one that is not installed is no fault."""
    return [
        Suspicion(
            id="broken-library",
            subject=one.name,
            text=f"{one.name} cannot be loaded: {one.reason}.",
            remedy=one.remedy or f"install {one.name} again, and see whether python -c 'import {one.name}' ends well",
        )
        for one in libraries
        if one.status == "failed"
    ]


def _without_effect(warnings: Sequence[str]) -> list[Suspicion]:
    """Variables that are set and change nothing."""
    return [
        Suspicion(
            id="variable-without-effect",
            subject=text.partition(" ")[0].partition("=")[0],
            text=f"{words.line(text)}.",
            remedy=f"unset {text.partition(' ')[0].partition('=')[0]}, or mend its value",
        )
        for text in warnings
    ]


def _suspected(suspects: Sequence[Suspect]) -> list[Suspicion]:
    """Suspects, one for all backends of which the same is said."""
    groups: dict[tuple[str, str, str], list[Suspect]] = {}
    for one in suspects:
        # Each variable of a group is there by itself.
        if not variables.is_group(one.cause, one.subject):
            groups.setdefault((one.cause, one.subject, one.because), []).append(one)
    return [_suspicion(group) for group in groups.values()]


def _suspicion(group: Sequence[Suspect]) -> Suspicion:
    first = group[0]
    backends = [one.backend for one in group if one.backend]
    because = words.line(first.because)
    names = words.listed(backends)
    return Suspicion(
        id=first.cause,
        subject=words.line(first.subject),
        backends=backends,
        text=f"{names}: {because}." if names else f"{because[:1].upper()}{because[1:]}.",
        evidence=first.evidence,
        remedy=words.line(first.trials[0].remedy if first.trials else first.remedy),
        confirm=f"gemmscope diagnose {first.backend}" if first.trials else "",
    )
