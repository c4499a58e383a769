"""A BLAS that does not know the processor: kernels made for an older one, or for any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis import other_blas, variables
from gemmscope.analysis.diagnosis.suspect import Suspect, Trial
from gemmscope.machine import known_kernels
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject

# OpenBLAS's newest kernels for each of x86's vector instructions.
_BEST_CORES = {"AVX2": "Haswell", "AVX-512": "SkylakeX"}


def suspects(subject: Subject) -> Iterator[Suspect]:
    """By the core that OpenBLAS or BLIS names, or by the vectors that were seen; not where a variable chose it."""
    called = subject.called
    if subject.record.device != "cpu" or called is None or called.kind in ("reference BLAS", "MKL"):
        return
    if variables.affecting(subject, "instructions"):
        return
    machine, profile = subject.machine, subject.profile(subject.large)
    wrong = known_kernels.judge(called, machine.cpu_flags, machine.sve_bits)
    if wrong is None and profile is not None:
        wrong = known_kernels.judge_width(profile, machine.cpu_flags, machine.sve_bits)
    if wrong is None:
        return
    trials = other_blas.trials(subject)
    core = _BEST_CORES.get(subject.level or "")
    if called.kind == "OpenBLAS" and core:
        trials = (Trial(subject.with_options({"OPENBLAS_CORETYPE": core}), f"export OPENBLAS_CORETYPE={core}"), *trials)
    seen = f" ({profile.arithmetic})" if profile is not None and profile.arithmetic else ""
    yield Suspect(
        cause="old-kernels",
        backend=subject.name,
        shape=subject.large,
        because=f"its BLAS, {called.kind}, {wrong}{seen}",
        brief="its BLAS has no kernels for this processor",
        without="With kernels for this processor",
        subject=called.core or called.kind,
        evidence={"core": called.core, "description": words.line(called.description),
                  "width": profile.width if profile else None},
        trials=trials,
        untestable="" if trials else other_blas.why_not(subject),
        remedy="install a newer version of the library, or another BLAS",
        likely=3,
        serious=not trials,
    )  # fmt: skip
