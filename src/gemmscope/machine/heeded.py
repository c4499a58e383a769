"""Variables that are set and change nothing: the loader complains to nobody who listens, and libraries say nothing."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gemmscope.machine import known_kernels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gemmscope.records.evidence import LibraryThreads

PRELOAD = "LD_PRELOAD"
CORE = "OPENBLAS_CORETYPE"

_LOADED_ONLY = os.RTLD_LAZY | os.RTLD_NOLOAD
_TIMEOUT = 10.0


def without_effect(variables: Mapping[str, str], pools: Sequence[LibraryThreads]) -> list[str]:
    """What this process should have by these variables and has not, each in words; it has inherited the variables.

    Args:
        variables: Those to look at.
        pools: What the loaded libraries say of themselves.
    """
    found: list[str] = []
    preloaded = variables.get(PRELOAD, "").replace(":", " ").split()
    missing = [name for name in preloaded if not _is_loaded(name)] if sys.platform == "linux" else []
    if missing:
        found.append(f"{PRELOAD} names {', '.join(missing)}, and the loader has not loaded it{_complaint(missing)}")
    core = variables.get(CORE, "")
    others = {pool.core: None for pool in pools if pool.kind == "OpenBLAS" and pool.core}
    known = known_kernels.is_core(core, platform.machine()) is not False
    # A name that it knows may stand for the kernels of another core. One that is newer than our list is its own.
    if core and not known and core.casefold() not in map(str.casefold, others):
        # It prints that only with OPENBLAS_VERBOSE, and takes what it would have taken anyway.
        found += [f"{CORE}={core} was not heeded: OpenBLAS has taken its kernels for {other}" for other in others]
    return found


def complaints(errors: Iterable[str], variables: Iterable[str]) -> list[str]:
    """The lines on a worker's standard error in which its loader or its libraries speak of a variable that it has."""
    names = list(variables)
    return list(dict.fromkeys(line.strip() for line in errors if any(name in line for name in names)))


def _is_loaded(name: str) -> bool:
    if "$" in name:  # $ORIGIN and the like, which the loader fills in for each caller
        return True
    try:
        ctypes.CDLL(name, mode=_LOADED_ONLY)
    except OSError:
        return False
    return True


def _complaint(missing: Sequence[str]) -> str:
    """What the loader says of it, to another program: this process's has been said."""
    program = Path("/bin/true")
    try:
        done = subprocess.run(
            [program], env={PRELOAD: ":".join(missing)}, capture_output=True, text=True, errors="replace",
            timeout=_TIMEOUT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return next((f" ({line.strip()})" for line in done.stderr.splitlines() if PRELOAD in line), "")
