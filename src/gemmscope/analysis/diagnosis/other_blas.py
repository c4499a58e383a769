"""Another BLAS under the same library, as several causes try it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.suspect import Trial

if TYPE_CHECKING:
    from gemmscope.analysis.diagnosis.subject import Subject

# On Linux one library that is loaded first gives OpenBLAS to all three frameworks.
_LIBRARIES = ("numpy", "torch", "mlx")
REMEDY = "LD_PRELOAD=$(gemmscope blas-shim) python your_program.py"


def trials(subject: Subject) -> tuple[Trial, ...]:
    """The same library on OpenBLAS."""
    return () if why_not(subject) else (Trial(subject.with_options({"blas": "openblas"}), REMEDY),)


def why_not(subject: Subject) -> str:
    """Why another BLAS cannot be tried; empty if it can."""
    if not subject.machine.system.endswith("Linux") and "Linux" not in subject.machine.system:
        return "another BLAS is put under a library by LD_PRELOAD, which is for Linux"
    if subject.library not in _LIBRARIES or subject.record.device != "cpu":
        return f"gemmscope cannot put another BLAS under {subject.library}"
    if "blas" in subject.options:
        return "it is on another BLAS already"
    return ""
