"""MKL on a processor that is not Intel's: it takes a code path of its own, whatever the processor can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis import other_blas
from gemmscope.analysis.diagnosis.suspect import Suspect
from gemmscope.analysis.diagnosis.symptoms import GOOD_SHARE
from gemmscope.machine import known_kernels
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject

_INTEL = "GenuineIntel"


def suspects(subject: Subject) -> Iterator[Suspect]:
    """Where MKL is called on another vendor's processor: by its code path where that was seen, else by the vendor."""
    if other_blas.is_chosen(subject):
        return
    called, vendor = subject.called, subject.machine.vendor
    if subject.record.device != "cpu" or called is None or called.kind != "MKL" or vendor in (None, _INTEL):
        return
    profile = subject.profile(subject.large)
    path = known_kernels.mkl_code_path(profile.symbols) if profile else None
    because = f"it calls MKL, which keeps its best kernels for Intel's processors; this one is {_maker(vendor)}"
    seen = [f"code path {path}" if path else "", profile.arithmetic if profile else ""]
    if any(seen):
        because += f" ({', '.join(filter(None, seen))}" + (
            f", on a CPU with {subject.level})" if subject.level else ")"
        )
    yield Suspect(
        cause="mkl-on-amd",
        backend=subject.name,
        shape=subject.large,
        because=because,
        brief="MKL keeps its best kernels for Intel",
        without="On OpenBLAS",
        subject="MKL",
        evidence={
            "vendor": vendor,
            "code path": path,
            "width": profile.width if profile else None,
            "description": words.line(called.description),
        },
        trials=other_blas.trials(subject),
        untestable=other_blas.why_not(subject),
        remedy=other_blas.REMEDY,
        likely=3,
        # Seen at its slower path, and slow: that is worth telling where the run was too noisy to try it.
        serious=path is not None and (subject.share(subject.large) or 1.0) < GOOD_SHARE,
    )


def _maker(vendor: str | None) -> str:
    return "AMD's" if vendor == "AuthenticAMD" else f"made by {vendor or 'somebody else'}"
