"""An NVIDIA GPU as NVML sees it: clocks, power, heat, what holds the clocks down, and how the card is set up.

NVML comes with ``nvidia-ml-py``, which is optional. Everything is only read. A reading takes 2 µs for the clock and
8 µs for all of a card's state, and is up to 100 ms old (H100, driver 580).
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from gemmscope.machine import cuda_devices
from gemmscope.records.gpu import GpuLimits, GpuState

if TYPE_CHECKING:
    from collections.abc import Callable

INSTALL = "pip install nvidia-ml-py"

# nvmlClocksEventReasons in nvml.h. An idle GPU's low clock (bit 0) and a display's (bit 8) hold no work back.
_HELD_BY = {
    0x2: "application clocks", 0x4: "power cap", 0x8: "hardware slowdown", 0x10: "sync boost", 0x20: "heat",
    0x40: "heat (hardware)", 0x80: "power brake",
}  # fmt: skip

_EXCLUSIVE_PROCESS = 3  # NVML_COMPUTEMODE_EXCLUSIVE_PROCESS

T = TypeVar("T")


@dataclass(frozen=True)
class Card:
    """One GPU: the library that reads it, its handle there, and that of the instance of MIG where it is one.

    NVML reads clocks, power, heat and settings of whole cards alone: what is said of these is then the card's.
    """

    nvml: Any
    handle: Any
    instance: Any = None

    @property
    def profile(self) -> str:
        """Which instance of MIG it is, such as ``"1g.10gb"``; empty for a whole card."""
        if self.instance is None:
            return ""
        name = self._read(lambda: _text(self.nvml.nvmlDeviceGetName(self.instance))) or ""
        return name.rpartition(" MIG ")[2] if " MIG " in name else "of a profile that NVML does not name"

    def clock(self) -> float | None:
        """The SM clock in MHz; None where NVML does not say."""
        return self._read(lambda: float(self.nvml.nvmlDeviceGetClockInfo(self.handle, self.nvml.NVML_CLOCK_SM)))

    def index(self) -> int | None:
        """Which one it is in NVML's order, that of :func:`limits`."""
        return self._read(lambda: int(self.nvml.nvmlDeviceGetIndex(self.handle)))

    def state(self) -> GpuState:
        """The card at this moment."""
        nvml, handle = self.nvml, self.handle
        return GpuState(
            sm_mhz=self.clock(),
            memory_mhz=self._read(lambda: float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM))),
            watts=self._read(lambda: nvml.nvmlDeviceGetPowerUsage(handle) * 1e-3),
            celsius=self._read(lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
            held_by=self._read(self._held_by) or [],
        )

    def limits(self) -> GpuLimits:
        """How the card is set up, and who else uses it."""
        nvml, handle, read, own = self.nvml, self.handle, self._read, self._own
        return GpuLimits(
            name=read(lambda: _text(nvml.nvmlDeviceGetName(own))) or "NVIDIA GPU",
            instance=self.profile,
            driver=read(lambda: _text(nvml.nvmlSystemGetDriverVersion())) or "",
            memory_bytes=read(lambda: int(nvml.nvmlDeviceGetMemoryInfo(own).total)),
            max_sm_mhz=read(lambda: float(nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM))),
            max_memory_mhz=read(lambda: float(nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM))),
            power_limit=read(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) * 1e-3),
            default_power_limit=read(lambda: nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) * 1e-3),
            mig=read(lambda: bool(nvml.nvmlDeviceGetMigMode(handle)[0])),
            ecc=read(lambda: bool(nvml.nvmlDeviceGetEccMode(handle)[0])),
            persistence=read(lambda: bool(nvml.nvmlDeviceGetPersistenceMode(handle))),
            others=read(self._others) or {},
        )

    def processes(self) -> int | None:
        """How many processes compute on it, as far as they can be seen."""
        return self._read(lambda: len(self.nvml.nvmlDeviceGetComputeRunningProcesses(self._own)))

    def is_exclusive(self) -> bool:
        """Whether it takes one process at a time."""
        mode = self._read(lambda: int(self.nvml.nvmlDeviceGetComputeMode(self.handle)))
        return mode == _EXCLUSIVE_PROCESS

    @property
    def _own(self) -> Any:
        return self.handle if self.instance is None else self.instance

    def _held_by(self) -> list[str]:
        # Renamed in driver 535; older bindings have the older name alone.
        ask = getattr(self.nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
        bits = int((ask or self.nvml.nvmlDeviceGetCurrentClocksThrottleReasons)(self.handle))
        return [name for bit, name in _HELD_BY.items() if bits & bit]

    def _others(self) -> dict[str, int]:
        held: dict[str, int] = {}
        for one in self.nvml.nvmlDeviceGetComputeRunningProcesses(self._own):
            name = _process_name(one.pid)
            held[name] = held.get(name, 0) + int(one.usedGpuMemory or 0)
        return held

    def _read(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except Exception:  # noqa: BLE001  (a card, a driver or a binding that does not know it: NVML has many)
            return None


@functools.cache
def card() -> Card | None:
    """The GPU that this process's libraries take, or None where there is none, or no NVML."""
    return _asked(lambda nvml: _by_uuid(nvml, cuda_devices.first_uuid()))


def card_of(entry: str) -> Card | None:
    """The GPU of an entry in CUDA_VISIBLE_DEVICES: a UUID, or a number where CUDA counts as NVML does; else None."""
    if not entry.isdecimal():
        return _asked(lambda nvml: _by_uuid(nvml, entry))
    if not cuda_devices.is_by_bus(os.environ):
        return None
    return _asked(lambda nvml: Card(nvml, nvml.nvmlDeviceGetHandleByIndex(int(entry))))


def _by_uuid(nvml: Any, uuid: str | None) -> Card:
    handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
    if uuid is None or not uuid.startswith(cuda_devices.INSTANCE):
        return Card(nvml, handle)
    return Card(nvml, nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle), handle)


def limits() -> list[GpuLimits]:
    """Every GPU of this machine as it is set up, in NVML's order; empty where there is no NVML."""

    def every(nvml: Any) -> list[GpuLimits]:
        count = nvml.nvmlDeviceGetCount()
        return [Card(nvml, nvml.nvmlDeviceGetHandleByIndex(i)).limits() for i in range(count)]

    return _asked(every) or []


def _asked(ask: Callable[[Any], T]) -> T | None:
    """What NVML says, once it is loaded and running; None where there is none, or it does not know."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return ask(pynvml)
    except Exception:  # noqa: BLE001  (no NVML, no driver, no such card: whatever it is, there is nothing to read)
        return None


def _process_name(pid: int) -> str:
    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:  # another user's, or one outside of this container
        return "another process"


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
