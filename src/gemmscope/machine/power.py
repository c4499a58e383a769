"""What holds the clock down: a battery, low-power mode, heat. A laptop's figures then are not those of the same laptop.

What macOS says was never run there.
"""

from __future__ import annotations

from typing import Literal

import psutil

from gemmscope import _kernels

ThermalState = Literal["nominal", "fair", "serious", "critical"]

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
