"""Any BLAS under a framework: the library for LD_PRELOAD that passes calls on, and the option that asks for it.

A library that is loaded first comes before all others in every look-up: what a framework calls by name is then found
there. Only on Linux, and only for what its caller looks up by name: NumPy, PyTorch, MLX and SciPy do, in their wheels.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from gemmscope import _kernels
from gemmscope.backends.base import BLAS_OPERAND_OPTIONS, OPERAND_OPTIONS, PROCESS_OPTIONS, Option
from gemmscope.errors import BackendUnavailable
from gemmscope.machine import blas_libraries
from gemmscope.machine.images import blas_facts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmscope.backends.base import Backend

_LIBRARY = Path(__file__).parent.parent / "libgemmscope_blas.so"

# What the library reads to learn which BLAS it passes calls on to: a path.
TARGET = "GEMMSCOPE_BLAS"


def library() -> Path:
    """The library that passes the calls of frameworks on to another BLAS.

    Raises:
        BackendUnavailable: If this build of gemmscope has none, or LD_PRELOAD cannot name it.
    """
    if not _LIBRARY.exists():
        raise BackendUnavailable(
            "this gemmscope was built without its library that puts another BLAS under a framework",
            "install gemmscope on Linux; elsewhere there is no LD_PRELOAD",
        )
    # ld.so(8): the paths in LD_PRELOAD are separated by these, and there is no way to escape them.
    if re.search(r"[\s:]", str(_LIBRARY)):
        raise BackendUnavailable(
            f"LD_PRELOAD cannot name {_LIBRARY}: a space or a colon ends a path there",
            "install gemmscope in a folder whose path has neither",
        )
    return _LIBRARY


BLAS = Option(
    "blas",
    "let the library call this BLAS instead of its own (Linux); see gemmscope blas",
    "blas",
    {"LD_PRELOAD": str(_LIBRARY), TARGET: "{value}"},
)

# What the calls of libraries on the processor offer, and the kernels inside of them, which take no inner stride.
CPU_OPTIONS = (*PROCESS_OPTIONS, BLAS, *OPERAND_OPTIONS)
KERNEL_OPTIONS = (*PROCESS_OPTIONS, BLAS, *BLAS_OPERAND_OPTIONS)


def named_in(preloaded: str) -> list[str]:
    """What LD_PRELOAD names: ld.so(8) takes colons and spaces between paths."""
    return preloaded.replace(":", " ").split()


def with_library(preloaded: str) -> str:
    """What LD_PRELOAD should hold: the library, and what it holds already."""
    others = [path for path in named_in(preloaded) if not is_own(path)]
    return ":".join([str(_LIBRARY), *others])


def file_of(name: str) -> str:
    """The file of a BLAS that a variant asks for.

    Raises:
        BackendUnavailable: If it is not installed.
    """
    file = blas_libraries.find(name)
    if not file:
        blas = blas_libraries.KNOWN[name]
        raise BackendUnavailable(f"{blas.what} is not installed", blas.remedy)
    return file


def check_blas(wanted: str, caller: str, names: Iterable[str]) -> None:
    """Sees to it that a library will call the BLAS that a variant asks for.

    Args:
        wanted: The BLAS, by its name or file.
        caller: The file of the image that calls the BLAS; it is loaded.
        names: By which it may call sgemm.

    Raises:
        BackendUnavailable: If it will not.
    """
    path = library()
    target = file_of(wanted)
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
            "LD_PRELOAD is for Linux, is not obeyed in programs that run with raised privileges, and is emptied by a "
            "variant's own LD_PRELOAD=",
        )
    if not Path(image()).samefile(target):
        raise BackendUnavailable(f"{path.name} passes calls on to {image()}, not to {target}", f"unset {TARGET}")


def image() -> str:
    """The file of the BLAS that calls are passed on to, which is loaded now; empty where nothing is preloaded."""
    own = _preloaded()
    return "" if own is None else os.fsdecode(own.gemmscope_blas_image())


def calls() -> int | None:
    """How many calls of this process the preloaded library has passed on; None where it is not preloaded."""
    own = _preloaded()
    return None if own is None else int(own.gemmscope_blas_calls())


def behind(file: str) -> str:
    """The BLAS in which calls of an image end: what the preloaded library passes them on to, else the image itself."""
    return (image() or file) if is_own(file) else file


def is_own(file: str) -> bool:
    """Whether a file is the preloaded library, by its name: a result may be of another machine."""
    return Path(file).name == _LIBRARY.name


def facts_of(file: str) -> dict[str, str | int]:
    """What is known of a loaded BLAS; of the preloaded library, what is known of the one behind it."""
    file = behind(file)
    facts: dict[str, str | int] = {
        "blas": Path(file).name, "blas image": file, "blas config": _kernels.description_of(file)
    }  # fmt: skip
    return facts | blas_facts(file)


def is_counted(backend: Backend) -> bool:
    """Whether a backend's calls go through the preloaded library: those of a C++ loop on a loaded BLAS do not."""
    chosen = "blas" in backend.settings
    return not chosen or any(option.name == "blas" and option.environment for option in backend.options)


def in_environment() -> bool:
    """Whether the user's own LD_PRELOAD holds the library."""
    return any(map(is_own, named_in(os.environ.get("LD_PRELOAD", ""))))


@functools.cache
def _preloaded() -> ctypes.CDLL | None:
    process = ctypes.CDLL(None)
    try:
        process.gemmscope_blas_image.restype = ctypes.c_char_p
        process.gemmscope_blas_calls.restype = ctypes.c_uint64
    except AttributeError:
        return None
    return process


def _reaches(file: str, name: str) -> bool:
    """Whether an image, or what it depends on, has a function of that name. The global scope is not asked."""
    try:
        loaded = ctypes.CDLL(file, mode=os.RTLD_LAZY | os.RTLD_NOLOAD) if file else None
        return loaded is not None and bool(loaded[name])
    except (OSError, AttributeError):
        return False
