"""The clock of an NVIDIA GPU as NVML reads it: whether the card is back at it after another call.

NVML comes with ``nvidia-ml-py``, which is optional. A reading takes some 50 µs, and is up to 100 ms old (H100).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from gemmscope.machine import cuda_devices

if TYPE_CHECKING:
    from collections.abc import Callable


@functools.cache
def reader() -> Callable[[], float | None]:
    """What reads this process's GPU: its clock in MHz, or None where NVML is not there or does not say."""
    try:
        import pynvml

        pynvml.nvmlInit()
        card = pynvml.nvmlDeviceGetHandleByUUID(cuda_devices.first_uuid())
    except Exception:  # noqa: BLE001  (no NVML, no driver, no such card: whatever it is, there is no clock)
        return lambda: None

    def read() -> float | None:
        try:
            return float(pynvml.nvmlDeviceGetClockInfo(card, pynvml.NVML_CLOCK_SM))
        except pynvml.NVMLError:
            return None

    return read
