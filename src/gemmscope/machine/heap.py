"""The heap from which a call's output is allocated: as a fresh program has it, or warmed.

glibc's malloc gives memory back to the system when much of it is free at once: at some sizes every call that allocates
its output then faults its pages in anew. Once something larger was freed, it keeps more (the dynamic thresholds of
mallopt(3), up to 32 MiB). So the cost of the same call depends on what its program freed before.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from gemmscope.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

# The thresholds follow what is freed up to this size (DEFAULT_MMAP_THRESHOLD_MAX of glibc).
LARGEST_KEPT = 32 * 2**20
_LARGE = LARGEST_KEPT - 2**20


def warm() -> None:
    """Frees something large, as a program does that made its operands with temporaries; it cannot be undone.

    Raises:
        BackendUnavailable: Where the system's malloc has no such thresholds.
    """
    if not has_thresholds():
        raise BackendUnavailable("heap=warm is about glibc's malloc, and this program has another")
    if names := fixed_by(os.environ):
        listed = " and ".join(names)
        raise BackendUnavailable(f"{listed} in the environment fixes what malloc keeps, so freeing changes nothing",
                                 f"unset {listed}")  # fmt: skip
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.free(library.malloc(_LARGE))


def fixed_by(environment: Mapping[str, str]) -> list[str]:
    """The variables in an environment that configure glibc's malloc, after which its thresholds stay as they are."""
    tunables = ["GLIBC_TUNABLES"] if "glibc.malloc." in environment.get("GLIBC_TUNABLES", "") else []
    return sorted(name for name in environment if name.startswith("MALLOC_") and name.endswith("_")) + tunables


def has_thresholds() -> bool:
    """Whether malloc is glibc's, and no other is preloaded."""
    if any(other in os.environ.get("LD_PRELOAD", "") for other in ("jemalloc", "tcmalloc", "mimalloc")):
        return False
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # macOS and musl have no such name
        return False
