"""Where the power comes from: on battery a laptop clocks lower, and its figures are not those of the same laptop."""

from __future__ import annotations

from typing import Literal

import psutil


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
