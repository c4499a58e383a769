"""Keeping this process off the performance cores, to see what a library does on efficiency cores alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope import _kernels
from gemmscope.errors import BackendUnavailable
from gemmscope.machine import cpu

if TYPE_CHECKING:
    from collections.abc import Callable


def enter(
    run_in_background: Callable[[], bool] = _kernels.run_in_background,
    core_kinds: Callable[[], cpu.CoreKinds] = cpu.core_kinds,
) -> None:
    """Makes this process and all its threads background work, which macOS runs on efficiency cores only. For good.

    It is what ``taskpolicy -b`` does. Never run on macOS.

    Raises:
        BackendUnavailable: If this machine has no such cores, or its system does not keep background work on them.
    """
    kinds = core_kinds()
    if not kinds.efficiency:
        raise BackendUnavailable("this machine has no efficiency cores, or does not say so")
    if not run_in_background():
        raise BackendUnavailable(
            "only macOS keeps background work on efficiency cores",
            "elsewhere bind the whole run to them, as with: taskset -c <their numbers> gemmscope run",
        )
