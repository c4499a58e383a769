"""The heap from which a call's output is allocated: as a fresh program has it, or warmed.

glibc's malloc maps what is large, and unmaps it when it is freed: then every call that allocates its output faults its
pages in anew. Once something larger was freed, it keeps such memory instead, and gives it out again (the dynamic
threshold of mallopt(3)). So the cost of the same call depends on what its program freed before.
"""

from __future__ import annotations

import ctypes
import os

from gemmscope.errors import BackendUnavailable

# The thresholds follow what is freed up to 32 MiB (DEFAULT_MMAP_THRESHOLD_MAX of glibc).
_LARGE = 31 * 2**20


def warm() -> None:
    """Frees something large, as a program does that made its operands with temporaries; it cannot be undone.

    Raises:
        BackendUnavailable: Where the system's malloc has no such thresholds.
    """
    if not has_thresholds():
        raise BackendUnavailable("heap=warm is about glibc's malloc, and this system has another")
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.free(library.malloc(_LARGE))


def has_thresholds() -> bool:
    """Whether malloc is glibc's."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # macOS and musl have no such name
        return False
