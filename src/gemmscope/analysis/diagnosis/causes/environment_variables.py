"""Environment variables that cap threads, choose other kernels, or change how memory and waiting work."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.suspect import Suspect, Trial
from gemmscope.backends import preload
from gemmscope.machine import environment, known_kernels
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject
    from gemmscope.machine.environment import Variable
    from gemmscope.workload.shapes import Shape

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
_LIKELY = {"threads": 3, "instructions": 3, "precision": 3, "waiting": 3, "placement": 3, "memory": 2, "loading": 2}
# The ends of the names of variables that say how many threads there may be.
_COUNTS = ("NUM_THREADS", "MAXIMUM_THREADS", "THREAD_LIMIT")
# Without these a library may not find its own files, or another device would be measured.
_NEEDED = {"CUDA_VISIBLE_DEVICES", "CUDA_MODULE_LOADING"}


def suspects(subject: Subject) -> Iterator[Suspect]:
    """One for all variables that the backend's library obeys where there are several, and one for each of them."""
    found = {name: known for name in subject.variables if (known := _obeyed(subject, name)) is not None}
    # First: one may hide another. With OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 neither helps alone.
    if len(found) > 1:
        because = f"{words.listed([_set(subject, name) for name in found])} are set"
        likely = max(_LIKELY[known.affects] for known in found.values())
        yield _suspect(subject, _shape(subject, list(found.values())), list(found), because, likely)
    for name, known in found.items():
        shape = _shape(subject, [known])
        yield _suspect(subject, shape, [name], _because(subject, name, known, shape), _LIKELY[known.affects])


def is_capped(subject: Subject) -> bool:
    """Whether a variable sets the number of threads: then that is the cause, and not the library's own choice."""
    return any(
        (known := _obeyed(subject, name)) is not None and known.affects == "threads" for name in subject.variables
    )


def chooses_kernels(subject: Subject) -> bool:
    """Whether a variable chooses the kernels: then that is the cause, and not the library's own choice."""
    return any(
        (known := _obeyed(subject, name)) is not None and known.affects == "instructions" for name in subject.variables
    )


def _obeyed(subject: Subject, name: str) -> Variable | None:
    known = environment.variable(name)
    if known is None or name in _NEEDED or known.affects == "other":
        return None
    if known.affects == "loading":
        # A variant that puts another BLAS under its library does so by preloading it.
        # Whoever follows the advice to preload it is right to.
        is_advice = name == "LD_PRELOAD" and all(map(preload.is_own, _paths(subject.variables[name])))
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


def _paths(value: str) -> list[str]:
    """What LD_PRELOAD names: ld.so(8) takes colons and spaces between them."""
    return value.replace(":", " ").split()


def _kinds(subject: Subject) -> set[str]:
    """The BLAS that is called, and OpenMP where that or the library uses it. NumPy's BLAS is loaded in every worker."""
    called = subject.called
    kinds = {library.kind for library in subject.libraries}
    if called is None:
        return kinds
    threaded = called.kind != "OpenBLAS" or "OPENMP" in called.description.upper()
    return {called.kind} | ({"OpenMP"} & kinds if threaded else set())


def _shape(subject: Subject, variables: list[Variable]) -> Shape | None:
    """Where it shows: how threads wait, in small calls; all else in large ones."""
    waiting = all(known.affects == "waiting" for known in variables)
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
        precision=_is_reduced(subject, shape),
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
