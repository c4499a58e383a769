"""What a call does on an NVIDIA GPU, as CUPTI records it: kernels and copies by the device's clock, in any library.

CUPTI comes with ``cupti-python``, which is optional, in the version of the CUDA that is installed. While it records,
small calls take up to 20 % longer (H100): calls that the host times are never recorded.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

from gemmscope.records.gpu import Copy, Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

INSTALL = "pip install 'cupti-python>=13,<14', or 'cupti-python>=12.6,<13' with CUDA 12"

_BUFFER = 8 * 2**20
# CUpti_ActivityMemcpyKind in CUPTI's reference; the others are of arrays, which no multiplication copies.
_COPIES = {
    1: "host to device", 2: "device to host", 8: "device to device", 9: "host to host", 10: "GPU to GPU",
}  # fmt: skip
_FILL = "fill"
_LONGEST_NAME = 400


class Activity(NamedTuple):
    """One thing that the device did. Times are in nanoseconds of its own clock; a kernel has no ``kind``."""

    start: int
    end: int
    name: str = ""
    grid: tuple[int, int, int] = (1, 1, 1)
    block: tuple[int, int, int] = (1, 1, 1)
    kind: str = ""
    size: int = 0


class CuptiRefusedError(Exception):
    """CUPTI is not there, or does not record here; the text says why."""


class Recorder:
    """Records what this process's GPU does while it is asked to.

    Args:
        cupti: The module ``cupti.cupti``.

    Raises:
        CuptiRefusedError: If CUPTI takes no callbacks.
    """

    def __init__(self, cupti: Any) -> None:
        self._cupti = cupti
        kinds = cupti.ActivityKind
        self._kinds = (kinds.CONCURRENT_KERNEL, kinds.MEMCPY, kinds.MEMSET)
        self._seen: list[Activity] = []
        _ask(cupti.activity_register_callbacks, lambda: (_BUFFER, 0), self._take)

    @contextlib.contextmanager
    def recording(self) -> Iterator[Callable[[], list[Activity]]]:
        """Records what the device does meanwhile.

        Yields:
            A function that returns what the device did since it was called last, in the order of time. The device must
            have finished.

        Raises:
            CuptiRefusedError: If CUPTI does not record here.
        """
        self._seen.clear()
        enabled = []
        try:
            for kind in self._kinds:
                _ask(self._cupti.activity_enable, kind)
                enabled.append(kind)
            yield self._flush
        finally:
            for kind in enabled:
                _ask(self._cupti.activity_disable, kind)

    def _flush(self) -> list[Activity]:
        _ask(self._cupti.activity_flush_all, 1)
        seen, self._seen = self._seen, []
        return sorted(seen)

    def _take(self, activities: Sequence[Any]) -> None:
        # The records are CUPTI's memory, and gone when this returns.
        kernel, copy, fill = self._kinds
        for one in activities:
            if one.kind == kernel:
                grid, block = (one.grid_x, one.grid_y, one.grid_z), (one.block_x, one.block_y, one.block_z)
                self._seen.append(Activity(one.start, one.end, demangled(str(one.name)), grid, block))
            elif one.kind == copy:
                kind = _COPIES.get(int(one.copy_kind), "copy")
                self._seen.append(Activity(one.start, one.end, kind=kind, size=int(one.bytes)))
            elif one.kind == fill:
                self._seen.append(Activity(one.start, one.end, kind=_FILL, size=int(one.bytes)))


def is_installed() -> bool:
    """Whether cupti-python is there. It is not imported before it is used: what is timed must not notice."""
    return importlib.util.find_spec("cupti") is not None


@functools.cache
def recorder() -> Recorder:
    """The one recorder of this process: CUPTI takes callbacks once.

    Raises:
        CuptiRefusedError: If cupti-python is not there, or CUPTI takes no callbacks.
    """
    try:
        from cupti import cupti
    except Exception as error:  # somebody else's binary: whatever it raises
        reason = " ".join(str(error).split())
        raise CuptiRefusedError(f"cupti-python cannot be imported: {reason}; {INSTALL}") from error
    return Recorder(cupti)


def _ask(function: Callable[..., Any], *arguments: Any) -> None:
    try:
        function(*arguments)
    except Exception as error:  # cuptiError has no other base
        raise CuptiRefusedError(f"CUPTI refuses: {' '.join(str(error).split())}") from error


def busy_seconds(activities: Sequence[Activity]) -> float:
    """Seconds in which the device did anything: what runs at the same time counts once."""
    total, until = 0, 0
    for one in sorted(activities):
        begin = max(one.start, until)
        total += max(0, one.end - begin)
        until = max(until, one.end)
    return total * 1e-9


def kernels(activities: Sequence[Activity], calls: int) -> list[Kernel]:
    """The kernels of ``calls`` calls, that which takes the most time first."""
    groups = _groups(activities, lambda one: None if one.kind else (one.name, one.grid, one.block))
    found = [
        Kernel(name=name, grid=grid, block=block, launches=len(those) / calls, seconds=_median_seconds(those))
        for (name, grid, block), those in groups.items()
    ]
    return sorted(found, key=lambda one: -one.launches * one.seconds)


def copies(activities: Sequence[Activity], calls: int) -> list[Copy]:
    """The copies of ``calls`` calls."""
    groups = _groups(activities, lambda one: (one.kind, one.size) if one.kind else None)
    return [
        Copy(kind=kind, size=size, launches=len(those) / calls, seconds=_median_seconds(those))
        for (kind, size), those in groups.items()
    ]


def _groups(activities: Sequence[Activity], key: Callable[[Activity], Any]) -> dict[Any, list[Activity]]:
    groups: dict[Any, list[Activity]] = {}
    for one in activities:
        if (found := key(one)) is not None:
            groups.setdefault(found, []).append(one)
    return groups


def _median_seconds(activities: Sequence[Activity]) -> float:
    # What is shorter than a step of the device's clock takes one.
    return max(1, statistics.median(one.end - one.start for one in activities)) * 1e-9


@functools.cache
def demangled(name: str) -> str:
    """A C++ name as it was written, by the C++ library's own demangler; what is no such name stays as it is."""
    if not name.startswith("_Z"):
        return name[:_LONGEST_NAME]
    try:
        demangle = ctypes.CDLL("libstdc++.so.6")["__cxa_demangle"]
        free = ctypes.CDLL(None)["free"]
    except (OSError, AttributeError, TypeError):
        return name[:_LONGEST_NAME]
    demangle.restype = ctypes.c_void_p
    free.argtypes = [ctypes.c_void_p]
    status = ctypes.c_int()
    text = demangle(name.encode(), None, None, ctypes.byref(status))
    if not text:
        return name[:_LONGEST_NAME]
    try:
        return ctypes.string_at(text).decode(errors="replace")[:_LONGEST_NAME]
    finally:
        free(text)
