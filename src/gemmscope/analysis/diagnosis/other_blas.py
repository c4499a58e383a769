"""Another BLAS under the same library, as several causes try it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis import variables
from gemmscope.analysis.diagnosis.suspect import Trial
from gemmscope.backends.registry import built_in
from gemmscope.records import words

if TYPE_CHECKING:
    from gemmscope.analysis.diagnosis.subject import Subject

_CAP = "OPENBLAS_NUM_THREADS"
REMEDY = "LD_PRELOAD=$(gemmscope blas-shim) python your_program.py"


def trials(subject: Subject) -> tuple[Trial, ...]:
    """The same library on OpenBLAS, with as many threads, and with kernels for this processor.

    Nothing but the BLAS may change: a variable that caps the library's threads does not cap OpenBLAS's, and one that
    chooses OpenBLAS's kernels would hold it back.
    """
    if why_not(subject):
        return ()
    options, before, threads = {"blas": "openblas"}, "", ""
    if "OPENBLAS_CORETYPE" in subject.variables:
        options["OPENBLAS_CORETYPE"], before = "", "unset OPENBLAS_CORETYPE; "
    if "GEMMSCOPE_BLAS" in subject.variables:  # it would win over what the remedy means
        before += "unset GEMMSCOPE_BLAS; "
    if variables.affecting(subject, "threads") and subject.pool is not None:
        options[_CAP] = str(subject.pool)
        threads = f"{_CAP}={subject.pool} "
    held = (_CAP,) if threads else ()
    return (
        Trial(subject.with_options(options), before + threads + REMEDY, held=held, remedy_together=before + REMEDY),
    )


def is_chosen(subject: Subject) -> bool:
    """Whether somebody has chosen the BLAS that a library calls: that it is this one is then no finding."""
    return "blas" in subject.options


def why_not(subject: Subject) -> str:
    """Why another BLAS cannot be tried; empty if it can."""
    if "Linux" not in subject.machine.system:
        return "another BLAS is put under a library by LD_PRELOAD, which is for Linux"
    if subject.base not in _able():
        return f"gemmscope cannot put another BLAS under {subject.library}"
    if is_chosen(subject):
        return "it is on another BLAS already"
    if bound := variables.affecting(subject, "placement"):
        return f"{words.listed(bound)} binds its threads, and another BLAS has threads of its own; unset it first"
    return ""


@functools.cache
def _able() -> frozenset[str]:
    """The backends that have the option ``blas``."""
    backends = built_in().backends.values()
    return frozenset(one.name for one in backends if any(option.values == "blas" for option in one.options))
