"""What holds a processor back: a battery, low-power mode, heat, or being background work on efficiency cores.

What macOS says and does was never run there.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Literal

import psutil

from gemmscope import _kernels
from gemmscope.errors import BackendUnavailable
from gemmscope.machine import cpu

if TYPE_CHECKING:
    from collections.abc import Callable

ThermalState = Literal["nominal", "fair", "serious", "critical"]

# In <sys/resource.h> of macOS.
_PRIO_DARWIN_PROCESS = 4

# NSProcessInfo.ThermalState, in its order.
_THERMAL_STATES: tuple[ThermalState, ...] = ("nominal", "fair", "serious", "critical")


def source() -> Literal["battery", "mains"] | None:
    """``battery`` or ``mains``, or None: there is no battery, or its state is not known.

    psutil has the function only on some systems, and it has failed on odd batteries in many ways.
    """
    try:
        battery = psutil.sensors_battery()
    except Exception:  # noqa: BLE001  (AttributeError, OSError, ValueError, NotImplementedError, ...)
        return None
    if battery is None or battery.power_plugged is None:
        return None
    return "mains" if battery.power_plugged else "battery"


def low_power_mode() -> bool | None:
    """Whether macOS saves power at the cost of speed; None elsewhere."""
    return _kernels.low_power_mode()


def thermal_state() -> ThermalState | None:
    """How hot macOS says that the machine is; None elsewhere, or where it says something new."""
    return named(_kernels.thermal_state())


def named(state: int | None) -> ThermalState | None:
    """The name of a thermal state of NSProcessInfo; None for a number that it had not when this was written."""
    return _THERMAL_STATES[state] if state is not None and 0 <= state < len(_THERMAL_STATES) else None


def is_background(getpriority: Callable[[int, int], int] = os.getpriority, system: str = sys.platform) -> bool | None:
    """Whether this process is background work, as those are that ``taskpolicy -b`` starts, and all that they start.

    None elsewhere than on macOS. A limit that launchd sets for a service does not show here.
    """
    return bool(getpriority(_PRIO_DARWIN_PROCESS, 0)) if system == "darwin" else None


def niceness() -> int:
    """By how much other programs come before this process: 0 unless it was started by ``nice``, 20 at most."""
    return os.getpriority(os.PRIO_PROCESS, 0)


def enter_background(
    run_in_background: Callable[[], bool] = _kernels.run_in_background,
    core_kinds: Callable[[], cpu.CoreKinds] = cpu.core_kinds,
) -> None:
    """Makes this process and all its threads background work, which macOS runs on efficiency cores only. For good.

    It is what ``taskpolicy -b`` does.

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
