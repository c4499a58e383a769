"""The GPU that this process computes on, as CUDA's driver knows it. Nothing here loads a framework."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import uuid
from typing import Any

from gemmscope.errors import BackendUnavailable

VISIBLE = "CUDA_VISIBLE_DEVICES"
_LIST = "nvidia-smi -L lists the GPUs; device= counts from 0, as CUDA does, among those that CUDA_VISIBLE_DEVICES shows"


def choose(index: int) -> None:
    """Leaves this process one GPU, which all its libraries then take: the one that CUDA counts as ``index``.

    Called before any library asks CUDA for its devices, because CUDA reads the variable once.

    Raises:
        BackendUnavailable: If there is no such GPU, as far as that is known without a library.
    """
    if sys.platform == "darwin":
        raise BackendUnavailable("device= counts CUDA's GPUs, and CUDA does not run on macOS", "leave device= out")
    shown = os.environ.get(VISIBLE)
    visible = None if shown is None else [one.strip() for one in shown.split(",") if one.strip()]
    if visible is not None and index >= len(visible):
        raise BackendUnavailable(f"{VISIBLE}={shown} shows no GPU {index}", _LIST)
    os.environ[VISIBLE] = str(index) if visible is None else visible[index]
    if (driver := _driver()) is not None and not _count(driver):
        raise BackendUnavailable(f"CUDA has no GPU {index} here", _LIST)


def first_uuid() -> str | None:
    """What names this process's first GPU wherever it is counted from, such as ``"GPU-…"``; None without CUDA.

    NVML counts all GPUs in the order of their places on the bus, CUDA the visible ones, the fastest first.
    """
    driver = _driver()
    if driver is None or not _count(driver):
        return None
    device, name = ctypes.c_int(), (ctypes.c_ubyte * 16)()
    # The second version names an instance of MIG where that is what is visible.
    ask = getattr(driver, "cuDeviceGetUuid_v2", None) or driver.cuDeviceGetUuid
    if driver.cuDeviceGet(ctypes.byref(device), 0) or ask(ctypes.byref(name), device):
        return None
    kind = "MIG" if os.environ.get(VISIBLE, "").startswith("MIG-") else "GPU"
    return f"{kind}-{uuid.UUID(bytes=bytes(name))}"


def _driver() -> Any:
    for name in ("libcuda.so.1", "libcuda.so"):
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    return None


def _count(driver: Any) -> int:
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value
