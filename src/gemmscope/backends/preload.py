"""Libraries for LD_PRELOAD that come with gemmscope, and the option that gives a framework another BLAS by one of them.

A library that is loaded first comes before all others in every look-up: what a framework calls by name is then found
there. Only on Linux, and only for what its caller looks up by name: NumPy, PyTorch and MLX do, in their wheels.
"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from gemmscope import _kernels
from gemmscope.backends.base import BLAS_OPERAND_OPTIONS, OPERAND_OPTIONS, PROCESS_OPTIONS, Option
from gemmscope.errors import BackendUnavailable
from gemmscope.machine.images import blas_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FOLDER = Path(__file__).parent.parent


def library(name: str) -> Path:
    """Where one lies: ``"blas"`` passes calls of a BLAS on to OpenBLAS, ``"probe"`` stamps those of MLX."""
    return _FOLDER / f"libgemmscope_{name}.so"


def blas_library() -> Path:
    """The library that passes the calls of NumPy, PyTorch and MLX on to OpenBLAS.

    Raises:
        BackendUnavailable: If this build of gemmscope has none, or LD_PRELOAD cannot name it.
    """
    path = library("blas")
    if not path.exists():
        raise BackendUnavailable(
            "this gemmscope was built without its library that passes a framework's calls on to OpenBLAS",
            "on Linux, install gemmscope without GEMMSCOPE_CBLAS; elsewhere there is no LD_PRELOAD",
        )
    # ld.so(8): the paths in LD_PRELOAD are separated by these, and there is no way to escape them.
    if re.search(r"[\s:]", str(path)):
        raise BackendUnavailable(
            f"LD_PRELOAD cannot name {path}: a space or a colon ends a path there",
            "install gemmscope in a folder whose path has neither",
        )
    return path


BLAS = Option(
    "blas",
    "let the library call this BLAS instead of its own (Linux)",
    ("openblas",),
    {"LD_PRELOAD": str(library("blas"))},
)

# What the calls of libraries on the processor offer, and the kernels inside of them, which take no inner stride.
CPU_OPTIONS = (*PROCESS_OPTIONS, BLAS, *OPERAND_OPTIONS)
KERNEL_OPTIONS = (*PROCESS_OPTIONS, BLAS, *BLAS_OPERAND_OPTIONS)


def check_blas(caller: str, names: Iterable[str]) -> None:
    """Sees to it that the preloaded BLAS is the one that a library will call.

    Args:
        caller: The file of the image that calls the BLAS; it is loaded.
        names: By which it may call sgemm.

    Raises:
        BackendUnavailable: If it is not.
    """
    path = blas_library()
    # The preloaded library has the names of all frameworks: which of them this one calls, only its own images tell.
    name = next((each for each in names if _reaches(caller, each)), None)
    if name is None:
        raise BackendUnavailable(
            f"{Path(caller).name or 'the library'} calls no sgemm by a name that {path.name} could stand in for",
            "LD_PRELOAD replaces what is looked up by name, as in the wheels for Linux",
        )
    found = _kernels.find_symbol(caller, name)
    if found is None or not path.samefile(found[0]):
        raise BackendUnavailable(
            f"{path.name} was not loaded before {Path(found[0]).name if found else 'the BLAS'}, which has {name}",
            "LD_PRELOAD is for Linux, is not obeyed in programs that run with raised privileges, and is replaced by a "
            "variant's own LD_PRELOAD",
        )


def facts_of(image: str, description: str) -> dict[str, str | int]:
    """What is known of a loaded BLAS; of the preloaded library, what is known of the OpenBLAS behind it."""
    facts: dict[str, str | int] = {"blas": Path(image).name, "blas image": image, "blas config": description}
    return facts | blas_facts(behind(image))


def behind(image: str) -> str:
    """The BLAS in which calls of an image end: the OpenBLAS behind the preloaded library, else the image itself."""
    if not is_own(image):
        return image
    found = _kernels.find_symbol(image, "scipy_cblas_sgemm")
    return found[0] if found else image


def is_own(image: str) -> bool:
    """Whether a file is the library of :func:`blas_library`."""
    path = library("blas")
    return path.exists() and Path(image).exists() and path.samefile(image)


def blas_provenance(settings: Mapping[str, str]) -> dict[str, str | int]:
    """What a backend with the option ``blas`` calls; empty without the option."""
    # All names lead to one library, so that any of them will do.
    found = _kernels.find_symbol("", "cblas_sgemm") if "blas" in settings else None
    return facts_of(*found) if found else {}


def _reaches(image: str, name: str) -> bool:
    """Whether an image, or what it depends on, has a function of that name. The global scope is not asked."""
    try:
        loaded = ctypes.CDLL(image, mode=os.RTLD_LAZY | os.RTLD_NOLOAD) if image else None
        return loaded is not None and bool(loaded[name])
    except (OSError, AttributeError):
        return False
