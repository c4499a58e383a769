"""The GPUs that CUDA's driver shows, and the one that this process computes on. Nothing here loads a framework."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from gemmscope.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"
# CUDA numbers GPUs by their speed unless told; NVML and nvidia-smi by where they are plugged in.
ORDER = "CUDA_DEVICE_ORDER"
BY_BUS = "PCI_BUS_ID"
# What begins the name of an instance of MIG.
INSTANCE = "MIG-"
# A driver that starts takes seconds where no program keeps eight cards awake.
_TIMEOUT = 60.0
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
    visible = entries(os.environ)
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
    return _uuid(driver, 0) if driver is not None and _count(driver) else None


def entries(environ: Mapping[str, str]) -> list[str] | None:
    """What CUDA_VISIBLE_DEVICES lists; None where it is not set.

    What comes behind an invalid entry is not seen: CUDA C++ Programming Guide, "CUDA Environment Variables".
    """
    if VISIBLE not in environ:
        return None
    listed = [entry.strip() for entry in environ[VISIBLE].split(",") if entry.strip()]
    return listed[: listed.index("-1")] if "-1" in listed else listed


def is_by_bus(environ: Mapping[str, str]) -> bool:
    """Whether a number stands for the same GPU as NVML's: workers count so, unless the user has another order."""
    return environ.get(ORDER, BY_BUS) == BY_BUS


class Shown(NamedTuple):
    """A GPU that CUDA shows: its name, and what names it wherever it is counted from."""

    name: str
    uuid: str


def shown(environ: Mapping[str, str]) -> list[Shown] | None:
    """The GPUs that CUDA shows a program in this environment, in CUDA's order; None where CUDA cannot be asked.

    It is asked in a process of its own: CUDA reads its variables once, and a driver in use keeps a process's memory.
    """
    if _driver() is None:
        return None
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__], env=dict(environ), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_TIMEOUT, check=True,
        )  # fmt: skip
        found = [Shown(*one) for one in json.loads(done.stdout)]
    except (OSError, ValueError, TypeError, subprocess.SubprocessError):
        return None
    return found if all(one.uuid for one in found) else None


def _list() -> list[Shown]:
    driver = _driver()
    return [Shown(_name(driver, i), _uuid(driver, i) or "") for i in range(_count(driver))] if driver else []


def _device(driver: Any, number: int) -> ctypes.c_int | None:
    device = ctypes.c_int()
    return None if driver.cuDeviceGet(ctypes.byref(device), number) else device


def _name(driver: Any, number: int) -> str:
    device, text = _device(driver, number), ctypes.create_string_buffer(256)
    if device is None or driver.cuDeviceGetName(text, len(text), device):
        return "NVIDIA GPU"
    return text.value.decode(errors="replace")


def _uuid(driver: Any, number: int) -> str | None:
    device, card, own = _device(driver, number), (ctypes.c_ubyte * 16)(), (ctypes.c_ubyte * 16)()
    if device is None or driver.cuDeviceGetUuid(ctypes.byref(card), device):
        return None
    # The second version names the instance where the card is cut into some, the first the card.
    newer = getattr(driver, "cuDeviceGetUuid_v2", None)
    if newer is None or newer(ctypes.byref(own), device):
        own = card
    return f"{'GPU-' if bytes(own) == bytes(card) else INSTANCE}{uuid.UUID(bytes=bytes(own))}"


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


if __name__ == "__main__":
    print(json.dumps(_list()))  # noqa: T201  (what the process that has started this one reads)
