"""Which environment variables a backend's library obeys, and what they decide about its threads and kernels."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.subject import WITHOUT_BLAS
from gemmscope.backends import preload
from gemmscope.machine import environment, known_kernels

if TYPE_CHECKING:
    from gemmscope.analysis.diagnosis.subject import Subject
    from gemmscope.machine.environment import Effect, Variable

# The cause in files.
CAUSE = "environment-variable"

# What a library reads besides the variables of its BLAS, by the names that environment.VARIABLES has for readers.
_READERS = {
    "numpy": {"NumPy", "glibc"},
    "torch": {"PyTorch", "oneDNN", "glibc"},
    "mlx": {"MLX", "glibc"},
    "jax": {"JAX", "glibc"},
    "cupy": {"CuPy"},
}
_OF_KINDS = {"OpenMP": {"OpenMP", "libgomp", "libomp", "libiomp5"}}
_ON_GPU = {"CUDA", "cuBLAS", "MLX", "PyTorch", "Metal", "JAX", "CuPy"}
# Loaded before everything else: not named by any library, and felt by each.
_ANYWHERE = {"LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES"}
# The ends of the names of variables that say how many threads there may be.
_COUNTS = ("NUM_THREADS", "MAXIMUM_THREADS", "THREAD_LIMIT")
# Without these a library may not find its own files, or another device would be measured.
_NEEDED = {"CUDA_VISIBLE_DEVICES", "CUDA_MODULE_LOADING"}


def is_group(cause: str, subject: str) -> bool:
    """Whether a suspicion is about several variables at once: each of them has one of its own."""
    return cause == CAUSE and " " in subject


def affecting(subject: Subject, effect: Effect) -> list[str]:
    """The variables by which somebody has decided something for a backend's library: it is not its own choice then."""
    return [
        name for name in subject.variables
        if (known := obeyed(subject, name)) is not None and known.affects == effect
    ]  # fmt: skip


def obeyed(subject: Subject, name: str) -> Variable | None:
    """What is known of a variable that a backend's library obeys; None for one that it does not, or that must stay."""
    known = environment.variable(name)
    if known is None or name in _NEEDED or known.affects == "other":
        return None
    if known.affects == "loading":
        # A variant that puts another BLAS under its library does so by preloading it.
        # Whoever follows the advice to preload it is right to.
        is_advice = name == "LD_PRELOAD" and all(map(preload.is_own, preload.named_in(subject.variables[name])))
        return known if name in _ANYWHERE and "blas" not in subject.options and not is_advice else None
    if not obeys(subject, known) or _is_fine(subject, name, known):
        return None
    return known


def obeys(subject: Subject, known: Variable) -> bool:
    """Whether a backend's library reads a variable, or the BLAS that it calls does, or its OpenMP runtime."""
    readers = set(_READERS.get(subject.library, set()))
    if subject.record.device == "gpu":
        readers |= _ON_GPU
    else:
        kinds = _kinds(subject)
        readers |= set(itertools.chain.from_iterable(_OF_KINDS.get(kind, {kind}) for kind in kinds))
    return bool(readers.intersection(known.readers))


def _is_fine(subject: Subject, name: str, known: Variable) -> bool:
    """Whether a variable is seen to do no harm. A run tries it anyway; without one it would be a false alarm."""
    if subject.view.shapes:
        return False
    value = subject.variables[name]
    if known.affects == "threads" and name.endswith(_COUNTS):
        return subject.pool is not None and subject.expected_threads <= subject.pool <= subject.available
    if known.affects == "precision":
        return value == "0"  # full precision is what is asked for
    called = subject.called
    if name == "OPENBLAS_CORETYPE" and called is not None and called.core:
        machine = subject.machine
        return known_kernels.judge(called, machine.cpu_flags, machine.sve_bits) is None
    return False


def _kinds(subject: Subject) -> set[str]:
    """The BLAS that is called, and OpenMP where that or the library uses it. NumPy's BLAS is loaded in every worker."""
    if subject.library in WITHOUT_BLAS:
        return set()
    called = subject.called
    kinds = {library.kind for library in subject.libraries}
    if called is None:
        return kinds
    threaded = called.kind != "OpenBLAS" or "OPENMP" in called.description.upper()
    return {called.kind} | ({"OpenMP"} & kinds if threaded else set())
