"""The clock of an NVIDIA GPU as NVML reads it: whether the card is back at it after another call.

NVML comes with ``nvidia-ml-py``, which is optional. A reading takes some 50 µs, and is up to 100 ms old (H100).
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@functools.cache
def reader() -> Callable[[], float | None]:
    """What reads this process's GPU: its clock in MHz, or None where NVML is not there or does not say."""
    try:
        import pynvml

        pynvml.nvmlInit()
        card = _card(pynvml, os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    except Exception:  # noqa: BLE001  (no NVML, no driver, no such card: whatever it is, there is no clock)
        return lambda: None

    def read() -> float | None:
        try:
            return float(pynvml.nvmlDeviceGetClockInfo(card, pynvml.NVML_CLOCK_SM))
        except pynvml.NVMLError:
            return None

    return read


def _card(nvml: Any, visible: str) -> Any:
    """The first GPU that this process sees; frameworks take that one."""
    first = visible.partition(",")[0].strip()
    if first.startswith(("GPU-", "MIG-")):
        return nvml.nvmlDeviceGetHandleByUUID(first)
    return nvml.nvmlDeviceGetHandleByIndex(int(first or 0))
